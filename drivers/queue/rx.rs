// SPDX-License-Identifier: GPL-2.0

//! Receive ring.
//!
//! A buffer is one page from the ring's page pool, of which the device may write [`BUFFER_LEN`] bytes
//! after [`HEADROOM`]; a packet head is built around the page itself, without a copy. Longer packets take
//! several descriptors; their further pages become fragments. The headroom is what programs of XDP want whether there
//! is one or not, so that one can be attached without new buffers.

use super::{
    xdp::Hook,
    Descriptors,
    QueueRegs,
    Stamps, //
};
use crate::{
    bindings,
    net::{
        xdp,
        Napi,
        Skb, //
    },
    pci::Function,
    region::PostedBuffers,
    sync::{
        dma_rmb,
        Word64, //
    },
};
use compsc_core::ring::Ring;
use compsc_regs::desc::rx as format;
use core::ptr::NonNull;
use kernel::{
    dma::DmaAddress,
    prelude::*, //
};

/// Bytes before the packet: what programs and the stack expect, and two that align the IP header.
pub const HEADROOM: u32 = xdp::HEADROOM + 2;

/// Bytes per buffer that the device may write; the registers count in units of 1 KiB.
pub const BUFFER_LEN: u32 = 3 * 1024;

// What is left of the page is room to grow for programs, and the stack's description of the fragments.
const _: () = assert!(
    HEADROOM as usize + BUFFER_LEN as usize + size_of::<bindings::skb_shared_info>()
        <= kernel::page::PAGE_SIZE - 256
);

/// Bits of the report that tell that the hardware verified a transport checksum.
const CHECKSUM_CHECKED: u32 = format::STAT_L4CS | format::STAT_UDPCS;

/// Descriptors that are posted together: one tail write each.
const BATCH: u32 = 16;

/// A page pool, with the ring as its only consumer.
struct PagePool(NonNull<bindings::page_pool>);

// SAFETY: The pool is used under its NAPI instance; pages come back from any CPU, which the pool allows.
unsafe impl Send for PagePool {}

impl PagePool {
    fn new(function: Function, napi: &Napi, count: u32, queue: u32) -> Result<Self> {
        let mut params = bindings::page_pool_params::default();
        // SAFETY: All members of the unions are the same fields (`struct_group`).
        unsafe {
            let fast = params.__bindgen_anon_1.fast.as_mut();
            fast.pool_size = count;
            fast.nid = bindings::NUMA_NO_NODE;
            fast.dev = function.device_raw();
            fast.napi = napi.as_raw();
            fast.dma_dir = bindings::dma_data_direction::DMA_FROM_DEVICE;
            fast.max_len = BUFFER_LEN;
            fast.offset = HEADROOM;
            let slow = &mut params.__bindgen_anon_2.slow;
            slow.netdev = napi.netdev();
            slow.queue_idx = queue;
            slow.flags = bindings::COMPSC_PP_FLAGS;
        }
        // SAFETY: The parameters are complete; the pool keeps a reference to the device.
        let pool = unsafe { bindings::page_pool_create(&params) };
        let pool = kernel::error::from_err_ptr(pool)?;
        NonNull::new(pool).map(Self).ok_or(ENOMEM)
    }

    #[inline(always)]
    fn alloc(&self) -> Option<(NonNull<bindings::page>, DmaAddress)> {
        let mut dma = 0;
        // SAFETY: The pool is valid, and the ring's owner is its only consumer.
        let page = unsafe { bindings::compsc_page_pool_alloc(self.0.as_ptr(), &mut dma) };
        NonNull::new(page).map(|page| (page, dma))
    }

    fn put(&self, page: NonNull<bindings::page>, in_napi: bool) {
        // SAFETY: The page came from this pool and nobody else holds it.
        unsafe { bindings::compsc_page_pool_put(self.0.as_ptr(), page.as_ptr(), in_napi) }
    }
}

impl Drop for PagePool {
    fn drop(&mut self) {
        // SAFETY: The pool is valid; pages that the stack still holds keep it alive.
        unsafe { bindings::page_pool_destroy(self.0.as_ptr()) }
    }
}

