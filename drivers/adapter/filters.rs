// SPDX-License-Identifier: GPL-2.0

//! What a function has asked its PF to receive. Requests to the PF are not replayed one by one: this
//! state is asked for again (the paper's "messages as state").

use crate::bindings;
use kernel::prelude::*;

/// Most unicast addresses besides the function's own.
pub const MAX_UNICAST: usize = 3;
/// Most multicast hashes that a mailbox message can hold.
pub const MAX_HASHES: usize = compsc_regs::mailbox::MAX_HASHES;

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
    hashes: [u16; MAX_HASHES],
    hash_count: usize,
    had_unicast: bool,
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
            hashes: [0; MAX_HASHES],
            hash_count: 0,
            had_unicast: false,
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

    /// Multicast hashes.
    pub fn hashes(&self) -> &[u16] {
        &self.hashes[..self.hash_count]
    }

    /// Replaces the further unicast addresses.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are more than [`MAX_UNICAST`]; the first ones are kept.
    pub fn set_unicast(&mut self, addresses: impl Iterator<Item = [u8; 6]>) -> Result {
        self.unicast_count = 0;
        for address in addresses {
            let slot = self.unicast.get_mut(self.unicast_count).ok_or(ENOSPC)?;
            *slot = address;
            self.unicast_count += 1;
            self.had_unicast = true;
        }
        Ok(())
    }

    /// Replaces the multicast hashes, and whether all multicast is wanted.
    pub fn set_multicast(&mut self, all: bool, hashes: impl Iterator<Item = u16>) {
        self.all_multicast = all;
        self.hash_count = 0;
        for hash in hashes {
            let Some(slot) = self.hashes.get_mut(self.hash_count) else {
                self.all_multicast = true;
                break;
            };
            *slot = hash;
            self.hash_count += 1;
        }
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
