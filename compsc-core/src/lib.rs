// SPDX-License-Identifier: GPL-2.0

//! The chip-neutral heart of CompSC: what a guest driver records about a passed-through device, how
//! it is replayed on another device of the same kind, and how guest and host talk about it.
//!
//! This crate knows no chip and no kernel. It allocates nothing, holds no unsafe code, and the same
//! sources are compiled by Kbuild into the kernel modules and by cargo for the tests and tools.
//!
//! | module | job |
//! |---|---|
//! | [`capability`] | the PCI capability by which host and guest find each other |
//! | [`class`] | classes of registers and how each is treated when a device is replaced |
//! | [`regs`] | the [`registers!`] declaration of a register map, its fields and its table |
//! | [`log`] | the [`Recorder`](log::Recorder), the only way to a device's registers, and replay |
//! | [`gate`] | the version counter and lock that every access section passes |
//! | [`region`] | the guest memory that guest and host share, its layout and its checked reader |
//! | [`counter`] | counters that go on although the device that counts is replaced |
//! | [`ring`] | descriptor rings whose hardware index may restart at 0 at any time |
//! | [`stream`] | the migration stream: writer, incremental parser, compatibility check |
//!
//! The terms are those of the paper "CompSC: Live Migration with Pass-through Devices" (VEE 2012):
//! *op set* (a group of register accesses that is in the log wholly or not at all), *self-emulation*
//! (a read-only register whose value the driver continues in software), *dummy write* (a write of
//! a byte's own value, so that the hypervisor's dirty log sees what the device wrote by DMA).
//!
//! # Checks
//!
//! `cargo test` runs unit and property tests. The rest, from the top of the project:
//!
//! ```sh
//! # All interleavings of sections, restore worker and host.
//! RUSTFLAGS="--cfg loom" cargo test -p compsc_core --test loom_gate --release --target-dir build/cargo-loom
//! # Undefined behaviour; property tests with few cases.
//! MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test -p compsc_core -p compsc_regs --tests
//! # The decoders; also `records` and `region`.
//! (cd compsc-core && cargo +nightly fuzz run stream -- -max_total_time=600)
//! ```

#![cfg_attr(not(any(test, CONFIG_RUST)), no_std)]
#![forbid(unsafe_code)]

pub mod capability;
pub mod class;
pub mod counter;
pub mod gate;
pub mod log;
pub mod region;
pub mod regs;
pub mod ring;
pub mod stream;
