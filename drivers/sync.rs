// SPDX-License-Identifier: GPL-2.0

//! Words shared between CPUs, or with the host, on the data path.
//!
//! `kernel::sync::atomic` calls an out-of-line C function per access, which would be the largest part
//! of some fast paths here. These are the few operations that the data path needs: loads and stores
//! of one word. Acquire and release compile to what `smp_load_acquire()` and `smp_store_release()`
//! are on x86-64 and arm64 (plain moves, `ldar`/`stlr`), and there is no read-modify-write in here, so
//! nothing mixes with the kernel's own atomic operations on the same word.

use core::{
    cell::UnsafeCell,
    sync::atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    },
};

/// A 32-bit word with one writer at a time and any number of readers.
#[repr(transparent)]
#[derive(Default)]
pub struct Word32(AtomicU32);

impl Word32 {
    /// A word with this value.
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// Loads without order.
    #[inline(always)]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Stores without order.
    #[inline(always)]
    pub fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Loads; what the writer stored before [`publish`](Self::publish) is visible afterwards.
    #[inline(always)]
    pub fn observe(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Stores; whoever [`observe`](Self::observe)s the value sees all stores made before.
    #[inline(always)]
    pub fn publish(&self, value: u32) {
        self.0.store(value, Ordering::Release);
    }
}

/// A 64-bit word with one writer at a time and any number of readers.
#[repr(transparent)]
#[derive(Default)]
pub struct Word64(AtomicU64);

impl Word64 {
    /// A word with this value.
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Loads without order.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Stores without order.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Stores; whoever sees the value sees all stores made before.
    #[inline(always)]
    pub fn publish(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Adds. Not atomic: for the one writer of a counter.
    #[inline(always)]
    pub fn add(&self, value: u64) {
        self.set(self.get().wrapping_add(value));
    }
}

/// A full memory barrier.
#[inline(always)]
pub fn smp_mb() {
    core::sync::atomic::fence(Ordering::SeqCst);
}

/// Orders a descriptor's status word before its other fields, as `dma_rmb()` does.
#[inline(always)]
pub fn dma_rmb() {
    core::sync::atomic::fence(Ordering::Acquire);
}

/// Data that one context at a time owns, where the kernel and not the type system says which: the
/// holder of a transmit queue's lock, or of a NAPI instance.
pub struct Owned<T>(UnsafeCell<T>);

// SAFETY: `get_mut` makes its caller promise exclusive access.
unsafe impl<T: Send> Sync for Owned<T> {}

impl<T> Owned<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The data.
    ///
    /// # Safety
    ///
    /// The caller is in the context that owns the data, and holds no other reference to it.
    #[inline(always)]
    #[expect(clippy::mut_from_ref)]
    pub unsafe fn get_mut(&self) -> &mut T {
        // SAFETY: By this function's requirement nobody else has a reference.
        unsafe { &mut *self.0.get() }
    }

    /// Where the data is, for those parts of it that may be shared.
    #[inline(always)]
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}
