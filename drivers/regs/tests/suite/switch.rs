// SPDX-License-Identifier: GPL-2.0

//! What holds for the switch of a physical function whatever its virtual functions say. For the property tests and
//! the fuzz target.

use compsc_regs::mailbox::{ACK, CTS, NACK, WORDS};
use compsc_regs::pf82576::{POOLS, POOL_VLANS, RAH, RECEIVE_ADDRESSES, VLVF, VMOLR, VMVIR};
use compsc_regs::sriov::{LinkState, Switch, MAX_VFS, PF_POOL};
use std::collections::BTreeSet;

/// Something that happens to a switch.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A virtual function rings with these words in its mailbox.
    Message(usize, [u32; WORDS]),
    /// A virtual function is reset at function level.
    FunctionReset(usize),
    /// The device is reset.
    DeviceReset,
    /// So many virtual functions are made.
    Enable(usize),
    /// The administrator gives an address.
    Mac(usize, Option<[u8; 6]>),
    /// The administrator puts a virtual function into a VLAN.
    Vlan(usize, u16, u8),
    /// The administrator sets trust, spoof check, and whether it is cut off.
    Flags(usize, bool, bool, bool),
    /// The PF changes its address.
    PfMac([u8; 6]),
    /// The PF adds a VLAN, or removes it.
    PfVlan(u16, bool),
    /// The PF wants a further address.
    PfFurther([u8; 6]),
}

/// What a pool can receive, send and be told apart by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct View {
    addresses: BTreeSet<[u8; 6]>,
    pub(crate) vlans: BTreeSet<u16>,
    offloads: u32,
    tag: u32,
    pub(crate) enabled: bool,
    checked: u32,
}

fn mac(low: u32, high: RAH) -> [u8; 6] {
    let [a, b, c, d] = low.to_le_bytes();
    let [e, f, ..] = high.get(RAH::ADDR).to_le_bytes();
    [a, b, c, d, e, f]
}

/// The view of a pool.
pub(crate) fn view(switch: &Switch, pool: usize) -> View {
    let mut addresses = BTreeSet::new();
    for entry in 0..RECEIVE_ADDRESSES {
        let (low, high) = switch.receive_address(entry);
        if high.is_set(RAH::AV) && high.get(RAH::POOLSEL) & 1 << pool != 0 {
            addresses.insert(mac(low, high));
        }
    }
    let mut vlans = BTreeSet::new();
    for entry in 0..POOL_VLANS {
        let vlan = switch.pool_vlan(entry);
        if vlan.is_set(VLVF::VLANID_ENABLE) && vlan.get(VLVF::POOLSEL) & 1 << pool != 0 {
            vlans.insert(vlan.get(VLVF::VLANID) as u16);
        }
    }
    View {
        addresses,
        vlans,
        offloads: switch.pool_offloads(pool).raw(),
        tag: switch.pool_tag(pool).raw(),
        enabled: switch.enabled_pools() & 1 << pool != 0,
        checked: switch.transmit_switch().raw() & (0x0101 << pool),
    }
}

