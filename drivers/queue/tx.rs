// SPDX-License-Identifier: GPL-2.0

//! Transmit ring.
//!
//! Producer ([`xmit`](TxRing::xmit)) and consumer ([`clean`](TxRing::clean)) run on different CPUs
//! without a lock in common. Indices run freely; `published` is the producer's, `cleaned` the
//! consumer's. The producer fills buffers and descriptors and then publishes; the consumer
//! empties buffers and then publishes how far it got.
//!
//! Frames of XDP go through the same ring. Their producer ([`xmit_frames`](TxRing::xmit_frames)) takes the lock that
//! the stack holds while it sends, leaves the stack's byte queue limits alone, and always leaves room for one packet,
//! so that it never has to stop the queue. Each frame is mapped anew for its way out: pages of the receive
//! ring stay mapped for what the device may write, whether a program sends them or not.

use super::{
    Descriptors,
    QueueRegs,
    StackQueue,
    Stamps, //
};
use crate::{
    bindings,
    net::{
        xdp::Frame,
        Skb, //
    },
    pci::Function,
    sync::{
        dma_rmb,
        smp_mb,
        Word32,
        Word64, //
    },
};
use compsc_core::ring::Ring;
use compsc_regs::desc::{
    tx as format,
    Desc, //
};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::{
    dma::DmaAddress,
    prelude::*, //
};

/// Descriptors that the largest packet may need: head, fragments, the splits of a packet of 64 KiB,
/// and a context.
const DESC_NEEDED: u32 = bindings::MAX_SKB_FRAGS + 1 + 3 + 1;

/// Free descriptors at which a stopped queue is woken.
const WAKE_THRESHOLD: u32 = 2 * DESC_NEEDED;

/// Smallest ring that works, in descriptors.
pub const MIN_COUNT: u32 = 128;

/// What mapping returns instead of an address if it failed: the kernel's `DMA_MAPPING_ERROR`.
const MAPPING_ERROR: DmaAddress = DmaAddress::MAX;

/// Free descriptors that a frame needs: its own, and those of a packet that may follow.
const FRAME_NEEDED: u32 = 2 * DESC_NEEDED;

/// Lengths in bytes of frames that can be sent: what the hardware pads, and what surely fits in [`DESC_NEEDED`].
const FRAME_LEN: core::ops::RangeInclusive<u32> = super::xdp::MIN_FRAME..=format::MAX_DATA;

/// What a descriptor's memory belongs to: nothing, a packet, or a frame, which the lowest bit of the address tells.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Owner(*mut u8);

impl Owner {
    const FRAME: usize = 1;
    const NONE: Self = Self(core::ptr::null_mut());

    #[inline(always)]
    fn skb(skb: *mut bindings::sk_buff) -> Self {
        Self(skb.cast())
    }

    #[inline(always)]
    fn frame(frame: NonNull<bindings::xdp_frame>) -> Self {
        Self(frame.as_ptr().cast::<u8>().wrapping_add(Self::FRAME))
    }

    /// The packet, if it is not a frame.
    #[inline(always)]
    fn as_skb(self) -> *mut bindings::sk_buff {
        self.0.cast()
    }

    /// The frame, if it is one.
    #[inline(always)]
    fn as_frame(self) -> Option<NonNull<bindings::xdp_frame>> {
        if self.0.addr() & Self::FRAME == 0 {
            return None;
        }
        NonNull::new(self.0.wrapping_sub(Self::FRAME).cast())
    }
}

/// What the producer remembers about a descriptor. The owner and the sums stand in the first one
/// of a packet.
#[derive(Clone, Copy)]
struct Buffer {
    owner: Owner,
    dma: DmaAddress,
    /// Mapped bytes, 0 for a context descriptor.
    len: u32,
    /// Index of the packet's last descriptor.
    eop: u32,
    /// Bytes on the wire, all segments' headers included.
    bytes: u32,
    segments: u32,
}

impl Buffer {
    const EMPTY: Self = Self {
        owner: Owner::NONE,
        dma: 0,
        len: 0,
        eop: 0,
        bytes: 0,
        segments: 0,
    };
}

