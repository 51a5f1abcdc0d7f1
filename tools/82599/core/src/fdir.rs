// SPDX-License-Identifier: GPL-2.0

//! Flow director (datasheet 7.1.2.7 and 8.2.3.21): perfect match filters for IPv4, hash (signature) filters for
//! IPv4 and IPv6.

use crate::device::Device;
use crate::device::Host;
use crate::irq;
use crate::packet;
use crate::packet::Packet;
use crate::regs::at;

/// Most filters kept: the number for FDIRCTRL.PBALLOC of 256 KB, less one.
pub const FILTERS: usize = 8191;
/// Most hash filters kept; a filter takes a quarter of a perfect match filter's memory.
pub const SIGNATURES: usize = 4 * (FILTERS + 1) - 2;

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
const M_DIPV6: u32 = 1 << 5;
/// The bucket, and the signature, have 15 bits.
const HASH_MASK: u32 = 0x7FFF;
/// FDIRHASH: signature and bucket. Bit 15 says that software gave a bucket.
const SIGNATURE_MASK: u32 = HASH_MASK << 16 | HASH_MASK;

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
    /// Hash filters, FDIRHASH and FDIRCMD, in the order of the hashes.
    signatures: Box<[(u32, u32)]>,
    signatures_used: usize,
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
            signatures: vec![(0, 0); SIGNATURES].into_boxed_slice(),
            signatures_used: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.signatures_used = 0;
    }

    /// The place of a hash filter, or the one where it belongs.
    fn find_signature(&self, hash: u32) -> Result<usize, usize> {
        self.signatures[..self.signatures_used].binary_search_by_key(&hash, |f| f.0)
    }

    fn add_signature(&mut self, place: usize, hash: u32, command: u32) {
        self.signatures
            .copy_within(place..self.signatures_used, place + 1);
        self.signatures[place] = (hash, command);
        self.signatures_used += 1;
    }

    fn remove_signature(&mut self, place: usize) {
        self.signatures
            .copy_within(place + 1..self.signatures_used, place);
        self.signatures_used -= 1;
    }

    fn find(&self, hash: u32) -> Option<usize> {
        self.filters[..self.used]
            .iter()
            .position(|f| f.hash == hash)
    }
}

/// One of the two hashes of a packet (datasheet 7.1.2.7). The input is a row of dwords: `first` has pool, flow
/// type and tag, `rest` is the sum modulo 2 of all others, which is all that a key of 32 bits that repeats can tell of
/// them. Bit n of the key adds the input from bit n on. The first dword has no neighbour in front of it, so bit 0 of the key
/// does not see it in its low half.
fn hash(key: u32, first: u32, rest: u32) -> u32 {
    let high = rest ^ first ^ first >> 16;
    let low = rest.rotate_left(16);
    let (with_first, mut hash) = (low ^ first ^ first << 16, 0);
    for n in 0..16 {
        if key >> n & 1 != 0 {
            hash ^= if n == 0 { low } else { with_first } >> n;
        }
        if key >> (16 + n) & 1 != 0 {
            hash ^= high >> n;
        }
    }
    hash & HASH_MASK
}

/// The flow type as FDIRCMD has it: 0 other, 1 UDP, 2 TCP, 3 SCTP.
fn flow_type(p: &Packet) -> u32 {
    match (p.data != 0, p.protocol) {
        (true, packet::UDP) => 1,
        (true, packet::TCP) => 2,
        (true, packet::SCTP) => 3,
        _ => 0,
    }
}

impl Device {
    fn fdir_perfect(&self) -> bool {
        self.reg(at::FDIRCTRL) & PERFECT != 0
    }

    fn fdir_capacity(&self) -> usize {
        match (self.reg(at::FDIRCTRL) & PBALLOC, self.fdir_perfect()) {
            (0, _) => 0,
            (kind, true) => (1024 << kind) - 1,
            (kind, false) => 4 * (1024 << kind) - 2,
        }
    }

    fn fdir_used(&self) -> usize {
        if self.fdir_perfect() {
            self.fdir.used
        } else {
            self.fdir.signatures_used
        }
    }

    pub(crate) fn fdir_write<H: Host>(&mut self, host: &mut H, offset: u32, value: u32) {
        match offset {
            at::FDIRCTRL => {
                // A write of the register starts over with an empty table.
                self.fdir.clear();
                self.set_reg(offset, value | INIT_DONE);
                self.fdir_free();
            }
            at::FDIRCMD => self.fdir_command(host, value),
            _ => self.set_reg(offset, value),
        }
    }

