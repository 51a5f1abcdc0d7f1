// SPDX-License-Identifier: GPL-2.0

//! Transmit queues (datasheet 7.2 and 8.2.3.9): registers, descriptors, offloads, write-back.

use crate::MAX_FRAME;
use crate::device::Device;
use crate::device::Function;
use crate::device::Host;
use crate::device::Problem;
use crate::mac;
use crate::packet;
use crate::regs::at;
use crate::ring::DESCRIPTOR;
use crate::ring::Effect;
use crate::ring::Kind;
use crate::ring::Ring;
use crate::ring::SPACE;
use crate::switch::Source;

/// Room in front of a frame for a VLAN tag.
const HEADROOM: usize = 4;
/// Most bytes of one transmit request: PAYLEN has 18 bits, and there are headers.
const MAX_REQUEST: usize = (1 << 18) + 512;
/// Size of the buffer that a request is gathered in.
pub(crate) const BUFFER: usize = HEADROOM + MAX_REQUEST;
/// Size of the buffer that a segment is made in.
pub(crate) const SEGMENT_BUFFER: usize = HEADROOM + MAX_FRAME;

/// Descriptors of one packet. The hardware allows 40 (datasheet 7.2.1.1); this is a bound on work.
const MAX_DESCRIPTORS: u32 = 64;
/// Descriptors fetched at once.
const FETCH: usize = 32;
/// Most segments of one request: more come from nonsense only.
const MAX_SEGMENTS: usize = 4096;
/// Descriptors and frames handled before other work gets its turn.
const BUDGET: u32 = 2048;
const MIN_FRAME: usize = 60;

const KIND: Kind = Kind {
    head: "TDH",
    queue: "transmit queue",
    // Drivers may write them.
    base_ignored: 0x7F,
    dca: 0xFF00_2A20,
    control: 0x027F_7F7F,
};
const DMATXCTL_TE: u32 = 1;
const TDWBAL_HEAD_WB: u32 = 1;
const PFDTXGSWC_LBEN: u32 = 1;
const VMVIR_DEFAULT: u32 = 1 << 30;
const VMVIR_NEVER: u32 = 1 << 31;

// RTTBCNRC.
const RS_ENA: u32 = 1 << 31;
const RATE_FACTOR: u32 = 0x0FFF_FFFF;
/// Octets of a frame on the wire that are not in memory: preamble, frame check sequence, gap.
const OVERHEAD: usize = 24;

// Descriptor, third dword.
const CMD_EOP: u32 = 1 << 24;
const CMD_IC: u32 = 1 << 26;
const CMD_RS: u32 = 1 << 27;
const CMD_DEXT: u32 = 1 << 29;
const CMD_VLE: u32 = 1 << 30;
const CMD_TSE: u32 = 1 << 31;
const MAC_TSTAMP: u32 = 1 << 19;
const DTYP_CONTEXT: u32 = 2;
const DTYP_DATA: u32 = 3;
// Fourth dword.
const POPTS_IXSM: u32 = 1 << 8;
const POPTS_TXSM: u32 = 1 << 9;
const DD: u32 = 1;
// Context descriptor, third dword.
const TUCMD_IPV4: u32 = 1 << 10;

const TCP_FLAGS: u16 = 0xFFF;

/// What a context descriptor left (two of each queue).
#[derive(Clone, Copy, Debug, Default)]
struct Context {
    /// VLAN, MACLEN, IPLEN.
    lengths: u32,
    /// TUCMD.
    command: u32,
    /// MSS, L4LEN.
    mss: u32,
}

impl Context {
    fn vlan(&self) -> u16 {
        (self.lengths >> 16) as u16
    }

    fn mac_length(&self) -> usize {
        (self.lengths >> 9 & 0x7F) as usize
    }

    fn ip_length(&self) -> usize {
        (self.lengths & 0x1FF) as usize
    }

    fn l4_length(&self) -> usize {
        (self.mss >> 8 & 0xFF) as usize
    }

    fn segment_size(&self) -> usize {
        (self.mss >> 16) as usize
    }

    fn ipv4(&self) -> bool {
        self.command & TUCMD_IPV4 != 0
    }

    /// 0 UDP, 1 TCP, 2 SCTP.
    fn l4_type(&self) -> u32 {
        self.command >> 11 & 3
    }
}

