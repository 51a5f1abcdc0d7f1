// SPDX-License-Identifier: GPL-2.0

//! Receive queues (datasheet 7.1 and 8.2.3.8): registers, descriptors, write-back.

use crate::MAX_FRAME;
use crate::device::Device;
use crate::device::Function;
use crate::device::Host;
use crate::device::Problem;
use crate::device::Receive;
use crate::irq;
use crate::mac;
use crate::packet;
use crate::packet::Packet;
use crate::regs::at;
use crate::ring::Effect;
use crate::ring::Kind;
use crate::ring::Ring;
use crate::ring::SPACE;
use crate::rsc::Coalesced;
use crate::rsc::First;
use crate::stats::FCS;
use crate::switch::Choice;
use crate::switch::Route;
use crate::switch::Source;

/// How long a frame waits for a descriptor before it is lost, nanoseconds: stands in for the packet
/// buffer's 512 KB and for the fact that a real wire delivers frames one after the other.
pub const HOLD_NS: u64 = 20_000_000;

/// Descriptors fetched at once.
const FETCH: usize = 16;
/// Descriptors of the longest frame with the smallest buffer.
const MAX_DESCRIPTORS: usize = MAX_FRAME / 1024 + 2;

const RXDCTL_VME: u32 = 1 << 30;
const KIND: Kind = Kind {
    head: "RDH",
    queue: "receive queue",
    base_ignored: 0,
    dca: 0xFF00_A2E0,
    control: 0x4200_0000,
};
const SRRCTL_DROP_EN: u32 = 1 << 28;
const SRRCTL_MASK: u32 = 0x1FC0_3F1F;
/// 2 KB buffers, 256 bytes for headers.
const SRRCTL_RESET: u32 = 0x0000_0402;
const RXCTRL_RXEN: u32 = 1;
const SECRX_RX_DIS: u32 = 1 << 1;
const RDRXCTL_CRCSTRIP: u32 = 1 << 1;
const QDE_ENABLE: u32 = 1;
const QDE_HIDE_VLAN: u32 = 1 << 1;
const QDE_WRITE: u32 = 1 << 16;

// Advanced descriptor, status.
pub(crate) const DD: u32 = 1;
pub(crate) const EOP: u32 = 1 << 1;
const FLM: u32 = 1 << 2;
const VP: u32 = 1 << 3;
const UDPCS: u32 = 1 << 4;
pub(crate) const L4CS: u32 = 1 << 5;
const IPCS: u32 = 1 << 6;
const PIF: u32 = 1 << 7;
const UDPV: u32 = 1 << 10;
const TS: u32 = 1 << 16;
pub(crate) const LB: u32 = 1 << 18;
// Errors.
pub(crate) const TCPE: u32 = 1 << 30;
pub(crate) const IPE: u32 = 1 << 31;
// Packet type and header information.
const TYPE_IPV4: u32 = 1 << 4;
const TYPE_IPV4_OPTIONS: u32 = 1 << 5;
const TYPE_IPV6: u32 = 1 << 6;
const TYPE_IPV6_EXTENSIONS: u32 = 1 << 7;
const TYPE_TCP: u32 = 1 << 8;
const TYPE_UDP: u32 = 1 << 9;
const TYPE_SCTP: u32 = 1 << 10;
const TYPE_ETQF: u32 = 1 << 15;
const SPH: u32 = 1 << 31;
// PSRTYPE.
const SPLIT_TCP: u32 = 1 << 4;
const SPLIT_UDP: u32 = 1 << 5;
const SPLIT_IPV4: u32 = 1 << 8;
const SPLIT_IPV6: u32 = 1 << 9;
const SPLIT_L2: u32 = 1 << 12;

/// A receive queue.
#[derive(Clone, Debug)]
pub struct RxQueue {
    pub(crate) ring: Ring,
    srrctl: u32,
    pub(crate) rscctl: u32,
    pub(crate) rsc: Coalesced,
    /// PFQDE.
    drop_forced: bool,
    hide_vlan: bool,
    /// When the queue first lacked a descriptor; 0: it does not.
    full_since: u64,
    fetched: [[u64; 2]; FETCH],
    /// Valid entries of `fetched`, the first of which is the descriptor at `head`.
    fetched_from: u8,
    fetched_to: u8,
}

impl Default for RxQueue {
    fn default() -> Self {
        Self {
            ring: Ring::default(),
            srrctl: SRRCTL_RESET,
            rscctl: 0,
            rsc: Coalesced::default(),
            drop_forced: false,
            hide_vlan: false,
            full_since: 0,
            fetched: [[0; 2]; FETCH],
            fetched_from: 0,
            fetched_to: 0,
        }
    }
}