    fn fdir_free(&mut self) -> usize {
        let free = self.fdir_capacity().saturating_sub(self.fdir_used());
        self.set_reg(at::FDIRFREE, free as u32);
        free
    }

    /// Counts in a half of FDIRUSTAT, or a quarter of FDIRFSTAT.
    fn fdir_count(&mut self, offset: u32, shift: u32, bits: u32) {
        let (value, mask) = (self.reg(offset), (1 << bits) - 1);
        let field = (value >> shift).wrapping_add(1) & mask;
        self.set_reg(offset, value & !(mask << shift) | field << shift);
    }

    fn fdir_added(&mut self) {
        self.fdir_count(at::FDIRUSTAT, 0, 16);
    }

    fn fdir_removed(&mut self, was_there: bool) {
        if was_there {
            self.fdir_count(at::FDIRUSTAT, 16, 16);
        } else {
            self.fdir_count(at::FDIRFSTAT, 8, 8);
        }
    }

    fn fdir_command<H: Host>(&mut self, host: &mut H, value: u32) {
        let hash = self.reg(at::FDIRHASH);
        let before = self.fdir_used();
        // The command field reads 0 when the command is done, which is at once.
        let mut result = value & !3;
        match value & 3 {
            _ if value & CMD_CLEARHT != 0 => self.fdir.clear(),
            CMD_ADD if self.fdir_perfect() => {
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
                        self.fdir_added();
                    }
                    None => self.fdir_count(at::FDIRFSTAT, 0, 8),
                }
            }
            CMD_ADD => {
                let hash = hash & SIGNATURE_MASK;
                match self.fdir.find_signature(hash) {
                    Ok(i) => self.fdir.signatures[i].1 = value,
                    Err(i) if self.fdir.signatures_used < self.fdir_capacity() => {
                        self.fdir.add_signature(i, hash, value);
                        self.fdir_added();
                    }
                    Err(_) => self.fdir_count(at::FDIRFSTAT, 0, 8),
                }
            }
            CMD_REMOVE if self.fdir_perfect() => {
                let found = self.fdir.find(hash);
                if let Some(i) = found {
                    self.fdir.used -= 1;
                    self.fdir.filters[i] = self.fdir.filters[self.fdir.used];
                }
                self.fdir_removed(found.is_some());
            }
            CMD_REMOVE => {
                let found = self.fdir.find_signature(hash & SIGNATURE_MASK);
                if let Ok(i) = found {
                    self.fdir.remove_signature(i);
                }
                self.fdir_removed(found.is_ok());
            }
            CMD_QUERY => {
                result &= !CMD_VALID;
                let found = if self.fdir_perfect() {
                    self.fdir.find(hash).is_some()
                } else {
                    self.fdir.find_signature(hash & SIGNATURE_MASK).is_ok()
                };
                if found {
                    result |= CMD_VALID;
                }
            }
            _ => {}
        }
        let free = self.fdir_free();
        self.set_reg(at::FDIRCMD, result);
        // The driver starts over with an empty table when it hears that this one is nearly full.
        let threshold = 16 * (self.reg(at::FDIRCTRL) >> 28) as usize;
        if self.fdir_used() > before && free <= threshold {
            self.raise_other(host, irq::FLOW_DIRECTOR);
        }
    }

    /// A packet's flexible bytes: the word at FDIRCTRL.Flex_Offset.
    fn flexible(&self, frame: &[u8]) -> u16 {
        packet::be16(frame, 2 * (self.reg(at::FDIRCTRL) >> 16 & 0x1F) as usize)
    }

    /// A packet's tag as FDIRM lets it be seen: the field, and its mask.
    fn fdir_tag(&self, p: &Packet) -> (u32, u32) {
        let ignore = self.reg(at::FDIRM);
        let mut mask = 0;
        if ignore & M_VLANID == 0 {
            mask |= 0x0FFF;
        }
        if ignore & M_VLANP == 0 {
            mask |= 0xE000;
        }
        (u32::from(p.vlan.unwrap_or(0)), mask)
    }

    /// The hash filter of a packet.
    fn fdir_match_signature(
        &self,
        frame: &[u8],
        p: &Packet,
        pool: Option<u8>,
    ) -> Option<(u32, u32)> {
        let ignore = self.reg(at::FDIRM);
        let (tag, tag_mask) = self.fdir_tag(p);
        let mut first = tag & tag_mask;
        if ignore & M_L4P == 0 {
            first |= (flow_type(p) | u32::from(p.ipv6) << 2) << 16;
        }
        if ignore & M_POOL == 0 {
            first |= u32::from(pool.unwrap_or(0)) << 24;
        }
        let words = |from: usize, to: usize| {
            (from..to)
                .step_by(4)
                .fold(0, |sum, at| sum ^ packet::be32(frame, at))
        };
        let mut rest = if p.ipv4 {
            words(p.l3 + 12, p.l3 + 20)
        } else if ignore & M_DIPV6 != 0 {
            words(p.l3 + 8, p.l3 + 24)
        } else {
            words(p.l3 + 8, p.l3 + 40)
        };
        if p.data != 0 {
            rest ^= packet::be32(frame, p.l4);
        }
        if ignore & M_FLEX == 0 {
            rest ^= u32::from(self.flexible(frame)) << 16;
        }
        let wanted = hash(self.reg(at::FDIRSKEY), first, rest) << 16
            | hash(self.reg(at::FDIRHKEY), first, rest);
        let place = self.fdir.find_signature(wanted).ok()?;
        Some(self.fdir.signatures[place])
    }

    /// The perfect match filter of a packet. Bounded by the table.
    fn fdir_match_perfect(&self, frame: &[u8], p: &Packet, pool: Option<u8>) -> Option<(u32, u32)> {
        let ignore = self.reg(at::FDIRM);
        let kind = flow_type(p);
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
        let (mut vlan, mut vlan_mask) = self.fdir_tag(p);
        if ignore & M_FLEX == 0 {
            vlan_mask |= 0xFFFF_0000;
            vlan |= u32::from(self.flexible(frame).swap_bytes()) << 16;
        }
        let pool = u32::from(pool.unwrap_or(0));
        let found = self.fdir.filters[..self.fdir.used].iter().find(|f| {
            (f.source ^ source) & source_mask == 0
                && (f.destination ^ destination) & destination_mask == 0
                && (ignore & M_L4P != 0 || f.command >> 5 & 3 == kind)
                && (kind == 0 || (f.ports ^ ports) & !mask == 0)
                && (f.vlan ^ vlan) & vlan_mask == 0
                && (ignore & M_POOL != 0 || f.command >> 24 & 0x3F == pool)
        })?;
        Some((found.hash, found.command))
    }

    /// Looks for a filter of a packet from the wire: `None` if the flow director is off for it, then whether there is one.
    pub(crate) fn fdir_match(
        &self,
        frame: &[u8],
        p: &Packet,
        pool: Option<u8>,
    ) -> Option<Option<Match>> {
        let control = self.reg(at::FDIRCTRL);
        let perfect = self.fdir_perfect();
        if control & PBALLOC == 0 || !p.ipv4 && (perfect || !p.ipv6) {
            return None;
        }
        let found = match (self.fdir_used(), perfect) {
            (0, _) => None,
            (_, true) => self.fdir_match_perfect(frame, p, pool),
            (_, false) => self.fdir_match_signature(frame, p, pool),
        };
        Some(found.map(|(hash, command)| Match {
            queue: (command & CMD_QUEUE_EN != 0).then_some((command >> 16 & 0x7F) as usize),
            drop: perfect && command & CMD_DROP != 0,
            hash,
            report: control & REPORT_STATUS != 0,
        }))
    }

    /// Counts what [`Device::fdir_match`] found.
    pub(crate) fn fdir_count_match(&mut self, found: bool) {
        self.count(if found { at::FDIRMATCH } else { at::FDIRMISS }, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_sum_of_shifted_inputs() {
        // One bit of the key picks one window of the input.
        assert_eq!(hash(1, 0, 0x1234_5678), 0x1234);
        assert_eq!(hash(1 << 16, 0, 0x1234_5678), 0x5678);
        assert_eq!(hash(1 << 20, 0, 0x1234_5678), 0x4567);
        // The first dword is not seen by bit 0 of the key.
        assert_eq!(hash(1, 0xABCD, 0), 0);
        assert_eq!(hash(2, 0xABCC, 0), 0xABCC >> 1);
        // Linear, as a sum modulo 2 is.
        let (key, a, b) = (0x3DAD_14E2, 0x0002_0005, 0xC0A8_0105);
        assert_eq!(hash(key, a, 0) ^ hash(key, 0, b), hash(key, a, b));
    }
}
