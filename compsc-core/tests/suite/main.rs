// SPDX-License-Identifier: GPL-2.0

//! Tests of compsc-core from the outside.

// The loom run compiles this crate with loom's atomics and has tests of its own.
#![cfg(not(loom))]

mod decoders;
mod model;
mod region;
mod replay;
mod stream;
