// SPDX-License-Identifier: GPL-2.0

//! Flow director (datasheet 7.1.2.7 and 8.2.3.21): perfect match filters for IPv4. Hash (signature) filters are
//! accepted and never match, so such packets go where RSS sends them.

use crate::device::Device;
use crate::packet;
use crate::packet::Packet;
use crate::regs::at;

/// Most filters kept: the number for FDIRCTRL.PBALLOC of 256 KB, less one.
pub const FILTERS: usize = 8191;

const INIT_DONE: u32 = 1 << 3;
const PBALLOC: u32 = 3;
const PERFECT: u32 = 1 << 4;
const REPORT_STATUS: u32 = 1 << 5;
const CMD_ADD: u32 = 1;
const CMD_REMOVE: u32 = 2;
const CMD_QUERY: u32 = 3;
const CMD_VALID: u32 = 1 << 2;
const CMD_CLEARHT: u32 = 1 << 8;
const CMD_DROP: u32 = 1 << 9;
const CMD_QUEUE_EN: u32 = 1 << 15;
// FDIRM: a bit set takes the field out of the comparison.
const M_VLANID: u32 = 1;
const M_VLANP: u32 = 1 << 1;
const M_POOL: u32 = 1 << 2;
const M_L4P: u32 = 1 << 3;
const M_FLEX: u32 = 1 << 4;

#[derive(Clone, Copy, Debug, Default)]
struct Filter {
    /// FDIRHASH: bucket and software index, the filter's identity.
    hash: u32,
    source: u32,
    destination: u32,
    /// Destination port in the high half.
    ports: u32,
    /// Flexible bytes in the high half.
    vlan: u32,
    /// FDIRCMD.
    command: u32,
}

/// What a filter says about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Queue; `None` keeps the choice of RSS.
    pub queue: Option<usize>,
    /// Drop it.
    pub drop: bool,
    /// FDIRHASH for the descriptor.
    pub hash: u32,
    /// Whether the descriptor reports it.
    pub report: bool,
}

/// The filter table.
#[derive(Clone, Debug)]
pub struct FlowDirector {
    filters: Box<[Filter]>,
    used: usize,
}

impl Default for FlowDirector {
    fn default() -> Self {
        Self::new()
    }
}