/// Counters of a transmit ring, written by the side named.
#[derive(Default)]
pub struct Stats {
    /// Packets sent, segments counted each (consumer).
    pub packets: Word64,
    /// Bytes sent (consumer).
    pub bytes: Word64,
    /// Packets whose checksum the hardware filled in (producer).
    pub checksummed: Word64,
    /// Packets that the hardware segmented (producer).
    pub segmented: Word64,
    /// Packets dropped: mapping or header preparation failed (producer).
    pub dropped: Word64,
    /// Times that the queue was stopped because the ring was full (producer).
    pub stops: Word64,
    /// Times that it was woken (consumer).
    pub wakes: Word64,
    /// Packets laid out again for another device (restore).
    pub replayed: Word64,
    /// Frames of other interfaces that were put into the ring (producer).
    pub xdp_xmit: Word64,
    /// Frames of other interfaces that were refused (producer).
    pub xdp_xmit_errors: Word64,
}

/// Memory of a transmit ring.
pub struct Memory {
    descriptors: Descriptors,
    buffers: KVVec<UnsafeCell<Buffer>>,
}

impl Memory {
    /// Allocates memory for `count` descriptors, a power of two.
    pub fn new(function: Function, count: u32) -> Result<Self> {
        let mut buffers = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            buffers.push(UnsafeCell::new(Buffer::EMPTY), GFP_KERNEL)?;
        }
        Ok(Self {
            descriptors: Descriptors::new(function.device(), count)?,
            buffers,
        })
    }

    /// Number of descriptors.
    pub fn count(&self) -> u32 {
        self.descriptors.count()
    }
}

/// A transmit ring.
pub struct TxRing {
    device: *mut bindings::device,
    descriptors: Descriptors,
    buffers: KVVec<UnsafeCell<Buffer>>,
    queue: usize,
    stack: StackQueue,
    /// Index after the last descriptor filled; written by the producer.
    published: Word32,
    /// Index of the oldest descriptor not yet cleaned; written by the consumer.
    cleaned: Word32,
    /// Offset between indices and slots; written by the restore worker, which owns both sides.
    offset: Word32,
    /// Frames published, and of these cleaned, by producer and consumer.
    frames: Word32,
    frames_cleaned: Word32,
}

// SAFETY: Buffers are reached by the side that owns their index only (see the module's head).
unsafe impl Send for TxRing {}
// SAFETY: As above.
unsafe impl Sync for TxRing {}

/// Offsets of the fields in an Ethernet frame's headers.
const IPV4_TOTAL_LENGTH: usize = 2;
const IPV4_CHECKSUM: usize = 10;
const IPV6_PAYLOAD_LENGTH: usize = 4;
const TCP_HEADER: usize = 20;
const TCP_DATA_OFFSET: usize = 12;
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;
const SCTP_CHECKSUM: usize = 8;

/// Offload work of one packet, for its context and data descriptors.
#[derive(Clone, Copy, Default)]
struct Offload {
    /// Context descriptor, if one is needed.
    context: Option<Desc>,
    /// Command bits of the data descriptors.
    command: u32,
    /// Option bits of the data descriptors.
    options: u32,
    /// Bytes of headers that every segment repeats; 0 unless segmented.
    header: u32,
}

impl TxRing {
    /// Makes an empty ring for a device that begins at slot `head`.
    pub fn new(
        function: Function,
        queue: usize,
        memory: Memory,
        head: u32,
        stack: StackQueue,
    ) -> Self {
        stack.reset();
        Self {
            device: function.device_raw(),
            descriptors: memory.descriptors,
            buffers: memory.buffers,
            queue,
            stack,
            published: Word32::new(0),
            cleaned: Word32::new(0),
            offset: Word32::new(0u32.wrapping_sub(head)),
            frames: Word32::new(0),
            frames_cleaned: Word32::new(0),
        }
    }

    /// Descriptor memory.
    pub fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// The stack's view of the queue.
    pub fn stack(&self) -> StackQueue {
        self.stack
    }

    /// The ring's indices as they stand.
    #[inline(always)]
    fn ring(&self, next_to_clean: u32, next_to_use: u32) -> Ring {
        Ring::from_parts(
            self.descriptors.count(),
            self.offset.get(),
            next_to_clean,
            next_to_use,
        )
    }