impl RxQueue {
    pub(crate) fn buffer_size(&self) -> usize {
        ((self.srrctl & 0x1F) as usize).max(1) * 1024
    }

    fn header_size(&self) -> usize {
        (self.srrctl >> 8 & 0x3F) as usize * 64
    }

    fn kind(&self) -> u32 {
        self.srrctl >> 25 & 7
    }

    fn drops(&self) -> bool {
        self.drop_forced || self.srrctl & SRRCTL_DROP_EN != 0
    }

    /// Fetched descriptors are no longer what the ring holds.
    fn forget(&mut self) {
        self.fetched_from = 0;
        self.fetched_to = 0;
        self.full_since = 0;
        self.rsc.open = false;
    }
}

/// A frame as it is stored: without a stripped tag, with the frame check sequence if it is kept.
struct Stored<'a> {
    pieces: [&'a [u8]; 3],
}

impl Stored<'_> {
    fn len(&self) -> usize {
        self.pieces.iter().map(|p| p.len()).sum()
    }

    /// Writes bytes `from..to` to guest memory.
    fn write<H: Host>(
        &self,
        host: &mut H,
        function: Function,
        address: u64,
        from: usize,
        to: usize,
    ) -> bool {
        let (mut start, mut good, mut address) = (0, true, address);
        for piece in self.pieces {
            let (first, last) = (from.max(start), to.min(start + piece.len()));
            if first < last {
                good &= host.dma_write(function, address, &piece[first - start..last - start]);
                address = address.wrapping_add((last - first) as u64);
            }
            start += piece.len();
        }
        good
    }
}

impl Device {
    pub(crate) fn rx_read<H: Host>(&mut self, host: &mut H, q: usize, offset: u32) -> u32 {
        // What a queue's space has besides the queue: statistics, 16 of each, and those of the VFs.
        let row = q % 64;
        match offset {
            0x1C if q < 64 => return self.vfs[row].gprc,
            0x20 if q < 64 => return self.vfs[row].gorc as u32,
            0x1C => return self.vfs[row].mprc,
            0x20 => return (self.vfs[row].gorc >> 32) as u32 & 0xF,
            0x30 if q < 32 => return self.rx_statistic(q, offset),
            0x34 | 0x38 if q < 16 => return self.rx_statistic(q, offset),
            _ => {}
        }
        self.rx_read_vf_pf(host, Function::Pf, q, offset)
    }

    fn rx_statistic(&mut self, q: usize, offset: u32) -> u32 {
        let at = 0x1000 + SPACE * q as u32 + offset;
        let value = self.reg(at);
        // QPRC, QPRDC and QBRC_H are cleared by a read, the latter with its low half.
        if offset != 0x34 {
            self.set_reg(at, 0);
        }
        if offset == 0x38 {
            self.set_reg(at - 4, 0);
        }
        value
    }

    pub(crate) fn rx_read_vf<H: Host>(
        &mut self,
        host: &mut H,
        n: u8,
        q: usize,
        offset: u32,
    ) -> u32 {
        self.rx_read_vf_pf(host, Function::Vf(n), q, offset)
    }

    fn rx_read_vf_pf<H: Host>(
        &mut self,
        host: &mut H,
        function: Function,
        q: usize,
        offset: u32,
    ) -> u32 {
        let queue = &self.rx[q];
        if let Some(value) = queue.ring.read(offset) {
            return value;
        }
        match offset {
            0x14 => queue.srrctl,
            0x2C => queue.rscctl,
            _ => {
                self.violation(
                    host,
                    function,
                    0x1000 + SPACE * q as u32 + offset,
                    0,
                    Problem::Reserved,
                    "",
                );
                0
            }
        }
    }

    pub(crate) fn rx_write<H: Host>(
        &mut self,
        host: &mut H,
        function: Function,
        q: usize,
        offset: u32,
        value: u32,
    ) {
        let at = 0x1000 + SPACE * q as u32 + offset;
        let queue = &mut self.rx[q];
        let (effect, mut problem) = queue.ring.write(offset, value, &KIND);
        match effect {
            Effect::Changed | Effect::Rewound | Effect::Switched => queue.forget(),
            Effect::Stored => {}
            Effect::Tail => {
                queue.full_since = 0;
                if self.tx_waiting != 0 {
                    self.resume_transmit(host);
                }
                self.offer_again(host);
            }
            Effect::Foreign => {
                let (register, mask) = match offset {
                    0x14 => (&mut queue.srrctl, SRRCTL_MASK),
                    0x2C => (&mut queue.rscctl, 0xD),
                    0x1C | 0x20 | 0x24 | 0x30 | 0x34 | 0x38 => {
                        let (problem, name) = (Problem::ReadOnly, "statistics");
                        return self.violation(host, function, at, value, problem, name);
                    }
                    _ => return self.violation(host, function, at, value, Problem::Reserved, ""),
                };
                *register = value & mask;
                if value & !mask != 0 {
                    problem = Some((Problem::ReservedBits, KIND.queue));
                }
            }
        }
        if let Some((problem, name)) = problem {
            self.violation(host, function, at, value, problem, name);
        }
    }

