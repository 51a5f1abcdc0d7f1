// SPDX-License-Identifier: GPL-2.0

//! The recorder: the only way to a device's registers, and the log that it keeps.
//!
//! The log has one 64-bit slot per recorded register: bit 63 says that the driver has written the
//! register since the last reset, the low 32 bits hold the value. That is all (paper, optimisation 1), so
//! recording a write costs one store.
//!
//! A register of class rws (an interrupt mask: writing 1 sets a bit, another register clears it) does not
//! hold what was last written, but all bits that were written since the reset. Its slot collects them; replay sets every
//! bit that the driver ever set. A driver that wants a bit to stay clear for good has to reset. Two CPUs that
//! set *different* bits for the first time at the same moment may lose one; so the driver sets all its bits
//! once when it comes up, and from then on the slot does not change any more.
//!
//! # Order
//!
//! A write stores the slot first and then writes the register. A vCPU can be frozen between the two and wake
//! up on another device: then the value reaches that device by replay, by the write itself, or both. The
//! other order could lose it.
//!
//! [`Recorder::replay`] may run while another CPU is in the middle of a write (an interrupt handler, which
//! nothing can exclude). It therefore looks at each slot again after having written its register, behind a
//! full memory barrier, and writes again when the slot has moved: the register ends with the newest value
//! whichever write came last. What must not be seen half done (a ring's address, length and enable) has to be
//! excluded from replay by the driver's own lock; see [`gate`](crate::gate).

use crate::class::{
    Class,
    Phase,
    Readable,
    Replay,
    Resets,
    Writable, //
};
use crate::regs::{
    Map,
    Register,
    RegisterDesc, //
};
use core::marker::PhantomData;

/// Set in a slot whose register was written since the last reset.
pub const WRITTEN: u64 = 1 << 63;

/// The content of a slot for a written value.
#[inline(always)]
pub const fn slot_of(value: u32) -> u64 {
    WRITTEN | value as u64
}

/// The value of a slot, if its register was written.
#[inline(always)]
pub const fn slot_value(slot: u64) -> Option<u32> {
    if slot & WRITTEN != 0 {
        // CAST: the low half is the value.
        Some(slot as u32)
    } else {
        None
    }
}

/// The memory of the log: `Map::SLOTS` slots, each loaded and stored in one piece.
pub trait SlotStore {
    /// Stores a slot. The store must be visible to other CPUs no later than a device write that
    /// follows it in program order (true for a plain store before the kernel's `writel`).
    fn store(&self, slot: usize, value: u64);

    /// Loads a slot.
    fn load(&self, slot: usize) -> u64;

    /// A full memory barrier: device writes before it are ordered before loads after it.
    fn fence(&self);
}

/// Raw access to a device's register window. Whoever implements it hands it to a [`Recorder`] and
/// keeps no other way to the device.
pub trait Io32 {
    /// Reads the 32-bit register at a byte offset, which is a multiple of 4 inside `Map::SIZE`.
    fn read32(&self, offset: usize) -> u32;

    /// Writes the 32-bit register at a byte offset, which is a multiple of 4 inside `Map::SIZE`. Memory
    /// writes that precede it are visible to the device.
    fn write32(&self, offset: usize, value: u32);
}

impl<T: Io32 + ?Sized> Io32 for &T {
    #[inline(always)]
    fn read32(&self, offset: usize) -> u32 {
        (**self).read32(offset)
    }

    #[inline(always)]
    fn write32(&self, offset: usize, value: u32) {
        (**self).write32(offset, value);
    }
}

impl<T: SlotStore + ?Sized> SlotStore for &T {
    #[inline(always)]
    fn store(&self, slot: usize, value: u64) {
        (**self).store(slot, value);
    }

    #[inline(always)]
    fn load(&self, slot: usize) -> u64 {
        (**self).load(slot)
    }

    #[inline(always)]
    fn fence(&self) {
        (**self).fence();
    }
}