    /// Number of descriptors that the device has not reported back.
    pub fn pending(&self) -> u32 {
        self.published.get().wrapping_sub(self.cleaned.get())
    }

    /// # Safety
    ///
    /// The caller is on the side that owns `index`.
    #[inline(always)]
    #[expect(clippy::mut_from_ref)]
    unsafe fn buffer(&self, index: u32) -> &mut Buffer {
        let at = (index & self.descriptors.count().wrapping_sub(1)) as usize;
        // SAFETY: The mask keeps the index inside the vector, whose length is the ring's; by this
        // function's requirement nobody else has a reference.
        unsafe { &mut *self.buffers.get_unchecked(at).get() }
    }

    /// Sends a packet.
    ///
    /// # Safety
    ///
    /// The caller holds the transmit queue's lock.
    #[inline(always)]
    pub unsafe fn xmit<R: QueueRegs>(
        &self,
        regs: &R,
        stats: &Stats,
        stamps: &dyn Stamps,
        mut skb: Skb,
    ) -> core::result::Result<(), Skb> {
        let first = self.published.get();
        let mut ring = self.ring(self.cleaned.observe(), first);
        if ring.unused() < DESC_NEEDED && !self.make_room(stats) {
            return Err(skb);
        }

        let mut offload = match Self::offload(stats, &mut skb) {
            Ok(offload) => offload,
            Err(_) => {
                stats.dropped.add(1);
                self.doorbell_after_drop(regs, ring.slot(first));
                return Ok(());
            }
        };

        if skb.wants_stamp() {
            offload.command |= stamps.sending(&mut skb);
        }

        if let Some(context) = offload.context {
            self.descriptors.write(ring.tail(), context);
            // SAFETY: The producer owns unpublished indices.
            unsafe { self.buffer(ring.next_to_use()) }.len = 0;
            ring.post(1);
        }

        let length = skb.len();
        let payload = length - offload.header;
        let olinfo = format::olinfo(payload, offload.options);
        let head = (skb.data().cast(), skb.headlen());
        // SAFETY: The packet stays valid until it is freed, which is when its descriptors have been cleaned.
        let posted = unsafe {
            self.post_pieces(&mut ring, first, offload.command, olinfo, head, skb.frags())
        };
        let Some(next) = posted else {
            stats.dropped.add(1);
            if offload.command & format::DCMD_TSTAMP != 0 {
                stamps.dropped(&skb);
            }
            self.doorbell_after_drop(regs, ring.slot(first));
            return Ok(());
        };

        let (segments, bytes) = if offload.header != 0 {
            let segments = payload.div_ceil(u32::from(skb.gso_size()).max(1));
            stats.segmented.add(1);
            (
                segments,
                length + segments.saturating_sub(1) * offload.header,
            )
        } else {
            (1, length)
        };
        // SAFETY: The producer owns unpublished indices.
        let buffer = unsafe { self.buffer(first) };
        buffer.eop = next.wrapping_sub(1);
        buffer.bytes = bytes;
        buffer.segments = segments;
        buffer.owner = Owner::skb(skb.into_raw());

        self.published.publish(next);
        let mut doorbell = self.stack.sent(bytes);
        if ring.unused() < DESC_NEEDED {
            doorbell |= !self.make_room(stats);
        }
        if doorbell {
            regs.write_tx_tail(self.queue, ring.slot(next));
        }
        Ok(())
    }

    /// A dropped packet may have been the last of a batch, whose others wait for the doorbell.
    #[cold]
    fn doorbell_after_drop<R: QueueRegs>(&self, regs: &R, slot: u32) {
        // SAFETY: Called in the transmit function.
        if !unsafe { bindings::compsc_netdev_xmit_more() } {
            regs.write_tx_tail(self.queue, slot);
        }
    }