    /// PFQDE: what the PF forces on a VF's queue.
    pub(crate) fn qde_write(&mut self, value: u32) {
        self.set_reg(at::QDE, value);
        if value & QDE_WRITE != 0 {
            let queue = &mut self.rx[(value >> 8 & 0x7F) as usize];
            queue.drop_forced = value & QDE_ENABLE != 0;
            queue.hide_vlan = value & QDE_HIDE_VLAN != 0;
        }
    }

    fn receiving(&self) -> bool {
        self.reg(at::RXCTRL) & RXCTRL_RXEN != 0
            && self.reg(at::SECRXCTRL) & SECRX_RX_DIS == 0
            && self.master_enabled()
            && self.link_up()
    }

    /// Longest frame without frame check sequence that is accepted.
    fn max_frame(&self, p: &Packet) -> usize {
        let limit = if self.reg(at::HLREG0) & mac::HLREG0_JUMBOEN != 0 {
            (self.reg(at::MAXFRS) >> 16) as usize
        } else {
            1518
        };
        (limit + if p.vlan.is_some() { 4 } else { 0 })
            .saturating_sub(FCS)
            .min(MAX_FRAME)
    }

    /// A frame from the wire, or from the MAC's loopback.
    pub(crate) fn wire_receive<H: Host>(&mut self, host: &mut H, frame: &[u8]) -> Receive {
        if !self.receiving() || frame.len() < 14 || self.mac_loopback() {
            return Receive::Taken;
        }
        if self.accept(host, frame, 1) {
            return Receive::Taken;
        }
        self.wire_waiting = true;
        Receive::Later
    }

    /// Stores a frame from outside of the switch. False if it has to wait for one of `segments` frames' room.
    pub(crate) fn accept<H: Host>(&mut self, host: &mut H, frame: &[u8], segments: usize) -> bool {
        if !self.receiving() || frame.len() < 14 {
            return true;
        }
        let p = packet::parse(frame, self.vlan_type());
        if frame.len() > self.max_frame(&p) {
            self.count_received(frame, false);
            self.count(at::ROC, 1);
            return true;
        }
        let route = self.route(frame, &p, Source::Wire);
        if !self.has_room(host, frame, &p, route, Source::Wire, segments) {
            return false;
        }
        self.count_received(frame, route.pools != 0);
        self.distribute(host, frame, &p, route, Source::Wire);
        true
    }

    pub(crate) fn vlan_type(&self) -> u16 {
        (self.reg(at::VLNCTRL) & 0xFFFF) as u16
    }

    /// Whether every queue of a route has descriptors for `segments` frames like this one, or has lacked
    /// them for too long to wait.
    pub(crate) fn has_room<H: Host>(
        &mut self,
        host: &mut H,
        frame: &[u8],
        p: &Packet,
        route: Route,
        source: Source,
        segments: usize,
    ) -> bool {
        let virtualized = self.virtualized();
        let (mut pools, mut room) = (route.pools, true);
        while pools != 0 {
            let pool = pools.trailing_zeros() as u8;
            pools &= pools - 1;
            let pool = virtualized.then_some(pool);
            let choice = self.choose_queue(frame, p, pool, source);
            let (q, queue) = (choice.queue, &self.rx[choice.queue]);
            if choice.drop || !queue.ring.enabled() || !self.pool_enabled(at::VFRE, pool) {
                continue;
            }
            let each = (frame.len() + FCS).div_ceil(queue.buffer_size()) as u32;
            let need = each
                .saturating_mul(segments as u32)
                .min(queue.ring.count().saturating_sub(1));
            if need <= queue.ring.available() && need != 0 {
                self.rx[q].full_since = 0;
                continue;
            }
            let now = host.now().max(1);
            match queue.full_since {
                0 => {
                    self.rx[q].full_since = now;
                    self.want_wake(host, now + HOLD_NS);
                    room = false;
                }
                since if now < since.saturating_add(HOLD_NS) => {
                    self.want_wake(host, since + HOLD_NS);
                    room = false;
                }
                _ => {}
            }
        }
        room
    }

