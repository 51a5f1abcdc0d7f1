// SPDX-License-Identifier: GPL-2.0

//! Any bytes as a shared region that changes while it is read.

#![no_main]

#[path = "../../tests/suite/decoders.rs"]
#[allow(dead_code)]
mod decoders;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, [u8; 4], &[u8])| {
    let (announced, changes, bytes) = input;
    // A header with the right magic, version and length, so that the rest is looked at.
    let mut content = b"CompSC\0\x01\x01\0\0\x01".to_vec();
    content.extend_from_slice(bytes);
    // Most inputs without changes: those that pass the checks are the deep ones.
    let changes: &[u8] = if changes[0] < 192 { &[] } else { &changes };
    let _ = decoders::invalid(decoders::region(&content, u32::from(announced), changes));
});