    /// Maps the pieces of a packet, whose first descriptor is `first`, and posts them. Returns the index after the last
    /// one; or nothing if a mapping failed, with the others undone and the indices taken back.
    ///
    /// # Safety
    ///
    /// The pieces stay valid until the descriptors have been cleaned.
    #[inline(always)]
    unsafe fn post_pieces(
        &self,
        ring: &mut Ring,
        first: u32,
        command: u32,
        olinfo: u32,
        (head, headlen): (*mut c_void, u32),
        frags: &[bindings::skb_frag_t],
    ) -> Option<u32> {
        let mut data = Data {
            ring,
            command,
            olinfo,
            pending: None,
        };
        // SAFETY: The device is bound; the memory stays valid by this function's requirement.
        let dma = unsafe { bindings::compsc_dma_map_head(self.device, head, headlen as usize) };
        let mut mapped = self.post(&mut data, dma, headlen);
        for frag in frags {
            if !mapped {
                break;
            }
            // SAFETY: As above.
            let dma = unsafe {
                bindings::compsc_skb_frag_dma_map(self.device, frag, 0, frag.len as usize)
            };
            mapped = self.post(&mut data, dma, frag.len);
        }
        let pending = data.pending;
        let next = ring.next_to_use();
        if !mapped {
            self.unmap(first, next);
            ring.unpost(next.wrapping_sub(first));
            return None;
        }
        if let Some((slot, mut desc)) = pending {
            // The last descriptor ends the packet and asks for a report.
            desc.0[1] |= u64::from(format::DCMD_EOP | format::DCMD_RS);
            self.descriptors.write(slot, desc);
        }
        Some(next)
    }

    /// Posts a mapped piece of a packet. Returns whether the mapping had succeeded.
    #[inline(always)]
    fn post(&self, data: &mut Data<'_>, dma: DmaAddress, length: u32) -> bool {
        if dma == MAPPING_ERROR {
            return false;
        }
        let mut mapped = length;
        let mut done = 0;
        loop {
            let now = (length - done).min(format::MAX_DATA);
            if let Some((slot, desc)) = data.pending {
                self.descriptors.write(slot, desc);
            }
            data.pending = Some((
                data.ring.tail(),
                format::data(dma + u64::from(done), now, data.command, data.olinfo),
            ));
            // SAFETY: The producer owns unpublished indices.
            let buffer = unsafe { self.buffer(data.ring.next_to_use()) };
            buffer.owner = Owner::NONE;
            buffer.dma = dma;
            // A mapping is undone as a whole, with its first descriptor.
            buffer.len = core::mem::replace(&mut mapped, 0);
            data.ring.post(1);
            done += now;
            if done >= length {
                return true;
            }
        }
    }

    /// Puts frames into the ring, and does not tell the device. Takes ownership of the first ones, whose number is
    /// returned: the ring is full, or the next one cannot be sent.
    ///
    /// # Safety
    ///
    /// The caller holds the transmit queue's lock, inside a section of the gate; or is the restore worker, which lays
    /// the ring out afterwards. The frames are valid, and the caller's to give away.
    pub unsafe fn xmit_frames(&self, frames: &[*mut bindings::xdp_frame]) -> usize {
        let mut ring = self.ring(self.cleaned.observe(), self.published.get());
        let mut taken = 0;
        for raw in frames.iter().map_while(|raw| NonNull::new(*raw)) {
            if ring.unused() < FRAME_NEEDED {
                break;
            }
            // SAFETY: The frame is the caller's, who gives it away if it is posted.
            let frame = unsafe { Frame::from_raw(raw) };
            if let Err(frame) = self.post_frame(&mut ring, frame) {
                frame.into_raw();
                break;
            }
            taken += 1;
        }
        if taken != 0 {
            // First the number: the consumer looks at it once it sees the frames.
            // CAST: At most as many as the ring has descriptors.
            self.frames
                .set(self.frames.get().wrapping_add(taken as u32));
            self.published.publish(ring.next_to_use());
        }
        taken
    }

    /// Tells the device what was put into the ring.
    ///
    /// # Safety
    ///
    /// The caller holds the transmit queue's lock, inside a section of the gate.
    #[inline(always)]
    pub unsafe fn ring_doorbell<R: QueueRegs>(&self, regs: &R) {
        let ring = self.ring(self.cleaned.get(), self.published.get());
        regs.write_tx_tail(self.queue, ring.tail());
    }