/// A transmit queue.
#[derive(Clone, Debug, Default)]
pub struct TxQueue {
    ring: Ring,
    /// Survive a VF's reset.
    pub(crate) tdwbal: u32,
    pub(crate) tdwbah: u32,
    contexts: [Context; 2],
    /// A packet with too many descriptors is being skipped.
    skipping: bool,
    /// RTTBCNRC, and when the queue may send again.
    rate: u32,
    send_at: u64,
}

impl TxQueue {
    /// A reset of the VF leaves TDWBAL/H, and what the PF has set.
    pub(crate) fn vf_reset(&mut self) {
        *self = Self {
            tdwbal: self.tdwbal,
            tdwbah: self.tdwbah,
            rate: self.rate,
            send_at: self.send_at,
            ..Self::default()
        };
    }

    /// Nanoseconds that `octets` on the wire take at the queue's rate; 0 if it has none.
    fn time_of(&self, octets: usize) -> u64 {
        if self.rate & RS_ENA == 0 {
            return 0;
        }
        // The rate factor, by which the queue is slower than 10 Gb/s, has 14 integer and 14 fractional bits.
        (octets as u64 * 8 * u64::from(self.rate & RATE_FACTOR)) / (10 << 14)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Sent or dropped.
    Done,
    /// A receive queue has no room now.
    Wait,
}

/// A packet while its descriptors are read.
#[derive(Clone, Copy, Debug, Default)]
struct Gather {
    /// First data descriptor's dwords.
    command: u32,
    status: u32,
    length: usize,
    descriptors: u32,
    /// Which of them ask for a report.
    reports: u64,
    failed: bool,
}

impl Device {
    pub(crate) fn tx_read<H: Host>(&mut self, host: &mut H, q: usize, offset: u32) -> u32 {
        let queue = &self.tx[q];
        if let Some(value) = queue.ring.read(offset) {
            return value;
        }
        match offset {
            // QPTC.
            0x30 if q < 16 => {
                let at = 0x6000 + SPACE * q as u32 + offset;
                let value = self.reg(at);
                self.set_reg(at, 0);
                value
            }
            0x38 => queue.tdwbal,
            0x3C => queue.tdwbah,
            _ => {
                self.violation(
                    host,
                    Function::Pf,
                    0x6000 + SPACE * q as u32 + offset,
                    0,
                    Problem::Reserved,
                    "",
                );
                0
            }
        }
    }

    pub(crate) fn tx_write<H: Host>(
        &mut self,
        host: &mut H,
        function: Function,
        q: usize,
        offset: u32,
        value: u32,
    ) {
        let at = 0x6000 + SPACE * q as u32 + offset;
        let queue = &mut self.tx[q];
        let (effect, mut problem) = queue.ring.write(offset, value, &KIND);
        match effect {
            Effect::Changed | Effect::Rewound | Effect::Stored => {}
            Effect::Tail => self.transmit_queue(host, q),
            Effect::Switched => {
                queue.contexts = [Context::default(); 2];
                queue.skipping = false;
                self.transmit_queue(host, q);
            }
            Effect::Foreign => match offset {
                0x38 => {
                    queue.tdwbal = value & !2;
                    if value & 2 != 0 {
                        problem = Some((Problem::ReservedBits, "TDWBAL"));
                    }
                }
                0x3C => queue.tdwbah = value,
                0x30 => problem = Some((Problem::ReadOnly, "QPTC")),
                _ => problem = Some((Problem::Reserved, "")),
            },
        }
        if let Some((problem, name)) = problem {
            self.violation(host, function, at, value, problem, name);
        }
    }

    /// RTTBCNRC of the queue that RTTDQSEL selects.
    pub(crate) fn rate_read(&self) -> u32 {
        self.tx[(self.reg(at::RTTDQSEL) & 0x7F) as usize].rate
    }

    pub(crate) fn rate_write<H: Host>(&mut self, host: &mut H, value: u32) {
        let queue = &mut self.tx[(self.reg(at::RTTDQSEL) & 0x7F) as usize];
        queue.rate = value;
        queue.send_at = 0;
        self.resume_transmit(host);
    }

    /// Whether a queue's rate lets it send now. If not, it is asked again in time.
    fn rate_allows<H: Host>(&mut self, host: &mut H, q: usize) -> bool {
        if self.tx[q].rate & RS_ENA == 0 {
            return true;
        }
        let now = host.now();
        // An idle queue saves up no more than RTTBCNRM.MMW_SIZE KB.
        let window = ((self.reg(at::RTTBCNRM) & 0x3FF) as usize).max(1) << 10;
        let queue = &mut self.tx[q];
        if queue.send_at <= now {
            queue.send_at = queue.send_at.max(now.saturating_sub(queue.time_of(window)));
            return true;
        }
        let time = queue.send_at;
        self.tx_waiting |= 1 << q;
        self.want_wake(host, time);
        false
    }

