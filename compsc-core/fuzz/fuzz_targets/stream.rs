// SPDX-License-Identifier: GPL-2.0

//! Any bytes as a migration stream, in pieces.

#![no_main]

#[path = "../../tests/suite/decoders.rs"]
#[allow(dead_code)]
mod decoders;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let _ = decoders::stream(input.1, input.0);
});