    /// Posts a frame, or gives it back.
    #[inline(always)]
    fn post_frame(&self, ring: &mut Ring, frame: Frame) -> core::result::Result<(), Frame> {
        let length = frame.length();
        if !FRAME_LEN.contains(&length) {
            return Err(frame);
        }
        let first = ring.next_to_use();
        let olinfo = format::olinfo(length, 0);
        // SAFETY: The frame's memory stays valid until it is returned, which is when its descriptors have been cleaned.
        let posted = unsafe {
            self.post_pieces(
                ring,
                first,
                format::DCMD_IFCS,
                olinfo,
                frame.head(),
                frame.frags(),
            )
        };
        let Some(next) = posted else {
            return Err(frame);
        };
        // SAFETY: The producer owns unpublished indices.
        let buffer = unsafe { self.buffer(first) };
        buffer.eop = next.wrapping_sub(1);
        buffer.bytes = length;
        buffer.segments = 1;
        buffer.owner = Owner::frame(frame.into_raw());
        Ok(())
    }

    /// Whether there are frames in the ring.
    ///
    /// The caller is the consumer, and has observed what is published.
    #[inline(always)]
    fn holds_frames(&self) -> bool {
        self.frames.get() != self.frames_cleaned.get()
    }

    /// Undoes the mappings of the descriptors from `first` up to, not including, `end`.
    #[inline(always)]
    fn unmap(&self, first: u32, end: u32) {
        let mut index = first;
        while index != end {
            // SAFETY: Producer or consumer, the caller owns these indices.
            let buffer = unsafe { self.buffer(index) };
            if buffer.len != 0 {
                // SAFETY: The device is bound, and the mapping was made by `post`.
                unsafe {
                    bindings::compsc_dma_unmap_tx(self.device, buffer.dma, buffer.len as usize);
                }
            }
            index = index.wrapping_add(1);
        }
    }

    /// Stops the queue unless the consumer has made room meanwhile. Returns whether there is room.
    #[cold]
    fn make_room(&self, stats: &Stats) -> bool {
        self.stack.stop();
        // Pairs with the barrier in `clean`: either we see its progress, or it sees the queue stopped.
        smp_mb();
        let ring = self.ring(self.cleaned.observe(), self.published.get());
        if ring.unused() < WAKE_THRESHOLD {
            stats.stops.add(1);
            return false;
        }
        self.stack.start();
        true
    }

    /// What the hardware shall do with a packet.
    #[inline(always)]
    fn offload(stats: &Stats, skb: &mut Skb) -> Result<Offload> {
        let mut offload = Offload {
            command: format::DCMD_IFCS,
            ..Offload::default()
        };
        let vlan = skb.vlan_tag();
        if vlan.is_some() {
            offload.command |= format::DCMD_VLE;
        }
        let partial = skb.checksum_partial();
        if !partial && vlan.is_none() {
            return Ok(offload);
        }
        let mut context = format::Context {
            vlan: vlan.unwrap_or(0),
            mac_len: skb.network_offset(),
            ..format::Context::default()
        };
        if partial {
            context.l4 = match usize::from(skb.checksum_offset()) {
                TCP_CHECKSUM => format::L4::Tcp,
                UDP_CHECKSUM => format::L4::Udp,
                SCTP_CHECKSUM => format::L4::Sctp,
                _ => {
                    skb.checksum_help()?;
                    offload.context = vlan.map(|_| context.desc());
                    return Ok(offload);
                }
            };
            context.ip_len = skb.checksum_start_offset().wrapping_sub(context.mac_len);
            offload.options |= format::POPTS_TXSM;
            stats.checksummed.add(1);
            if skb.gso_size() != 0 {
                Self::segment(skb, &mut context, &mut offload)?;
            }
        }
        offload.context = Some(context.desc());
        Ok(offload)
    }