    /// Queues that waited go on.
    pub(crate) fn resume_transmit<H: Host>(&mut self, host: &mut H) {
        let mut waiting = core::mem::take(&mut self.tx_waiting);
        while waiting != 0 {
            let q = waiting.trailing_zeros() as usize;
            waiting &= waiting - 1;
            self.transmit_queue(host, q);
        }
    }

    fn transmitting(&self, q: usize) -> bool {
        self.tx[q].ring.available() != 0
            && self.reg(at::DMATXCTL) & DMATXCTL_TE != 0
            && self.master_enabled()
            && self.link_up()
            && self.pool_enabled(at::VFTE, self.tx_pool(q))
    }

    /// Reads descriptors until the ring is empty, a packet has to wait, or the budget is used up.
    pub(crate) fn transmit_queue<H: Host>(&mut self, host: &mut H, q: usize) {
        if !self.transmitting(q) {
            return;
        }
        let function = self.queue_function(q);
        let ring = self.tx[q].ring;
        let (count, tail) = (ring.count(), ring.tail());
        // The buffers are taken so that a frame in them can be passed to the other units.
        let mut buffer = core::mem::take(&mut self.tx_buffer);
        let mut packet = Gather::default();
        self.tx_work = 0;
        let mut at = ring.head();
        'ring: while at != tail {
            let run = if tail > at { tail - at } else { count - at };
            let n = (run as usize).min(FETCH);
            let mut bytes = [0u8; DESCRIPTOR as usize * FETCH];
            if !host.dma_read(function, ring.address(at), &mut bytes[..16 * n]) {
                self.violation(
                    host,
                    function,
                    q as u32,
                    0,
                    Problem::Dma,
                    "transmit descriptor",
                );
                break;
            }
            for descriptor in bytes[..16 * n].chunks_exact(16) {
                if packet.descriptors == 0 && !self.rate_allows(host, q) {
                    break 'ring;
                }
                if self.tx_work >= BUDGET && packet.descriptors == 0 {
                    self.tx_waiting |= 1 << q;
                    let now = host.now();
                    self.want_wake(host, now);
                    break 'ring;
                }
                self.tx_work += 1;
                let address = u64::from_le_bytes(descriptor[..8].try_into().unwrap_or([0; 8]));
                let command = u32::from_le_bytes(descriptor[8..12].try_into().unwrap_or([0; 4]));
                let status = u32::from_le_bytes(descriptor[12..].try_into().unwrap_or([0; 4]));
                let next = (at + 1) % count;
                let kind = command >> 20 & 0xF;
                if command & CMD_DEXT != 0 && kind != DTYP_DATA {
                    if kind == DTYP_CONTEXT {
                        let context = Context {
                            lengths: address as u32,
                            command,
                            mss: status,
                        };
                        self.tx[q].contexts[(status >> 4 & 1) as usize] = context;
                    } else {
                        self.violation(
                            host,
                            function,
                            q as u32,
                            command,
                            Problem::Descriptor,
                            "descriptor type",
                        );
                    }
                    // It is done with; one in the middle of a packet is done with when the packet is.
                    if packet.descriptors == 0 {
                        self.tx[q].ring.set_head(next);
                        if command & CMD_RS != 0 {
                            self.report(host, function, q, at);
                        }
                    } else {
                        packet.descriptors += 1;
                    }
                    at = next;
                    continue;
                }
                self.gather(
                    host,
                    function,
                    q,
                    &mut packet,
                    &mut buffer,
                    (address, command, status),
                );
                at = next;
                if command & CMD_EOP == 0 {
                    if packet.descriptors >= MAX_DESCRIPTORS {
                        self.violation(
                            host,
                            function,
                            q as u32,
                            packet.descriptors,
                            Problem::Descriptor,
                            "too many",
                        );
                        self.tx[q].skipping = true;
                        self.tx[q].ring.set_head(at);
                        packet = Gather::default();
                    }
                    continue;
                }
                if self.send_request(host, q, &packet, &mut buffer) == Outcome::Wait {
                    self.tx_waiting |= 1 << q;
                    break 'ring;
                }
                let first = self.tx[q].ring.head();
                self.tx[q].ring.set_head(at);
                for i in 0..packet.descriptors.min(MAX_DESCRIPTORS) {
                    if packet.reports >> i & 1 != 0 {
                        self.report(host, function, q, (first + i) % count);
                    }
                }
                packet = Gather::default();
            }
        }
        self.tx_buffer = buffer;
    }

