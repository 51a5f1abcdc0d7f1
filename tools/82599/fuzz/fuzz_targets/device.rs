// SPDX-License-Identifier: GPL-2.0

//! Any bytes as a guest of the 82599 model.

#![no_main]

#[path = "../../core/tests/suite/mod.rs"]
mod suite;

use libfuzzer_sys::fuzz_target;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

const MILLION: u64 = 1_000_000;
static OPERATIONS: AtomicU64 = AtomicU64::new(0);

fuzz_target!(|data: &[u8]| {
    let done = suite::hostile::run(data);
    let before = OPERATIONS.fetch_add(done, Ordering::Relaxed);
    if before / MILLION != (before + done) / MILLION {
        eprintln!("{} million operations", (before + done) / MILLION);
    }
});
