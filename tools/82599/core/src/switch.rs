// SPDX-License-Identifier: GPL-2.0

//! Which queues a frame goes to: MAC and VLAN filters (datasheet 7.1.1), pools (7.10.3), the switch between the
//! port's functions (7.10.3.4), mirroring (7.10.3) and anti-spoofing (7.10.3.9.2).

use crate::QUEUES;
use crate::device::Device;
use crate::device::Function;
use crate::packet::Packet;
use crate::regs::at;

const FCTRL_MPE: u32 = 1 << 8;
const FCTRL_UPE: u32 = 1 << 9;
const FCTRL_BAM: u32 = 1 << 10;
const RAH_AV: u32 = 1 << 31;
const MCSTCTRL_MFE: u32 = 1 << 2;
const VLNCTRL_VFE: u32 = 1 << 30;
const VT_CTL_ENABLE: u32 = 1;
const VT_CTL_DIS_DEFPL: u32 = 1 << 29;
const VT_CTL_REPLEN: u32 = 1 << 30;
const VMOLR_AUPE: u32 = 1 << 24;
const VMOLR_ROMPE: u32 = 1 << 25;
const VMOLR_ROPE: u32 = 1 << 26;
const VMOLR_BAM: u32 = 1 << 27;
const VMOLR_MPE: u32 = 1 << 28;
const VLVF_VIEN: u32 = 1 << 31;
const MTQC_VT_ENA: u32 = 1 << 1;
const ETQF_EN: u32 = 1 << 31;
const ETQF_POOL_EN: u32 = 1 << 26;
const ETQS_QUEUE_EN: u32 = 1 << 31;
/// Rules of PFMRCTL.
const MIRRORS: u32 = 4;
const MRCTL_POOLS: u32 = 1;
const MRCTL_UPLINK: u32 = 1 << 1;
const MRCTL_DOWNLINK: u32 = 1 << 2;
const MRCTL_VLANS: u32 = 1 << 3;

/// Where a frame comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The wire, or the MAC's loopback.
    Wire,
    /// A pool of this port.
    Pool(u8),
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Pools; without virtualization bit 0 stands for the port.
    pub pools: u64,
    /// Whether a frame from a pool leaves the port, too.
    pub wire: bool,
    /// Whether only an inexact filter took it (descriptor bit PIF).
    pub inexact: bool,
}

/// The queue for one pool, and what the descriptor tells about the choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Absolute queue.
    pub queue: usize,
    /// RSS type and hash.
    pub hash: crate::rss::Hash,
    /// EtherType filter that matched.
    pub etqf: Option<u32>,
    /// Flow director's hash, if it is reported.
    pub fdir: Option<u32>,
    /// Whether the flow director has a filter; `None` if it was not asked.
    pub matched: Option<bool>,
    /// Flow director says drop.
    pub drop: bool,
}

impl Device {
    /// Queues of a pool, by GCR_EXT.VT_Mode. With virtualization off the windows are those of 64 pools.
    pub(crate) fn queues_per_pool(&self) -> usize {
        match self.reg(at::GCR_EXT) & 3 {
            1 => 8,
            2 => 4,
            _ => 2,
        }
    }

    pub(crate) fn virtualized(&self) -> bool {
        self.reg(at::VT_CTL) & VT_CTL_ENABLE != 0
    }

    /// The pool of a transmit queue.
    pub(crate) fn tx_pool(&self, q: usize) -> Option<u8> {
        let mtqc = self.reg(at::MTQC);
        if mtqc & MTQC_VT_ENA == 0 {
            return None;
        }
        let per_pool = match mtqc >> 2 & 3 {
            2 => 4,
            3 => 8,
            _ => 2,
        };
        Some((q / per_pool) as u8)
    }

