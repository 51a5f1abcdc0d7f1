// SPDX-License-Identifier: GPL-2.0

//! A function with a port of its own: link settings, pause, EEPROM, LEDs, distribution by hash.

use super::{
    devlink::Versions,
    Adapter,
    Chip, //
};
use crate::bindings;
use kernel::{
    error::from_result,
    prelude::*, //
};

/// Bytes of a hash key.
pub const RSS_KEY_BYTES: usize = compsc_regs::pf82576::RSS_KEY_BYTES;
/// Entries of the redirection table.
pub const RETA_ENTRIES: usize = compsc_regs::pf82576::RETA_ENTRIES;

/// Link modes as `ethtool` numbers them, one bit each.
pub mod mode {
    use crate::bindings::*;

    const fn bit(mode: u32) -> usize {
        1 << mode
    }

    /// 10BASE-T half duplex.
    pub const HALF_10: usize =
        bit(ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_10baseT_Half_BIT);
    /// 10BASE-T full duplex.
    pub const FULL_10: usize =
        bit(ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_10baseT_Full_BIT);
    /// 100BASE-TX half duplex.
    pub const HALF_100: usize =
        bit(ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_100baseT_Half_BIT);
    /// 100BASE-TX full duplex.
    pub const FULL_100: usize =
        bit(ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_100baseT_Full_BIT);
    /// 1000BASE-T full duplex.
    pub const FULL_1000: usize =
        bit(ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_1000baseT_Full_BIT);
    /// Autonegotiation.
    pub const AUTONEG: usize = bit(ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_Autoneg_BIT);
    /// Twisted pair.
    pub const TP: usize = bit(ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_TP_BIT);
    /// Pause frames.
    pub const PAUSE: usize = bit(ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_Pause_BIT);
    /// Pause frames in one direction.
    pub const ASYM_PAUSE: usize =
        bit(ethtool_link_mode_bit_indices_ETHTOOL_LINK_MODE_Asym_Pause_BIT);
    /// All speeds.
    pub const SPEEDS: usize = HALF_10 | FULL_10 | HALF_100 | FULL_100 | FULL_1000;
}

/// What wakes the machine, as `ethtool` numbers it.
pub mod wake {
    pub use crate::bindings::{
        WAKE_BCAST as BROADCAST,
        WAKE_MAGIC as MAGIC,
        WAKE_MCAST as MULTICAST,
        WAKE_PHY as LINK,
        WAKE_UCAST as UNICAST, //
    };
}

/// Settings of a link, as sets of [`mode`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkSettings {
    /// What the port can do.
    pub supported: usize,
    /// What it offers.
    pub advertising: usize,
    /// What the link partner offers.
    pub partner: usize,
    /// Address of the PHY.
    pub phy: u8,
}

/// Flow control: whether pause frames are negotiated, obeyed and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Negotiated with the link partner.
    pub autoneg: bool,
    /// Received ones are obeyed.
    pub rx: bool,
    /// They are sent.
    pub tx: bool,
}

/// How the LEDs show which port it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identify {
    /// As always.
    Off,
    /// Lit.
    Lit,
    /// Dark.
    Dark,
}

/// What a kind of packet is distributed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFields {
    /// Its addresses.
    Addresses,
    /// Its addresses and ports.
    Ports,
}

/// The kinds of packets, by what is hashed of them: `Some` where that cannot be changed.
const fn hash_kind(flow_type: u32) -> Option<(Option<HashFields>, bool)> {
    use bindings::*;
    Some(match flow_type {
        TCP_V4_FLOW | TCP_V6_FLOW => (Some(HashFields::Ports), false),
        UDP_V4_FLOW => (None, false),
        UDP_V6_FLOW => (None, true),
        IPV4_FLOW | SCTP_V4_FLOW | AH_ESP_V4_FLOW | AH_V4_FLOW | ESP_V4_FLOW | IPV6_FLOW
        | SCTP_V6_FLOW | AH_ESP_V6_FLOW | AH_V6_FLOW | ESP_V6_FLOW => {
            (Some(HashFields::Addresses), false)
        }
        _ => return None,
    })
}

/// Header fields as `ethtool` has them.
const HASH_ADDRESSES: u32 = bindings::RXH_IP_SRC | bindings::RXH_IP_DST;
const HASH_PORTS: u32 = HASH_ADDRESSES | bindings::RXH_L4_B_0_1 | bindings::RXH_L4_B_2_3;