    /// Stores a frame in a queue of each pool of a route.
    pub(crate) fn distribute<H: Host>(
        &mut self,
        host: &mut H,
        frame: &[u8],
        p: &Packet,
        route: Route,
        source: Source,
    ) {
        if route.pools == 0 {
            return;
        }
        let virtualized = self.virtualized();
        let stamped = source == Source::Wire && self.stamp_receive(host, frame, p);
        let mut status = 0;
        if stamped {
            status |= TS;
        }
        if source != Source::Wire {
            status |= LB;
        }
        if route.inexact {
            status |= PIF;
        }
        status |= checksum_status(frame, p);
        let mut pools = route.pools;
        while pools != 0 {
            let pool = pools.trailing_zeros() as u8;
            pools &= pools - 1;
            let pool = virtualized.then_some(pool);
            if !self.pool_enabled(at::VFRE, pool) {
                continue;
            }
            let choice = self.choose_queue(frame, p, pool, source);
            if let Some(found) = choice.matched {
                self.fdir_count_match(found);
            }
            if !choice.drop {
                self.store(host, frame, p, pool, choice, status);
            }
        }
    }

    /// The descriptor at the head of a queue.
    pub(crate) fn fetch<H: Host>(
        &mut self,
        host: &mut H,
        function: Function,
        q: usize,
    ) -> Option<[u64; 2]> {
        let queue = &mut self.rx[q];
        let available = queue.ring.available();
        if available == 0 {
            return None;
        }
        if queue.fetched_from == queue.fetched_to {
            let n = (available.min(queue.ring.count() - queue.ring.head()) as usize).min(FETCH);
            let mut bytes = [0u8; 16 * FETCH];
            let address = queue.ring.address(queue.ring.head());
            if !host.dma_read(function, address, &mut bytes[..16 * n]) {
                self.violation(
                    host,
                    function,
                    q as u32,
                    0,
                    Problem::Dma,
                    "receive descriptor",
                );
                return None;
            }
            for (entry, bytes) in queue
                .fetched
                .iter_mut()
                .zip(bytes[..16 * n].chunks_exact(16))
            {
                *entry = [word(&bytes[..8]), word(&bytes[8..])];
            }
            queue.fetched_from = 0;
            queue.fetched_to = n as u8;
        }
        let descriptor = queue.fetched[usize::from(queue.fetched_from)];
        queue.fetched_from += 1;
        Some(descriptor)
    }

    /// Bytes at the start of a frame that go to the header buffer.
    fn split_at(&self, frame: &[u8], p: &Packet, pool: Option<u8>, q: usize) -> usize {
        let queue = &self.rx[q];
        let (kind, size) = (queue.kind(), queue.header_size());
        if kind != 2 && kind != 5 {
            return 0;
        }
        let types = self.reg(at::PSRTYPE + 4 * u32::from(pool.unwrap_or(0)));
        let has = |bit: u32| types & bit != 0;
        let header = if p.data != 0
            && (p.protocol == packet::TCP && has(SPLIT_TCP)
                || p.protocol == packet::UDP && has(SPLIT_UDP))
        {
            p.data
        } else if p.ipv4 && has(SPLIT_IPV4) || p.ipv6 && has(SPLIT_IPV6) {
            p.l4
        } else if has(SPLIT_L2) {
            p.l3
        } else {
            0
        };
        match header {
            // Always split: what has no known header fills the header buffer.
            0 if kind == 5 => size.min(frame.len()),
            n if n <= size => n,
            _ => 0,
        }
    }