    /// The VF that owns a queue, and the queue's number in it.
    pub(crate) fn queue_owner(&self, q: usize) -> Option<(u8, usize)> {
        if self.num_vfs == 0 || self.reg(at::GCR_EXT) & 3 == 0 {
            return None;
        }
        let per_pool = self.queues_per_pool();
        let pool = q / per_pool;
        (pool < usize::from(self.num_vfs)).then_some((pool as u8, q % per_pool))
    }

    /// The function whose requester id a queue uses.
    pub(crate) fn queue_function(&self, q: usize) -> Function {
        match self.queue_owner(q) {
            Some((n, _)) => Function::Vf(n),
            None => Function::Pf,
        }
    }

    /// The bit of a pool in a pair of registers (VFRE, VFTE).
    pub(crate) fn pool_enabled(&self, register: u32, pool: Option<u8>) -> bool {
        match pool {
            Some(n) => self.reg(register + 4 * u32::from(n / 32)) >> (n % 32) & 1 != 0,
            None => true,
        }
    }

    fn default_pool(&self) -> Option<u8> {
        let control = self.reg(at::VT_CTL);
        (control & VT_CTL_DIS_DEFPL == 0).then_some((control >> 7 & 0x3F) as u8)
    }

    /// The 12 bits of an address that MTA and PFUTA are indexed with (MCSTCTRL.MO).
    fn hash_index(&self, address: &[u8]) -> u32 {
        let high = u32::from(address[5]) << 8 | u32::from(address[4]);
        let shift = 4 - (self.reg(at::MCSTCTRL) & 3);
        high >> shift & 0xFFF
    }

    fn table_bit(&self, table: u32, index: u32) -> bool {
        self.reg(table + 4 * (index >> 5 & 0x7F)) >> (index & 0x1F) & 1 != 0
    }

    /// Pools whose VMOLR has a bit set.
    fn pools_with(&self, bit: u32) -> u64 {
        (0..64).fold(0, |pools, n| {
            pools | u64::from(self.reg(at::VMOLR + 4 * n) & bit != 0) << n
        })
    }

    /// Pools of the exact filters that hold an address, if one does.
    fn exact_pools(&self, address: &[u8]) -> Option<u64> {
        let low = u32::from_le_bytes([address[0], address[1], address[2], address[3]]);
        let high = u32::from_le_bytes([address[4], address[5], 0, 0]) | RAH_AV;
        let mut pools = None;
        for i in 0..128 {
            let entry = at::RAL + 8 * i;
            if self.reg(entry + 4) == high && self.reg(entry) == low {
                let words = (self.reg(at::MPSAR + 8 * i), self.reg(at::MPSAR + 8 * i + 4));
                let these = u64::from(words.0) | u64::from(words.1) << 32;
                pools = Some(pools.unwrap_or(0) | these);
            }
        }
        pools
    }

    fn vlan_in_table(&self, tag: u16) -> bool {
        self.table_bit(at::VFTA, u32::from(tag & 0xFFF))
    }

    /// The entry of VLVF that holds a VLAN.
    fn vlan_entry(&self, tag: u16) -> Option<u32> {
        let wanted = VLVF_VIEN | u32::from(tag & 0xFFF);
        (0..64).find(|i| self.reg(at::VLVF + 4 * i) == wanted)
    }

    /// Pools of a VLAN, if VLVF holds it.
    fn vlan_pools(&self, tag: u16) -> Option<u64> {
        let entry = self.vlan_entry(tag)?;
        let words = (
            self.reg(at::VLVFB + 8 * entry),
            self.reg(at::VLVFB + 8 * entry + 4),
        );
        Some(u64::from(words.0) | u64::from(words.1) << 32)
    }

    /// Filters a frame. The caller guarantees an Ethernet header.
    pub(crate) fn route(&self, frame: &[u8], p: &Packet, source: Source) -> Route {
        let filter_vlan = self.reg(at::VLNCTRL) & VLNCTRL_VFE != 0;
        if let Some(tag) = p.vlan {
            if filter_vlan && !self.vlan_in_table(tag) {
                return Route {
                    wire: true,
                    ..Route::default()
                };
            }
        }
        if self.virtualized() {
            self.route_pools(frame, p, source, filter_vlan)
        } else {
            self.route_port(frame)
        }
    }