    /// Appends what a data descriptor points to.
    fn gather<H: Host>(
        &mut self,
        host: &mut H,
        function: Function,
        q: usize,
        packet: &mut Gather,
        buffer: &mut [u8],
        (address, command, status): (u64, u32, u32),
    ) {
        if packet.descriptors == 0 {
            packet.command = command;
            packet.status = status;
            packet.failed = self.tx[q].skipping;
            self.tx[q].skipping &= command & CMD_EOP == 0;
        }
        // A legacy descriptor's IC and VLE count in the last one.
        packet.command |= command & (CMD_IC | CMD_VLE);
        if command & CMD_RS != 0 {
            packet.reports |= 1 << packet.descriptors.min(63);
        }
        packet.descriptors += 1;
        let length = (command & 0xFFFF) as usize;
        if length == 0 {
            self.violation(
                host,
                function,
                q as u32,
                command,
                Problem::Descriptor,
                "empty buffer",
            );
        }
        let start = HEADROOM + packet.length;
        if packet.failed || packet.length + length > MAX_REQUEST {
            packet.failed = true;
            return;
        }
        if !host.dma_read(function, address, &mut buffer[start..start + length]) {
            self.violation(host, function, q as u32, 0, Problem::Dma, "transmit buffer");
            packet.failed = true;
        }
        packet.length += length;
    }

    /// Tells software that a descriptor is done: DD in it, or the head in memory.
    fn report<H: Host>(&mut self, host: &mut H, function: Function, q: usize, index: u32) {
        let queue = &self.tx[q];
        if queue.tdwbal & TDWBAL_HEAD_WB != 0 {
            let address = u64::from(queue.tdwbah) << 32 | u64::from(queue.tdwbal & !3);
            host.dma_write(function, address, &queue.ring.head().to_le_bytes());
        } else {
            let address = queue.ring.address(index).wrapping_add(12);
            host.dma_write(function, address, &DD.to_le_bytes());
        }
        self.tx_done |= 1 << q;
    }

    /// The tag that goes into a frame of a queue: the descriptor's, or what PFVMVIR says.
    fn tag(&self, q: usize, packet: &Gather, context: &Context, legacy: bool) -> Option<u16> {
        if let Some(pool) = self.tx_pool(q) {
            let rule = self.reg(at::VMVIR + 4 * u32::from(pool));
            if rule & VMVIR_NEVER != 0 {
                return None;
            }
            if rule & VMVIR_DEFAULT != 0 {
                return Some(rule as u16);
            }
        }
        let tag = if legacy {
            (packet.status >> 16) as u16
        } else {
            context.vlan()
        };
        (packet.command & CMD_VLE != 0).then_some(tag)
    }

    /// Sends a gathered request, in segments if it asks for that.
    fn send_request<H: Host>(
        &mut self,
        host: &mut H,
        q: usize,
        packet: &Gather,
        buffer: &mut [u8],
    ) -> Outcome {
        let length = packet.length;
        if packet.failed || length < 14 {
            return Outcome::Done;
        }
        let legacy = packet.command & CMD_DEXT == 0;
        let context = self.tx[q].contexts[(packet.status >> 4 & 1) as usize];
        let tag = self.tag(q, packet, &context, legacy);
        if !legacy && packet.command & CMD_TSE != 0 {
            return self.segment(host, q, &context, tag, &buffer[HEADROOM..HEADROOM + length]);
        }
        let frame = &mut buffer[HEADROOM..HEADROOM + length];
        if length > MAX_FRAME - HEADROOM {
            return Outcome::Done;
        }
        if legacy {
            if packet.command & CMD_IC != 0 {
                let (insert, start) = (
                    (packet.command >> 16 & 0xFF) as usize,
                    (packet.status >> 8 & 0xFF) as usize,
                );
                checksum_legacy(frame, start, insert);
            }
        } else {
            if packet.status & POPTS_IXSM != 0 {
                checksum_ipv4(frame, context.mac_length(), context.ip_length());
            }
            if packet.status & POPTS_TXSM != 0 {
                checksum_l4(
                    frame,
                    context.mac_length() + context.ip_length(),
                    context.l4_type(),
                );
            }
        }
        if !legacy && packet.command & MAC_TSTAMP != 0 {
            self.stamp_transmit(host);
        }
        let mut end = HEADROOM + length;
        if length < MIN_FRAME && self.reg(at::HLREG0) & mac::HLREG0_TXPADEN != 0 {
            buffer[end..HEADROOM + MIN_FRAME].fill(0);
            end = HEADROOM + MIN_FRAME;
        }
        let start = match tag {
            Some(tag) => {
                buffer.copy_within(HEADROOM..HEADROOM + 12, 0);
                buffer[12..16].copy_from_slice(&self.tag_bytes(tag));
                0
            }
            None => HEADROOM,
        };
        let outcome = self.emit(host, q, &buffer[start..end], 1, true);
        if outcome == Outcome::Wait && start == 0 {
            // Put the addresses back for the next attempt; the buffer is gathered anew anyway.
            buffer.copy_within(0..12, HEADROOM);
        }
        outcome
    }

