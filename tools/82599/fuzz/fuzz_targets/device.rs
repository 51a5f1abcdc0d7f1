// SPDX-License-Identifier: GPL-2.0

//! Any bytes as a guest of the 82599 model.

#![no_main]

#[path = "../../core/tests/suite/mod.rs"]
mod suite;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| suite::hostile::run(data));