/// A device's registers, with a memory of what was written.
///
/// Reads and writes are checked at compile time against the class and the map of the register. `RECORD`
/// exists for benchmarks alone: with `false` the log is neither written nor replayed.
///
/// Lives as long as the register window is mapped. Any number of CPUs may use it at once; two writers of
/// the same register need a lock of the driver's, as they would without a recorder.
///
/// # Examples
///
/// ```
/// # use compsc_core::{class::Phase, log::*};
/// # use std::cell::Cell;
/// compsc_core::registers! {
///     /// An imaginary device.
///     pub map Toy { chip: 9, role: 1, size: 0x100 }
///     /// Control.
///     CTRL @ 0x00: Rws, OpSet { /** Reset. */ RST: 26 }
///     /// Status.
///     STATUS @ 0x08: Ro, Ignore {}
///     /// Ring base.
///     RDBAL[2; 4] @ 0x10: Rw, LastWrite(Rings) {}
///     /// Ring head.
///     RDH[2; 4] @ 0x20: Ro, Head {}
///     /// Cause set.
///     EICS @ 0x30: Wo, Kick {}
/// }
/// # struct Window([Cell<u32>; 64]);
/// # impl Io32 for Window {
/// #     fn read32(&self, offset: usize) -> u32 { self.0[offset / 4].get() }
/// #     fn write32(&self, offset: usize, value: u32) { self.0[offset / 4].set(value) }
/// # }
/// # struct Slots([Cell<u64>; Toy::SLOTS]);
/// # use compsc_core::regs::Map;
/// # impl SlotStore for Slots {
/// #     fn store(&self, slot: usize, value: u64) { self.0[slot].set(value) }
/// #     fn load(&self, slot: usize) -> u64 { self.0[slot].get() }
/// #     fn fence(&self) {}
/// # }
/// # let window = Window([const { Cell::new(0) }; 64]);
/// # let slots = Slots([const { Cell::new(0) }; Toy::SLOTS]);
/// let device: Recorder<Toy, _, _> = Recorder::new(window, slots);
/// device.write_at(1, RDBAL::from_raw(0x1000));
/// let mut replayed = 0;
/// device.replay(Phase::Rings, |register, index, value| {
///     assert_eq!((register.name, index, value), ("RDBAL", 1, 0x1000));
///     replayed += 1;
/// });
/// assert_eq!(replayed, 1);
/// ```
///
/// A write to a read-only register does not compile:
///
/// ```compile_fail,E0277
/// # use compsc_core::log::*;
/// compsc_core::registers! {
///     /// An imaginary device.
///     pub map Toy { chip: 9, role: 1, size: 0x100 }
///     /// Status.
///     STATUS @ 0x08: Ro, Ignore {}
/// }
/// fn f(device: &Recorder<Toy, impl Io32, impl SlotStore>) {
///     device.write(STATUS::from_raw(1));
/// }
/// ```
///
/// Nor does one to a ring head:
///
/// ```compile_fail,E0277
/// # use compsc_core::log::*;
/// compsc_core::registers! {
///     /// An imaginary device.
///     pub map Toy { chip: 9, role: 1, size: 0x100 }
///     /// Ring head.
///     RDH[2; 4] @ 0x20: Ro, Head {}
/// }
/// fn f(device: &Recorder<Toy, impl Io32, impl SlotStore>) {
///     device.write_at(0, RDH::from_raw(0));
/// }
/// ```
///
/// Nor a read of a write-only register:
///
/// ```compile_fail,E0277
/// # use compsc_core::log::*;
/// compsc_core::registers! {
///     /// An imaginary device.
///     pub map Toy { chip: 9, role: 1, size: 0x100 }
///     /// Cause set.
///     EICS @ 0x30: Wo, Kick {}
/// }
/// fn f(device: &Recorder<Toy, impl Io32, impl SlotStore>) {
///     device.read::<EICS>();
/// }
/// ```
///
/// Nor an access to a register of another map:
///
/// ```compile_fail,E0271
/// # use compsc_core::log::*;
/// mod other {
///     compsc_core::registers! {
///         /// Another device.
///         pub map Other { chip: 8, role: 1, size: 0x100 }
///         /// Control.
///         SRRCTL @ 0x00: Rw, LastWrite(Rings) {}
///     }
/// }
/// compsc_core::registers! {
///     /// An imaginary device.
///     pub map Toy { chip: 9, role: 1, size: 0x100 }
/// }
/// fn f(device: &Recorder<Toy, impl Io32, impl SlotStore>) {
///     device.read::<other::SRRCTL>();
/// }
/// ```
///
/// Nor a reset by a plain write, which would leave the log behind:
///
/// ```compile_fail,E0277
/// # use compsc_core::log::*;
/// compsc_core::registers! {
///     /// An imaginary device.
///     pub map Toy { chip: 9, role: 1, size: 0x100 }
///     /// Control.
///     CTRL @ 0x00: Rws, OpSet { /** Reset. */ RST: 26 }
/// }
/// fn f(device: &Recorder<Toy, impl Io32, impl SlotStore>) {
///     device.write(CTRL::zeroed().set(CTRL::RST));
/// }
/// ```
///
/// Nor the single-register access to an array:
///
/// ```compile_fail
/// # use compsc_core::log::*;
/// compsc_core::registers! {
///     /// An imaginary device.
///     pub map Toy { chip: 9, role: 1, size: 0x100 }
///     /// Ring base.
///     RDBAL[2; 4] @ 0x10: Rw, LastWrite(Rings) {}
/// }
/// struct Nothing;
/// impl Io32 for Nothing {
///     fn read32(&self, _: usize) -> u32 { 0 }
///     fn write32(&self, _: usize, _: u32) {}
/// }
/// impl SlotStore for Nothing {
///     fn store(&self, _: usize, _: u64) {}
///     fn load(&self, _: usize) -> u64 { 0 }
///     fn fence(&self) {}
/// }
/// fn main() {
///     let device: Recorder<Toy, _, _> = Recorder::new(Nothing, Nothing);
///     device.write(RDBAL::from_raw(0));
/// }
/// ```
pub struct Recorder<M: Map, I: Io32, L: SlotStore, const RECORD: bool = true> {
    io: I,
    log: L,
    map: PhantomData<fn() -> M>,
}

