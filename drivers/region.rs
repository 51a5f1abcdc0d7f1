// SPDX-License-Identifier: GPL-2.0

//! The shared region, from the guest driver's side: memory, log, gate, counters, posted buffers.
//!
//! The host reads and writes this memory by copies while the guest's CPUs run, so every access here is
//! a load or store of one word, and nothing that the host may write is trusted further than a mistake
//! would hurt this guest alone.

use crate::{
    pci::Function,
    sync::{
        smp_mb,
        Word32,
        Word64, //
    },
};
use compsc_core::{
    capability as cap,
    gate::Word,
    log::SlotStore,
    region::{
        offset,
        CounterEntry,
        DeviceState,
        Layout,
        QueueEntry,
        QueueKind,
        COUNTER_FROZEN, //
    },
    regs::Map,
};
use core::ptr::NonNull;
use kernel::{
    dma::Coherent,
    prelude::*,
    sync::Arc, //
};
use zerocopy::IntoBytes;

/// No gate word: a restore is under way.
const RESTORING: u32 = u32::MAX;

/// Largest ring that the region has room for, in descriptors.
pub const MAX_RING: u32 = compsc_core::ring::MAX_SIZE;

/// The memory of a shared region.
pub struct SharedRegion {
    memory: Coherent<[u64]>,
    layout: Layout,
    base: NonNull<u8>,
}

// SAFETY: All accesses go through words that may be shared.
unsafe impl Send for SharedRegion {}
// SAFETY: As above.
unsafe impl Sync for SharedRegion {}

impl SharedRegion {
    /// Allocates a region for a function with register map `M`, `counters` self-emulated counters and
    /// these queues, each with room for the largest ring.
    pub fn new<M: Map>(
        function: Function,
        counters: usize,
        queues: &[QueueKind],
        kick_vector: u16,
    ) -> Result<Arc<Self>> {
        let mut kinds = KVec::with_capacity(queues.len(), GFP_KERNEL)?;
        for &kind in queues {
            kinds.push((kind, MAX_RING), GFP_KERNEL)?;
        }
        let layout = Layout::new(M::SLOTS, counters, &kinds).map_err(|_| EINVAL)?;
        let bytes = (layout.len() as usize).next_multiple_of(kernel::page::PAGE_SIZE);
        let memory = Coherent::<u64>::zeroed_slice(function.device(), bytes / 8, GFP_KERNEL)?;
        let base = NonNull::new(memory.as_mut_ptr().cast::<u8>()).ok_or(ENOMEM)?;
        let region = Self {
            memory,
            layout,
            base,
        };
        region.copy_in(
            0,
            region
                .layout
                .header(M::CHIP, M::ROLE, kick_vector)
                .as_bytes(),
        );
        Ok(Arc::new(region, GFP_KERNEL)?)
    }

    /// Copies the whole region to the end of `to`.
    pub fn copy_out(&self, to: &mut KVVec<u8>) -> Result {
        for at in (0..self.length() as usize / 8).map(|i| i * 8) {
            to.extend_from_slice(&self.word64(at).get().to_ne_bytes(), GFP_KERNEL)?;
        }
        Ok(())
    }

    /// The recorder's log.
    pub fn log(self: &Arc<Self>) -> RegionLog {
        RegionLog::new(self.clone())
    }

    /// Address as the device would see it.
    pub fn dma_address(&self) -> u64 {
        self.memory.dma_address()
    }

    /// Length in bytes.
    pub fn length(&self) -> u32 {
        self.layout.len()
    }

