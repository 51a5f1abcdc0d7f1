// SPDX-License-Identifier: GPL-2.0

//! What the physical function (PF) of an 82576 grants its virtual functions (VFs), and the filters that follow.
//!
//! A [`Switch`] holds what the PF wants for itself, what the administrator has set for each VF, and what each VF has
//! asked for by mailbox. The registers of the filters are a function of that state: a driver writes those that
//! differ from what it wrote last, and all of them after a reset.
//!
//! A VF is never trusted. It gets a share of each table that no other VF can use up, no address that belongs to
//! somebody else, and nothing at all before it has shaken hands ([`Request::Reset`]).
//!
//! Pools are fixed: VF n has pool n, and the PF has the last one however many VFs there are.

use crate::{
    mailbox::{
        Hashes,
        NoRequest,
        Request,
        ACK,
        CTS,
        INFO_MASK,
        NACK,
        RESET,
        WORDS, //
    },
    pf82576::{
        DTXSWC,
        POOLS,
        POOL_VLANS,
        RAH,
        RECEIVE_ADDRESSES,
        VLVF,
        VMOLR,
        VMVIR,
        VT_CTL, //
    },
};

/// Most virtual functions: one pool is the PF's.
pub const MAX_VFS: usize = POOLS - 1;
/// Pool of the PF.
pub const PF_POOL: usize = MAX_VFS;
/// Largest frame in bytes that the device handles.
pub const MAX_FRAME: u32 = 9728;
/// Frame that a VF may receive without asking for more: 1500 bytes, header, tag, check sequence.
const DEFAULT_FRAME: u32 = 1522;
/// Smallest frame size that a VF may ask for.
const MIN_FRAME: u32 = 64;
/// Words of a 4096-bit table.
pub const TABLE_WORDS: usize = 128;

/// Entries of the MAC filter that are not anybody's first address.
const FURTHER: usize = RECEIVE_ADDRESSES - POOLS;
/// Most further addresses of one VF.
const MAX_FURTHER: usize = 3;
/// Most VLANs of one VF.
const MAX_VF_VLANS: usize = 16;
/// Length of a VLAN tag in bytes.
const VLAN_TAG: u32 = 4;

/// What the PF itself wants to receive.
#[derive(Clone, Debug)]
pub struct Physical {
    /// MAC address.
    pub mac: [u8; 6],
    further: [[u8; 6]; FURTHER],
    further_count: usize,
    /// Multicast hashes, one bit each.
    pub hashes: [u32; TABLE_WORDS],
    /// VLANs, one bit each.
    pub vlans: [u32; TABLE_WORDS],
    /// Receives all multicast.
    pub all_multicast: bool,
    /// Receives everything.
    pub promiscuous: bool,
    /// Largest frame in bytes.
    pub max_frame: u32,
    /// Distributes over two queues while there are VFs.
    pub two_queues: bool,
}

/// What the link of a VF follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The link of the port.
    Auto,
    /// The link of the port: the hardware has no other way to be up.
    Enable,
    /// Cut off.
    Disable,
}

/// What the administrator has set for a VF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Administration {
    /// MAC address that the VF must use.
    pub mac: Option<[u8; 6]>,
    /// VLAN and priority that the VF is put into, without seeing them. 0 = none.
    pub vlan: u16,
    /// Priority, 0 to 7.
    pub qos: u8,
    /// Transmit rate in Mb/s; 0 = no limit.
    pub rate: u32,
    /// Drops packets with forged source addresses or VLANs.
    pub spoof_check: bool,
    /// May change its MAC address and receive all multicast.
    pub trusted: bool,
    /// What the VF's link follows.
    pub link: LinkState,
}

impl Administration {
    const fn new() -> Self {
        Self {
            mac: None,
            vlan: 0,
            qos: 0,
            rate: 0,
            spoof_check: true,
            trusted: false,
            link: LinkState::Auto,
        }
    }
}

