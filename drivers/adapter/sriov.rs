// SPDX-License-Identifier: GPL-2.0

//! A function with virtual functions (VFs): how many, and what the administrator has set for each.

use super::{
    Adapter,
    Chip, //
};
use crate::{
    bindings,
    net::Rtnl, //
};
use compsc_regs::sriov::{
    Administration,
    LinkState, //
};
use kernel::{
    error::from_result,
    prelude::*, //
};

/// Ethernet type of the VLAN tags that a VF can be put into, in network byte order.
const ETH_P_8021Q: u16 = 0x8100u16.to_be();

/// What a VF has received and sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct VfStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Multicast packets received.
    pub multicast: u64,
}

/// A chip's side of it. All methods are called under the control lock.
pub trait Host {
    /// Number of VFs.
    fn vf_count(&self) -> usize;

    /// Begins anew with this many VFs. The queues of the function itself are down.
    fn enable_vfs(&self, count: usize) -> Result;

    /// What the administrator has set for a VF, and the address that it uses.
    fn administration(&self, vf: usize) -> Option<(Administration, Option<[u8; 6]>)>;

    /// Changes what the administrator has set.
    fn administer(&self, vf: usize, change: &dyn Fn(&mut Administration)) -> Result;

    /// What a VF has received and sent.
    fn vf_stats(&self, vf: usize) -> VfStats;
}

impl<C: Chip> Adapter<C> {
    /// Makes `count` virtual functions, or removes them. For [`pci::Driver::set_vfs`](crate::pci::Driver::set_vfs).
    ///
    /// # Errors
    ///
    /// `EBUSY` while somebody uses one, `ENOSPC` when the function itself uses too much of what would be theirs.
    pub fn set_vfs(&self, count: usize) -> Result<usize> {
        let host = self.chip.host().ok_or(EOPNOTSUPP)?;
        let old = {
            let _control = self.control.lock();
            host.vf_count()
        };
        if old != 0 {
            if self.function.vfs_in_use() {
                dev_warn!(
                    self.function.device(),
                    "virtual functions are in use by a virtual machine or another program of VFIO; end that first\n"
                );
                return Err(EBUSY);
            }
            self.function.disable_sriov();
            self.switch(host, 0)?;
        }
        if count != 0 {
            self.switch(host, count)?;
            if let Err(e) = self.function.enable_sriov(count) {
                self.switch(host, 0)?;
                return Err(e);
            }
            // They see a reset behind them: a driver that comes here with its machine, and knows of nothing else, starts over.
            let control = self.control.lock();
            if self.is_reachable(&control) {
                self.chip.ready();
            }
        }
        Ok(count)
    }

    /// Shares the device out among the function itself and `count` others.
    fn switch(&self, host: &dyn Host, count: usize) -> Result {
        let _rtnl = Rtnl::lock();
        let mut control = self.control.lock();
        if control.detached {
            return Err(ENODEV);
        }
        let (pairs, sizes) = (control.wanted_pairs, control.ring_sizes);
        self.reconfigure(&mut control, pairs, sizes, |control| {
            host.enable_vfs(count)?;
            self.set_active(control.wanted_pairs)
        })
        .inspect_err(|e| {
            let why = if e.to_errno() == ENOSPC.to_errno() {
                ": the interface has more VLANs than its share of the pools' table"
            } else {
                ""
            };
            dev_warn!(
                self.function.device(),
                "{}: {} virtual functions are not possible ({:?}){}\n",
                self.netdev_name(),
                count,
                e,
                why
            );
        })
    }

    /// Removes all virtual functions, whoever uses them, because the driver goes.
    pub(super) fn remove_vfs(&self) {
        if self.chip.host().is_some() {
            self.function.disable_sriov();
        }
    }

    fn administer(
        &self,
        vf: c_int,
        change: impl Fn(&mut Administration),
        what: &'static str,
    ) -> c_int {
        from_result(|| {
            let host = self.chip.host().ok_or(EOPNOTSUPP)?;
            let vf = usize::try_from(vf).map_err(|_| EINVAL)?;
            let control = self.control.lock();
            if control.detached {
                return Err(ENODEV);
            }
            host.administer(vf, &change).inspect_err(|e| {
                dev_warn!(
                    self.function.device(),
                    "{}: the {} of virtual function {} cannot be set ({:?})\n",
                    self.netdev_name(),
                    what,
                    vf,
                    e
                );
            })?;
            Ok(0)
        })
    }

    pub(super) extern "C" fn ndo_set_vf_mac(
        dev: *mut bindings::net_device,
        vf: c_int,
        mac: *mut u8,
    ) -> c_int {
        // SAFETY: Called for a registered device of this driver, with an Ethernet address.
        let (this, mac) = unsafe { (Self::of(dev), mac.cast::<[u8; 6]>().read()) };
        // No address: the VF may choose one again.
        let mac = (mac != [0; 6]).then_some(mac);
        this.administer(vf, |admin| admin.mac = mac, "MAC address")
    }

