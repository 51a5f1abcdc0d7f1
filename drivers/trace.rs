// SPDX-License-Identifier: GPL-2.0

//! Tracepoints `compsc:*`. They live in C (`trace.c`): the `kernel` crate's macro needs in-tree headers.

use crate::{
    bindings,
    pci::Function, //
};
use compsc_core::regs::RegisterDesc;
use kernel::prelude::*;

/// Longest register name that is traced whole.
const NAME: usize = 16;

/// A recorded register was written during replay.
pub fn replay(function: Function, register: &RegisterDesc, index: usize, value: u32) {
    let mut name = [0u8; NAME];
    for (to, from) in name[..NAME - 1].iter_mut().zip(register.name.bytes()) {
        *to = from;
    }
    // CAST: Indices and offsets are small.
    // SAFETY: Both strings are NUL-terminated and copied.
    unsafe {
        bindings::compsc_trace_replay(
            function.name().as_char_ptr(),
            name.as_ptr().cast(),
            index as u32,
            register.offset_of(index) as u32,
            value,
        );
    }
}

/// A restore begins.
pub fn restore_begin(function: Function, version: u32) {
    // SAFETY: The string is NUL-terminated and copied.
    unsafe { bindings::compsc_trace_restore_begin(function.name().as_char_ptr(), version) }
}

/// A restore succeeded: its duration in nanoseconds and the packets laid out again.
pub fn restore_end(function: Function, version: u32, ns: u64, resent: u64) {
    // SAFETY: The string is NUL-terminated and copied.
    unsafe {
        bindings::compsc_trace_restore_end(function.name().as_char_ptr(), version, ns, resent)
    }
}