/// Counters of a receive ring, written by the NAPI instance's owner.
#[derive(Default)]
pub struct Stats {
    /// Packets handed to the stack.
    pub packets: Word64,
    /// Bytes handed to the stack.
    pub bytes: Word64,
    /// Packets whose checksum the hardware verified.
    pub checksum_good: Word64,
    /// Packets whose checksum the hardware found wrong.
    pub checksum_bad: Word64,
    /// Packets that the hardware did not look at.
    pub checksum_none: Word64,
    /// Frames dropped for an error on the wire.
    pub errors: Word64,
    /// Pages or packet heads that could not be allocated.
    pub alloc_failed: Word64,
    /// Dummy writes made for a migration.
    pub dummy_writes: Word64,
    /// Frames that a program left to the stack.
    pub xdp_pass: Word64,
    /// Frames that it dropped.
    pub xdp_drop: Word64,
    /// Frames that it sent back.
    pub xdp_tx: Word64,
    /// Frames that could not be sent back.
    pub xdp_tx_errors: Word64,
    /// Frames that it sent elsewhere.
    pub xdp_redirect: Word64,
    /// Frames that could not be sent elsewhere.
    pub xdp_redirect_errors: Word64,
    /// Frames on which it failed.
    pub xdp_aborted: Word64,
    /// Frames of several buffers that a program does not take.
    pub xdp_too_long: Word64,
}

/// A packet or frame whose descriptors have not all come.
enum Partial {
    /// A packet.
    Skb(Skb),
    /// A frame for a program: [`RxRing::frame`].
    Frame,
}

/// Memory of a receive ring.
pub struct Memory {
    descriptors: Descriptors,
    pages: KVVec<Option<NonNull<bindings::page>>>,
}

impl Memory {
    /// Allocates memory for `count` descriptors, a power of two.
    pub fn new(function: Function, count: u32) -> Result<Self> {
        let mut pages = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            pages.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            descriptors: Descriptors::new(function.device(), count)?,
            pages,
        })
    }

    /// Number of descriptors.
    pub fn count(&self) -> u32 {
        self.descriptors.count()
    }
}

/// A receive ring.
pub struct RxRing {
    descriptors: Descriptors,
    ring: Ring,
    pages: KVVec<Option<NonNull<bindings::page>>>,
    /// Addresses of posted buffers, for the host.
    posted: PostedBuffers,
    /// The packet whose last descriptor has not come yet.
    partial: Option<Partial>,
    /// The frame that a program will see.
    frame: xdp::Buff,
    /// Unregistered before the pool goes.
    _rxq: xdp::RxqInfo,
    pool: PagePool,
    /// The first part of the frame was dropped: so is the rest.
    skipping: bool,
    queue: usize,
}

// SAFETY: The ring belongs to the owner of its NAPI instance.
unsafe impl Send for RxRing {}

/// VLAN ids, one bit each: written under the control lock, read by the data path.
pub struct VlanSet([Word64; 4096 / 64]);

impl VlanSet {
    /// No VLAN.
    #[expect(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(core::array::from_fn(|_| Word64::new(0)))
    }

    /// Adds a VLAN, or removes it.
    pub fn set(&self, vid: u16, on: bool) {
        let word = &self.0[usize::from(vid) / 64 % self.0.len()];
        let bit = 1 << (vid % 64);
        word.set(if on {
            word.get() | bit
        } else {
            word.get() & !bit
        });
    }

    /// Whether the VLAN of a tag is in.
    #[inline(always)]
    fn contains(&self, tag: u16) -> bool {
        let vid = tag & 0xfff;
        self.0[usize::from(vid) / 64].get() >> (vid % 64) & 1 != 0
    }
}

/// What a poll did.
pub struct Cleaned {
    /// Packets handed up.
    pub packets: u32,
    /// Whether the ring is full of buffers again.
    pub filled: bool,
}

