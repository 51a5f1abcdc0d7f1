// SPDX-License-Identifier: GPL-2.0

//! Operations that the network stack calls.

use super::{
    Adapter,
    Chip, //
};
use crate::{
    bindings,
    net::Skb,
    queue::rx::BUFFER_LEN, //
};
use compsc_core::gate::Pending;
use kernel::{
    error::from_result,
    prelude::*, //
};

/// Features as a bit mask.
const fn features(bits: &[u32]) -> u64 {
    let mut mask = 0;
    let mut i = 0;
    while i < bits.len() {
        mask |= 1 << bits[i];
        i += 1;
    }
    mask
}

/// Features that can be switched off.
const HW_FEATURES: u64 = features(&[
    bindings::NETIF_F_SG_BIT,
    bindings::NETIF_F_HW_CSUM_BIT,
    bindings::NETIF_F_SCTP_CRC_BIT,
    bindings::NETIF_F_TSO_BIT,
    bindings::NETIF_F_TSO6_BIT,
    bindings::NETIF_F_RXCSUM_BIT,
]);

/// Features that are always on.
const FIXED_FEATURES: u64 = features(&[
    bindings::NETIF_F_HIGHDMA_BIT,
    bindings::NETIF_F_HW_VLAN_CTAG_TX_BIT,
    bindings::NETIF_F_HW_VLAN_CTAG_RX_BIT,
    bindings::NETIF_F_HW_VLAN_CTAG_FILTER_BIT,
]);

/// Features that VLAN devices on top inherit.
const VLAN_FEATURES: u64 = HW_FEATURES | 1 << bindings::NETIF_F_HIGHDMA_BIT;

/// Features that need the hardware to understand the headers.
const OFFLOAD_FEATURES: u64 = features(&[
    bindings::NETIF_F_HW_CSUM_BIT,
    bindings::NETIF_F_SCTP_CRC_BIT,
    bindings::NETIF_F_TSO_BIT,
    bindings::NETIF_F_TSO6_BIT,
    bindings::NETIF_F_HW_VLAN_CTAG_TX_BIT,
]);

/// Longest link and network headers that a context descriptor can describe, in bytes.
const MAX_MAC_HEADER: u32 = 127;
const MAX_NETWORK_HEADER: u32 = 511;

/// Milliseconds without progress after which the stack reports a transmit hang.
const WATCHDOG_MS: u32 = 5000;

impl<C: Chip> Adapter<C> {
    const NETDEV_OPS: bindings::net_device_ops = {
        let mut ops = Self::COMMON_OPS;
        if C::PHYSICAL {
            ops.ndo_set_vf_mac = Some(Self::ndo_set_vf_mac);
            ops.ndo_set_vf_vlan = Some(Self::ndo_set_vf_vlan);
            ops.ndo_set_vf_rate = Some(Self::ndo_set_vf_rate);
            ops.ndo_set_vf_spoofchk = Some(Self::ndo_set_vf_spoofchk);
            ops.ndo_set_vf_trust = Some(Self::ndo_set_vf_trust);
            ops.ndo_set_vf_link_state = Some(Self::ndo_set_vf_link_state);
            ops.ndo_get_vf_config = Some(Self::ndo_get_vf_config);
            ops.ndo_get_vf_stats = Some(Self::ndo_get_vf_stats);
            ops.ndo_hwtstamp_get = Some(Self::ndo_hwtstamp_get);
            ops.ndo_hwtstamp_set = Some(Self::ndo_hwtstamp_set);
        }
        ops
    };

    const COMMON_OPS: bindings::net_device_ops = bindings::net_device_ops {
        ndo_open: Some(Self::ndo_open),
        ndo_stop: Some(Self::ndo_stop),
        ndo_start_xmit: Some(Self::ndo_start_xmit),
        ndo_features_check: Some(Self::ndo_features_check),
        ndo_set_rx_mode_async: Some(Self::ndo_set_rx_mode),
        ndo_set_mac_address: Some(Self::ndo_set_mac_address),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ndo_change_mtu: Some(Self::ndo_change_mtu),
        ndo_tx_timeout: Some(Self::ndo_tx_timeout),
        ndo_get_stats64: Some(Self::ndo_get_stats64),
        ndo_vlan_rx_add_vid: Some(Self::ndo_vlan_rx_add_vid),
        ndo_vlan_rx_kill_vid: Some(Self::ndo_vlan_rx_kill_vid),
        ndo_bpf: Some(Self::ndo_bpf),
        ndo_xdp_xmit: Some(Self::ndo_xdp_xmit),
        ..pin_init::zeroed()
    };

