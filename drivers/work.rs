// SPDX-License-Identifier: GPL-2.0

//! Deferred work of a device.
//!
//! `kernel::workqueue` keeps its target alive by reference counts and cannot wait for a running
//! work item. A driver must: nothing may run any more when the function is unbound.

use crate::bindings;
use core::{
    marker::PhantomPinned,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    str::CStr,
    types::Opaque, //
};

/// An ordered workqueue of high priority: one item at a time. Destroyed when dropped.
pub struct Queue(NonNull<bindings::workqueue_struct>);

// SAFETY: The C functions do their own locking.
unsafe impl Send for Queue {}
// SAFETY: As above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Makes a queue.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The name is copied.
        let queue = unsafe { bindings::compsc_alloc_workqueue(name.as_char_ptr()) };
        NonNull::new(queue).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: Made by `new`; items were retired by their owners.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// A work item that calls a function with a fixed argument.
#[pin_data]
pub struct Item<T: Sync + 'static> {
    #[pin]
    raw: Opaque<bindings::delayed_work>,
    target: core::cell::Cell<*const T>,
    run: fn(&T),
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The target may be used from any CPU, and is set before the item is first queued.
unsafe impl<T: Sync + 'static> Send for Item<T> {}
// SAFETY: As above.
unsafe impl<T: Sync + 'static> Sync for Item<T> {}

impl<T: Sync + 'static> Item<T> {
    /// An item that will call `run`.
    pub fn new(run: fn(&T)) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The C function initialises the structure, which is pinned.
            raw <- Opaque::ffi_init(|raw| unsafe {
                bindings::compsc_init_delayed_work(raw, Some(Self::trampoline))
            }),
            target: core::cell::Cell::new(core::ptr::null()),
            run,
            _pin: PhantomPinned,
        })
    }

    /// Sets the argument.
    ///
    /// # Safety
    ///
    /// The item is not queued, and `target` stays valid until [`retire`](Self::retire) has been called.
    pub unsafe fn set_target(&self, target: &T) {
        self.target.set(target);
    }

    extern "C" fn trampoline(work: *mut bindings::work_struct) {
        // SAFETY: The workqueue calls this with the `work` of an item's delayed work.
        let item = unsafe {
            let raw = kernel::container_of!(work, bindings::delayed_work, work);
            &*kernel::container_of!(Opaque::cast_from(raw), Self, raw)
        };
        let target = item.target.get();
        if !target.is_null() {
            // SAFETY: By the requirement of `set_target`.
            (item.run)(unsafe { &*target });
        }
    }

    /// Queues the item on the system's queue, beside what the device's own queue holds.
    pub fn queue_on_system(&self) {
        self.queue_on_system_after(0);
    }

    /// As [`queue_on_system`](Self::queue_on_system), to run after `msecs` milliseconds.
    pub fn queue_on_system_after(&self, msecs: u32) {
        // SAFETY: The item is valid.
        unsafe { bindings::compsc_schedule_delayed_work(self.raw.get(), msecs) };
    }

    /// Queues the item to run after `msecs` milliseconds, unless it is queued already.
    pub fn queue(&self, queue: &Queue, msecs: u32) {
        // SAFETY: Queue and item are valid.
        unsafe { bindings::compsc_queue_delayed_work(queue.0.as_ptr(), self.raw.get(), msecs) };
    }

    /// Queues the item to run after `msecs` milliseconds, whether or not it is queued already.
    pub fn requeue(&self, queue: &Queue, msecs: u32) {
        // SAFETY: Queue and item are valid.
        unsafe { bindings::compsc_mod_delayed_work(queue.0.as_ptr(), self.raw.get(), msecs) };
    }

    /// Takes the item off the queue and waits if it runs. Sleeps.
    pub fn cancel(&self) {
        // SAFETY: The item is valid.
        unsafe { bindings::cancel_delayed_work_sync(self.raw.get()) };
    }

    /// As [`cancel`](Self::cancel), and queueing it does nothing from now on.
    pub fn retire(&self) {
        // SAFETY: The item is valid.
        unsafe { bindings::disable_delayed_work_sync(self.raw.get()) };
    }
}
