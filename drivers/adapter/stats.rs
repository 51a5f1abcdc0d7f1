// SPDX-License-Identifier: GPL-2.0

//! Hardware counters that go on although the device that counts is replaced (self-emulation).

use super::Chip;
use crate::region::SharedRegion;
use compsc_core::{
    counter::{
        Mode,
        SelfEmulated, //
    },
    region::CounterEntry,
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::Arc, //
};

/// A self-emulated counter of a chip.
pub struct CounterDesc<C> {
    /// Name that `ethtool -S` shows.
    pub name: &'static CStr,
    /// Register offset.
    pub register: u32,
    /// Width in bits.
    pub width: u8,
    /// How the register counts.
    pub mode: Mode,
    /// Reads the register.
    pub read: fn(&C) -> u64,
}

/// What a port counts besides packets and bytes, in the terms of `struct rtnl_link_stats64`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PortStats {
    /// Multicast packets received.
    pub multicast: u64,
    /// Collisions.
    pub collisions: u64,
    /// Errors received, of all kinds.
    pub rx_errors: u64,
    /// Too long or too short packets received.
    pub rx_length_errors: u64,
    /// Packets received with a wrong check sequence.
    pub rx_crc_errors: u64,
    /// Misaligned packets received.
    pub rx_frame_errors: u64,
    /// Packets missed for want of packet buffer.
    pub rx_missed_errors: u64,
    /// Packets not sent, for all reasons.
    pub tx_errors: u64,
    /// Packets given up after too many collisions.
    pub tx_aborted_errors: u64,
    /// Late collisions.
    pub tx_window_errors: u64,
    /// Packets sent without carrier.
    pub tx_carrier_errors: u64,
    /// Pause frames received.
    pub rx_pause: u64,
    /// Pause frames sent.
    pub tx_pause: u64,
}

/// The counters of a function, under the control lock.
pub(crate) struct Counters {
    values: KVec<SelfEmulated>,
    /// What the registers were seen to hold and is not accounted yet.
    raw: KVec<Option<(u64, Mode)>>,
}

impl Counters {
    /// Counters at 0, and their entries in the shared region.
    pub(crate) fn new<C: Chip>(_chip: &C, region: &Arc<SharedRegion>) -> Result<Self> {
        let mut values = KVec::with_capacity(C::COUNTERS.len(), GFP_KERNEL)?;
        let raw = KVec::from_elem(None, C::COUNTERS.len(), GFP_KERNEL)?;
        for (i, desc) in C::COUNTERS.iter().enumerate() {
            values.push(SelfEmulated::new(desc.width, desc.mode, 0), GFP_KERNEL)?;
            // CAST: Few counters.
            region.describe_counter(
                i as u32,
                &CounterEntry::describe(desc.register, desc.width, desc.mode),
            );
        }
        Ok(Self { values, raw })
    }

    /// Starts at what the device counts now, without accounting it: it was somebody else's.
    pub(crate) fn restart<C: Chip>(&mut self, chip: &C) {
        for (value, desc) in self.values.iter_mut().zip(C::COUNTERS) {
            value.rebase(None, (desc.read)(chip));
        }
    }

    /// Reads the registers, as long as the device is `same` as before.
    pub(crate) fn read<C: Chip>(&mut self, chip: &C, same: impl Fn() -> bool) {
        for (raw, desc) in self.raw.iter_mut().zip(C::COUNTERS) {
            let value = (desc.read)(chip);
            if !same() {
                return;
            }
            *raw = Some((value, desc.mode));
        }
    }

    /// Accounts what was read: the `whole`, or, if the device was replaced meanwhile, what the read has taken from
    /// the old one.
    pub(crate) fn account(&mut self, region: &SharedRegion, whole: bool) {
        for (i, (value, raw)) in self.values.iter_mut().zip(&mut self.raw).enumerate() {
            match raw.take() {
                Some((raw, mode)) if whole || mode == Mode::ReadClear => {
                    value.update(raw);
                    // CAST: Few counters.
                    region.set_counter(i as u32, value.value(), value.last());
                }
                _ => {}
            }
        }
    }

    /// Goes on with another device. `frozen` tells that the host has read the old one's counters.
    pub(crate) fn rebase<C: Chip>(&mut self, chip: &C, region: &SharedRegion, frozen: bool) {
        for (i, (value, desc)) in self.values.iter_mut().zip(C::COUNTERS).enumerate() {
            // CAST: Few counters.
            let frozen = frozen
                .then(|| region.take_frozen_counter(i as u32))
                .flatten();
            value.rebase(frozen, (desc.read)(chip));
            region.set_counter(i as u32, value.value(), value.last());
        }
    }

    /// The counters in the order of [`Chip::COUNTERS`].
    pub(crate) fn emulated(&self) -> &[SelfEmulated] {
        &self.values
    }

    /// Values in the order of [`Chip::COUNTERS`].
    pub(crate) fn values(&self) -> impl Iterator<Item = u64> + '_ {
        self.values.iter().map(SelfEmulated::value)
    }
}