    const STAT_OPS: bindings::netdev_stat_ops = bindings::netdev_stat_ops {
        get_queue_stats_rx: Some(Self::queue_stats_rx),
        get_queue_stats_tx: Some(Self::queue_stats_tx),
        get_base_stats: Some(Self::base_stats),
    };

    /// Fills in the network device before it is registered.
    pub(super) fn set_netdev_ops(&self) {
        // SAFETY: The device is not registered yet: nobody else uses it.
        unsafe {
            let dev = &mut *self.netdev.as_ptr();
            dev.netdev_ops = &Self::NETDEV_OPS;
            dev.ethtool_ops = &Self::ETHTOOL_OPS;
            dev.stat_ops = &Self::STAT_OPS;
            let switchable = HW_FEATURES | u64::from(C::RX_HASH) << bindings::NETIF_F_RXHASH_BIT;
            dev.hw_features = switchable;
            dev.features = switchable | FIXED_FEATURES;
            dev.vlan_features = VLAN_FEATURES;
            dev.min_mtu = bindings::ETH_MIN_MTU;
            dev.max_mtu = C::MAX_MTU;
            if C::PHYSICAL {
                bindings::compsc_set_unicast_filter(dev);
            }
            // CAST: Fits in the field.
            dev.watchdog_timeo = bindings::__msecs_to_jiffies(WATCHDOG_MS) as i32;
            bindings::xdp_set_features_flag(dev, super::xdp::FEATURES);
        }
    }

    /// The adapter behind a network device.
    ///
    /// # Safety
    ///
    /// The device is one of this driver's, registered, and stays so for the returned lifetime.
    #[inline(always)]
    pub(super) unsafe fn of<'a>(dev: *mut bindings::net_device) -> &'a Self {
        // SAFETY: `start` wrote the pointer before the device was registered.
        unsafe { &**(&raw const (*dev).priv_).cast::<*const Self>() }
    }

    extern "C" fn ndo_open(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: Called for a registered device of this driver.
        let this = unsafe { Self::of(dev) };
        from_result(|| {
            let mut control = this.control.lock();
            if control.detached {
                return Err(ENODEV);
            }
            let result = this.on_device(&mut control, |control| this.up(control));
            if let Err(e) = result {
                dev_err!(
                    this.function.device(),
                    "{}: cannot be brought up ({:?}); if the physical function does not answer, bring its interface up\n",
                    this.netdev_name(),
                    e
                );
                return Err(e);
            }
            Ok(0)
        })
    }

    extern "C" fn ndo_stop(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: As for `ndo_open`.
        let this = unsafe { Self::of(dev) };
        this.down(&mut this.control.lock());
        0
    }

    #[inline(always)]
    extern "C" fn ndo_start_xmit(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        // SAFETY: As for `ndo_open`.
        let this = unsafe { Self::of(dev) };
        // SAFETY: The stack gives the packet away unless it is told BUSY.
        let Some(skb) = (unsafe { Skb::from_raw(skb) }) else {
            return bindings::netdev_tx_NETDEV_TX_OK;
        };
        let Some(pair) = this.queues.get(skb.queue_mapping()) else {
            return bindings::netdev_tx_NETDEV_TX_OK;
        };
        // SAFETY: The stack holds the transmit queue's lock.
        match unsafe { pair.xmit(skb) } {
            Ok(()) => bindings::netdev_tx_NETDEV_TX_OK,
            Err(skb) => {
                skb.into_raw();
                bindings::netdev_tx_NETDEV_TX_BUSY
            }
        }
    }

