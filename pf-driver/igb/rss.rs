// SPDX-License-Identifier: GPL-2.0

//! Distribution of received packets over queues by a hash of their addresses and ports.

use super::{
    Pf,
    State, //
};
use compsc::adapter::port::HashFields;
use compsc_regs::pf82576::*;

/// Position of a pool's queue number in an entry of the redirection table.
const POOL_QUEUE_SHIFT: u32 = 3;

/// What the administrator has set.
pub(super) struct Rss {
    pub(super) key: [u8; RSS_KEY_BYTES],
    /// `None`: all queues alike.
    table: Option<[u8; RETA_ENTRIES]>,
    /// UDP over IPv4 and over IPv6. Fragments have no ports and would overtake the other parts of their flow, so ports
    /// count only if asked for.
    pub(super) udp: [HashFields; 2],
}

impl Rss {
    pub(super) const fn new(key: [u8; RSS_KEY_BYTES]) -> Self {
        Self {
            key,
            table: None,
            udp: [HashFields::Addresses; 2],
        }
    }

    /// The redirection table for so many queue pairs. One that names queues which are gone has no effect.
    pub(super) fn table(&self, pairs: usize) -> [u8; RETA_ENTRIES] {
        match self.table {
            Some(table) if table.iter().all(|queue| usize::from(*queue) < pairs) => table,
            // CAST: Few queues.
            _ => core::array::from_fn(|i| (i * pairs / RETA_ENTRIES) as u8),
        }
    }

    /// All queues alike.
    pub(super) fn spread(&mut self) {
        self.table = None;
    }

    pub(super) fn set_table(&mut self, table: [u8; RETA_ENTRIES]) {
        self.table = Some(table);
    }
}

impl Pf {
    /// Writes key, table and mode.
    pub(super) fn apply_rss(&self, state: &State) {
        let pools = state.switch.count() != 0;
        for (i, bytes) in state.rss.key.chunks_exact(4).enumerate() {
            let mut word = [0; 4];
            word.copy_from_slice(bytes);
            self.put(i, RSSRK::from_raw(u32::from_le_bytes(word)));
        }
        let shift = if pools { POOL_QUEUE_SHIFT } else { 0 };
        for (i, queues) in state.rss.table(state.pairs).chunks_exact(4).enumerate() {
            let mut word = [0; 4];
            for (to, queue) in word.iter_mut().zip(queues) {
                *to = queue << shift;
            }
            self.put(i, RETA::from_raw(u32::from_le_bytes(word)));
        }
        let mode = if pools {
            MRQC::ENABLE_VMDQ_RSS
        } else {
            MRQC::ENABLE_RSS
        };
        self.put(
            0,
            MRQC::zeroed()
                .with(MRQC::ENABLE, mode)
                .set(MRQC::IPV4)
                .set(MRQC::IPV4_TCP)
                .set(MRQC::IPV6)
                .set(MRQC::IPV6_TCP)
                .set(MRQC::IPV6_TCP_EX)
                .with_bit(MRQC::IPV4_UDP, state.rss.udp[0] == HashFields::Ports)
                .with_bit(MRQC::IPV6_UDP, state.rss.udp[1] == HashFields::Ports),
        );
    }
}