    fn tag_bytes(&self, tag: u16) -> [u8; 4] {
        let kind = (self.reg(at::DMATXCTL) >> 16) as u16;
        let (kind, tag) = (kind.to_be_bytes(), tag.to_be_bytes());
        [kind[0], kind[1], tag[0], tag[1]]
    }

    /// TCP or UDP segmentation (datasheet 7.2.4).
    fn segment<H: Host>(
        &mut self,
        host: &mut H,
        q: usize,
        context: &Context,
        tag: Option<u16>,
        request: &[u8],
    ) -> Outcome {
        let l3 = context.mac_length();
        let l4 = l3 + context.ip_length();
        let tcp = context.l4_type() == 1;
        let header = l4 + if tcp { context.l4_length() } else { 8 };
        let size = context.segment_size();
        let minimum = if context.ipv4() { 20 } else { 40 };
        let sane = l3 >= 14
            && context.ip_length() >= minimum
            && (!tcp || context.l4_length() >= 20)
            && header < request.len()
            && size > 0
            && header + size <= MAX_FRAME - HEADROOM
            && context.l4_type() < 2
            && request.len() <= header + size * MAX_SEGMENTS;
        if !sane {
            let function = self.queue_function(q);
            self.violation(
                host,
                function,
                q as u32,
                context.mss,
                Problem::Descriptor,
                "segmentation",
            );
            return Outcome::Done;
        }
        let payload = &request[header..];
        let segments = payload.len().div_ceil(size);
        let mut buffer = core::mem::take(&mut self.segment_buffer);
        let (flags_low, flags_high) = (self.reg(at::DTXTCPFLGL), self.reg(at::DTXTCPFLGH));
        let shift = if tag.is_some() { 4 } else { 0 };
        let mut outcome = Outcome::Done;
        for (i, chunk) in payload.chunks(size).enumerate() {
            buffer[..12].copy_from_slice(&request[..12]);
            if let Some(tag) = tag {
                buffer[12..16].copy_from_slice(&self.tag_bytes(tag));
            }
            buffer[12 + shift..header + shift].copy_from_slice(&request[12..header]);
            buffer[header + shift..header + shift + chunk.len()].copy_from_slice(chunk);
            let mut end = header + shift + chunk.len();
            let frame = &mut buffer[shift..end];
            // Fields before `l3` moved, those after it are at the same distance from the shifted start.
            if context.ipv4() {
                put16(frame, l3 + 2, (header - l3 + chunk.len()) as u16);
                let id = packet::be16(frame, l3 + 4).wrapping_add(i as u16);
                put16(frame, l3 + 4, id);
                checksum_ipv4(frame, l3, context.ip_length());
            } else {
                put16(frame, l3 + 4, (header - l3 - 40 + chunk.len()) as u16);
            }
            if tcp {
                let sequence = packet::be32(frame, l4 + 4).wrapping_add((i * size) as u32);
                put16(frame, l4 + 4, (sequence >> 16) as u16);
                put16(frame, l4 + 6, sequence as u16);
                let mask = match i {
                    _ if i + 1 == segments => flags_high as u16,
                    0 => flags_low as u16,
                    _ => (flags_low >> 16) as u16,
                };
                // One segment alone is the first and the last.
                let mask = if segments == 1 {
                    TCP_FLAGS
                } else {
                    mask | !TCP_FLAGS
                };
                let flags = packet::be16(frame, l4 + 12);
                put16(frame, l4 + 12, flags & (mask | 0xF000));
            } else {
                put16(frame, l4 + 4, (8 + chunk.len()) as u16);
            }
            // Software left the sum of the pseudo header without the length in the field.
            let field = l4 + if tcp { 16 } else { 6 };
            let l4_bytes = (header - l4 + chunk.len()) as u16;
            let check = packet::fold(packet::sum_word(packet::sum(0, &frame[l4..]), l4_bytes));
            put16(
                frame,
                field,
                if check == 0 && !tcp { 0xFFFF } else { check },
            );
            if end < MIN_FRAME && self.reg(at::HLREG0) & mac::HLREG0_TXPADEN != 0 {
                buffer[end..MIN_FRAME].fill(0);
                end = MIN_FRAME;
            }
            // Room for all segments is asked for once; after that nothing waits.
            if self.emit(host, q, &buffer[..end], segments, i == 0) == Outcome::Wait {
                outcome = Outcome::Wait;
                break;
            }
        }
        self.segment_buffer = buffer;
        outcome
    }

