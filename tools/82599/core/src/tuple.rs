// SPDX-License-Identifier: GPL-2.0

//! Filters that send a TCP connection's first packet, or a flow, to a queue: SYN packet filter (datasheet 7.1.2.6) and
//! 128 L3/L4 5-tuple filters for IPv4 (7.1.2.5).

use crate::device::Device;
use crate::packet;
use crate::packet::Packet;
use crate::regs::at;

const TCP_SYN: u8 = 0x02;
const SYNQF_ENABLE: u32 = 1;
const SYNQF_FIRST: u32 = 1 << 31;
const FTQF_ENABLE: u32 = 1 << 31;
// A bit takes the field out of the comparison.
const FTQF_M_SOURCE: u32 = 1 << 25;
const FTQF_M_DESTINATION: u32 = 1 << 26;
const FTQF_M_SOURCE_PORT: u32 = 1 << 27;
const FTQF_M_DESTINATION_PORT: u32 = 1 << 28;
const FTQF_M_PROTOCOL: u32 = 1 << 29;
const FTQF_M_POOL: u32 = 1 << 30;

impl Device {
    pub(crate) fn ftqf_write(&mut self, offset: u32, value: u32) {
        self.set_reg(offset, value);
        let bit = 1u128 << ((offset - at::FTQF) / 4);
        if value & FTQF_ENABLE != 0 {
            self.five_tuples |= bit;
        } else {
            self.five_tuples &= !bit;
        }
    }

    /// The queue that one of these filters chooses.
    pub(crate) fn tuple_queue(&self, frame: &[u8], p: &Packet, pool: Option<u8>) -> Option<usize> {
        let synqf = self.reg(at::SYNQF);
        let syn = || {
            (synqf & SYNQF_ENABLE != 0
                && p.protocol == packet::TCP
                && p.data != 0
                && frame[p.l4 + 13] & TCP_SYN != 0)
                .then_some((synqf >> 1 & 0x7F) as usize)
        };
        if synqf & SYNQF_FIRST != 0 {
            syn().or_else(|| self.five_tuple_queue(frame, p, pool))
        } else {
            self.five_tuple_queue(frame, p, pool).or_else(syn)
        }
    }

    /// The match with the highest priority; among equals the first.
    fn five_tuple_queue(&self, frame: &[u8], p: &Packet, pool: Option<u8>) -> Option<usize> {
        let mut enabled = self.five_tuples;
        if enabled == 0 || !p.ipv4 {
            return None;
        }
        let protocol = match (p.data != 0, p.protocol) {
            (true, packet::TCP) => 0,
            (true, packet::UDP) => 1,
            (true, packet::SCTP) => 2,
            _ => 3,
        };
        // Addresses and ports are kept as they stand in the packet; other protocols have no ports to compare.
        let source = packet::be32(frame, p.l3 + 12).swap_bytes();
        let destination = packet::be32(frame, p.l3 + 16).swap_bytes();
        let ports = packet::be32(frame, p.l4).swap_bytes();
        let mut best: Option<(u32, usize)> = None;
        while enabled != 0 {
            let i = enabled.trailing_zeros();
            enabled &= enabled - 1;
            let rule = self.reg(at::FTQF + 4 * i);
            let wanted = |mask: u32| rule & mask == 0;
            let differ = self.reg(at::SDPQF + 4 * i) ^ ports;
            let matches = !(wanted(FTQF_M_PROTOCOL) && rule & 3 != protocol
                || wanted(FTQF_M_SOURCE) && self.reg(at::SAQF + 4 * i) != source
                || wanted(FTQF_M_DESTINATION) && self.reg(at::DAQF + 4 * i) != destination
                || wanted(FTQF_M_SOURCE_PORT) && (protocol == 3 || differ & 0xFFFF != 0)
                || wanted(FTQF_M_DESTINATION_PORT) && (protocol == 3 || differ >> 16 != 0)
                || wanted(FTQF_M_POOL) && pool.is_some_and(|n| rule >> 8 & 0x3F != u32::from(n)));
            let priority = rule >> 2 & 7;
            if matches && best.is_none_or(|(highest, _)| priority > highest) {
                let queue = self.reg(at::L34T_IMIR + 4 * i) >> 21 & 0x7F;
                best = Some((priority, queue as usize));
            }
        }
        best.map(|(_, queue)| queue)
    }
}