/// A VF.
#[derive(Clone, Copy, Debug)]
struct Virtual {
    admin: Administration,
    /// It has shaken hands since its last reset, and the PF's.
    clear_to_send: bool,
    /// The address that it uses.
    mac: Option<[u8; 6]>,
    further: [[u8; 6]; MAX_FURTHER],
    further_count: usize,
    hashes: Hashes,
    vlans: [u16; MAX_VF_VLANS],
    vlan_count: usize,
    max_frame: u32,
    all_multicast: bool,
}

impl Virtual {
    const fn new() -> Self {
        Self {
            admin: Administration::new(),
            clear_to_send: false,
            mac: None,
            further: [[0; 6]; MAX_FURTHER],
            further_count: 0,
            hashes: Hashes::none(),
            vlans: [0; MAX_VF_VLANS],
            vlan_count: 0,
            max_frame: DEFAULT_FRAME,
            all_multicast: false,
        }
    }

    fn further(&self) -> &[[u8; 6]] {
        &self.further[..self.further_count]
    }

    fn vlans(&self) -> &[u16] {
        &self.vlans[..self.vlan_count]
    }

    /// Whether the VF may receive and send.
    const fn active(&self) -> bool {
        self.clear_to_send && !matches!(self.admin.link, LinkState::Disable)
    }

    /// Forgets what the VF has asked for; its address stays.
    fn forget(&mut self) {
        *self = Self {
            admin: self.admin,
            mac: self.mac,
            ..Self::new()
        };
    }

    fn is_member(&self, vid: u16) -> bool {
        match self.admin.vlan {
            0 => self.vlans().contains(&vid),
            own => own == vid,
        }
    }
}

/// What the PF answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    words: [u32; 3],
    len: usize,
}

impl Reply {
    /// The words to put into the mailbox memory.
    pub fn words(&self) -> &[u32] {
        &self.words[..self.len]
    }

    /// Whether the request was granted.
    pub const fn granted(&self) -> bool {
        self.words[0] & ACK != 0
    }
}

/// Why the administrator's or the PF's own wish cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such VF.
    NoSuchVf,
    /// The address belongs to another function.
    Address,
    /// A value that is out of range.
    Value,
    /// The PF has more VLANs than its share of the table of pools.
    Vlans,
}

/// The switch between the functions of a port.
#[derive(Clone, Debug)]
pub struct Switch {
    pf: Physical,
    vfs: [Virtual; MAX_VFS],
    count: usize,
    /// VLANs by entry of the table of pools. Entries keep their place: one that moved would be missing for a moment.
    vlan_entries: [Option<u16>; POOL_VLANS],
    /// VFs that do not know yet that they have to shake hands again, one bit each.
    untold: u32,
}

const fn bit(table: &[u32; TABLE_WORDS], at: u16) -> bool {
    table[at as usize / 32] >> (at % 32) & 1 != 0
}

impl Default for Switch {
    fn default() -> Self {
        Self::new()
    }
}

impl Switch {
    /// A port without VFs, whose PF receives broadcast.
    pub const fn new() -> Self {
        Self {
            pf: Physical {
                mac: [0; 6],
                further: [[0; 6]; FURTHER],
                further_count: 0,
                hashes: [0; TABLE_WORDS],
                vlans: [0; TABLE_WORDS],
                all_multicast: false,
                promiscuous: false,
                max_frame: DEFAULT_FRAME,
                two_queues: false,
            },
            vfs: [Virtual::new(); MAX_VFS],
            count: 0,
            vlan_entries: [None; POOL_VLANS],
            untold: 0,
        }
    }

    /// Number of VFs.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// What the PF wants.
    pub const fn pf(&self) -> &Physical {
        &self.pf
    }

    /// Further addresses that each VF can have while there are `count` VFs.
    pub const fn further_share(count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        let share = (FURTHER - 2) / count;
        if share < MAX_FURTHER {
            share
        } else {
            MAX_FURTHER
        }
    }

    /// VLANs that each VF can have while there are `count` VFs. The rest of the table is the PF's.
    pub const fn vlan_share(count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        let share = 24 / count;
        if share < MAX_VF_VLANS {
            share
        } else {
            MAX_VF_VLANS
        }
    }

