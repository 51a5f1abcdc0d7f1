// SPDX-License-Identifier: GPL-2.0

//! `ethtool`: names, statistics, rings, channels, moderation, register dump, self-test.

use super::{
    Adapter,
    Chip,
    Moderation, //
};
use crate::{
    bindings,
    queue::tx::MIN_COUNT,
    region::MAX_RING, //
};
use compsc_core::{
    class::Replay,
    regs::Map,
    ring::Ring, //
};
use kernel::{
    error::from_result,
    prelude::*,
    str::CStr, //
};

/// A statistic that every queue pair has.
type QueueStat<C> = (&'static str, fn(&super::QueuePair<C>) -> u64);

/// Versions of the register dump: its layout is the chip's register table, in order.
const DUMP_VERSION: u32 = 1;

/// Self-tests, in order.
const TESTS: [&CStr; 3] = [
    c"Mailbox  (on/offline)",
    c"Link     (on/offline)",
    c"Registers  (offline)",
];

impl<C: Chip> Adapter<C> {
    pub(super) const ETHTOOL_OPS: bindings::ethtool_ops = {
        let mut ops: bindings::ethtool_ops = pin_init::zeroed();
        ops.supported_coalesce_params =
            bindings::COMPSC_COALESCE_USECS | bindings::COMPSC_COALESCE_ADAPTIVE;
        ops.get_drvinfo = Some(Self::get_drvinfo);
        ops.get_link = Some(bindings::ethtool_op_get_link);
        ops.get_link_ksettings = Some(Self::get_link_ksettings);
        ops.get_ringparam = Some(Self::get_ringparam);
        ops.set_ringparam = Some(Self::set_ringparam);
        ops.get_channels = Some(Self::get_channels);
        ops.set_channels = Some(Self::set_channels);
        ops.get_coalesce = Some(Self::get_coalesce);
        ops.set_coalesce = Some(Self::set_coalesce);
        ops.get_sset_count = Some(Self::get_sset_count);
        ops.get_strings = Some(Self::get_strings);
        ops.get_ethtool_stats = Some(Self::get_ethtool_stats);
        ops.get_regs_len = Some(Self::get_regs_len);
        ops.get_regs = Some(Self::get_regs);
        ops.self_test = Some(Self::self_test);
        ops.get_ts_info = Some(bindings::ethtool_op_get_ts_info);
        Self::port_ops(ops)
    };

    const QUEUE_STATS: &'static [QueueStat<C>] = &[
        ("tx_packets", |q| q.tx_stats.packets.get()),
        ("tx_bytes", |q| q.tx_stats.bytes.get()),
        ("tx_csum_offload", |q| q.tx_stats.checksummed.get()),
        ("tx_tso", |q| q.tx_stats.segmented.get()),
        ("tx_stop", |q| q.tx_stats.stops.get()),
        ("tx_wake", |q| q.tx_stats.wakes.get()),
        ("tx_dropped", |q| q.tx_stats.dropped.get()),
        ("tx_resent", |q| q.tx_stats.replayed.get()),
        ("rx_packets", |q| q.rx_stats.packets.get()),
        ("rx_bytes", |q| q.rx_stats.bytes.get()),
        ("rx_csum_offload_good", |q| q.rx_stats.checksum_good.get()),
        ("rx_csum_offload_errors", |q| q.rx_stats.checksum_bad.get()),
        ("rx_errors", |q| q.rx_stats.errors.get()),
        ("rx_alloc_failed", |q| q.rx_stats.alloc_failed.get()),
        ("rx_dummy_writes", |q| q.rx_stats.dummy_writes.get()),
        ("rx_xdp_pass", |q| q.rx_stats.xdp_pass.get()),
        ("rx_xdp_drop", |q| q.rx_stats.xdp_drop.get()),
        ("rx_xdp_tx", |q| q.rx_stats.xdp_tx.get()),
        ("rx_xdp_tx_errors", |q| q.rx_stats.xdp_tx_errors.get()),
        ("rx_xdp_redirect", |q| q.rx_stats.xdp_redirect.get()),
        ("rx_xdp_redirect_errors", |q| {
            q.rx_stats.xdp_redirect_errors.get()
        }),
        ("rx_xdp_aborted", |q| q.rx_stats.xdp_aborted.get()),
        ("rx_xdp_too_long", |q| q.rx_stats.xdp_too_long.get()),
        ("tx_xdp_xmit", |q| q.tx_stats.xdp_xmit.get()),
        ("tx_xdp_xmit_errors", |q| q.tx_stats.xdp_xmit_errors.get()),
    ];

    /// Statistics of the recorder.
    const COMPSC_STATS: [&'static CStr; 1] = [c"compsc_restores"];

    extern "C" fn get_drvinfo(
        dev: *mut bindings::net_device,
        info: *mut bindings::ethtool_drvinfo,
    ) {
        // SAFETY: The stack passes a registered device of this driver and a zeroed structure.
        let (this, info) = unsafe { (Self::of(dev), &mut *info) };
        for (to, from) in info.driver.iter_mut().zip(C::NAME.to_bytes()) {
            *to = *from;
        }
        for (to, from) in info
            .bus_info
            .iter_mut()
            .zip(this.function.name().to_bytes())
        {
            *to = *from;
        }
        let versions = this.chip.port().and_then(|port| {
            let control = this.control.lock();
            this.is_reachable(&control).then(|| port.versions().ok())?
        });
        if let Some(firmware) = versions.and_then(|versions| versions.firmware) {
            for (to, from) in info.fw_version.iter_mut().zip(firmware.to_bytes()) {
                *to = *from;
            }
        }
        // CAST: The dump is smaller than 4 GiB.
        info.regdump_len = Self::dump_len() as u32;
    }

    extern "C" fn get_link_ksettings(
        dev: *mut bindings::net_device,
        settings: *mut bindings::ethtool_link_ksettings,
    ) -> c_int {
        // SAFETY: As for `get_drvinfo`.
        let (this, settings) = unsafe { (Self::of(dev), &mut *settings) };
        let control = this.control.lock();
        let link = control.link;
        let own_port = this.port_settings(settings, !this.is_reachable(&control));
        let base = &mut settings.base;
        if !own_port {
            base.autoneg = bindings::AUTONEG_DISABLE as u8;
            base.port = bindings::PORT_OTHER as u8;
        }
        (base.speed, base.duplex) = match link {
            Some((speed, full)) => (
                speed,
                if full {
                    bindings::DUPLEX_FULL
                } else {
                    bindings::DUPLEX_HALF
                } as u8,
            ),
            // SPEED_UNKNOWN and DUPLEX_UNKNOWN.
            None => (u32::MAX, 0xff),
        };
        0
    }

    extern "C" fn get_ringparam(
        dev: *mut bindings::net_device,
        ring: *mut bindings::ethtool_ringparam,
        _kernel: *mut bindings::kernel_ethtool_ringparam,
        _ack: *mut bindings::netlink_ext_ack,
    ) {
        // SAFETY: As for `get_drvinfo`.
        let (this, ring) = unsafe { (Self::of(dev), &mut *ring) };
        (ring.tx_pending, ring.rx_pending) = this.control.lock().ring_sizes;
        ring.tx_max_pending = MAX_RING;
        ring.rx_max_pending = MAX_RING;
    }

    extern "C" fn set_ringparam(
        dev: *mut bindings::net_device,
        ring: *mut bindings::ethtool_ringparam,
        _kernel: *mut bindings::kernel_ethtool_ringparam,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As for `get_drvinfo`.
        let (this, ring) = unsafe { (Self::of(dev), &*ring) };
        from_result(|| {
            if ring.rx_mini_pending != 0 || ring.rx_jumbo_pending != 0 {
                return Err(EINVAL);
            }
            // A size that the ring cannot serve is refused: who asks for a small one wants a short queue.
            if ring.tx_pending.min(ring.rx_pending) < MIN_COUNT {
                return Err(EINVAL);
            }
            let round = Ring::round_size;
            let sizes = (round(ring.tx_pending), round(ring.rx_pending));
            let mut control = this.control.lock();
            let old = control.ring_sizes;
            if sizes == old {
                return Ok(0);
            }
            let pairs = this.active().len();
            let result = this.reconfigure(&mut control, pairs, sizes, |control| {
                control.ring_sizes = sizes;
                Ok(())
            });
            if result.is_err() {
                control.ring_sizes = old;
                if !control.up {
                    this.on_device(&mut control, |control| this.up(control))?;
                }
            }
            result.map(|()| 0)
        })
    }

    extern "C" fn get_channels(
        dev: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) {
        // SAFETY: As for `get_drvinfo`.
        let (this, channels) = unsafe { (Self::of(dev), &mut *channels) };
        // CAST: Few queues.
        channels.max_combined = this.chip.queue_pairs() as u32;
        channels.combined_count = this.active().len() as u32;
        channels.max_other = 1;
        channels.other_count = 1;
    }

    extern "C" fn set_channels(
        dev: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) -> c_int {
        // SAFETY: As for `get_drvinfo`.
        let (this, channels) = unsafe { (Self::of(dev), &*channels) };
        from_result(|| {
            // The stack checks the limits.
            let pairs = channels.combined_count as usize;
            if pairs == 0 || channels.other_count != 1 {
                return Err(EINVAL);
            }
            let mut control = this.control.lock();
            let sizes = control.ring_sizes;
            this.reconfigure(&mut control, pairs, sizes, |control| {
                control.wanted_pairs = pairs;
                this.set_active(pairs)
            })?;
            Ok(0)
        })
    }

    extern "C" fn get_coalesce(
        dev: *mut bindings::net_device,
        coalesce: *mut bindings::ethtool_coalesce,
        _kernel: *mut bindings::kernel_ethtool_coalesce,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As for `get_drvinfo`.
        let (this, coalesce) = unsafe { (Self::of(dev), &mut *coalesce) };
        let control = this.control.lock();
        let adaptive = control.moderation == Moderation::Adaptive;
        coalesce.use_adaptive_rx_coalesce = adaptive.into();
        coalesce.use_adaptive_tx_coalesce = adaptive.into();
        let usecs = match control.moderation {
            Moderation::Fixed(usecs) => usecs,
            Moderation::Adaptive => this.queues.first().map_or(0, |pair| pair.itr.get()),
        };
        coalesce.rx_coalesce_usecs = usecs;
        coalesce.tx_coalesce_usecs = usecs;
        0
    }

    extern "C" fn set_coalesce(
        dev: *mut bindings::net_device,
        coalesce: *mut bindings::ethtool_coalesce,
        _kernel: *mut bindings::kernel_ethtool_coalesce,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As for `get_drvinfo`.
        let (this, coalesce) = unsafe { (Self::of(dev), &*coalesce) };
        from_result(|| {
            let mut control = this.control.lock();
            let adaptive = control.moderation == Moderation::Adaptive;
            // One vector serves both directions, so both settings are one; what changed counts.
            let want_adaptive = if adaptive {
                coalesce.use_adaptive_rx_coalesce != 0 && coalesce.use_adaptive_tx_coalesce != 0
            } else {
                coalesce.use_adaptive_rx_coalesce != 0 || coalesce.use_adaptive_tx_coalesce != 0
            };
            let current = this.queues.first().map_or(0, |pair| pair.itr.get());
            let usecs = if coalesce.rx_coalesce_usecs != current {
                coalesce.rx_coalesce_usecs
            } else {
                coalesce.tx_coalesce_usecs
            };
            if usecs > C::MAX_USECS {
                return Err(EINVAL);
            }
            control.moderation = if want_adaptive {
                Moderation::Adaptive
            } else {
                Moderation::Fixed(usecs)
            };
            this.adaptive.set(want_adaptive.into());
            if !want_adaptive {
                for pair in this.active() {
                    pair.itr.set(usecs);
                    this.chip.set_queue_itr(pair.index, usecs);
                }
            }
            Ok(0)
        })
    }

    extern "C" fn get_sset_count(_dev: *mut bindings::net_device, set: c_int) -> c_int {
        let count = match set as u32 {
            bindings::ethtool_stringset_ETH_SS_STATS => {
                C::COUNTERS.len()
                    + Self::CLOCK_STATS.len()
                    + Self::COMPSC_STATS.len()
                    + C::QUEUE_PAIRS * Self::QUEUE_STATS.len()
            }
            bindings::ethtool_stringset_ETH_SS_TEST => TESTS.len(),
            _ => return EOPNOTSUPP.to_errno(),
        };
        // CAST: Few statistics.
        count as c_int
    }

    extern "C" fn get_strings(_dev: *mut bindings::net_device, set: u32, data: *mut u8) {
        let mut at = data;
        // SAFETY: The stack passes room for `get_sset_count` strings; each call moves `at` to the next.
        let mut put = |s: &CStr| unsafe { bindings::ethtool_puts(&mut at, s.as_char_ptr()) };
        match set {
            bindings::ethtool_stringset_ETH_SS_STATS => {
                C::COUNTERS.iter().for_each(|desc| put(desc.name));
                Self::CLOCK_STATS.iter().for_each(|name| put(name));
                Self::COMPSC_STATS.into_iter().for_each(&mut put);
                for queue in 0..C::QUEUE_PAIRS {
                    for (name, _) in Self::QUEUE_STATS {
                        let name =
                            kernel::str::CString::try_from_fmt(fmt!("queue_{}_{}", queue, name));
                        put(name.as_deref().unwrap_or(c"?"));
                    }
                }
            }
            bindings::ethtool_stringset_ETH_SS_TEST => TESTS.into_iter().for_each(put),
            _ => {}
        }
    }

    extern "C" fn get_ethtool_stats(
        dev: *mut bindings::net_device,
        _stats: *mut bindings::ethtool_stats,
        data: *mut u64,
    ) {
        // SAFETY: As for `get_drvinfo`.
        let this = unsafe { Self::of(dev) };
        let mut control = this.control.lock();
        this.update_counters(&mut control);
        let (restores, _) = this.region.restores();
        let queues = this
            .queues
            .iter()
            .flat_map(|pair| Self::QUEUE_STATS.iter().map(|(_, get)| get(pair)));
        let recorder = [u64::from(restores)];
        let values = Iterator::chain(control.counters.values(), this.clock_stats());
        let values = Iterator::chain(values, recorder);
        let values = Iterator::chain(values, queues);
        for (i, value) in values.enumerate() {
            // SAFETY: The stack passes room for `get_sset_count` values.
            unsafe { data.add(i).write(value) };
        }
    }

    /// Registers that a dump holds: those that a read does not change.
    fn dumped() -> impl Iterator<Item = (&'static compsc_core::regs::RegisterDesc, usize)> {
        C::Map::TABLE
            .iter()
            .filter(|register| {
                register.class.readable()
                    && register.class != compsc_core::class::Class::Rc
                    && register.replay != Replay::Mailbox
            })
            .flat_map(|register| (0..register.count).map(move |index| (register, index)))
    }

    fn dump_len() -> usize {
        Self::dumped().count() * size_of::<u32>()
    }

    extern "C" fn get_regs_len(_dev: *mut bindings::net_device) -> c_int {
        // CAST: The dump is small.
        Self::dump_len() as c_int
    }

    extern "C" fn get_regs(
        dev: *mut bindings::net_device,
        regs: *mut bindings::ethtool_regs,
        data: *mut c_void,
    ) {
        // SAFETY: As for `get_drvinfo`.
        let this = unsafe { Self::of(dev) };
        let control = this.control.lock();
        // SAFETY: The stack passes a valid structure.
        unsafe { (*regs).version = DUMP_VERSION << 24 | u32::from(this.function.device_id()) };
        for (i, (register, index)) in Self::dumped().enumerate() {
            let value = if control.detached {
                u32::MAX
            } else {
                this.chip.hw().dump(register, index).unwrap_or(u32::MAX)
            };
            // SAFETY: The stack passes room for `get_regs_len` bytes.
            unsafe { data.cast::<u32>().add(i).write_unaligned(value) };
        }
    }

    extern "C" fn self_test(
        dev: *mut bindings::net_device,
        test: *mut bindings::ethtool_test,
        data: *mut u64,
    ) {
        // SAFETY: As for `get_drvinfo`.
        let (this, test) = unsafe { (Self::of(dev), &mut *test) };
        let mut results = [0u64; TESTS.len()];
        {
            let mut control = this.control.lock();
            let ready = !control.detached && this.restore_if_needed(&mut control, false).is_ok();
            let mailbox = ready
                && this
                    .chip
                    .request_max_frame(control.filters.max_frame())
                    .is_ok();
            results[0] = (!mailbox).into();
            results[1] = (!ready || (control.up && this.chip.link().is_none())).into();
            if test.flags & bindings::ethtool_test_flags_ETH_TEST_FL_OFFLINE != 0 {
                // A whole restore, and every recorded register must read back.
                let restored = ready && this.restore_if_needed(&mut control, true).is_ok();
                results[2] = (!restored).into();
            }
        }
        for (i, result) in results.into_iter().enumerate() {
            if result != 0 {
                test.flags |= bindings::ethtool_test_flags_ETH_TEST_FL_FAILED;
            }
            // SAFETY: The stack passes room for one value per test.
            unsafe { data.add(i).write(result) };
        }
    }
}