/// What receiving needs to know besides the ring.
pub struct Context<'a, R> {
    /// Registers for the tail; `None` while the device must be left alone.
    pub regs: Option<&'a R>,
    /// NAPI instance that the packets go through.
    pub napi: &'a Napi,
    /// Counters.
    pub stats: &'a Stats,
    /// Whether checksums are to be taken from the hardware (NETIF_F_RXCSUM).
    pub checksum: bool,
    /// Whether packets are given the hash by which the device has distributed them (NETIF_F_RXHASH).
    pub hash: bool,
    /// VLANs whose tags the stack knows; all others are somebody else's business, and their tags are dropped.
    /// `None`: the stack gets all tags.
    pub vlans: Option<&'a VlanSet>,
    /// Who knows when a packet was received.
    pub stamps: &'a dyn Stamps,
    /// Bits of the report that tell of a damaged frame.
    pub frame_errors: u32,
    /// Bits of the report that tell of a wrong checksum.
    pub checksum_errors: u32,
}

impl RxRing {
    /// Makes a ring without buffers for a device that begins at slot `head`.
    pub fn new(
        function: Function,
        napi: &Napi,
        queue: usize,
        memory: Memory,
        head: u32,
        posted: PostedBuffers,
    ) -> Result<Self> {
        let count = memory.count();
        posted.clear();
        let mut ring = Ring::new(count);
        ring.rebase_to(head);
        // CAST: Queue numbers are small.
        let pool = PagePool::new(function, napi, count, queue as u32)?;
        // SAFETY: The ring drops its pool last, and NAPI instances exist as long as the adapter.
        let rxq = unsafe { xdp::RxqInfo::new(napi, queue as u32, pool.0)? };
        Ok(Self {
            descriptors: memory.descriptors,
            ring,
            pages: memory.pages,
            posted,
            partial: None,
            // SAFETY: The ring has both.
            frame: unsafe { xdp::Buff::new(&rxq) },
            _rxq: rxq,
            pool,
            skipping: false,
            queue,
        })
    }

    /// Descriptor memory.
    pub fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Posts buffers until the ring is full or memory runs out. Returns whether it is full.
    #[inline(always)]
    pub fn fill<R: QueueRegs>(&mut self, cx: &Context<'_, R>) -> bool {
        let mut left = self.ring.unused();
        let filled = loop {
            if left == 0 {
                break true;
            }
            let Some((page, dma)) = self.pool.alloc() else {
                cx.stats.alloc_failed.add(1);
                break false;
            };
            self.post(page, dma + u64::from(HEADROOM));
            left -= 1;
        };
        if let Some(regs) = cx.regs {
            regs.write_rx_tail(self.queue, self.ring.tail());
        }
        filled
    }

    /// Whether a batch of buffers is missing.
    #[inline(always)]
    pub fn wants_buffers(&self) -> bool {
        self.ring.unused() >= BATCH
    }

    /// Whether the device has no buffer left.
    pub fn is_dry(&self) -> bool {
        self.ring.is_empty()
    }

    #[inline(always)]
    fn post(&mut self, page: NonNull<bindings::page>, dma: DmaAddress) {
        let at = (self.ring.next_to_use() & (self.ring.size() - 1)) as usize;
        // The host must know the buffer before the device can write to it.
        self.posted.set(at, dma);
        // SAFETY: The mask keeps `at` inside the vector, whose length is the ring's.
        unsafe { *self.pages.get_unchecked_mut(at) = Some(page) };
        self.descriptors.write(self.ring.tail(), format::read(dma));
        self.ring.post(1);
    }