    /// VLANs that the PF can have: all of them without VFs.
    pub const fn pf_vlan_share(count: usize) -> usize {
        if count == 0 {
            4096
        } else {
            POOL_VLANS - count * Self::vlan_share(count)
        }
    }

    fn pf_vlan_count(&self) -> usize {
        self.pf
            .vlans
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Begins anew with `count` VFs, of which nothing is known.
    ///
    /// # Errors
    ///
    /// [`Refusal::Value`] for too many, [`Refusal::Vlans`] when the PF has too many VLANs for that.
    pub fn enable(&mut self, count: usize) -> Result<(), Refusal> {
        if count > MAX_VFS {
            return Err(Refusal::Value);
        }
        if self.pf_vlan_count() > Self::pf_vlan_share(count) {
            return Err(Refusal::Vlans);
        }
        self.count = count;
        self.untold = 0;
        self.vfs = [Virtual::new(); MAX_VFS];
        self.place_vlans();
        Ok(())
    }

    /// The device was reset: every VF has to shake hands again.
    pub fn device_reset(&mut self) {
        for vf in &mut self.vfs {
            vf.forget();
        }
        self.place_vlans();
    }

    /// A VF was reset at function level. An address of its own choice goes with it. Returns whether anything has changed.
    pub fn function_reset(&mut self, vf: usize) -> bool {
        let Some(vf) = self.vfs[..self.count].get_mut(vf) else {
            return false;
        };
        // Without a handshake it has got nothing.
        let changed = vf.clear_to_send || vf.mac != vf.admin.mac;
        if changed {
            vf.forget();
            vf.mac = vf.admin.mac;
            self.place_vlans();
        }
        changed
    }

    /// VFs that have to shake hands again and were not told yet, one bit each. They are forgotten here.
    pub fn take_untold(&mut self) -> u32 {
        core::mem::take(&mut self.untold)
    }

    /// Whether `mac` is used by another function than the owner of `pool`.
    fn taken(&self, mac: [u8; 6], pool: usize) -> bool {
        let pf = pool != PF_POOL && (self.pf.mac == mac || self.pf_further().contains(&mac));
        pf || self.vfs[..self.count].iter().enumerate().any(|(i, vf)| {
            i != pool
                && (vf.mac == Some(mac) || vf.admin.mac == Some(mac) || vf.further().contains(&mac))
        })
    }

    fn pf_further(&self) -> &[[u8; 6]] {
        &self.pf.further[..self.pf.further_count]
    }

    /// Whether the administrator has given an address to a VF.
    fn given(&self, mac: [u8; 6]) -> bool {
        self.vfs[..self.count]
            .iter()
            .any(|vf| vf.admin.mac == Some(mac))
    }

    /// Sets the PF's MAC address. It is taken from a VF that has chosen it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Address`] when the administrator has given it to a VF.
    pub fn set_pf_mac(&mut self, mac: [u8; 6]) -> Result<(), Refusal> {
        if self.given(mac) {
            return Err(Refusal::Address);
        }
        self.take_from_others(mac, PF_POOL);
        self.place_vlans();
        self.pf.mac = mac;
        Ok(())
    }

    /// Replaces what the PF wants besides its address and VLANs. Of the further addresses those are left out that
    /// the administrator has given to a VF, or that do not fit; whether all are in is returned.
    pub fn set_pf_mode(
        &mut self,
        further: impl IntoIterator<Item = [u8; 6]>,
        hashes: &[u32; TABLE_WORDS],
        all_multicast: bool,
        promiscuous: bool,
    ) -> bool {
        let room = FURTHER - self.count * Self::further_share(self.count);
        self.pf.further_count = 0;
        let mut all = true;
        for mac in further {
            if self.pf.further_count < room && !self.given(mac) {
                self.take_from_others(mac, PF_POOL);
                self.pf.further[self.pf.further_count] = mac;
                self.pf.further_count += 1;
            } else {
                all = false;
            }
        }
        self.place_vlans();
        self.pf.hashes = *hashes;
        self.pf.all_multicast = all_multicast;
        self.pf.promiscuous = promiscuous;
        all
    }

    /// Sets the largest frame of the PF in bytes.
    pub fn set_pf_max_frame(&mut self, bytes: u32) {
        self.pf.max_frame = bytes.min(MAX_FRAME);
    }

    /// Sets whether the PF uses two queues while there are VFs.
    pub fn set_pf_two_queues(&mut self, two: bool) {
        self.pf.two_queues = two;
    }

    /// Adds a VLAN of the PF, or removes it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Vlans`] when its share is used up.
    pub fn set_pf_vlan(&mut self, vid: u16, add: bool) -> Result<(), Refusal> {
        let word = self
            .pf
            .vlans
            .get_mut(usize::from(vid) / 32)
            .ok_or(Refusal::Value)?;
        let mask = 1 << (vid % 32);
        let old = *word;
        *word = if add { old | mask } else { old & !mask };
        if self.pf_vlan_count() > Self::pf_vlan_share(self.count) {
            self.pf.vlans[usize::from(vid) / 32] = old;
            return Err(Refusal::Vlans);
        }
        self.place_vlans();
        Ok(())
    }

    /// Replaces all VLANs of the PF. Those beyond its share are left out; whether all are in is returned.
    pub fn set_pf_vlans(&mut self, vids: impl IntoIterator<Item = u16>) -> bool {
        let share = Self::pf_vlan_share(self.count);
        self.pf.vlans = [0; TABLE_WORDS];
        let mut all = true;
        for vid in vids {
            let fits = self.pf_vlan_count() < share || bit(&self.pf.vlans, vid);
            match self.pf.vlans.get_mut(usize::from(vid) / 32) {
                Some(word) if fits => *word |= 1 << (vid % 32),
                _ => all = false,
            }
        }
        self.place_vlans();
        all
    }

    /// What the administrator has set for a VF, and the address that it uses.
    pub fn administration(&self, vf: usize) -> Option<(Administration, Option<[u8; 6]>)> {
        self.vfs[..self.count].get(vf).map(|vf| (vf.admin, vf.mac))
    }

    /// Changes what the administrator has set for a VF.
    ///
    /// # Errors
    ///
    /// When there is no such VF, the address is not free, or a value is out of range; nothing is changed then.
    pub fn administer(
        &mut self,
        vf: usize,
        change: impl FnOnce(&mut Administration),
    ) -> Result<(), Refusal> {
        let mut admin = self.vfs[..self.count]
            .get(vf)
            .ok_or(Refusal::NoSuchVf)?
            .admin;
        let before = admin;
        change(&mut admin);
        if let Some(mac) = admin.mac {
            if mac[0] & 1 != 0 || mac == [0; 6] {
                return Err(Refusal::Value);
            }
            if self.pf.mac == mac || self.pf_further().contains(&mac) {
                return Err(Refusal::Address);
            }
        }
        if admin.vlan > 4094 || admin.qos > 7 {
            return Err(Refusal::Value);
        }
        let state = &mut self.vfs[vf];
        state.admin = admin;
        if admin.mac != before.mac {
            state.mac = admin.mac;
            state.further_count = 0;
            // It has to ask for its address again.
            state.clear_to_send = false;
            if let Some(mac) = admin.mac {
                self.take_from_others(mac, vf);
            }
        }
        if !admin.trusted {
            let state = &mut self.vfs[vf];
            state.all_multicast = false;
            // What it has chosen beside the given address, it has chosen because it was trusted.
            if admin.mac.is_some() && (state.mac != admin.mac || state.further_count != 0) {
                state.mac = admin.mac;
                state.further_count = 0;
                state.clear_to_send = false;
                self.untold |= 1 << vf;
            }
        }
        self.place_vlans();
        Ok(())
    }

    /// An address that the administrator gives, or that the host uses, is no other VF's by its own choice. The
    /// administrator may give it to several: source and destination of a migration have the same.
    fn take_from_others(&mut self, mac: [u8; 6], owner: usize) {
        for (i, vf) in self.vfs.iter_mut().enumerate() {
            if i == owner {
                continue;
            }
            let chosen = vf.mac == Some(mac) && vf.admin.mac != Some(mac);
            if chosen {
                vf.mac = vf.admin.mac;
            }
            if chosen || vf.further().contains(&mac) {
                vf.further_count = 0;
                vf.clear_to_send = false;
                self.untold |= 1 << i;
            }
        }
    }

    /// Handles what a VF has put into its mailbox. `None`: no answer is due.
    pub fn handle(&mut self, vf: usize, words: &[u32; WORDS]) -> Option<Reply> {
        if vf >= self.count {
            return None;
        }
        let request = match Request::decode(words) {
            Err(NoRequest::Answer) => return None,
            request => request.ok(),
        };
        if request == Some(Request::Reset) {
            return Some(self.shake_hands(vf));
        }
        let echo = words[0] & (0xffff | INFO_MASK);
        let cts = if self.vfs[vf].clear_to_send { CTS } else { 0 };
        let granted = cts != 0 && request.is_some_and(|request| self.grant(vf, request));
        self.place_vlans();
        Some(Reply {
            words: [echo | cts | if granted { ACK } else { NACK }, 0, 0],
            len: 1,
        })
    }

    /// What a VF is told that has read a message of the PF although it has not shaken hands: the distribution's driver
    /// finds out by that alone.
    pub fn acknowledged(&self, vf: usize) -> Option<Reply> {
        let vf = self.vfs[..self.count].get(vf)?;
        (!vf.clear_to_send).then_some(Reply {
            words: [NACK, 0, 0],
            len: 1,
        })
    }

    fn shake_hands(&mut self, vf: usize) -> Reply {
        let state = &mut self.vfs[vf];
        state.forget();
        state.clear_to_send = true;
        let mac = state.admin.mac.or(state.mac);
        state.mac = mac;
        self.place_vlans();
        let (result, [a, b, c, d, e, f]) = match mac {
            Some(mac) => (ACK, mac),
            None => (NACK, [0; 6]),
        };
        Reply {
            words: [
                RESET | result,
                u32::from_le_bytes([a, b, c, d]),
                u32::from_le_bytes([e, f, 0, 0]),
            ],
            len: 3,
        }
    }

    /// Does what a VF asks for, if it may.
    fn grant(&mut self, vf: usize, request: Request) -> bool {
        let taken = |mac| self.taken(mac, vf);
        let state = &self.vfs[vf];
        let own_choice = state.admin.mac.is_none() || state.admin.trusted;
        match request {
            Request::Reset => false,
            Request::SetMac(mac) => {
                let may = state.admin.mac == Some(mac) || own_choice && !taken(mac);
                if may {
                    self.vfs[vf].mac = Some(mac);
                }
                may
            }
            Request::ClearMacFilters => {
                self.vfs[vf].further_count = 0;
                true
            }
            Request::AddMacFilter(mac) => {
                if state.further().contains(&mac) {
                    return true;
                }
                let at = state.further_count;
                let may = own_choice && at < Self::further_share(self.count) && !taken(mac);
                if may {
                    self.vfs[vf].further[at] = mac;
                    self.vfs[vf].further_count = at + 1;
                }
                may
            }
            Request::SetMulticast(hashes) => {
                self.vfs[vf].hashes = hashes;
                true
            }
            Request::SetVlan { vid, add } => {
                if add && state.admin.vlan != 0 {
                    // Put into a VLAN, the VF can have no others.
                    return false;
                }
                let at = state.vlans().iter().position(|v| *v == vid);
                let room = state.vlan_count < Self::vlan_share(self.count);
                let state = &mut self.vfs[vf];
                match (add, at) {
                    (true, None) if room => {
                        state.vlans[state.vlan_count] = vid;
                        state.vlan_count += 1;
                        true
                    }
                    (true, at) => at.is_some(),
                    (false, Some(at)) => {
                        state.vlan_count -= 1;
                        state.vlans[at] = state.vlans[state.vlan_count];
                        true
                    }
                    (false, None) => true,
                }
            }
            Request::SetMaxFrame(bytes) => {
                let may = (MIN_FRAME..=MAX_FRAME).contains(&bytes);
                if may {
                    self.vfs[vf].max_frame = bytes;
                }
                may
            }
            Request::SetPromisc { multicast } => {
                let may = !multicast || state.admin.trusted;
                if may {
                    self.vfs[vf].all_multicast = multicast;
                }
                may
            }
        }
    }

    /// Pools that are members of a VLAN.
    fn members(&self, vid: u16) -> u32 {
        let mut pools = 0;
        for (i, vf) in self.vfs[..self.count].iter().enumerate() {
            pools |= u32::from(vf.active() && vf.is_member(vid)) << i;
        }
        pools | u32::from(bit(&self.pf.vlans, vid)) << PF_POOL
    }

    /// Gives each VLAN that has members an entry. The shares make sure that they fit.
    fn place_vlans(&mut self) {
        if self.count == 0 {
            self.vlan_entries = [None; POOL_VLANS];
            return;
        }
        for at in 0..POOL_VLANS {
            if self.vlan_entries[at].is_some_and(|vid| self.members(vid) == 0) {
                self.vlan_entries[at] = None;
            }
        }
        for i in 0..self.count {
            let vf = self.vfs[i];
            match vf.admin.vlan {
                _ if !vf.active() => {}
                0 => vf.vlans().iter().for_each(|vid| self.place_vlan(*vid)),
                vid => self.place_vlan(vid),
            }
        }
        for word in 0..TABLE_WORDS {
            let mut left = self.pf.vlans[word];
            while left != 0 {
                // CAST: below 4096.
                self.place_vlan((word as u32 * 32 + left.trailing_zeros()) as u16);
                left &= left - 1;
            }
        }
    }

    fn place_vlan(&mut self, vid: u16) {
        if self.vlan_entries.contains(&Some(vid)) {
            return;
        }
        if let Some(entry) = self.vlan_entries.iter_mut().find(|e| e.is_none()) {
            *entry = Some(vid);
        }
    }

    // The registers that follow.

    /// An entry of the MAC filter, as the two halves: the first functions' own addresses, the PF's last, then further ones.
    pub fn receive_address(&self, entry: usize) -> (u32, RAH) {
        let (mac, pool) = match entry {
            0 => (Some(self.pf.mac), PF_POOL),
            1..=MAX_VFS => {
                let vf = &self.vfs[entry - 1];
                (vf.mac.filter(|_| entry <= self.count), entry - 1)
            }
            _ => {
                let at = entry - POOLS;
                let share = Self::further_share(self.count);
                match at.checked_div(share) {
                    Some(vf) if vf < self.count => {
                        let further = self.vfs[vf].further();
                        (further.get(at - vf * share).copied(), vf)
                    }
                    _ => {
                        let further = self.pf_further();
                        (further.get(at - share * self.count).copied(), PF_POOL)
                    }
                }
            }
        };
        let active = pool == PF_POOL || self.vfs[pool].active();
        let Some([a, b, c, d, e, f]) = mac.filter(|_| active) else {
            return (0, RAH::zeroed());
        };
        // Without pools the bits would select a queue.
        let pools = u32::from(self.count != 0) << pool;
        (
            u32::from_le_bytes([a, b, c, d]),
            RAH::zeroed()
                .with(RAH::ADDR, u32::from_le_bytes([e, f, 0, 0]))
                .with(RAH::POOLSEL, pools)
                .set(RAH::AV),
        )
    }

    /// The multicast table: what anybody wants. Which pools look at it is in [`pool_offloads`](Self::pool_offloads).
    pub fn multicast_table(&self) -> [u32; TABLE_WORDS] {
        let mut table = self.pf.hashes;
        for vf in self.vfs[..self.count].iter().filter(|vf| vf.active()) {
            for hash in vf.hashes.as_slice() {
                table[usize::from(*hash) / 32] |= 1 << (hash % 32);
            }
        }
        table
    }

    /// The VLAN table: what anybody wants.
    pub fn vlan_table(&self) -> [u32; TABLE_WORDS] {
        let mut table = self.pf.vlans;
        for vid in self.vlan_entries.iter().flatten() {
            table[usize::from(*vid) / 32] |= 1 << (vid % 32);
        }
        table
    }

    /// An entry of the VLAN table of pools.
    pub fn pool_vlan(&self, entry: usize) -> VLVF {
        match self.vlan_entries[entry] {
            Some(vid) => VLVF::zeroed()
                .with(VLVF::VLANID, vid.into())
                .with(VLVF::POOLSEL, self.members(vid))
                .set(VLVF::VLANID_ENABLE),
            None => VLVF::zeroed(),
        }
    }

    /// Offloads and acceptance of a pool.
    pub fn pool_offloads(&self, pool: usize) -> VMOLR {
        let base = VMOLR::zeroed().set(VMOLR::STRCRC).set(VMOLR::STRVLAN);
        if pool == PF_POOL {
            let pf = &self.pf;
            let all = pf.all_multicast || pf.promiscuous;
            return base
                .set(VMOLR::BAM)
                .set(VMOLR::AUPE)
                .set(VMOLR::LPE)
                .with(VMOLR::RLPML, pf.max_frame)
                .with_bit(VMOLR::RSSE, pf.two_queues)
                .with_bit(VMOLR::ROMPE, all || pf.hashes.iter().any(|w| *w != 0))
                .with_bit(VMOLR::MPME, all)
                .with_bit(VMOLR::ROPE, pf.promiscuous);
        }
        let vf = &self.vfs[pool];
        if pool >= self.count || !vf.active() {
            return base;
        }
        let tag = if vf.admin.vlan != 0 { VLAN_TAG } else { 0 };
        base.set(VMOLR::BAM)
            .with_bit(VMOLR::AUPE, vf.admin.vlan == 0)
            .set(VMOLR::LPE)
            .with(VMOLR::RLPML, (vf.max_frame + tag).min(MAX_FRAME))
            .with_bit(VMOLR::ROMPE, !vf.hashes.as_slice().is_empty())
            .with_bit(VMOLR::MPME, vf.all_multicast)
    }

    /// The tag that is inserted for a pool.
    pub fn pool_tag(&self, pool: usize) -> VMVIR {
        match self.vfs[..self.count].get(pool) {
            Some(vf) if vf.admin.vlan != 0 => VMVIR::zeroed()
                .with(
                    VMVIR::PORT_VLAN,
                    u32::from(vf.admin.qos) << 13 | u32::from(vf.admin.vlan),
                )
                .with(VMVIR::VLANA, VMVIR::VLANA_DEFAULT),
            _ => VMVIR::zeroed(),
        }
    }

    /// Pools that may receive and send.
    pub fn enabled_pools(&self) -> u32 {
        let mut pools = 1 << PF_POOL;
        for (i, vf) in self.vfs[..self.count].iter().enumerate() {
            pools |= u32::from(vf.active()) << i;
        }
        pools
    }

    /// Pools in general.
    pub fn pools(&self) -> VT_CTL {
        if self.count == 0 {
            return VT_CTL::zeroed();
        }
        VT_CTL::zeroed()
            .with(VT_CTL::DEFAULT_POOL, PF_POOL as u32)
            .set(VT_CTL::REPL_EN)
    }

    /// Switch of what is sent. The addresses of VFs that the administrator does not trust with forged ones are checked.
    pub fn transmit_switch(&self) -> DTXSWC {
        if self.count == 0 {
            return DTXSWC::zeroed();
        }
        let mut checked = 0;
        for (i, vf) in self.vfs[..self.count].iter().enumerate() {
            checked |= u32::from(vf.admin.spoof_check) << i;
        }
        DTXSWC::zeroed()
            .with(DTXSWC::MACAS, checked)
            .with(DTXSWC::VLANAS, checked)
            .set(DTXSWC::LOOPBACK_EN)
    }
}
