// SPDX-License-Identifier: GPL-2.0

//! Tracepoints `compsc_vfio:*`. They live in C (`trace.c`): the `kernel` crate's macro needs in-tree headers.

use compsc::bindings;
use kernel::{
    device::Device,
    prelude::*,
    time::Delta, //
};

fn ns(time: Delta) -> u64 {
    time.as_nanos().unsigned_abs()
}

fn errno<T>(result: &Result<T>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.to_errno(),
    }
}

/// An arc was walked, or refused. The states have VFIO's numbers.
pub(crate) fn state<T>(dev: &Device, from: u32, to: u32, result: &Result<T>, time: Delta) {
    // SAFETY: The name is NUL-terminated and copied.
    unsafe {
        bindings::compsc_vfio_trace_state(
            dev.name().as_char_ptr(),
            from,
            to,
            errno(result),
            ns(time),
        );
    }
}

/// The function was stopped: its queues in `drain`, the bus in `bus`, with `unsent` descriptors left.
pub(crate) fn stop(dev: &Device, drain: Delta, bus: Delta, unsent: u64) {
    // SAFETY: The name is NUL-terminated and copied.
    unsafe {
        bindings::compsc_vfio_trace_stop(dev.name().as_char_ptr(), ns(drain), ns(bus), unsent);
    }
}

/// Counters were read and pages marked as dirty; or neither, because of an error.
pub(crate) fn freeze(dev: &Device, counters: u32, pages: u32, result: Result, time: Delta) {
    // SAFETY: The name is NUL-terminated and copied.
    unsafe {
        bindings::compsc_vfio_trace_freeze(
            dev.name().as_char_ptr(),
            counters,
            pages,
            errno(&result),
            ns(time),
        );
    }
}

/// The function runs again. `version` is the gate's, `kicked` whether the guest was told.
pub(crate) fn wake(dev: &Device, version: u32, kicked: bool, time: Delta) {
    // SAFETY: The name is NUL-terminated and copied.
    unsafe {
        bindings::compsc_vfio_trace_wake(dev.name().as_char_ptr(), version, kicked, ns(time));
    }
}
