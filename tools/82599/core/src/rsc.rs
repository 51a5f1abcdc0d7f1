// SPDX-License-Identifier: GPL-2.0

//! Receive side coalescing (datasheet 7.11): frames of a TCP connection that follow each other become one packet.
//!
//! One packet of each queue is open at a time. It is completed by a frame that does not fit, by PSH, by the end of its
//! descriptors or of 64 KB, or after GPIE.RSC_Delay.

use crate::device::Device;
use crate::device::Function;
use crate::device::Host;
use crate::packet;
use crate::packet::Packet;
use crate::regs::at;
use crate::rx;

/// Longest headers of a packet that is coalesced: Ethernet with tag, IPv4 without options, TCP with options.
const MAX_HEADER: usize = 18 + 20 + 60;
/// Longest packet: the IPv4 length has 16 bits.
const MAX_LENGTH: usize = 0xFFFF;
/// RSCCNT has 4 bits and holds one more than the frames that start in a descriptor.
const MAX_FRAMES: u32 = 14;
/// Unit of GPIE.RSC_Delay.
const DELAY_NS: u64 = 4000;

const RSCCTL_RSCEN: u32 = 1;
const RFCTL: u32 = 0x5008;
const RFCTL_RSC_DIS: u32 = 1 << 5;
const TCP_ACK: u8 = 0x10;
const TCP_PSH: u8 = 0x08;

/// An open packet of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coalesced {
    pub(crate) open: bool,
    /// Addresses and ports.
    flow: [u8; 12],
    tag: Option<u16>,
    sequence: u32,
    /// Headers as they are stored, and their length.
    header: [u8; MAX_HEADER],
    header_length: usize,
    l3: usize,
    /// First buffer.
    first: u64,
    /// Descriptor that is being filled, its buffer, and what is in it.
    index: u32,
    address: u64,
    used: usize,
    descriptors: u32,
    /// Frames that started in it, and in all.
    started: u32,
    frames: u32,
    length: usize,
    /// Descriptor fields of the packet.
    low: u32,
    high: u32,
    status: u32,
    vlan: u16,
    until: u64,
}

impl Default for Coalesced {
    fn default() -> Self {
        Self {
            open: false,
            flow: [0; 12],
            tag: None,
            sequence: 0,
            header: [0; MAX_HEADER],
            header_length: 0,
            l3: 0,
            first: 0,
            index: 0,
            address: 0,
            used: 0,
            descriptors: 0,
            started: 0,
            frames: 0,
            length: 0,
            low: 0,
            high: 0,
            status: 0,
            vlan: 0,
            until: 0,
        }
    }
}

/// The descriptor of a frame that may be the first of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct First {
    pub(crate) index: u32,
    pub(crate) address: u64,
    pub(crate) length: usize,
    pub(crate) low: u32,
    pub(crate) high: u32,
    pub(crate) status: u32,
    pub(crate) vlan: u16,
}

fn flow(frame: &[u8], p: &Packet) -> [u8; 12] {
    let mut flow = [0; 12];
    flow[..8].copy_from_slice(&frame[p.l3 + 12..p.l3 + 20]);
    flow[8..].copy_from_slice(&frame[p.l4..p.l4 + 4]);
    flow
}

impl Device {
    /// Whether a frame with right checksums may be a part of a larger packet of this queue.
    pub(crate) fn coalesces(&self, q: usize, frame: &[u8], p: &Packet, status: u32) -> bool {
        self.rx[q].rscctl & RSCCTL_RSCEN != 0
            && self.reg(RFCTL) & RFCTL_RSC_DIS == 0
            && p.ipv4
            && !p.extended
            && p.protocol == packet::TCP
            && p.data != 0
            && p.end > p.data
            && p.data <= MAX_HEADER
            && status & (rx::L4CS | rx::TCPE | rx::IPE | rx::LB) == rx::L4CS
            && frame[p.l4 + 13] & !TCP_PSH == TCP_ACK
    }

    /// Starts a packet with a frame that is stored; its descriptor is not written back yet. False if the frame is
    /// complete by itself.
    pub(crate) fn rsc_open<H: Host>(
        &mut self,
        host: &mut H,
        q: usize,
        frame: &[u8],
        p: &Packet,
        stripped: usize,
        first: First,
    ) -> bool {
        if frame[p.l4 + 13] & TCP_PSH != 0 {
            return false;
        }
        let mut header = [0; MAX_HEADER];
        let header_length = p.data - stripped;
        header[..12].copy_from_slice(&frame[..12]);
        header[12..header_length].copy_from_slice(&frame[12 + stripped..p.data]);
        let delay = u64::from(self.reg(at::GPIE) >> 11 & 7) + 1;
        let until = host.now() + delay * DELAY_NS;
        // Padding is not a part of the packet.
        let length = first.length.min(p.end - stripped);
        self.rx[q].rsc = Coalesced {
            open: true,
            flow: flow(frame, p),
            tag: p.vlan,
            sequence: packet::be32(frame, p.l4 + 4).wrapping_add((p.end - p.data) as u32),
            header,
            header_length,
            l3: p.l3 - stripped,
            first: first.address,
            index: first.index,
            address: first.address,
            used: length,
            descriptors: 1,
            started: 1,
            frames: 1,
            length,
            low: first.low,
            high: first.high,
            status: first.status,
            vlan: first.vlan,
            until,
        };
        self.rsc_queues |= 1 << q;
        self.want_wake(host, until);
        true
    }