    /// Prepares a packet for segmentation: the hardware writes lengths and checksums per segment, so
    /// the header must hold the parts that do not depend on them.
    fn segment(skb: &mut Skb, context: &mut format::Context, offload: &mut Offload) -> Result {
        skb.cow_head()?;
        let ip = context.mac_len as usize;
        let tcp = ip + context.ip_len as usize;
        let payload = skb.len().wrapping_sub(context.mac_len + context.ip_len);
        context.mss = skb.gso_size();
        let head = skb.head_mut();
        if head.len() < tcp + TCP_HEADER {
            return Err(EINVAL);
        }
        context.ipv4 = head[ip] >> 4 == 4;
        if context.ipv4 {
            head[ip + IPV4_TOTAL_LENGTH..][..2].fill(0);
            head[ip + IPV4_CHECKSUM..][..2].fill(0);
            offload.options |= format::POPTS_IXSM;
        } else {
            head[ip + IPV6_PAYLOAD_LENGTH..][..2].fill(0);
        }
        context.l4_len = (head[tcp + TCP_DATA_OFFSET] >> 4) * 4;
        // The stack has put the pseudo header's sum here, the length of all segments included; the
        // hardware adds each segment's own.
        let at = &mut head[tcp + TCP_CHECKSUM..][..2];
        let sum = u16::from_be_bytes([at[0], at[1]]);
        at.copy_from_slice(&without_length(sum, payload).to_be_bytes());

        offload.command |= format::DCMD_TSE;
        // CAST: A header is shorter than 4 GiB.
        offload.header = tcp as u32 + u32::from(context.l4_len);
        Ok(())
    }

    /// Takes back what the device has sent. Returns whether all of it was looked at within `budget`
    /// packets.
    ///
    /// # Safety
    ///
    /// The caller holds the NAPI instance, and interrupts are on: pages of frames go back to their pool.
    #[inline(always)]
    pub unsafe fn clean(&self, stats: &Stats, budget: u32, napi_budget: i32) -> bool {
        let published = self.published.observe();
        if published == self.cleaned.get() {
            return true;
        }
        // SAFETY: By this function's requirement.
        unsafe {
            if self.holds_frames() {
                self.clean_mixed(stats, published, budget, napi_budget)
            } else {
                self.clean_up_to::<false>(stats, published, budget, napi_budget)
            }
        }
    }

    /// As [`clean`](Self::clean), but nothing is taken back while there are frames in the ring.
    ///
    /// # Safety
    ///
    /// The caller holds the NAPI instance.
    #[cold]
    #[inline(never)]
    pub unsafe fn clean_packets(&self, stats: &Stats, budget: u32) {
        let published = self.published.observe();
        if published != self.cleaned.get() && !self.holds_frames() {
            // SAFETY: By this function's requirement; among what was published until this look are no frames.
            unsafe { self.clean_up_to::<false>(stats, published, budget, 0) };
        }
    }

    /// # Safety
    ///
    /// As for [`clean`](Self::clean).
    #[inline(never)]
    unsafe fn clean_mixed(
        &self,
        stats: &Stats,
        published: u32,
        budget: u32,
        napi_budget: i32,
    ) -> bool {
        // SAFETY: By this function's requirement.
        unsafe { self.clean_up_to::<true>(stats, published, budget, napi_budget) }
    }

    /// As [`clean`](Self::clean), for what was published, among which there may be frames if `FRAMES`.
    ///
    /// # Safety
    ///
    /// As for [`clean`](Self::clean); without frames interrupts may be off.
    #[inline(always)]
    unsafe fn clean_up_to<const FRAMES: bool>(
        &self,
        stats: &Stats,
        published: u32,
        budget: u32,
        napi_budget: i32,
    ) -> bool {
        let mut index = self.cleaned.get();
        let start = index;
        let ring = self.ring(index, published);
        let (mut packets, mut bytes, mut left) = (0, 0, budget);
        let (mut frames, mut frame_bytes) = (0u32, 0u32);
        while index != published && left != 0 {
            // SAFETY: The consumer owns published indices.
            let buffer = unsafe { self.buffer(index) };
            if !format::done(self.descriptors.report(ring.slot(buffer.eop))) {
                break;
            }
            dma_rmb();
            let end = buffer.eop.wrapping_add(1);
            let owner = core::mem::replace(&mut buffer.owner, Owner::NONE);
            if let Some(frame) = owner.as_frame().filter(|_| FRAMES) {
                frames += 1;
                frame_bytes += buffer.bytes;
                self.unmap(index, end);
                // SAFETY: The frame was stored by `xmit_frames` and is returned once.
                drop(unsafe { Frame::from_raw(frame) });
            } else {
                packets += buffer.segments;
                bytes += buffer.bytes;
                self.unmap(index, end);
                // SAFETY: The packet was stored by `xmit` and is freed once.
                unsafe { bindings::napi_consume_skb(owner.as_skb(), napi_budget) };
            }
            index = end;
            left -= 1;
        }
        if index != start {
            if FRAMES {
                self.frames_cleaned
                    .set(self.frames_cleaned.get().wrapping_add(frames));
            }
            self.cleaned.publish(index);
            stats.packets.add(u64::from(packets) + u64::from(frames));
            stats.bytes.add(u64::from(bytes) + u64::from(frame_bytes));
            self.stack.completed(packets, bytes);
            // Pairs with the barrier in `make_room`.
            smp_mb();
            if self.ring(index, self.published.get()).unused() >= WAKE_THRESHOLD
                && self.stack.is_stopped()
            {
                stats.wakes.add(1);
                self.stack.wake();
            }
        }
        left != 0
    }