    /// A finished frame goes through the switch and out.
    fn emit<H: Host>(
        &mut self,
        host: &mut H,
        q: usize,
        frame: &[u8],
        segments: usize,
        may_wait: bool,
    ) -> Outcome {
        self.tx_work += 1;
        let pool = self.tx_pool(q);
        if self.mac_loopback() {
            if may_wait && !self.loop_room(host, frame, segments) {
                return Outcome::Wait;
            }
            self.count_sent(q, pool, frame);
            self.count_wire(frame);
            // The outcome is decided already: what finds no room now is lost.
            let _ = self.accept(host, frame, 1);
            return Outcome::Done;
        }
        let mut wire = true;
        if let Some(pool) = pool {
            let p = packet::parse(frame, self.vlan_type());
            if self.spoofed(pool, frame, &p) {
                self.count_spoofed(pool);
                return Outcome::Done;
            }
            if self.reg(at::PFDTXGSWC) & PFDTXGSWC_LBEN != 0 && self.virtualized() {
                let source = Source::Pool(pool);
                let route = self.route(frame, &p, source);
                if may_wait && !self.has_room(host, frame, &p, route, source, segments) {
                    return Outcome::Wait;
                }
                self.distribute(host, frame, &p, route, source);
                wire = route.wire;
            }
        }
        self.count_sent(q, pool, frame);
        self.tx[q].send_at += self.tx[q].time_of(frame.len() + OVERHEAD);
        if wire {
            self.count_wire(frame);
            host.send(frame);
        }
        Outcome::Done
    }

    fn loop_room<H: Host>(&mut self, host: &mut H, frame: &[u8], segments: usize) -> bool {
        let p = packet::parse(frame, self.vlan_type());
        let route = self.route(frame, &p, Source::Wire);
        self.has_room(host, frame, &p, route, Source::Wire, segments)
    }
}

fn put16(frame: &mut [u8], at: usize, value: u16) {
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// Inserts an IPv4 header checksum; nothing if the lengths make no sense.
fn checksum_ipv4(frame: &mut [u8], l3: usize, length: usize) {
    if length < 20 || l3 + length > frame.len() {
        return;
    }
    put16(frame, l3 + 10, 0);
    let check = packet::fold(packet::sum(0, &frame[l3..l3 + length]));
    put16(frame, l3 + 10, check);
}

/// Completes the checksum whose pseudo header part software has put in the field.
fn checksum_l4(frame: &mut [u8], l4: usize, kind: u32) {
    let offset = match kind {
        0 => 6,
        1 => 16,
        2 => {
            if l4 + 12 <= frame.len() {
                let check = packet::sctp(&frame[l4..]).to_le_bytes();
                frame[l4 + 8..l4 + 12].copy_from_slice(&check);
            }
            return;
        }
        _ => return,
    };
    if l4 + offset + 2 > frame.len() {
        return;
    }
    let check = packet::fold(packet::sum(0, &frame[l4..]));
    put16(
        frame,
        l4 + offset,
        if check == 0 && kind == 0 {
            0xFFFF
        } else {
            check
        },
    );
}

fn checksum_legacy(frame: &mut [u8], start: usize, insert: usize) {
    if start < frame.len() && insert + 2 <= frame.len() {
        let check = packet::fold(packet::sum(0, &frame[start..]));
        put16(frame, insert, check);
    }
}