    /// Without virtualization: is the frame for this port?
    fn route_port(&self, frame: &[u8]) -> Route {
        let control = self.reg(at::FCTRL);
        let destination = &frame[..6];
        let hashed = |table| {
            self.reg(at::MCSTCTRL) & MCSTCTRL_MFE != 0
                && self.table_bit(table, self.hash_index(destination))
        };
        let (exact, inexact) = if destination == [0xFF; 6] {
            (control & FCTRL_BAM != 0, control & FCTRL_MPE != 0)
        } else if destination[0] & 1 != 0 {
            (false, control & FCTRL_MPE != 0 || hashed(at::MTA))
        } else {
            (
                self.exact_pools(destination).is_some(),
                control & FCTRL_UPE != 0 || hashed(at::UTA),
            )
        };
        Route {
            pools: u64::from(exact || inexact),
            wire: false,
            inexact: !exact && inexact,
        }
    }

    fn route_pools(&self, frame: &[u8], p: &Packet, source: Source, filter_vlan: bool) -> Route {
        let control = self.reg(at::FCTRL);
        let destination = &frame[..6];
        let mut exact = false;
        let mut pools = if destination == [0xFF; 6] {
            self.pools_with(VMOLR_BAM)
        } else if destination[0] & 1 != 0 {
            let mut pools = self.pools_with(VMOLR_MPE);
            if self.reg(at::MCSTCTRL) & MCSTCTRL_MFE != 0
                && self.table_bit(at::MTA, self.hash_index(destination))
            {
                pools |= self.pools_with(VMOLR_ROMPE);
            }
            pools
        } else {
            let found = self.exact_pools(destination);
            exact = found.is_some();
            let hashed = !exact && self.table_bit(at::UTA, self.hash_index(destination));
            found.unwrap_or(0)
                | if hashed {
                    self.pools_with(VMOLR_ROPE)
                } else {
                    0
                }
        };
        // A promiscuous port's default pool takes what no other pool wants, from the wire.
        let promiscuous = if destination[0] & 1 != 0 {
            FCTRL_MPE
        } else {
            FCTRL_UPE
        };
        let taken = pools != 0 || exact || control & promiscuous != 0;
        if pools == 0 && taken && source == Source::Wire {
            pools = self.default_pool().map_or(0, |n| 1 << n);
        }
        match p.vlan {
            Some(tag) if filter_vlan => {
                // A VLAN without pools is the default pool's.
                pools &= match self.vlan_pools(tag) {
                    Some(members) => members,
                    None => self.default_pool().map_or(0, |n| 1 << n),
                };
            }
            Some(_) => {}
            None => pools &= self.pools_with(VMOLR_AUPE),
        }
        if source == Source::Wire {
            if let Some(n) = self.ethertype_pool(p) {
                pools = if taken { 1 << n } else { 0 };
            }
        }
        let sender = match source {
            Source::Pool(n) => 1 << n,
            Source::Wire => 0,
        };
        let wire = sender != 0 && (destination[0] & 1 != 0 || !exact || pools & !sender == 0);
        if self.reg(at::VT_CTL) & VT_CTL_REPLEN == 0 {
            pools &= pools.wrapping_neg();
        } else if taken || wire {
            pools |= self.mirrors(p, source, pools, wire);
        }
        Route {
            pools: pools & !sender,
            wire,
            inexact: !exact,
        }
    }

