// SPDX-License-Identifier: GPL-2.0

//! What a function wants to receive. A virtual function asks its PF for it: requests are not replayed one by one, this
//! state is asked for again (the paper's "messages as state"). A physical function writes it to its own filters.

use crate::bindings;
use kernel::prelude::*;

/// Most unicast addresses besides the function's own, of any function.
pub const MAX_UNICAST: usize = 16;

/// Words of a table of multicast hashes.
pub const HASH_WORDS: usize = 4096 / 32;

/// Length of a VLAN tag in bytes.
const VLAN_TAG: u32 = 4;

/// VLAN ids, one bit each.
const VLAN_WORDS: usize = 4096 / 64;

/// Filters of a function.
pub struct Filters {
    /// MAC address.
    pub mac: [u8; 6],
    /// Further unicast addresses.
    unicast: [[u8; 6]; MAX_UNICAST],
    unicast_count: usize,
    hashes: [u32; HASH_WORDS],
    had_unicast: bool,
    promiscuous: bool,
    all_multicast: bool,
    had_all_multicast: bool,
    vlans: [u64; VLAN_WORDS],
    /// MTU in bytes.
    pub mtu: u32,
}

impl Filters {
    /// Nothing but broadcast.
    pub fn new() -> Self {
        Self {
            mac: [0; 6],
            unicast: [[0; 6]; MAX_UNICAST],
            unicast_count: 0,
            hashes: [0; HASH_WORDS],
            had_unicast: false,
            promiscuous: false,
            all_multicast: false,
            had_all_multicast: false,
            vlans: [0; VLAN_WORDS],
            mtu: 1500,
        }
    }

    /// Longest frame in bytes, as the hardware counts: with header, one VLAN tag and check sequence.
    pub fn max_frame(&self) -> u32 {
        self.mtu + bindings::ETH_HLEN + VLAN_TAG + bindings::ETH_FCS_LEN
    }

    /// Further unicast addresses.
    pub fn unicast(&self) -> &[[u8; 6]] {
        &self.unicast[..self.unicast_count]
    }

    /// Whether there ever were further unicast addresses: a PF that was never asked for any is not asked
    /// to forget them.
    pub fn had_unicast(&self) -> bool {
        self.had_unicast
    }

    /// Whether all multicast is wanted: because the stack says so, or more addresses are wanted than fit.
    pub fn all_multicast(&self) -> bool {
        self.all_multicast
    }

    /// Whether all multicast was ever wanted.
    pub fn had_all_multicast(&self) -> bool {
        self.had_all_multicast
    }

    /// Whether everything is wanted.
    pub fn promiscuous(&self) -> bool {
        self.promiscuous
    }

    /// Wants everything, because there is no room for what is wanted.
    pub fn receive_everything(&mut self) {
        self.promiscuous = true;
        self.all_multicast = true;
    }

    /// Multicast hashes, one bit each.
    pub fn hash_table(&self) -> &[u32; HASH_WORDS] {
        &self.hashes
    }

    /// Multicast hashes in ascending order.
    pub fn hashes(&self) -> impl Iterator<Item = u16> + '_ {
        self.hashes.iter().enumerate().flat_map(|(i, word)| {
            (0..32u16)
                .filter(move |bit| word & (1 << bit) != 0)
                // CAST: `i` is below 128.
                .map(move |bit| i as u16 * 32 + bit)
        })
    }

    /// Replaces the further unicast addresses.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are more than `limit`, which is at most [`MAX_UNICAST`]; the first ones are kept.
    pub fn set_unicast(
        &mut self,
        addresses: impl Iterator<Item = [u8; 6]>,
        limit: usize,
    ) -> Result {
        self.unicast_count = 0;
        for address in addresses {
            let slots = self.unicast.get_mut(..limit).ok_or(EINVAL)?;
            *slots.get_mut(self.unicast_count).ok_or(ENOSPC)? = address;
            self.unicast_count += 1;
            self.had_unicast = true;
        }
        Ok(())
    }

    /// Replaces the multicast hashes, and whether everything or all multicast is wanted. More than `limit` hashes are
    /// as good as all multicast.
    pub fn set_multicast(
        &mut self,
        promiscuous: bool,
        all: bool,
        hashes: impl Iterator<Item = u16>,
        limit: usize,
    ) {
        self.promiscuous = promiscuous;
        self.hashes = [0; HASH_WORDS];
        for hash in hashes {
            if let Some(word) = self.hashes.get_mut(usize::from(hash) / 32) {
                *word |= 1 << (hash % 32);
            }
        }
        let count: u32 = self.hashes.iter().map(|word| word.count_ones()).sum();
        self.all_multicast = all || count as usize > limit;
        self.had_all_multicast |= self.all_multicast;
    }

    /// Adds or removes a VLAN.
    pub fn set_vlan(&mut self, vid: u16, on: bool) {
        let Some(word) = self.vlans.get_mut(usize::from(vid) / 64) else {
            return;
        };
        let bit = 1u64 << (vid % 64);
        *word = if on { *word | bit } else { *word & !bit };
    }

    /// VLANs that are received.
    pub fn vlans(&self) -> impl Iterator<Item = u16> + '_ {
        self.vlans.iter().enumerate().flat_map(|(i, word)| {
            (0..64u16)
                .filter(move |bit| word & (1 << bit) != 0)
                // CAST: `i` is below 64.
                .map(move |bit| i as u16 * 64 + bit)
        })
    }
}

impl Default for Filters {
    fn default() -> Self {
        Self::new()
    }
}