    pub(super) extern "C" fn ndo_set_vf_vlan(
        dev: *mut bindings::net_device,
        vf: c_int,
        vlan: u16,
        qos: u8,
        protocol: u16,
    ) -> c_int {
        // SAFETY: As for `ndo_set_vf_mac`.
        let this = unsafe { Self::of(dev) };
        if protocol != ETH_P_8021Q {
            return EPROTONOSUPPORT.to_errno();
        }
        let change = |admin: &mut Administration| (admin.vlan, admin.qos) = (vlan, qos);
        this.administer(vf, change, "VLAN")
    }

    pub(super) extern "C" fn ndo_set_vf_rate(
        dev: *mut bindings::net_device,
        vf: c_int,
        min_rate: c_int,
        max_rate: c_int,
    ) -> c_int {
        // SAFETY: As for `ndo_set_vf_mac`.
        let this = unsafe { Self::of(dev) };
        let Ok(rate) = u32::try_from(max_rate) else {
            return EINVAL.to_errno();
        };
        if min_rate != 0 {
            return EINVAL.to_errno();
        }
        this.administer(vf, |admin| admin.rate = rate, "rate")
    }

    pub(super) extern "C" fn ndo_set_vf_spoofchk(
        dev: *mut bindings::net_device,
        vf: c_int,
        on: bool,
    ) -> c_int {
        // SAFETY: As for `ndo_set_vf_mac`.
        let this = unsafe { Self::of(dev) };
        this.administer(vf, |admin| admin.spoof_check = on, "spoof check")
    }

    pub(super) extern "C" fn ndo_set_vf_trust(
        dev: *mut bindings::net_device,
        vf: c_int,
        on: bool,
    ) -> c_int {
        // SAFETY: As for `ndo_set_vf_mac`.
        let this = unsafe { Self::of(dev) };
        this.administer(vf, |admin| admin.trusted = on, "trust")
    }

    pub(super) extern "C" fn ndo_set_vf_link_state(
        dev: *mut bindings::net_device,
        vf: c_int,
        state: c_int,
    ) -> c_int {
        // SAFETY: As for `ndo_set_vf_mac`.
        let this = unsafe { Self::of(dev) };
        let link = match u32::try_from(state) {
            Ok(bindings::COMPSC_VF_LINK_AUTO) => LinkState::Auto,
            Ok(bindings::COMPSC_VF_LINK_ENABLE) => LinkState::Enable,
            Ok(bindings::COMPSC_VF_LINK_DISABLE) => LinkState::Disable,
            _ => return EINVAL.to_errno(),
        };
        this.administer(vf, |admin| admin.link = link, "link state")
    }

    pub(super) extern "C" fn ndo_get_vf_config(
        dev: *mut bindings::net_device,
        vf: c_int,
        info: *mut bindings::ifla_vf_info,
    ) -> c_int {
        // SAFETY: As for `ndo_set_vf_mac`; the stack passes a structure to be filled in.
        let (this, info) = unsafe { (Self::of(dev), &mut *info) };
        from_result(|| {
            let host = this.chip.host().ok_or(EOPNOTSUPP)?;
            let vf = usize::try_from(vf).map_err(|_| EINVAL)?;
            let _control = this.control.lock();
            let (admin, mac) = host.administration(vf).ok_or(EINVAL)?;
            // CAST: At most 7.
            info.vf = vf as u32;
            for (to, from) in info.mac.iter_mut().zip(mac.unwrap_or_default()) {
                *to = from;
            }
            info.vlan = admin.vlan.into();
            info.qos = admin.qos.into();
            info.vlan_proto = ETH_P_8021Q;
            info.spoofchk = admin.spoof_check.into();
            info.trusted = admin.trusted.into();
            info.min_tx_rate = 0;
            info.max_tx_rate = admin.rate;
            info.linkstate = match admin.link {
                LinkState::Auto => bindings::COMPSC_VF_LINK_AUTO,
                LinkState::Enable => bindings::COMPSC_VF_LINK_ENABLE,
                LinkState::Disable => bindings::COMPSC_VF_LINK_DISABLE,
            };
            Ok(0)
        })
    }

    pub(super) extern "C" fn ndo_get_vf_stats(
        dev: *mut bindings::net_device,
        vf: c_int,
        stats: *mut bindings::ifla_vf_stats,
    ) -> c_int {
        // SAFETY: As for `ndo_set_vf_mac`; the stack passes a structure to be filled in.
        let (this, stats) = unsafe { (Self::of(dev), &mut *stats) };
        from_result(|| {
            let host = this.chip.host().ok_or(EOPNOTSUPP)?;
            let vf = usize::try_from(vf).map_err(|_| EINVAL)?;
            let control = this.control.lock();
            if vf >= host.vf_count() {
                return Err(EINVAL);
            }
            if this.is_reachable(&control) {
                this.read_device(C::refresh);
            }
            let counted = host.vf_stats(vf);
            stats.rx_packets = counted.rx_packets;
            stats.tx_packets = counted.tx_packets;
            stats.rx_bytes = counted.rx_bytes;
            stats.tx_bytes = counted.tx_bytes;
            stats.multicast = counted.multicast;
            Ok(0)
        })
    }
}