    /// Hands received packets to the stack, or to `hook` first, at most `budget`.
    ///
    /// # Safety
    ///
    /// The caller is in a poll's context ([`xdp::in_poll_context`] makes one) and owns the NAPI instance.
    #[inline(always)]
    pub unsafe fn clean<R: QueueRegs, H: Hook>(
        &mut self,
        cx: &Context<'_, R>,
        hook: &mut H,
        dummy_writes: impl Fn() -> bool,
        budget: u32,
    ) -> Cleaned {
        let (mut packets, mut bytes) = (0, 0u64);
        let mut filled = true;
        while packets < budget && !self.ring.is_empty() {
            let index = self.ring.next_to_clean();
            let slot = self.ring.slot(index);
            let report = format::WriteBack::new(self.descriptors.report(slot));
            if !report.done() {
                break;
            }
            dma_rmb();
            let at = (index & (self.ring.size() - 1)) as usize;
            // SAFETY: The mask keeps `at` inside the vector.
            let page = unsafe { self.pages.get_unchecked_mut(at) }.take();
            let Some(page) = page else {
                // A posted index always has its page; a missing one is a bug, not the device's doing.
                debug_assert!(false);
                self.ring.clean(1);
                continue;
            };
            let length = u32::from(report.length()).min(BUFFER_LEN);
            // Now: the slot may be posted again below.
            let hash = cx
                .hash
                .then(|| format::WriteBack::new(self.descriptors.read(slot)));
            // Looked at after the device has written: if the host asks from now on, it will still copy
            // what has been written until now.
            if dummy_writes() {
                self.dummy_write(cx.stats, slot, page);
            }
            self.ring.clean(1);
            let complete = report.end_of_packet();
            if self.skipping {
                self.skipping = !complete;
                self.pool.put(page, true);
                continue;
            }
            let head = match self.partial.take() {
                None if H::ACTIVE => {
                    // SAFETY: The device has finished with the pool's page, and there is no other frame.
                    unsafe { self.frame.begin(self.pool.0, page, HEADROOM, length) };
                    Some(Partial::Frame)
                }
                None => self.head(page, length).map(Partial::Skb),
                Some(partial) if H::ACTIVE => self.append(partial, page, length),
                // Always a packet; said here so that the compiler knows.
                Some(partial) => self
                    .append_to_packet(partial, page, length)
                    .map(Partial::Skb),
            };
            if self.ring.unused() >= BATCH {
                filled = self.fill(cx);
            }
            let Some(packet) = head else {
                cx.stats.alloc_failed.add(1);
                self.pool.put(page, true);
                self.skipping = !complete;
                continue;
            };
            if !complete {
                self.partial = Some(packet);
                continue;
            }
            let status = report.status_error();
            let stamped = R::STAMPS && status & format::STAT_TS != 0;
            if status & cx.frame_errors != 0 {
                cx.stats.errors.add(1);
                if stamped {
                    cx.stamps.received();
                }
                self.drop_partial(packet);
                continue;
            }
            packets += 1;
            // Before a program, which may keep the frame.
            let mut stamp = if H::ACTIVE && stamped {
                cx.stamps.received()
            } else {
                None
            };
            let mut skb = match packet {
                Partial::Skb(skb) => {
                    bytes += u64::from(skb.len());
                    skb
                }
                Partial::Frame => {
                    bytes += u64::from(self.frame.length());
                    // SAFETY: The frame is complete; by this function's requirement.
                    match unsafe { hook.decide(cx.stats, &mut self.frame) } {
                        Some(skb) => skb,
                        None => continue,
                    }
                }
            };
            if cx.checksum && status & CHECKSUM_CHECKED != 0 {
                if status & cx.checksum_errors != 0 {
                    cx.stats.checksum_bad.add(1);
                } else {
                    cx.stats.checksum_good.add(1);
                    skb.set_checksum_unnecessary();
                }
            } else {
                cx.stats.checksum_none.add(1);
            }
            if let Some(hash) = hash.filter(|hash| hash.rss_type() != 0) {
                skb.set_hash(hash.rss_hash(), hash.rss_layer4());
            }
            if stamped {
                if !H::ACTIVE {
                    stamp = cx.stamps.received();
                }
                if let Some(ns) = stamp {
                    skb.set_stamp(ns);
                }
            }
            let known = |vlan| cx.vlans.is_none_or(|vlans| vlans.contains(vlan));
            if status & format::STAT_VP != 0 && known(report.vlan()) {
                skb.put_vlan_tag(report.vlan());
            }
            cx.napi.receive(skb, self.queue);
        }
        if packets != 0 {
            cx.stats.packets.add(packets.into());
            cx.stats.bytes.add(bytes);
        }
        Cleaned { packets, filled }
    }

    #[inline(always)]
    fn head(&self, page: NonNull<bindings::page>, length: u32) -> Option<Skb> {
        // SAFETY: The page is the pool's, the device has finished with it, and it is given away.
        unsafe {
            Skb::from_raw(bindings::compsc_build_rx_skb(
                self.pool.0.as_ptr(),
                page.as_ptr(),
                HEADROOM,
                length,
            ))
        }
    }