impl<M: Map, I: Io32, L: SlotStore, const RECORD: bool> Recorder<M, I, L, RECORD> {
    /// Takes possession of a register window and of the log's memory, as it is: a new log's slots must
    /// be 0 (see [`forget`](Self::forget)).
    pub const fn new(io: I, log: L) -> Self {
        Self {
            io,
            log,
            map: PhantomData,
        }
    }

    /// The log's memory.
    pub const fn log(&self) -> &L {
        &self.log
    }

    /// Reads a register.
    #[inline(always)]
    pub fn read<R: Register<Map = M> + Readable>(&self) -> R {
        const { assert!(R::COUNT == 1, "a register array is read with read_at") };
        R::from_raw(self.io.read32(R::OFFSET))
    }

    /// Reads element `index` of a register array.
    ///
    /// # Panics
    ///
    /// When `index` is outside the array.
    #[inline(always)]
    pub fn read_at<R: Register<Map = M> + Readable>(&self, index: usize) -> R {
        R::from_raw(self.io.read32(Self::locate::<R>(index)))
    }

    /// Writes a register, and records the value where the register's treatment says so.
    #[inline(always)]
    pub fn write<R: Register<Map = M> + Writable>(&self, value: R) {
        const { assert!(R::COUNT == 1, "a register array is written with write_at") };
        self.put(R::OFFSET, 0, value);
    }

    /// Writes element `index` of a register array, and records the value where the register's
    /// treatment says so.
    ///
    /// # Panics
    ///
    /// When `index` is outside the array.
    #[inline(always)]
    pub fn write_at<R: Register<Map = M> + Writable>(&self, index: usize, value: R) {
        self.put(Self::locate::<R>(index), index, value);
    }

    /// Reads a register, changes it and writes it back.
    #[inline(always)]
    pub fn update<R: Register<Map = M> + Readable + Writable>(&self, change: impl FnOnce(R) -> R) {
        self.write(change(self.read::<R>()));
    }