    /// Writes bytes that nobody reads concurrently.
    fn copy_in(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.layout.len() as usize);
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: Inside the region, as just checked.
            unsafe { self.base.as_ptr().add(at + i).write_volatile(*byte) };
        }
    }

    #[inline(always)]
    fn word32(&self, at: usize) -> &Word32 {
        assert!(at % 4 == 0 && at + 4 <= self.layout.len() as usize);
        // SAFETY: Inside the region and aligned; the word type allows concurrent access.
        unsafe { &*self.base.as_ptr().add(at).cast() }
    }

    #[inline(always)]
    fn word64(&self, at: usize) -> &Word64 {
        assert!(at % 8 == 0 && at + 8 <= self.layout.len() as usize);
        // SAFETY: As above.
        unsafe { &*self.base.as_ptr().add(at).cast() }
    }

    /// Sets the state in which the host finds the device.
    pub fn set_device_state(&self, state: DeviceState) {
        self.word32(offset::DEVICE_STATE).publish(state as u32);
    }

    /// Describes a queue to the host. Its kind, which is in the first word, makes the entry valid and comes last.
    pub fn describe_queue(&self, index: u32, entry: &QueueEntry) {
        self.forget_queue(index);
        let at = self.layout.queue_offset(index) as usize;
        let (first, rest) = entry.as_bytes().split_at(size_of::<u64>());
        self.copy_in(at + first.len(), rest);
        if let Ok(first) = first.try_into() {
            self.word64(at).publish(u64::from_le_bytes(first));
        }
    }

    /// Tells the host that a queue is no more.
    pub fn forget_queue(&self, index: u32) {
        self.word64(self.layout.queue_offset(index) as usize).set(0);
        smp_mb();
    }

    /// Publishes a ring's indices (next to use, next to clean, offset).
    pub fn set_queue_indices(&self, index: u32, (to_use, to_clean, head): (u32, u32, u32)) {
        let at = self.layout.queue_offset(index) as usize;
        self.word32(at + offset::QUEUE_NEXT_TO_USE).set(to_use);
        self.word32(at + offset::QUEUE_NEXT_TO_CLEAN).set(to_clean);
        self.word32(at + offset::QUEUE_HEAD_OFFSET).set(head);
    }

    /// Offset of a receive queue's table of posted buffers.
    pub fn table_offset(&self, index: u32) -> u32 {
        self.layout.table_offset(index)
    }

    /// Describes a self-emulated counter to the host.
    pub fn describe_counter(&self, index: u32, entry: &CounterEntry) {
        self.copy_in(self.layout.counter_offset(index) as usize, entry.as_bytes());
    }

    /// What the host read from the stopped function's counter, if it could. It is given once: a restore that
    /// begins anew must not account it again.
    pub fn take_frozen_counter(&self, index: u32) -> Option<u64> {
        const SHIFT: usize = offset::COUNTER_HOST_FLAGS % 4 * 8;
        const FROZEN: u32 = (COUNTER_FROZEN as u32) << SHIFT;
        let at = self.layout.counter_offset(index) as usize;
        let flags = self.word32(at + offset::COUNTER_HOST_FLAGS / 4 * 4);
        if flags.get() & FROZEN == 0 {
            return None;
        }
        flags.set(flags.get() & !FROZEN);
        Some(self.word64(at + offset::COUNTER_FROZEN).get())
    }

    /// Publishes a counter's accumulated value and the raw value that it was read at.
    pub fn set_counter(&self, index: u32, base: u64, last: u64) {
        let at = self.layout.counter_offset(index) as usize;
        self.word64(at + offset::COUNTER_BASE).set(base);
        self.word64(at + offset::COUNTER_LAST).set(last);
    }

    /// A counter's accumulated value, as of the last look.
    pub fn counter(&self, index: u32) -> u64 {
        let at = self.layout.counter_offset(index) as usize;
        self.word64(at + offset::COUNTER_BASE).get()
    }

    /// Version for which the frozen counters hold.
    pub fn frozen_version(&self) -> u32 {
        self.word32(offset::FROZEN_VERSION).get()
    }

    /// Publishes the figures of a restore: for which gate word, duration and parts in nanoseconds.
    pub fn set_restored(&self, word: u32, total_ns: u64, parts_ns: [u64; 4], resent: u64) {
        for (i, ns) in parts_ns.into_iter().enumerate() {
            self.word64(offset::RESTORE_PARTS_NS + i * 8).set(ns);
        }
        self.word64(offset::LAST_RESTORE_NS).set(total_ns);
        self.word64(offset::RESENT).set(resent);
        let restores = self.word32(offset::RESTORES);
        restores.set(restores.get().wrapping_add(1));
        self.word32(offset::RESTORED_WORD).publish(word);
    }

    /// The device is being reset: until the restore is complete its counters say nothing to the host.
    pub fn set_restoring(&self) {
        self.word32(offset::RESTORED_WORD).publish(RESTORING);
    }

    /// Number of restores so far, and the duration of the last one in nanoseconds.
    pub fn restores(&self) -> (u32, u64) {
        (
            self.word32(offset::RESTORES).get(),
            self.word64(offset::LAST_RESTORE_NS).get(),
        )
    }

    /// Durations of the last restore's parts in nanoseconds.
    pub fn restore_parts_ns(&self) -> [u64; 4] {
        core::array::from_fn(|i| self.word64(offset::RESTORE_PARTS_NS + i * 8).get())
    }

    /// Publishes how much was dummy-written.
    pub fn set_dummy_writes(&self, descriptors: u64) {
        self.word64(offset::DUMMY_DESCRIPTORS).set(descriptors);
        self.word64(offset::DUMMY_PAGES).set(descriptors);
    }
}