    /// Pools that get a copy of a frame on its way to `pools` and maybe to the wire.
    fn mirrors(&self, p: &Packet, source: Source, pools: u64, wire: bool) -> u64 {
        (0..MIRRORS).fold(0, |copies, rule| {
            let control = self.reg(at::PFMRCTL + 4 * rule);
            let has = |bit: u32| control & bit != 0;
            let pair = |table: u32| {
                let (low, high) = (self.reg(table + 4 * rule), self.reg(table + 16 + 4 * rule));
                u64::from(low) | u64::from(high) << 32
            };
            // The VLANs of a rule are entries of PFVLVF.
            let vlan = || {
                p.vlan
                    .and_then(|tag| self.vlan_entry(tag))
                    .is_some_and(|entry| pair(at::PFMRVLAN) >> entry & 1 != 0)
            };
            let copied = has(MRCTL_POOLS) && pools & pair(at::PFMRVM) != 0
                || has(MRCTL_UPLINK) && source == Source::Wire
                || has(MRCTL_DOWNLINK) && wire
                || has(MRCTL_VLANS) && vlan();
            copies | u64::from(copied) << (control >> 8 & 0x3F)
        })
    }

    /// The pool that an EtherType filter sends frames to.
    fn ethertype_pool(&self, p: &Packet) -> Option<u32> {
        let wanted = ETQF_EN | ETQF_POOL_EN | u32::from(p.ethertype);
        (0..8)
            .map(|i| self.reg(at::ETQF + 4 * i))
            .find(|etqf| etqf & (ETQF_EN | ETQF_POOL_EN | 0xFFFF) == wanted)
            .map(|etqf| etqf >> 20 & 0x3F)
    }

    /// The receive queue of a frame in a pool (datasheet 7.1.2).
    pub(crate) fn choose_queue(
        &self,
        frame: &[u8],
        p: &Packet,
        pool: Option<u8>,
        source: Source,
    ) -> Choice {
        let mut choice = Choice::default();
        (choice.hash, choice.queue) = self.default_queue(frame, p, pool);
        for i in 0..8 {
            let etqf = self.reg(at::ETQF + 4 * i);
            if etqf & ETQF_EN != 0 && etqf & 0xFFFF == u32::from(p.ethertype) {
                choice.etqf = Some(i);
                let select = self.reg(at::ETQS + 4 * i);
                if select & ETQS_QUEUE_EN != 0 && source == Source::Wire {
                    choice.hash = crate::rss::Hash::default();
                    choice.queue = (select >> 16 & 0x7F) as usize;
                    return choice;
                }
            }
        }
        if source == Source::Wire {
            if let Some(queue) = self.tuple_queue(frame, p, pool) {
                choice.queue = queue;
            } else if let Some(found) = self.fdir_match(frame, p, pool) {
                choice.matched = Some(found.is_some());
                if let Some(found) = found {
                    choice.drop = found.drop;
                    choice.queue = found.queue.unwrap_or(choice.queue);
                    choice.fdir = found.report.then_some(found.hash);
                }
            }
        }
        choice.queue = choice.queue.min(QUEUES - 1);
        choice
    }

    /// Whether a pool may not send this frame.
    pub(crate) fn spoofed(&self, pool: u8, frame: &[u8], p: &Packet) -> bool {
        let checks = self.reg(at::PFVFSPOOF + 4 * u32::from(pool / 8)) >> (pool % 8);
        let mac = checks & 1 != 0
            && self
                .exact_pools(&frame[6..12])
                .is_none_or(|pools| pools >> pool & 1 == 0);
        let vlan = checks >> 8 & 1 != 0
            && match p.vlan {
                Some(tag) => self
                    .vlan_pools(tag)
                    .is_none_or(|pools| pools >> pool & 1 == 0),
                None => self.reg(at::VMOLR + 4 * u32::from(pool)) & VMOLR_AUPE == 0,
            };
        mac || vlan
    }

    /// Counts a spoofed frame if PFVMECM asks for it.
    pub(crate) fn count_spoofed(&mut self, pool: u8) {
        if self.pool_enabled(at::VMECM, Some(pool)) {
            self.count(at::SSVPC, 1);
        }
    }
}