    /// Appends a frame to the open packet of its queue. False if it does not continue that packet or does not fit.
    pub(crate) fn rsc_append<H: Host>(
        &mut self,
        host: &mut H,
        function: Function,
        q: usize,
        frame: &[u8],
        p: &Packet,
    ) -> bool {
        let mut rsc = self.rx[q].rsc;
        let payload = &frame[p.data..p.end];
        let size = self.rx[q].buffer_size();
        let most = match self.rx[q].rscctl >> 2 & 3 {
            0 => 1,
            1 => 4,
            2 => 8,
            _ => 16,
        };
        let fits = payload.len() <= size - rsc.used.min(size);
        let stripped = p.data - rsc.header_length.min(p.data);
        let follows = rsc.flow == flow(frame, p)
            && rsc.tag == p.vlan
            && rsc.sequence == packet::be32(frame, p.l4 + 4)
            && rsc.header_length + stripped == p.data
            && p.l3 - rsc.l3.min(p.l3) == stripped
            && rsc.length + payload.len() <= MAX_LENGTH
            && rsc.started < MAX_FRAMES
            && payload.len() <= size
            && (fits || rsc.descriptors < most && self.rx[q].ring.available() > 0);
        if !follows {
            return false;
        }
        // The last frame's acknowledge, window and options are the packet's.
        let l4 = p.l4 - stripped;
        rsc.header[l4 + 8..l4 + 12].copy_from_slice(&frame[p.l4 + 8..p.l4 + 12]);
        rsc.header[l4 + 13..l4 + 16].copy_from_slice(&frame[p.l4 + 13..p.l4 + 16]);
        rsc.header[l4 + 20..rsc.header_length].copy_from_slice(&frame[p.l4 + 20..p.data]);
        let now = payload.len().min(size - rsc.used.min(size));
        host.dma_write(
            function,
            rsc.address.wrapping_add(rsc.used as u64),
            &payload[..now],
        );
        rsc.used += now;
        rsc.started += 1;
        rsc.frames += 1;
        if now < payload.len() {
            let index = self.rx[q].ring.head();
            let Some(descriptor) = self.fetch(host, function, q) else {
                return false;
            };
            self.rx[q].ring.advance();
            // A descriptor in the middle says where the packet goes on.
            let status = rx::DD | (index & 0xFFFF) << 4;
            self.rsc_write_back(host, function, q, &rsc, status);
            rsc.index = index;
            rsc.address = descriptor[0] & !1;
            rsc.descriptors += 1;
            rsc.started = 0;
            rsc.used = payload.len() - now;
            host.dma_write(function, rsc.address, &payload[now..]);
        }
        rsc.length += payload.len();
        rsc.sequence = rsc.sequence.wrapping_add(payload.len() as u32);
        self.rx[q].rsc = rsc;
        if frame[p.l4 + 13] & TCP_PSH != 0 {
            self.rsc_close(host, q);
        }
        true
    }

    /// Writes a descriptor of a packet back.
    fn rsc_write_back<H: Host>(
        &mut self,
        host: &mut H,
        function: Function,
        q: usize,
        rsc: &Coalesced,
        status: u32,
    ) {
        let count = if rsc.frames > 1 {
            (rsc.started + 1) << 17
        } else {
            0
        };
        let low = u64::from(rsc.low | count) | u64::from(rsc.high) << 32;
        let high = u64::from(status) | (rsc.used as u64) << 32 | u64::from(rsc.vlan) << 48;
        let address = self.rx[q].ring.address(rsc.index);
        host.dma_write(function, address, &low.to_le_bytes());
        host.dma_write(function, address.wrapping_add(8), &high.to_le_bytes());
    }

    /// Completes the open packet of a queue.
    pub(crate) fn rsc_close<H: Host>(&mut self, host: &mut H, q: usize) {
        let mut rsc = self.rx[q].rsc;
        self.rx[q].rsc.open = false;
        self.rsc_queues &= !(1 << q);
        if !rsc.open || !self.rx[q].ring.enabled() {
            return;
        }
        let function = self.queue_function(q);
        if rsc.frames > 1 {
            let (l3, end) = (rsc.l3, rsc.header_length);
            let total = (rsc.length - l3) as u16;
            rsc.header[l3 + 2..l3 + 4].copy_from_slice(&total.to_be_bytes());
            rsc.header[l3 + 10..l3 + 12].fill(0);
            let sum = packet::fold(packet::sum(0, &rsc.header[l3..l3 + 20]));
            rsc.header[l3 + 10..l3 + 12].copy_from_slice(&sum.to_be_bytes());
            host.dma_write(function, rsc.first, &rsc.header[..end]);
        }
        let status = rsc.status | rx::DD | rx::EOP;
        self.rsc_write_back(host, function, q, &rsc, status);
        self.rx_done |= 1 << q;
    }

    /// Completes the packets whose time is over, and asks for the next.
    pub(crate) fn rsc_timer<H: Host>(&mut self, host: &mut H, now: u64) {
        let mut queues = self.rsc_queues;
        while queues != 0 {
            let q = queues.trailing_zeros() as usize;
            queues &= queues - 1;
            let until = self.rx[q].rsc.until;
            if until <= now {
                self.rsc_close(host, q);
            } else {
                self.want_wake(host, until);
            }
        }
    }
}