    /// Adds a page to what is not complete. `None`, and all but the page is dropped, if that cannot be done.
    #[cold]
    fn append(
        &mut self,
        partial: Partial,
        page: NonNull<bindings::page>,
        length: u32,
    ) -> Option<Partial> {
        match partial {
            Partial::Frame => {
                // SAFETY: The frame has begun; the device has finished with the pool's page.
                if unsafe { self.frame.add(self.pool.0, page, HEADROOM, length) } {
                    return Some(Partial::Frame);
                }
                self.drop_partial(Partial::Frame);
                None
            }
            // It began before there was a program.
            Partial::Skb(skb) => Some(Partial::Skb(self.append_page(skb, page, length))),
        }
    }

    /// As [`append`](Self::append), where there is no program.
    #[cold]
    fn append_to_packet(
        &mut self,
        partial: Partial,
        page: NonNull<bindings::page>,
        length: u32,
    ) -> Option<Skb> {
        let skb = match partial {
            Partial::Skb(skb) => skb,
            // It began while there was a program.
            // SAFETY: The frame has begun; only `clean` calls this.
            Partial::Frame => match unsafe { self.frame.skb() } {
                Some(skb) => skb,
                None => {
                    self.drop_partial(Partial::Frame);
                    return None;
                }
            },
        };
        Some(self.append_page(skb, page, length))
    }

    /// Drops what is not complete, or damaged.
    #[inline(always)]
    fn drop_partial(&mut self, partial: Partial) {
        if let Partial::Frame = partial {
            // SAFETY: The frame has begun, and is forgotten. The ring's owner owns the NAPI instance.
            xdp::in_poll_context(|| unsafe { self.frame.discard() });
        }
    }

    fn append_page(&self, skb: Skb, page: NonNull<bindings::page>, length: u32) -> Skb {
        if skb.frags().len() >= bindings::MAX_SKB_FRAGS as usize {
            self.pool.put(page, true);
        } else {
            // SAFETY: The packet has room for a fragment; the page is given away to it.
            unsafe {
                bindings::compsc_skb_add_rx_page(
                    self.pool.0.as_ptr(),
                    skb.as_raw(),
                    page.as_ptr(),
                    HEADROOM,
                    length,
                );
            }
        }
        skb
    }

    /// Writes what the device wrote once more by CPU, so that the hypervisor's dirty log sees it: the
    /// descriptor and the buffer's page.
    #[cold]
    fn dummy_write(&self, stats: &Stats, slot: u32, page: NonNull<bindings::page>) {
        self.descriptors.write(slot, self.descriptors.read(slot));
        // SAFETY: The page is mapped and belongs to the ring; the device has finished with it.
        unsafe {
            let at = bindings::compsc_page_address(page.as_ptr())
                .cast::<u8>()
                .add(HEADROOM as usize);
            at.write_volatile(at.read_volatile());
        }
        stats.dummy_writes.add(1);
    }

    /// Posts the buffers again from slot `head`, where the device will begin: 0 after a reset. Returns the
    /// slot to write to the tail register. What the device reported must have been cleaned.
    pub fn relayout(&mut self, head: u32) -> u32 {
        self.ring.rebase_to(head);
        let mask = self.ring.size() - 1;
        for (index, slot) in self.ring.posted() {
            let dma = self.posted.get((index & mask) as usize);
            self.descriptors.write(slot, format::read(dma));
        }
        // The rest of a packet whose beginning came from the old device will not come any more.
        if let Some(partial) = self.partial.take() {
            self.drop_partial(partial);
        }
        self.skipping = false;
        self.ring.tail()
    }

    /// Takes all buffers back, for a ring that is stopped.
    fn discard(&mut self) {
        if let Some(partial) = self.partial.take() {
            self.drop_partial(partial);
        }
        for page in self.pages.iter_mut().filter_map(Option::take) {
            self.pool.put(page, false);
        }
        self.posted.clear();
    }

    /// The ring's indices, for the shared region: next to use, next to clean, offset.
    pub fn indices(&self) -> (u32, u32, u32) {
        (
            self.ring.next_to_use(),
            self.ring.next_to_clean(),
            self.ring.offset(),
        )
    }
}

impl Drop for RxRing {
    fn drop(&mut self) {
        self.discard();
    }
}
