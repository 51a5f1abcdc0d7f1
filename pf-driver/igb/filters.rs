// SPDX-License-Identifier: GPL-2.0

//! The registers that follow from the [`Switch`]: MAC, multicast and VLAN filters, pools.
//!
//! The recorder knows what was written last, so only what has changed is written.

use super::{
    Pf,
    State, //
};
use compsc::adapter::filters::Filters;
use compsc_core::{
    class::Writable,
    regs::Register, //
};
use compsc_regs::{
    pf82576::*,
    sriov::{
        Switch,
        MAX_FRAME, //
    },
};
use kernel::prelude::*;

/// Entries of the MAC filter in its first block.
const FIRST_BLOCK: usize = 16;

impl Pf {
    /// Writes an element of a register unless that is what was written last.
    pub(super) fn put<R>(&self, index: usize, value: R)
    where
        R: Register<Map = Pf82576> + Writable + PartialEq,
    {
        let hw = &self.rings.hw;
        if hw.recorded::<R>(index) != Some(value) {
            hw.write_at(index, value);
        }
    }

    /// Writes all filters, and tells VFs that have lost something by it to shake hands again.
    pub(super) fn settle(&self, state: &mut State) {
        self.apply(state);
        let untold = state.switch.take_untold();
        for vf in (0..state.switch.count()).filter(|vf| untold & 1 << vf != 0) {
            self.ask_to_reset(vf);
        }
    }

    /// Takes over what the stack wants, besides the address and VLANs.
    pub(super) fn set_mode(&self, switch: &mut Switch, filters: &Filters) {
        let all = switch.set_pf_mode(
            filters.unicast().iter().copied(),
            filters.hash_table(),
            filters.all_multicast(),
            filters.promiscuous(),
        );
        if !all {
            dev_warn!(
                self.function.device(),
                "some unicast addresses were given to a virtual function, or do not fit beside theirs\n"
            );
        }
    }

    /// Writes all filters.
    pub(super) fn apply(&self, state: &State) {
        let switch = &state.switch;
        let pools = switch.count() != 0;
        let pf = switch.pf();
        for (i, word) in switch.multicast_table().into_iter().enumerate() {
            self.put(i, MTA::from_raw(word));
        }
        // Pools before the VLANs that they receive: a pool must not see a VLAN that is not its own.
        for entry in 0..POOL_VLANS {
            self.put(entry, switch.pool_vlan(entry));
        }
        for (i, word) in switch.vlan_table().into_iter().enumerate() {
            self.put(i, VFTA::from_raw(word));
        }
        for pool in 0..POOLS {
            self.put(pool, switch.pool_tag(pool));
            self.put(pool, switch.pool_offloads(pool));
        }
        for entry in 0..RECEIVE_ADDRESSES {
            let (low, high) = switch.receive_address(entry);
            match entry.checked_sub(FIRST_BLOCK) {
                None => {
                    self.put(entry, RAL::from_raw(low));
                    self.put(entry, high);
                }
                Some(entry) => {
                    self.put(entry, RAL2::from_raw(low));
                    self.put(entry, RAH2::from_raw(high.raw()));
                }
            }
        }
        self.put(0, switch.transmit_switch());
        self.put(0, switch.pools());
        // Of a pool whose function was reset the device clears the bit, so what was written last says nothing.
        let hw = &self.rings.hw;
        hw.write(VFRE::from_raw(switch.enabled_pools()));
        hw.write(VFTE::from_raw(switch.enabled_pools()));

        let longest = if pools { MAX_FRAME } else { pf.max_frame };
        self.put(0, RLPML::zeroed().with(RLPML::RLPML, longest));
        let promiscuous = pf.promiscuous && !pools;
        self.put(
            0,
            RCTL::zeroed()
                .set(RCTL::RXEN)
                .set(RCTL::LPE)
                .set(RCTL::BAM)
                .set(RCTL::SECRC)
                .with_bit(RCTL::UPE, promiscuous)
                .with_bit(RCTL::MPE, pf.all_multicast && !pools)
                // With pools the VLAN filter is what keeps them apart, so it stays on.
                .with_bit(RCTL::VFE, !promiscuous),
        );
    }
}
