// SPDX-License-Identifier: GPL-2.0

//! Hardware counters. They are 32 bits wide, run freely and wrap: the octet counters within 35 seconds
//! at line rate, which the service worker's interval keeps well clear of.

use super::Vf;
use compsc::adapter::stats::CounterDesc;
use compsc_core::{
    counter::Mode,
    regs::Register, //
};
use compsc_regs::vf82576::*;

macro_rules! counters {
    ($($name:literal: $register:ident,)*) => {
        &[$(CounterDesc {
            name: $name,
            // CAST: The register window is small.
            register: $register::OFFSET as u32,
            width: 32,
            mode: Mode::FreeRunning,
            read: |vf| vf.rings.hw.read::<$register>().raw().into(),
        },)*]
    };
}

/// Statistics of the function, with upstream igbvf's names where it has them.
pub(super) const COUNTERS: &[CounterDesc<Vf>] = counters! {
    c"rx_packets": VFGPRC,
    c"tx_packets": VFGPTC,
    c"rx_bytes": VFGORC,
    c"tx_bytes": VFGOTC,
    c"multicast": VFMPRC,
    c"lbrx_packets": VFGPRLBC,
    c"lbtx_packets": VFGPTLBC,
    c"lbrx_bytes": VFGORLBC,
    c"lbtx_bytes": VFGOTLBC,
};