    /// Writes a register that resets the device: the start of a new op set. The log is forgotten
    /// first: were it forgotten afterwards, a vCPU frozen in between would find the old values replayed
    /// into a device that it believes to be reset.
    ///
    /// The caller holds the lock that excludes replay.
    pub fn reset<R: Register<Map = M> + Resets>(&self, value: R) {
        const { assert!(R::COUNT == 1) };
        self.forget();
        self.io.write32(R::OFFSET, value.raw());
    }

    /// Resets the device but keeps the log, as the first step of a restore.
    pub fn reset_for_replay<R: Register<Map = M> + Resets>(&self, value: R) {
        const { assert!(R::COUNT == 1) };
        self.io.write32(R::OFFSET, value.raw());
    }

    /// Writes a register behind the log's back, on the way to a reset that keeps the log: replay will write what
    /// the driver wrote before.
    pub fn write_unrecorded<R: Register<Map = M> + Writable>(&self, value: R) {
        const { assert!(R::COUNT == 1) };
        self.io.write32(R::OFFSET, value.raw());
    }

    /// Forgets everything recorded.
    pub fn forget(&self) {
        if RECORD {
            for slot in 0..M::SLOTS {
                self.log.store(slot, 0);
            }
        }
    }

    /// Reads element `index` of a register of this map, for a dump. `None` when a read would mean
    /// nothing, or would change something.
    pub fn dump(&self, register: &RegisterDesc, index: usize) -> Option<u32> {
        // A cause register of class rw1c is cleared by a read as well, on these chips.
        let harmless = register.class.readable()
            && !matches!(register.class, Class::Rc | Class::Rw1c)
            && register.replay != Replay::Mailbox;
        // By content: a constant table may have several addresses.
        let ours = M::TABLE
            .iter()
            .any(|r| r.name == register.name && r.offset == register.offset && index < r.count);
        (harmless && ours).then(|| self.io.read32(register.offset_of(index)))
    }

    /// The value last written to element `index` of a register since the last reset. `None` when it was
    /// not written or is not recorded.
    pub fn recorded<R: Register<Map = M>>(&self, index: usize) -> Option<R> {
        if !RECORD || !R::RECORDED || index >= R::COUNT {
            return None;
        }
        slot_value(self.log.load(R::SLOT + index)).map(R::from_raw)
    }

    /// Writes every recorded register of a phase that the driver has written since the last reset, in the
    /// order of declaration, then of the element. `observe` is told of each write after it was made. Run the phases in the
    /// order of [`Phase::ALL`].
    pub fn replay(&self, phase: Phase, mut observe: impl FnMut(&'static RegisterDesc, usize, u32)) {
        if !RECORD {
            return;
        }
        for register in M::TABLE {
            if register.replay != Replay::LastWrite(phase) {
                continue;
            }
            for index in 0..register.count {
                let mut slot = self.log.load(register.slot + index);
                while let Some(value) = slot_value(slot) {
                    self.io.write32(register.offset_of(index), value);
                    observe(register, index, value);
                    self.log.fence();
                    let now = self.log.load(register.slot + index);
                    if now == slot {
                        break;
                    }
                    slot = now;
                }
            }
        }
    }

    #[inline(always)]
    fn locate<R: Register<Map = M>>(index: usize) -> usize {
        // PANIC: a driver's constant or a queue number that it checked when it made the queue.
        assert!(index < R::COUNT);
        R::OFFSET + index * R::STRIDE
    }

    #[inline(always)]
    fn put<R: Register<Map = M>>(&self, offset: usize, index: usize, value: R) {
        if RECORD && R::RECORDED {
            let slot = R::SLOT + index;
            if matches!(R::CLASS, Class::Rws) {
                let old = self.log.load(slot);
                let new = old | slot_of(value.raw());
                if new != old {
                    self.log.store(slot, new);
                }
            } else {
                self.log.store(slot, slot_of(value.raw()));
            }
        }
        self.io.write32(offset, value.raw());
    }
}
