// SPDX-License-Identifier: GPL-2.0

//! Hardware counters. A read clears them, so what was read is accumulated.

use super::Pf;
use compsc::adapter::stats::{
    CounterDesc,
    PortStats, //
};
use compsc_core::{
    counter::Mode,
    regs::Register, //
};
use compsc_regs::pf82576::*;
use core::ffi::CStr;

macro_rules! counters {
    (@width) => { 32 };
    (@width $high:ident) => { 64 };
    ($($name:literal: $low:ident $(/ $high:ident)?,)*) => {
        /// Statistics of the function, with upstream igb's names where it has them.
        pub(super) const COUNTERS: &[CounterDesc<Pf>] = &[$(CounterDesc {
            name: $name,
            // CAST: The register window is small.
            register: $low::OFFSET as u32,
            width: counters!(@width $($high)?),
            mode: Mode::ReadClear,
            read: |pf| {
                let low = u64::from(pf.rings.hw.read::<$low>().raw());
                low $(| u64::from(pf.rings.hw.read::<$high>().raw()) << 32)?
            },
        },)*];
    };
}

counters! {
    c"rx_packets": GPRC,
    c"tx_packets": GPTC,
    c"rx_bytes": GORCL / GORCH,
    c"tx_bytes": GOTCL / GOTCH,
    c"rx_broadcast": BPRC,
    c"tx_broadcast": BPTC,
    c"rx_multicast": MPRC,
    c"tx_multicast": MPTC,
    c"collisions": COLC,
    c"rx_crc_errors": CRCERRS,
    c"rx_no_buffer_count": RNBC,
    c"rx_missed_errors": MPC,
    c"tx_aborted_errors": ECOL,
    c"tx_carrier_errors": TNCRS,
    c"tx_window_errors": LATECOL,
    c"tx_deferred_ok": DC,
    c"tx_single_coll_ok": SCC,
    c"tx_multi_coll_ok": MCC,
    c"rx_errors": RXERRC,
    c"rx_length_errors": RLEC,
    c"rx_long_length_errors": ROC,
    c"rx_short_length_errors": RUC,
    c"rx_fragments": RFC,
    c"rx_jabber": RJC,
    c"rx_align_errors": ALGNERRC,
    c"tx_tcp_seg_good": TSCTC,
    c"rx_flow_control_xon": XONRXC,
    c"rx_flow_control_xoff": XOFFRXC,
    c"tx_flow_control_xon": XONTXC,
    c"tx_flow_control_xoff": XOFFTXC,
    c"rx_octets": TORL / TORH,
    c"tx_octets": TOTL / TOTH,
}

/// The counter of a name, by its position.
const fn position(name: &CStr) -> usize {
    let mut i = 0;
    while i < COUNTERS.len() {
        let (a, b) = (COUNTERS[i].name.to_bytes(), name.to_bytes());
        let mut same = a.len() == b.len();
        let mut at = 0;
        while same && at < a.len() {
            same = a[at] == b[at];
            at += 1;
        }
        if same {
            return i;
        }
        i += 1;
    }
    panic!("no counter of that name")
}

/// What the hardware counts, as standard statistics.
pub(super) fn port(value: impl Fn(usize) -> u64) -> PortStats {
    macro_rules! counter {
        ($name:literal) => {
            value(const { position($name) })
        };
    }
    let rx_length_errors = counter!(c"rx_long_length_errors") + counter!(c"rx_short_length_errors");
    let rx_crc_errors = counter!(c"rx_crc_errors");
    let rx_frame_errors = counter!(c"rx_align_errors");
    let tx_aborted_errors = counter!(c"tx_aborted_errors");
    let tx_window_errors = counter!(c"tx_window_errors");
    PortStats {
        multicast: counter!(c"rx_multicast"),
        collisions: counter!(c"collisions"),
        rx_errors: counter!(c"rx_errors") + rx_length_errors + rx_crc_errors + rx_frame_errors,
        rx_length_errors,
        rx_crc_errors,
        rx_frame_errors,
        rx_missed_errors: counter!(c"rx_missed_errors"),
        tx_errors: tx_aborted_errors + tx_window_errors,
        tx_aborted_errors,
        tx_window_errors,
        tx_carrier_errors: counter!(c"tx_carrier_errors"),
        rx_pause: counter!(c"rx_flow_control_xon") + counter!(c"rx_flow_control_xoff"),
        tx_pause: counter!(c"tx_flow_control_xon") + counter!(c"tx_flow_control_xoff"),
    }
}