/// The log of the recorder, in a shared region.
pub struct RegionLog {
    slots: NonNull<Word64>,
    region: Arc<SharedRegion>,
}

// SAFETY: The region may be shared, and the pointer points into it.
unsafe impl Send for RegionLog {}
// SAFETY: As above.
unsafe impl Sync for RegionLog {}

impl RegionLog {
    /// The log of a region.
    pub fn new(region: Arc<SharedRegion>) -> Self {
        Self {
            slots: NonNull::from(region.word64(region.layout.log_offset() as usize)).cast(),
            region,
        }
    }

    /// The gate word of the same region.
    pub fn gate_word(&self) -> RegionWord {
        RegionWord::new(self.region.clone())
    }

    #[inline(always)]
    fn slot(&self, slot: usize) -> &Word64 {
        debug_assert!(slot * 8 < self.region.layout.len() as usize);
        // SAFETY: The recorder's slots are below `Map::SLOTS`, for which the region was laid out.
        unsafe { self.slots.add(slot).as_ref() }
    }
}

impl SlotStore for RegionLog {
    #[inline(always)]
    fn store(&self, slot: usize, value: u64) {
        self.slot(slot).set(value);
    }

    #[inline(always)]
    fn load(&self, slot: usize) -> u64 {
        self.slot(slot).get()
    }

    #[inline(always)]
    fn fence(&self) {
        smp_mb();
    }
}

/// The gate word, in a shared region.
pub struct RegionWord {
    word: NonNull<Word32>,
    _region: Arc<SharedRegion>,
}

// SAFETY: As for `RegionLog`.
unsafe impl Send for RegionWord {}
// SAFETY: As for `RegionLog`.
unsafe impl Sync for RegionWord {}

impl RegionWord {
    /// The gate word of a region.
    pub fn new(region: Arc<SharedRegion>) -> Self {
        Self {
            word: NonNull::from(region.word32(offset::GATE_WORD)),
            _region: region,
        }
    }
}

impl Word for RegionWord {
    #[inline(always)]
    fn load(&self) -> u32 {
        // SAFETY: The word is valid as long as the region, which we hold.
        unsafe { self.word.as_ref() }.observe()
    }

    #[inline(always)]
    fn store(&self, value: u32) {
        // SAFETY: As above.
        unsafe { self.word.as_ref() }.publish(value);
    }
}

impl Word for Word32 {
    #[inline(always)]
    fn load(&self) -> u32 {
        self.observe()
    }

    #[inline(always)]
    fn store(&self, value: u32) {
        self.publish(value);
    }
}