/// A chip's side of it. All methods are called under the control lock.
pub trait Port {
    /// Link settings.
    fn link_settings(&self) -> LinkSettings;
    /// Offers these speeds, and negotiates anew.
    fn set_advertising(&self, modes: usize) -> Result;
    /// Negotiates anew.
    fn renegotiate(&self) -> Result;
    /// Flow control as it was asked for.
    fn pause(&self) -> Pause;
    /// Sets flow control.
    fn set_pause(&self, pause: Pause) -> Result;
    /// Size of the EEPROM in 16-bit words.
    fn eeprom_words(&self) -> u32;
    /// A word of the EEPROM.
    fn eeprom_word(&self, at: u32) -> Result<u16>;
    /// What the device says about itself.
    fn versions(&self) -> Result<Versions>;
    /// What can wake the machine, and what shall: sets of [`wake`]'s.
    fn wake(&self) -> Result<(u32, u32)>;
    /// Chooses what wakes the machine, among what can.
    fn set_wake(&self, wake: u32);
    /// Makes the silenced function wait for what wakes the machine. Returns whether there is anything.
    fn arm_wake(&self) -> bool;
    /// Shows which port it is.
    fn identify(&self, how: Identify);
    /// Hash key and redirection table.
    fn rss(&self) -> ([u8; RSS_KEY_BYTES], [u8; RETA_ENTRIES]);
    /// Sets hash key or redirection table.
    fn set_rss(&self, key: Option<[u8; RSS_KEY_BYTES]>, table: Option<[u8; RETA_ENTRIES]>);
    /// All queues get alike, until a table is set.
    fn spread_rss(&self);
    /// What UDP over IPv4, or over IPv6, is distributed by.
    fn udp_hash(&self, ipv6: bool) -> HashFields;
    /// Sets it.
    fn set_udp_hash(&self, ipv6: bool, fields: HashFields);
}

/// `ethtool -e` wants to know what kind of device the bytes are from.
const fn eeprom_magic(vendor: u32, device: u32) -> u32 {
    vendor | device << 16
}

impl<C: Chip> Adapter<C> {
    /// The operations that only a function with a port has.
    pub(super) const fn port_ops(mut ops: bindings::ethtool_ops) -> bindings::ethtool_ops {
        if C::PHYSICAL {
            ops.set_link_ksettings = Some(Self::set_link_ksettings);
            ops.nway_reset = Some(Self::nway_reset);
            ops.get_pauseparam = Some(Self::get_pauseparam);
            ops.set_pauseparam = Some(Self::set_pauseparam);
            ops.get_pause_stats = Some(Self::get_pause_stats);
            ops.get_eeprom_len = Some(Self::get_eeprom_len);
            ops.get_eeprom = Some(Self::get_eeprom);
            ops.set_phys_id = Some(Self::set_phys_id);
            ops.get_wol = Some(Self::get_wol);
            ops.set_wol = Some(Self::set_wol);
            ops.get_rxfh_key_size = Some(Self::get_rxfh_key_size);
            ops.get_rxfh_indir_size = Some(Self::get_rxfh_indir_size);
            ops.get_rxfh = Some(Self::get_rxfh);
            ops.set_rxfh = Some(Self::set_rxfh);
            ops.get_rxfh_fields = Some(Self::get_rxfh_fields);
            ops.set_rxfh_fields = Some(Self::set_rxfh_fields);
            ops.get_rx_ring_count = Some(Self::get_rx_ring_count);
            ops.get_ts_info = Some(Self::get_ts_info);
            ops.get_ts_stats = Some(Self::get_ts_stats);
        }
        ops
    }

    /// The port, for an operation on a device that is there.
    fn on_port<T>(
        dev: *mut bindings::net_device,
        operation: impl FnOnce(&Self, &dyn Port) -> Result<T>,
    ) -> Result<T> {
        // SAFETY: The stack passes a registered device of this driver.
        let this = unsafe { Self::of(dev) };
        let port = this.chip.port().ok_or(EOPNOTSUPP)?;
        let mut control = this.control.lock();
        this.restore_if_needed(&mut control, false)?;
        operation(this, port)
    }

    /// Adds what a port knows of its link.
    pub(super) fn port_settings(
        &self,
        settings: &mut bindings::ethtool_link_ksettings,
        detached: bool,
    ) -> bool {
        let Some(port) = self.chip.port() else {
            return false;
        };
        let link = if detached {
            LinkSettings::default()
        } else {
            port.link_settings()
        };
        settings.link_modes.supported[0] = link.supported;
        settings.link_modes.advertising[0] = link.advertising;
        settings.link_modes.lp_advertising[0] = link.partner;
        settings.base.autoneg = bindings::AUTONEG_ENABLE as u8;
        settings.base.port = bindings::PORT_TP as u8;
        settings.base.phy_address = link.phy;
        true
    }