/// Checks what must hold at any time.
pub(crate) fn check(switch: &Switch) {
    let mut owners: Vec<([u8; 6], u32)> = Vec::new();
    for entry in 0..RECEIVE_ADDRESSES {
        let (low, high) = switch.receive_address(entry);
        if !high.is_set(RAH::AV) {
            assert_eq!((low, high.raw()), (0, 0), "entry {entry}");
            continue;
        }
        let (mac, pools) = (mac(low, high), high.get(RAH::POOLSEL));
        assert_eq!(pools.count_ones(), u32::from(switch.count() != 0));
        assert!(
            entry == 0 || mac[0] & 1 == 0,
            "a group address as a function's"
        );
        for (other, owner) in &owners {
            let given = |pools: u32| {
                let vf = pools.trailing_zeros() as usize;
                switch
                    .administration(vf)
                    .is_some_and(|(admin, _)| admin.mac == Some(mac))
            };
            assert!(
                *other != mac || *owner == pools || given(*owner) && given(pools),
                "{mac:?} belongs to two functions"
            );
        }
        owners.push((mac, pools));
    }
    let (low, high) = switch.receive_address(0);
    assert_eq!(mac(low, high), switch.pf().mac);

    let table = switch.vlan_table();
    let mut seen = BTreeSet::new();
    for entry in 0..POOL_VLANS {
        let vlan = switch.pool_vlan(entry);
        if !vlan.is_set(VLVF::VLANID_ENABLE) {
            assert_eq!(vlan.raw(), 0);
            continue;
        }
        let vid = vlan.get(VLVF::VLANID) as usize;
        assert!(seen.insert(vid), "VLAN {vid} has two entries");
        assert_ne!(vlan.get(VLVF::POOLSEL), 0, "an entry for nobody");
        assert_ne!(table[vid / 32] & 1 << (vid % 32), 0);
    }
    if switch.count() == 0 {
        assert!(seen.is_empty());
        assert_eq!(table, switch.pf().vlans);
        assert_eq!(switch.transmit_switch().raw(), 0);
    } else {
        // The PF's own VLANs always have their place.
        for vid in 0..4096usize {
            if switch.pf().vlans[vid / 32] & 1 << (vid % 32) != 0 {
                assert!(
                    view(switch, PF_POOL).vlans.contains(&(vid as u16)),
                    "the PF has lost VLAN {vid}"
                );
            }
        }
    }
    for pool in 0..MAX_VFS {
        let view = view(switch, pool);
        let Some((admin, _)) = switch.administration(pool) else {
            assert!(!view.enabled && view.addresses.is_empty() && view.vlans.is_empty());
            continue;
        };
        let offloads = VMOLR::from_raw(view.offloads);
        if !view.enabled {
            let accepts = [
                VMOLR::BAM,
                VMOLR::AUPE,
                VMOLR::ROMPE,
                VMOLR::ROPE,
                VMOLR::MPME,
            ];
            assert!(accepts.into_iter().all(|bit| !offloads.is_set(bit)));
            assert!(view.addresses.is_empty() && view.vlans.is_empty());
        }
        assert!(!(view.enabled && admin.link == LinkState::Disable));
        assert!(!offloads.is_set(VMOLR::ROPE), "unicast promiscuous");
        assert!(
            !offloads.is_set(VMOLR::MPME) || admin.trusted,
            "promiscuous without trust"
        );
        if admin.vlan == 0 {
            assert_eq!(view.tag, 0);
        } else {
            assert!(!offloads.is_set(VMOLR::AUPE));
            assert!(view.vlans.iter().all(|vid| *vid == admin.vlan));
            let tag = VMVIR::from_raw(view.tag);
            assert_eq!(tag.get(VMVIR::VLANA), VMVIR::VLANA_DEFAULT);
            assert_eq!(
                tag.get(VMVIR::PORT_VLAN),
                u32::from(admin.qos) << 13 | u32::from(admin.vlan)
            );
        }
        assert_eq!(view.checked != 0, admin.spoof_check);
        if let (Some(own), false) = (admin.mac, admin.trusted) {
            assert!(
                view.addresses.iter().all(|mac| *mac == own),
                "another address than the administrator's"
            );
        }
        assert!(view.addresses.len() <= 1 + Switch::further_share(switch.count()));
        assert!(view.vlans.len() <= Switch::vlan_share(switch.count()).max(1));
    }
}

/// Makes an event happen, and checks that a virtual function has changed nothing of the others'.
pub(crate) fn apply(switch: &mut Switch, event: &Event) {
    match *event {
        Event::Message(vf, words) => {
            let before: Vec<View> = (0..POOLS).map(|pool| view(switch, pool)).collect();
            let reply = switch.handle(vf, &words);
            for (pool, before) in before.iter().enumerate().filter(|(pool, _)| *pool != vf) {
                assert_eq!(
                    *before,
                    view(switch, pool),
                    "VF {vf} has changed pool {pool}"
                );
            }
            let Some(reply) = reply else {
                assert!(vf >= switch.count() || words[0] & (ACK | NACK) != 0);
                return;
            };
            let first = reply.words()[0];
            assert_ne!(first & ACK != 0, first & NACK != 0);
            assert_eq!(first & 0xffff, words[0] & 0xffff);
            assert_eq!(reply.granted(), first & ACK != 0);
            if first & 0xffff != compsc_regs::mailbox::RESET && first & CTS == 0 {
                assert!(!reply.granted(), "granted before the handshake");
            }
        }
        Event::FunctionReset(vf) => {
            switch.function_reset(vf);
            assert!(vf >= switch.count() || !view(switch, vf).enabled);
        }
        Event::DeviceReset => {
            switch.device_reset();
            assert_eq!(switch.enabled_pools(), 1 << PF_POOL);
        }
        Event::Enable(count) => {
            let result = switch.enable(count);
            assert!(result.is_ok() || count > MAX_VFS || switch.pf().vlans.iter().any(|w| *w != 0));
        }
        Event::Mac(vf, mac) => {
            let result = switch.administer(vf, |admin| admin.mac = mac);
            if result.is_ok() && mac.is_some() {
                assert_eq!(switch.administration(vf).unwrap().0.mac, mac);
            }
        }
        Event::Vlan(vf, vlan, qos) => {
            let result = switch.administer(vf, |admin| (admin.vlan, admin.qos) = (vlan, qos));
            assert!(result.is_err() || (vlan < 4095 && qos < 8 && vf < switch.count()));
        }
        Event::Flags(vf, trusted, spoof_check, cut_off) => {
            let link = if cut_off {
                LinkState::Disable
            } else {
                LinkState::Auto
            };
            let _ = switch.administer(vf, |admin| {
                admin.trusted = trusted;
                admin.spoof_check = spoof_check;
                admin.link = link;
            });
        }
        Event::PfMac(mac) => {
            let _ = switch.set_pf_mac(mac);
        }
        Event::PfVlan(vid, add) => {
            let _ = switch.set_pf_vlan(vid % 4096, add);
        }
        Event::PfFurther(mut mac) => {
            // The stack's lists hold nothing else.
            mac[0] &= !1;
            switch.set_pf_mode([mac], &[0; 128], false, false);
        }
    }
    check(switch);
}