impl FlowDirector {
    /// An empty table.
    pub fn new() -> Self {
        Self {
            filters: vec![Filter::default(); FILTERS].into_boxed_slice(),
            used: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    fn find(&self, hash: u32) -> Option<usize> {
        self.filters[..self.used]
            .iter()
            .position(|f| f.hash == hash)
    }
}

impl Device {
    fn fdir_capacity(&self) -> usize {
        match self.reg(at::FDIRCTRL) & PBALLOC {
            0 => 0,
            kind => (1024 << kind) - 1,
        }
    }

    pub(crate) fn fdir_write(&mut self, offset: u32, value: u32) {
        match offset {
            at::FDIRCTRL => {
                // A write of the register starts over with an empty table.
                self.fdir.clear();
                self.set_reg(offset, value | INIT_DONE);
                self.fdir_free();
            }
            at::FDIRCMD => self.fdir_command(value),
            _ => self.set_reg(offset, value),
        }
    }

    fn fdir_free(&mut self) {
        let free = self.fdir_capacity().saturating_sub(self.fdir.used) as u32;
        self.set_reg(at::FDIRFREE, free << 16 | free);
    }

    fn fdir_command(&mut self, value: u32) {
        let hash = self.reg(at::FDIRHASH);
        // The command field reads 0 when the command is done, which is at once.
        let mut result = value & !3;
        match value & 3 {
            _ if value & CMD_CLEARHT != 0 => self.fdir.clear(),
            CMD_ADD if self.reg(at::FDIRCTRL) & PERFECT != 0 => {
                let filter = Filter {
                    hash,
                    source: self.reg(at::FDIRIPSA),
                    destination: self.reg(at::FDIRIPDA),
                    ports: self.reg(at::FDIRPORT),
                    vlan: self.reg(at::FDIRVLAN),
                    command: value,
                };
                match self.fdir.find(hash) {
                    Some(i) => self.fdir.filters[i] = filter,
                    None if self.fdir.used < self.fdir_capacity() => {
                        self.fdir.filters[self.fdir.used] = filter;
                        self.fdir.used += 1;
                        self.count(at::FDIRUSTAT, 1);
                    }
                    None => self.count(0xEE54, 1),
                }
            }
            CMD_ADD => self.count(at::FDIRUSTAT, 1),
            CMD_REMOVE => {
                if let Some(i) = self.fdir.find(hash) {
                    self.fdir.used -= 1;
                    self.fdir.filters[i] = self.fdir.filters[self.fdir.used];
                    self.count(at::FDIRUSTAT, 1 << 16);
                } else {
                    self.count(0xEE54, 1 << 16);
                }
            }
            CMD_QUERY => {
                result &= !CMD_VALID;
                if self.fdir.find(hash).is_some() {
                    result |= CMD_VALID;
                }
            }
            _ => {}
        }
        self.fdir_free();
        self.set_reg(at::FDIRCMD, result);
    }

    /// Looks for a filter of a packet from the wire. Bounded by the table; free when it is empty.
    pub(crate) fn fdir_match(
        &mut self,
        frame: &[u8],
        p: &Packet,
        pool: Option<u8>,
    ) -> Option<Match> {
        let control = self.reg(at::FDIRCTRL);
        if control & PBALLOC == 0 || !p.ipv4 {
            return None;
        }
        if self.fdir.used == 0 {
            self.count(at::FDIRMISS, 1);
            return None;
        }
        let ignore = self.reg(at::FDIRM);
        let kind = match (p.data != 0, p.protocol) {
            (true, packet::UDP) => 1,
            (true, packet::TCP) => 2,
            (true, packet::SCTP) => 3,
            _ => 0,
        };
        // The port masks are stored bit by bit in reverse order; 1 takes the bit out of the comparison.
        let mask = self
            .reg(if kind == 1 {
                at::FDIRUDPM
            } else {
                at::FDIRTCPM
            })
            .reverse_bits()
            .rotate_left(16);
        let ports =
            u32::from(packet::be16(frame, p.l4 + 2)) << 16 | u32::from(packet::be16(frame, p.l4));
        // Addresses and flexible bytes are kept as they stand in the packet.
        let source = packet::be32(frame, p.l3 + 12).swap_bytes();
        let destination = packet::be32(frame, p.l3 + 16).swap_bytes();
        let (source_mask, destination_mask) = (!self.reg(at::FDIRSIP4M), !self.reg(at::FDIRDIP4M));
        let mut vlan_mask = 0u32;
        if ignore & M_VLANID == 0 {
            vlan_mask |= 0x0FFF;
        }
        if ignore & M_VLANP == 0 {
            vlan_mask |= 0xE000;
        }
        // Flexible bytes: the word at FDIRCTRL.Flex_Offset.
        let mut vlan = u32::from(p.vlan.unwrap_or(0));
        if ignore & M_FLEX == 0 {
            vlan_mask |= 0xFFFF_0000;
            let offset = 2 * (control >> 16 & 0x1F) as usize;
            vlan |= u32::from(packet::be16(frame, offset).swap_bytes()) << 16;
        }
        let pool = u32::from(pool.unwrap_or(0));
        let found = self.fdir.filters[..self.fdir.used].iter().find(|f| {
            (f.source ^ source) & source_mask == 0
                && (f.destination ^ destination) & destination_mask == 0
                && (ignore & M_L4P != 0 || f.command >> 5 & 3 == kind)
                && (kind == 0 || (f.ports ^ ports) & !mask == 0)
                && (f.vlan ^ vlan) & vlan_mask == 0
                && (ignore & M_POOL != 0 || f.command >> 24 & 0x3F == pool)
        });
        let Some(filter) = found.copied() else {
            self.count(at::FDIRMISS, 1);
            return None;
        };
        self.count(at::FDIRMATCH, 1);
        Some(Match {
            queue: (filter.command & CMD_QUEUE_EN != 0)
                .then_some((filter.command >> 16 & 0x7F) as usize),
            drop: filter.command & CMD_DROP != 0,
            hash: filter.hash,
            report: control & REPORT_STATUS != 0,
        })
    }
}