/// The table of a receive queue's posted buffers, in a shared region. It is also where the driver
/// keeps these addresses.
pub struct PostedBuffers {
    table: NonNull<Word64>,
    len: usize,
    _region: Arc<SharedRegion>,
}

// SAFETY: As for `RegionLog`.
unsafe impl Send for PostedBuffers {}

impl PostedBuffers {
    /// The first `len` entries of the table of queue `index`.
    pub fn new(region: Arc<SharedRegion>, index: u32, len: u32) -> Self {
        assert!(len <= MAX_RING);
        Self {
            table: NonNull::from(region.word64(region.layout.table_offset(index) as usize)),
            len: len as usize,
            _region: region,
        }
    }

    #[inline(always)]
    fn at(&self, at: usize) -> &Word64 {
        debug_assert!(at < self.len);
        // SAFETY: The ring's indices are below its length, and the table has room for the largest ring.
        unsafe { self.table.add(at).as_ref() }
    }

    /// Publishes a posted buffer.
    #[inline(always)]
    pub fn set(&self, at: usize, dma: u64) {
        self.at(at).set(dma);
    }

    /// Address of a posted buffer.
    #[inline(always)]
    pub fn get(&self, at: usize) -> u64 {
        self.at(at).get()
    }

    /// Forgets all buffers.
    pub fn clear(&self) {
        for at in 0..self.len {
            self.set(at, 0);
        }
    }
}

/// The host's offer to migrate a function: the capability in its configuration space.
#[derive(Clone, Copy)]
pub struct Offer {
    function: Function,
    at: i32,
}

impl Offer {
    /// Looks for the capability. `None` on bare metal, and on hosts that do not know about migration.
    pub fn find(function: Function) -> Option<Self> {
        let mut at = function.find_capability(cap::CAP_ID, None);
        while let Some(offset) = at {
            let base = i32::from(offset);
            let word = |o: usize| function.config_u32(base + o as i32).ok();
            let length = function.config_u8(base + cap::OFFSET_LENGTH as i32).ok()?;
            if usize::from(length) >= cap::LENGTH
                && word(cap::OFFSET_SIGNATURE) == Some(cap::SIGNATURE)
            {
                let version = function.config_u8(base + cap::OFFSET_VERSION as i32).ok()?;
                if version == cap::ABI_VERSION {
                    return Some(Self { function, at: base });
                }
                dev_warn!(
                    function.device(),
                    "the host offers migration with ABI version {}, this driver knows version {}: not migratable\n",
                    version,
                    cap::ABI_VERSION
                );
            }
            at = function.find_capability(cap::CAP_ID, Some(offset));
        }
        None
    }

    fn write(self, offset: usize, value: u32) -> Result {
        self.function.set_config_u32(self.at + offset as i32, value)
    }

    /// Tells the host where the region is. Returns whether it accepts it.
    pub fn announce(self, region: &SharedRegion) -> Result<bool> {
        let address = region.dma_address();
        self.write(cap::OFFSET_REGION_LENGTH, region.memory.len() as u32 * 8)?;
        self.write(cap::OFFSET_REGION_ADDRESS_LOW, address as u32)?;
        self.write(cap::OFFSET_REGION_ADDRESS_HIGH, (address >> 32) as u32)?;
        self.write(cap::OFFSET_CONTROL, cap::CONTROL_ANNOUNCE)?;
        self.accepted()
    }

    /// Whether the host still knows the region.
    pub fn accepted(self) -> Result<bool> {
        let status = self
            .function
            .config_u32(self.at + cap::OFFSET_CONTROL as i32)?;
        Ok(status & cap::STATUS_ACCEPTED != 0)
    }

    /// Takes the announcement back, before the memory is freed.
    pub fn retract(self) {
        // Nothing can be done about a failure, and the host checks the region before it uses it.
        let _ = self.write(cap::OFFSET_CONTROL, 0);
    }
}