    extern "C" fn set_link_ksettings(
        dev: *mut bindings::net_device,
        settings: *const bindings::ethtool_link_ksettings,
    ) -> c_int {
        // SAFETY: The stack passes a valid structure.
        let settings = unsafe { &*settings };
        from_result(|| {
            // 1000BASE-T cannot do without, and the other speeds are chosen by what is offered.
            if u32::from(settings.base.autoneg) != bindings::AUTONEG_ENABLE {
                return Err(EOPNOTSUPP);
            }
            let modes = settings.link_modes.advertising[0] & mode::SPEEDS;
            if modes == 0 {
                return Err(EINVAL);
            }
            Self::on_port(dev, |_, port| port.set_advertising(modes))?;
            Ok(0)
        })
    }

    extern "C" fn nway_reset(dev: *mut bindings::net_device) -> c_int {
        from_result(|| Self::on_port(dev, |_, port| port.renegotiate()).map(|()| 0))
    }

    extern "C" fn get_pauseparam(
        dev: *mut bindings::net_device,
        pause: *mut bindings::ethtool_pauseparam,
    ) {
        // SAFETY: The stack passes a valid structure.
        let pause = unsafe { &mut *pause };
        let Ok(now) = Self::on_port(dev, |_, port| Ok(port.pause())) else {
            return;
        };
        pause.autoneg = now.autoneg.into();
        pause.rx_pause = now.rx.into();
        pause.tx_pause = now.tx.into();
    }

    extern "C" fn set_pauseparam(
        dev: *mut bindings::net_device,
        pause: *mut bindings::ethtool_pauseparam,
    ) -> c_int {
        // SAFETY: The stack passes a valid structure.
        let pause = unsafe { &*pause };
        let wanted = Pause {
            autoneg: pause.autoneg != 0,
            rx: pause.rx_pause != 0,
            tx: pause.tx_pause != 0,
        };
        from_result(|| Self::on_port(dev, |_, port| port.set_pause(wanted)).map(|()| 0))
    }

    extern "C" fn get_pause_stats(
        dev: *mut bindings::net_device,
        stats: *mut bindings::ethtool_pause_stats,
    ) {
        // SAFETY: The stack passes a registered device of this driver and a valid structure.
        let (this, stats) = unsafe { (Self::of(dev), &mut *stats) };
        let mut control = this.control.lock();
        this.update_counters(&mut control);
        // CAST: Few counters.
        let port = C::port_stats(|i| this.region.counter(i as u32));
        // SAFETY: Both members of the union are the same fields (`struct_group`).
        let stats = unsafe { &mut stats.__bindgen_anon_1.stats };
        stats.rx_pause_frames = port.rx_pause;
        stats.tx_pause_frames = port.tx_pause;
    }

    extern "C" fn get_eeprom_len(dev: *mut bindings::net_device) -> c_int {
        // CAST: An EEPROM is small.
        Self::on_port(dev, |_, port| Ok(port.eeprom_words() * 2)).unwrap_or(0) as c_int
    }

    extern "C" fn get_eeprom(
        dev: *mut bindings::net_device,
        eeprom: *mut bindings::ethtool_eeprom,
        data: *mut u8,
    ) -> c_int {
        // SAFETY: The stack passes a valid structure.
        let eeprom = unsafe { &mut *eeprom };
        from_result(|| {
            Self::on_port(dev, |this, port| {
                eeprom.magic = eeprom_magic(0x8086, this.function.device_id().into());
                for i in 0..eeprom.len {
                    let at = eeprom.offset + i;
                    let byte = port.eeprom_word(at / 2)?.to_le_bytes()[at as usize % 2];
                    // SAFETY: The stack passes room for `len` bytes.
                    unsafe { data.add(i as usize).write(byte) };
                }
                Ok(0)
            })
        })
    }

    extern "C" fn set_phys_id(
        dev: *mut bindings::net_device,
        state: bindings::ethtool_phys_id_state,
    ) -> c_int {
        from_result(|| {
            let how = match state {
                // Switched by the stack, so many times a second.
                bindings::ethtool_phys_id_state_ETHTOOL_ID_ACTIVE => return Ok(2),
                bindings::ethtool_phys_id_state_ETHTOOL_ID_ON => Identify::Lit,
                bindings::ethtool_phys_id_state_ETHTOOL_ID_OFF => Identify::Dark,
                _ => Identify::Off,
            };
            Self::on_port(dev, |_, port| {
                port.identify(how);
                Ok(0)
            })
        })
    }

    extern "C" fn get_wol(dev: *mut bindings::net_device, wol: *mut bindings::ethtool_wolinfo) {
        // SAFETY: The stack passes a valid structure.
        let wol = unsafe { &mut *wol };
        (wol.supported, wol.wolopts) =
            Self::on_port(dev, |_, port| port.wake()).unwrap_or_default();
    }