    extern "C" fn ndo_features_check(
        skb: *mut bindings::sk_buff,
        _dev: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> bindings::netdev_features_t {
        // SAFETY: The packet is valid during the call; it is not given away.
        let Some(skb) = (unsafe { Skb::from_raw(skb) }) else {
            return features;
        };
        let mac = skb.network_offset();
        let network = skb.checksum_start_offset().wrapping_sub(mac);
        let fits =
            !skb.checksum_partial() || (mac <= MAX_MAC_HEADER && network <= MAX_NETWORK_HEADER);
        skb.into_raw();
        if fits {
            features
        } else {
            features & !OFFLOAD_FEATURES
        }
    }

    extern "C" fn ndo_set_rx_mode(
        dev: *mut bindings::net_device,
        unicast: *mut bindings::netdev_hw_addr_list,
        multicast: *mut bindings::netdev_hw_addr_list,
    ) -> c_int {
        // SAFETY: As for `ndo_open`.
        let this = unsafe { Self::of(dev) };
        from_result(|| {
            // SAFETY: The stack hands in snapshots of both lists.
            let (unicast, multicast) = unsafe { (addresses(unicast)?, addresses(multicast)?) };
            // SAFETY: The device is valid.
            let flags = unsafe { (&raw const (*dev).flags).read_volatile() };
            let mut control = this.control.lock();
            let filters = &mut control.filters;
            let promiscuous = flags & bindings::net_device_flags_IFF_PROMISC != 0;
            filters.set_multicast(
                promiscuous,
                promiscuous || flags & bindings::net_device_flags_IFF_ALLMULTI != 0,
                multicast
                    .iter()
                    .map(|mac| compsc_regs::mailbox::multicast_hash(*mac)),
                C::MAX_HASHES,
            );
            let fits = filters.set_unicast(unicast.iter().copied(), C::MAX_UNICAST);
            if fits.is_err() && C::PHYSICAL {
                filters.receive_everything();
            }
            if !this.is_reachable(&control) {
                // The restore asks for the filters as they then are.
                return Ok(0);
            }
            this.answered(this.chip.request_rx_mode(&control.filters))?;
            if fits.is_err() && !C::PHYSICAL {
                dev_warn!(
                    this.function.device(),
                    "{}: only {} of {} further unicast addresses fit into the hardware\n",
                    this.netdev_name(),
                    control.filters.unicast().len(),
                    unicast.len()
                );
            }
            Ok(0)
        })
    }

    extern "C" fn ndo_set_mac_address(
        dev: *mut bindings::net_device,
        address: *mut c_void,
    ) -> c_int {
        // SAFETY: As for `ndo_open`; the stack passes a `struct sockaddr`.
        let (this, data) = unsafe {
            let address = address.cast::<bindings::sockaddr>();
            let data = (&raw const (*address).sa_data).cast::<[u8; 6]>();
            (Self::of(dev), data.read())
        };
        from_result(|| {
            if data[0] & 1 != 0 || data == [0; 6] {
                return Err(EADDRNOTAVAIL);
            }
            let mut control = this.control.lock();
            this.on_device(&mut control, |_| this.chip.request_mac(data))
                .inspect_err(|_| {
                    dev_warn!(
                        this.function.device(),
                        "{}: the host does not allow this MAC address\n",
                        this.netdev_name()
                    )
                })?;
            control.filters.mac = data;
            // SAFETY: The device is valid, and RTNL is held.
            unsafe { bindings::compsc_eth_hw_addr_set(dev, data.as_ptr()) };
            Ok(0)
        })
    }

    extern "C" fn ndo_change_mtu(dev: *mut bindings::net_device, mtu: c_int) -> c_int {
        // SAFETY: As for `ndo_open`.
        let this = unsafe { Self::of(dev) };
        from_result(|| {
            let mut control = this.control.lock();
            let old = control.filters.mtu;
            // CAST: The stack checks the limits.
            control.filters.mtu = mtu as u32;
            if !this.program_allows(control.filters.max_frame()) {
                control.filters.mtu = old;
                dev_warn!(
                    this.function.device(),
                    "{}: frames of MTU {} take several buffers, which the XDP program does not support\n",
                    this.netdev_name(),
                    mtu
                );
                return Err(EINVAL);
            }
            // Buffers do not depend on the MTU: longer frames take more descriptors.
            if control.up && this.is_reachable(&control) {
                let asked = this.chip.request_max_frame(control.filters.max_frame());
                if let Err(e) = this.answered(asked) {
                    control.filters.mtu = old;
                    return Err(e);
                }
            }
            // SAFETY: The device is valid, and RTNL is held.
            unsafe { (&raw mut (*dev).mtu).write_volatile(mtu as u32) };
            Ok(0)
        })
    }

    extern "C" fn ndo_tx_timeout(dev: *mut bindings::net_device, queue: c_uint) {
        // SAFETY: As for `ndo_open`.
        let this = unsafe { Self::of(dev) };
        dev_warn!(
            this.function.device(),
            "{}: transmit queue {} hangs\n",
            this.netdev_name(),
            queue
        );
        this.report(Some(queue));
    }

    extern "C" fn ndo_get_stats64(
        dev: *mut bindings::net_device,
        stats: *mut bindings::rtnl_link_stats64,
    ) {
        // SAFETY: As for `ndo_open`; the stack passes a zeroed structure.
        let (this, stats) = unsafe { (Self::of(dev), &mut *stats) };
        // CAST: Few counters.
        let port = C::port_stats(|i| this.region.counter(i as u32));
        stats.multicast = port.multicast;
        stats.collisions = port.collisions;
        stats.rx_errors = port.rx_errors;
        stats.rx_length_errors = port.rx_length_errors;
        stats.rx_crc_errors = port.rx_crc_errors;
        stats.rx_frame_errors = port.rx_frame_errors;
        stats.rx_missed_errors = port.rx_missed_errors;
        stats.tx_errors = port.tx_errors;
        stats.tx_aborted_errors = port.tx_aborted_errors;
        stats.tx_window_errors = port.tx_window_errors;
        stats.tx_carrier_errors = port.tx_carrier_errors;
        for pair in &this.queues {
            stats.rx_packets += pair.rx_stats.packets.get();
            stats.rx_bytes += pair.rx_stats.bytes.get();
            stats.rx_errors += pair.rx_stats.errors.get();
            stats.rx_crc_errors += pair.rx_stats.errors.get();
            stats.rx_dropped += pair.rx_stats.alloc_failed.get();
            stats.tx_packets += pair.tx_stats.packets.get();
            stats.tx_bytes += pair.tx_stats.bytes.get();
            stats.tx_dropped += pair.tx_stats.dropped.get();
        }
    }

    extern "C" fn ndo_vlan_rx_add_vid(
        dev: *mut bindings::net_device,
        _protocol: u16,
        vid: u16,
    ) -> c_int {
        // SAFETY: As for `ndo_open`.
        unsafe { Self::of(dev) }.set_vlan(vid, true)
    }

    extern "C" fn ndo_vlan_rx_kill_vid(
        dev: *mut bindings::net_device,
        _protocol: u16,
        vid: u16,
    ) -> c_int {
        // SAFETY: As for `ndo_open`.
        unsafe { Self::of(dev) }.set_vlan(vid, false)
    }

    /// What the PF said to a request. One that it did not answer (it is being reset, say), or that reached
    /// the PF of another host, is made again by a restore, which asks for everything; only a refusal is an error. A PF
    /// asks nobody, and what it says itself are refusals.
    fn answered(&self, answer: Result) -> Result {
        match answer {
            Err(e) if !C::PHYSICAL && e != EPERM || self.gate.pending() != Pending::Nothing => {
                self.gate.close();
                self.restore_work.requeue(&self.queue, 0);
                Ok(())
            }
            answer => answer,
        }
    }

    fn set_vlan(&self, vid: u16, on: bool) -> c_int {
        from_result(|| {
            let mut control = self.control.lock();
            if !on {
                control.filters.set_vlan(vid, false);
                self.vlans.set(vid, false);
            }
            if self.is_reachable(&control) {
                self.answered(self.chip.request_vlan(vid, on))
                    .inspect_err(|_| {
                        dev_warn!(
                            self.function.device(),
                            "{}: the host does not {} VLAN {}\n",
                            self.netdev_name(),
                            if on { "allow" } else { "drop" },
                            vid
                        )
                    })?;
            }
            if on {
                control.filters.set_vlan(vid, true);
                self.vlans.set(vid, true);
            }
            Ok(0)
        })
    }

    extern "C" fn queue_stats_rx(
        dev: *mut bindings::net_device,
        index: c_int,
        stats: *mut bindings::netdev_queue_stats_rx,
    ) {
        // SAFETY: As for `ndo_open`.
        let (this, stats) = unsafe { (Self::of(dev), &mut *stats) };
        let Some(pair) = this.queues.get(index as usize) else {
            return;
        };
        stats.packets = pair.rx_stats.packets.get();
        stats.bytes = pair.rx_stats.bytes.get();
        stats.alloc_fail = pair.rx_stats.alloc_failed.get();
        stats.csum_unnecessary = pair.rx_stats.checksum_good.get();
        stats.csum_none = pair.rx_stats.checksum_none.get();
        stats.csum_bad = pair.rx_stats.checksum_bad.get();
    }

    extern "C" fn queue_stats_tx(
        dev: *mut bindings::net_device,
        index: c_int,
        stats: *mut bindings::netdev_queue_stats_tx,
    ) {
        // SAFETY: As for `ndo_open`.
        let (this, stats) = unsafe { (Self::of(dev), &mut *stats) };
        let Some(pair) = this.queues.get(index as usize) else {
            return;
        };
        stats.packets = pair.tx_stats.packets.get();
        stats.bytes = pair.tx_stats.bytes.get();
        stats.needs_csum = pair.tx_stats.checksummed.get();
        stats.hw_gso_packets = pair.tx_stats.segmented.get();
        stats.stop = pair.tx_stats.stops.get();
        stats.wake = pair.tx_stats.wakes.get();
    }

    extern "C" fn base_stats(
        _dev: *mut bindings::net_device,
        rx: *mut bindings::netdev_queue_stats_rx,
        tx: *mut bindings::netdev_queue_stats_tx,
    ) {
        // Queues keep their statistics while the device exists: the base is 0.
        // SAFETY: The stack passes valid structures.
        unsafe {
            (*rx).packets = 0;
            (*rx).bytes = 0;
            (*rx).alloc_fail = 0;
            (*rx).csum_unnecessary = 0;
            (*rx).csum_none = 0;
            (*rx).csum_bad = 0;
            (*tx).packets = 0;
            (*tx).bytes = 0;
            (*tx).needs_csum = 0;
            (*tx).hw_gso_packets = 0;
            (*tx).stop = 0;
            (*tx).wake = 0;
        }
    }
}

/// Copies a list of addresses.
///
/// # Safety
///
/// `list` is valid and does not change meanwhile.
unsafe fn addresses(list: *const bindings::netdev_hw_addr_list) -> Result<KVec<[u8; 6]>> {
    extern "C" fn each(data: *mut c_void, address: *const u8) {
        // SAFETY: Called below with this vector; an Ethernet address has six bytes.
        let (vec, address) = unsafe {
            (
                &mut *data.cast::<KVec<[u8; 6]>>(),
                address.cast::<[u8; 6]>().read(),
            )
        };
        // The capacity was reserved; a longer list would be cut short.
        let _ = vec.push_within_capacity(address);
    }
    // SAFETY: By this function's requirement.
    let count = unsafe { (*list).count }.max(0) as usize;
    let mut vec = KVec::<[u8; 6]>::with_capacity(count, GFP_KERNEL)?;
    // SAFETY: As above; `each` gets what it expects.
    unsafe {
        bindings::compsc_hw_addr_list_for_each(list, Some(each), (&raw mut vec).cast());
    }
    Ok(vec)
}

const _: () = assert!(BUFFER_LEN >= 1536);