    fn store<H: Host>(
        &mut self,
        host: &mut H,
        frame: &[u8],
        p: &Packet,
        pool: Option<u8>,
        choice: Choice,
        mut status: u32,
    ) {
        let q = choice.queue;
        let function = self.queue_function(q);
        let queue = &self.rx[q];
        if !queue.ring.enabled() {
            return;
        }
        let mut vlan = 0;
        let keep = self.reg(at::RDRXCTL) & RDRXCTL_CRCSTRIP == 0
            && self.reg(at::HLREG0) & mac::HLREG0_RXCRCSTRP == 0;
        let check = if keep {
            packet::fcs(frame, &[])
        } else {
            [0; 4]
        };
        let check: &[u8] = if keep { &check } else { &[] };
        let strip = queue.ring.control() & RXDCTL_VME != 0 || queue.hide_vlan;
        let stored = match p.vlan {
            Some(tag) if strip => {
                if !queue.hide_vlan {
                    vlan = tag;
                    status |= VP;
                }
                Stored {
                    pieces: [&frame[..12], &frame[16..], check],
                }
            }
            Some(_) => {
                status |= VP;
                Stored {
                    pieces: [frame, check, &[]],
                }
            }
            None => Stored {
                pieces: [frame, check, &[]],
            },
        };
        let tag_removed = if p.vlan.is_some() && strip { 4 } else { 0 };
        let split = self.split_at(frame, p, pool, q).saturating_sub(tag_removed);
        let total = stored.len();
        let queue = &self.rx[q];
        let size = queue.buffer_size();
        let legacy = queue.kind() == 0;
        let descriptors = (total - split).div_ceil(size).max(1);
        let coalesces = split == 0 && !legacy && !keep && self.coalesces(q, frame, p, status);
        if self.rx[q].rsc.open {
            if coalesces && self.rsc_append(host, function, q, frame, p) {
                self.count_stored(q, pool, frame, false);
                return;
            }
            self.rsc_close(host, q);
        }
        let queue = &self.rx[q];
        if descriptors > queue.ring.available() as usize || descriptors > MAX_DESCRIPTORS {
            let drops = queue.drops();
            self.count_dropped(q, drops);
            if !drops {
                self.raise_other(host, irq::RX_MISS);
            }
            return;
        }
        let mut low = choice.hash.kind | packet_type(p);
        if let Some(i) = choice.etqf {
            low = TYPE_ETQF | i << 4;
        }
        let mut high = choice.hash.value;
        if let Some(hash) = choice.fdir {
            high = hash;
            status |= FLM;
        }
        if split != 0 {
            low |= SPH | (split as u32 & 0x3FF) << 21;
        }
        let mut from = split;
        for i in 0..descriptors {
            let Some(descriptor) = self.fetch(host, function, q) else {
                return;
            };
            let to = total.min(from + size);
            let mut good = true;
            if i == 0 && split != 0 {
                good &= stored.write(host, function, descriptor[1], 0, split);
            }
            good &= stored.write(
                host,
                function,
                descriptor[0] & !u64::from(!legacy),
                from,
                to,
            );
            if !good {
                self.violation(host, function, q as u32, 0, Problem::Dma, "receive buffer");
            }
            let last = i + 1 == descriptors;
            let length = (to - from) as u32;
            let flags = if last { status | DD | EOP } else { DD };
            let index = self.rx[q].ring.head();
            self.rx[q].ring.advance();
            if coalesces && descriptors == 1 {
                let address = descriptor[0] & !1;
                let first = First {
                    index,
                    address,
                    length: to,
                    low,
                    high,
                    status,
                    vlan,
                };
                if self.rsc_open(host, q, frame, p, tag_removed, first) {
                    self.count_stored(q, pool, frame, false);
                    return;
                }
            }
            let address = self.rx[q].ring.address(index);
            let upper = if legacy {
                let errors = (flags >> 30 & 3) << 6;
                u64::from(length)
                    | u64::from(flags & 0xFF | errors << 8) << 32
                    | u64::from(vlan) << 48
            } else {
                let lower = u64::from(low) | u64::from(high) << 32;
                host.dma_write(function, address, &lower.to_le_bytes());
                u64::from(flags) | u64::from(length) << 32 | u64::from(vlan) << 48
            };
            // The half with DD comes last: software looks at it to know that the rest is there.
            host.dma_write(function, address.wrapping_add(8), &upper.to_le_bytes());
            from = to;
        }
        self.rx_done |= 1 << q;
        self.count_stored(q, pool, frame, status & LB != 0);
    }
}

/// A little-endian word of guest memory.
fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap_or([0; 8]))
}

fn packet_type(p: &Packet) -> u32 {
    let mut kind = 0;
    if p.ipv4 {
        kind |= if p.extended {
            TYPE_IPV4_OPTIONS
        } else {
            TYPE_IPV4
        };
    }
    if p.ipv6 {
        kind |= if p.extended {
            TYPE_IPV6_EXTENSIONS
        } else {
            TYPE_IPV6
        };
    }
    if p.data != 0 {
        kind |= match p.protocol {
            packet::TCP => TYPE_TCP,
            packet::UDP => TYPE_UDP,
            _ => TYPE_SCTP,
        };
    }
    kind
}

/// Descriptor bits about the checksums of a frame.
fn checksum_status(frame: &[u8], p: &Packet) -> u32 {
    let mut status = 0;
    if p.ipv4 {
        status |= IPCS;
        if !packet::ipv4_good(frame, p) {
            status |= IPE;
        }
    }
    if let Some(good) = packet::l4_good(frame, p) {
        status |= L4CS;
        if p.protocol == packet::UDP {
            status |= UDPCS | UDPV;
        }
        if !good {
            status |= TCPE;
        }
    }
    status
}