    extern "C" fn set_wol(
        dev: *mut bindings::net_device,
        wol: *mut bindings::ethtool_wolinfo,
    ) -> c_int {
        // SAFETY: The stack passes a valid structure.
        let wanted = unsafe { (*wol).wolopts };
        from_result(|| {
            Self::on_port(dev, |this, port| {
                let (supported, _) = port.wake()?;
                if wanted & !supported != 0 {
                    return Err(EOPNOTSUPP);
                }
                port.set_wake(wanted);
                this.function.set_wakeup(wanted != 0);
                Ok(0)
            })
        })
    }

    extern "C" fn get_rxfh_key_size(_dev: *mut bindings::net_device) -> u32 {
        RSS_KEY_BYTES as u32
    }

    extern "C" fn get_rxfh_indir_size(_dev: *mut bindings::net_device) -> u32 {
        RETA_ENTRIES as u32
    }

    extern "C" fn get_rx_ring_count(dev: *mut bindings::net_device) -> u32 {
        // SAFETY: The stack passes a registered device of this driver.
        // CAST: Few queues.
        unsafe { Self::of(dev) }.active().len() as u32
    }

    extern "C" fn get_rxfh_fields(
        dev: *mut bindings::net_device,
        fields: *mut bindings::ethtool_rxfh_fields,
    ) -> c_int {
        // SAFETY: The stack passes a valid structure.
        let fields = unsafe { &mut *fields };
        from_result(|| {
            let (fixed, ipv6) = hash_kind(fields.flow_type).ok_or(EINVAL)?;
            let hashed = match fixed {
                Some(hashed) => hashed,
                None => Self::on_port(dev, |_, port| Ok(port.udp_hash(ipv6)))?,
            };
            fields.data = match hashed {
                HashFields::Addresses => HASH_ADDRESSES,
                HashFields::Ports => HASH_PORTS,
            };
            Ok(0)
        })
    }

    extern "C" fn set_rxfh_fields(
        dev: *mut bindings::net_device,
        fields: *const bindings::ethtool_rxfh_fields,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: The stack passes a valid structure.
        let fields = unsafe { &*fields };
        from_result(|| {
            let (fixed, ipv6) = hash_kind(fields.flow_type).ok_or(EINVAL)?;
            let wanted = match fields.data {
                HASH_ADDRESSES => HashFields::Addresses,
                HASH_PORTS => HashFields::Ports,
                _ => return Err(EINVAL),
            };
            match fixed {
                None => Self::on_port(dev, |_, port| {
                    port.set_udp_hash(ipv6, wanted);
                    Ok(0)
                }),
                Some(fixed) if fixed == wanted => Ok(0),
                Some(_) => Err(EINVAL),
            }
        })
    }

    extern "C" fn get_rxfh(
        dev: *mut bindings::net_device,
        param: *mut bindings::ethtool_rxfh_param,
    ) -> c_int {
        // SAFETY: The stack passes a valid structure.
        let param = unsafe { &mut *param };
        from_result(|| {
            Self::on_port(dev, |_, port| {
                let (key, table) = port.rss();
                param.hfunc = bindings::COMPSC_RSS_HASH_TOP as u8;
                // SAFETY: The arrays are missing, or as large as this driver has said.
                unsafe {
                    if !param.key.is_null() {
                        param.key.cast::<[u8; RSS_KEY_BYTES]>().write(key);
                    }
                    if !param.indir.is_null() {
                        for (i, queue) in table.into_iter().enumerate() {
                            param.indir.add(i).write(queue.into());
                        }
                    }
                }
                Ok(0)
            })
        })
    }

    extern "C" fn set_rxfh(
        dev: *mut bindings::net_device,
        param: *mut bindings::ethtool_rxfh_param,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: The stack passes a valid structure.
        let param = unsafe { &*param };
        from_result(|| {
            let hash = u32::from(param.hfunc);
            if hash != 0 && hash != bindings::COMPSC_RSS_HASH_TOP {
                return Err(EOPNOTSUPP);
            }
            Self::on_port(dev, |this, port| {
                let mut table = None;
                if !param.indir.is_null() {
                    let mut entries = [0; RETA_ENTRIES];
                    for (i, entry) in entries.iter_mut().enumerate() {
                        // SAFETY: The array is as large as this driver has said.
                        let queue = unsafe { param.indir.add(i).read() };
                        if queue as usize >= this.active().len() {
                            return Err(EINVAL);
                        }
                        // CAST: Few queues.
                        *entry = queue as u8;
                    }
                    table = Some(entries);
                }
                let key = (!param.key.is_null()).then(|| {
                    // SAFETY: As above.
                    unsafe { param.key.cast::<[u8; RSS_KEY_BYTES]>().read() }
                });
                port.set_rss(key, table);
                Ok(0)
            })
        })
    }
}