    /// Lays out the unsent packets again from slot `head`, where the device will begin: 0 after a reset. Returns the
    /// slot to write to the tail register.
    ///
    /// # Safety
    ///
    /// The caller owns both sides, the device does no DMA, and everything that it reported was cleaned.
    pub unsafe fn relayout(&self, stats: &Stats, head: u32) -> Result<u32> {
        let mut ring = self.ring(self.cleaned.get(), self.published.get());
        let mut kept = KVVec::with_capacity(ring.used() as usize, GFP_KERNEL)?;
        for (_, slot) in ring.posted() {
            kept.push(format::unstamped(self.descriptors.read(slot)), GFP_KERNEL)?;
        }
        ring.rebase_to(head);
        self.offset.set(ring.offset());
        for ((_, slot), desc) in ring.posted().zip(kept.iter().copied()) {
            self.descriptors.write(slot, desc);
        }
        let mut index = ring.next_to_clean();
        while index != ring.next_to_use() {
            // SAFETY: The caller owns both sides.
            index = unsafe { self.buffer(index) }.eop.wrapping_add(1);
            stats.replayed.add(1);
        }
        Ok(ring.tail())
    }

    /// Frees every packet and frame, sent or not.
    ///
    /// # Safety
    ///
    /// As for [`relayout`](Self::relayout).
    pub unsafe fn discard(&self) {
        let mut index = self.cleaned.get();
        let published = self.published.get();
        while index != published {
            // SAFETY: The caller owns both sides.
            let buffer = unsafe { self.buffer(index) };
            let end = buffer.eop.wrapping_add(1);
            let owner = core::mem::replace(&mut buffer.owner, Owner::NONE);
            self.unmap(index, end);
            // SAFETY: The packet was stored by `xmit`, the frame by `xmit_frames`.
            unsafe {
                match owner.as_frame() {
                    Some(frame) => drop(Frame::from_raw(frame)),
                    None => drop(Skb::from_raw(owner.as_skb())),
                }
            }
            index = end;
        }
        self.cleaned.set(published);
        self.frames_cleaned.set(self.frames.get());
        self.stack.reset();
    }

    /// The ring's indices, for the shared region: next to use, next to clean, offset.
    pub fn indices(&self) -> (u32, u32, u32) {
        (self.published.get(), self.cleaned.get(), self.offset.get())
    }
}

impl Drop for TxRing {
    fn drop(&mut self) {
        // SAFETY: Nobody else has the ring any more; the device was stopped before.
        unsafe { self.discard() };
    }
}

/// The data descriptors of a packet being posted.
struct Data<'a> {
    ring: &'a mut Ring,
    command: u32,
    olinfo: u32,
    /// The slot and descriptor last filled, not written yet.
    pending: Option<(u32, Desc)>,
}

/// Removes a length from a folded Internet checksum (RFC 1624).
fn without_length(sum: u16, length: u32) -> u16 {
    let folded = (length >> 16) + (length & 0xffff);
    let folded = (folded >> 16) + (folded & 0xffff);
    // One's complement subtraction.
    // CAST: Folded twice, the value has 16 bits.
    let mut total = u32::from(sum) + u32::from(!(folded as u16));
    total = (total >> 16) + (total & 0xffff);
    // CAST: As above.
    ((total >> 16) + (total & 0xffff)) as u16
}
