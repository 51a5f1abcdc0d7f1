// SPDX-License-Identifier: GPL-2.0

//! The physical function's side of the mailbox: what it grants, and what it keeps from whom.

#[path = "suite/switch.rs"]
mod suite;

use compsc_regs::mailbox::{
    Hashes, Message, NoRequest, Request, ACK, CTS, MAX_HASHES, NACK, RESET, WORDS,
};
use compsc_regs::pf82576::{RAH, VMOLR};
use compsc_regs::sriov::{LinkState, Refusal, Switch, MAX_FRAME, MAX_VFS, PF_POOL};
use proptest::prelude::*;
use suite::{apply, check, view, Event};

const PF: [u8; 6] = [0x02, 0, 0, 0, 0, 0xff];

fn own(vf: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, 1, vf]
}

fn words(message: &Message) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    words[..message.words().len()].copy_from_slice(message.words());
    words
}

fn ask(switch: &mut Switch, vf: usize, message: &Message) -> u32 {
    let reply = switch.handle(vf, &words(message)).unwrap();
    check(switch);
    reply.words()[0]
}

/// A switch whose virtual functions have shaken hands and have their addresses.
fn switch(count: usize) -> Switch {
    let mut switch = Switch::new();
    switch.set_pf_mac(PF).unwrap();
    switch.enable(count).unwrap();
    for vf in 0..count {
        assert_eq!(ask(&mut switch, vf, &Message::reset()), RESET | NACK);
        let mac = Message::set_mac(own(vf as u8));
        assert_eq!(ask(&mut switch, vf, &mac) & ACK, ACK);
    }
    switch
}

#[test]
fn decodes_what_the_virtual_function_encodes() {
    let decode = |message: Message| Request::decode(&words(&message)).unwrap();
    assert_eq!(decode(Message::reset()), Request::Reset);
    assert_eq!(decode(Message::set_mac(PF)), Request::SetMac(PF));
    assert_eq!(
        decode(Message::clear_mac_filters(PF)),
        Request::ClearMacFilters
    );
    assert_eq!(
        decode(Message::add_mac_filter(PF)),
        Request::AddMacFilter(PF)
    );
    let vlan = |add| Request::SetVlan { vid: 100, add };
    assert_eq!(decode(Message::set_vlan(100, true)), vlan(true));
    assert_eq!(decode(Message::set_vlan(100, false)), vlan(false));
    assert_eq!(decode(Message::set_lpe(9018)), Request::SetMaxFrame(9018));
    for multicast in [true, false] {
        let request = Request::SetPromisc { multicast };
        assert_eq!(decode(Message::set_promisc(multicast)), request);
    }
    let sent: Vec<u16> = (0..MAX_HASHES as u16).map(|i| i * 131 % 4096).collect();
    for count in 0..=MAX_HASHES {
        let (message, _) = Message::set_multicast(sent[..count].iter().copied());
        let Request::SetMulticast(hashes) = decode(message) else {
            panic!("another request");
        };
        assert_eq!(hashes.as_slice(), &sent[..count]);
    }
    assert_eq!(Hashes::none().as_slice(), [0u16; 0]);
}

#[test]
fn refuses_what_is_no_request() {
    let decode = |first: u32, second: u32| {
        let mut words = [0; WORDS];
        (words[0], words[1]) = (first, second);
        Request::decode(&words)
    };
    assert_eq!(decode(ACK | RESET, 0), Err(NoRequest::Answer));
    assert_eq!(decode(NACK | 0x04, 0), Err(NoRequest::Answer));
    assert_eq!(decode(CTS | RESET, 0), Err(NoRequest::Unknown));
    for first in [0, 0x07, 0x100, 0xffff, 0x0003_0002, 0x0001_0006] {
        assert_eq!(decode(first, 0), Err(NoRequest::Unknown), "{first:#x}");
    }
    assert_eq!(
        decode(0x001f_0003, 0),
        Err(NoRequest::Invalid),
        "31 hashes of at most 30"
    );
    assert_eq!(decode(0x0001_0004, 4096), Err(NoRequest::Invalid));
    assert_eq!(decode(0x02, 0), Err(NoRequest::Invalid), "no address");
    assert_eq!(decode(0x02, 1), Err(NoRequest::Invalid), "a group address");
}

#[test]
fn nothing_before_the_handshake() {
    let mut switch = Switch::new();
    switch.enable(2).unwrap();
    for message in [
        Message::set_mac(own(0)),
        Message::set_vlan(5, true),
        Message::set_lpe(1522),
    ] {
        let first = ask(&mut switch, 0, &message);
        assert_eq!(first & (NACK | CTS), NACK);
    }
    assert_eq!(switch.enabled_pools(), 1 << PF_POOL);
    ask(&mut switch, 0, &Message::reset());
    assert_eq!(switch.enabled_pools(), 1 << PF_POOL | 1);
    assert_eq!(
        ask(&mut switch, 0, &Message::set_lpe(1522)) & (ACK | CTS),
        ACK | CTS
    );
    assert_eq!(switch.acknowledged(0), None);
    assert_eq!(switch.acknowledged(1).unwrap().words(), [NACK]);
    // There is no third one.
    assert_eq!(switch.acknowledged(2), None);
    assert_eq!(switch.handle(2, &words(&Message::reset())), None);
    // A reset of the device or of the function ends it.
    switch.device_reset();
    assert_eq!(
        ask(&mut switch, 0, &Message::set_lpe(1522)) & (NACK | CTS),
        NACK
    );
}

#[test]
fn addresses_have_one_owner() {
    let mut switch = switch(2);
    for stolen in [PF, own(1)] {
        assert_eq!(ask(&mut switch, 0, &Message::set_mac(stolen)) & NACK, NACK);
        let further = Message::add_mac_filter(stolen);
        assert_eq!(ask(&mut switch, 0, &further) & NACK, NACK);
    }
    assert_eq!(
        switch.administer(1, |admin| admin.mac = Some(PF)),
        Err(Refusal::Address)
    );
    assert!(switch.set_pf_mode([own(9)], &[0; 128], false, false));
    check(&switch);
    assert_eq!(switch.take_untold(), 0);
    // What the administrator has given is the only one, unless the function is trusted.
    let given = [0x02, 0, 0, 0, 2, 0];
    switch
        .administer(0, |admin| admin.mac = Some(given))
        .unwrap();
    let reply = switch.handle(0, &words(&Message::reset())).unwrap();
    assert_eq!(reply.words(), [RESET | ACK, 0x02, 0x0002]);
    assert_eq!(ask(&mut switch, 0, &Message::set_mac(own(7))) & NACK, NACK);
    assert_eq!(ask(&mut switch, 0, &Message::set_mac(given)) & ACK, ACK);
    switch.administer(0, |admin| admin.trusted = true).unwrap();
    assert_eq!(ask(&mut switch, 0, &Message::set_mac(own(7))) & ACK, ACK);
}

/// What the host wants for itself or has given away counts for more than what a function has chosen.
#[test]
fn the_host_takes_an_address() {
    let mut switch = switch(3);
    switch
        .administer(2, |admin| admin.mac = Some(own(2)))
        .unwrap();
    switch.take_untold();
    assert!(switch.set_pf_mode([own(0)], &[0; 128], false, false));
    assert_eq!(switch.take_untold(), 1 << 0);
    assert!(!view(&switch, 0).enabled);
    check(&switch);
    // A further address is one as well.
    ask(&mut switch, 1, &Message::add_mac_filter(own(7)));
    switch.set_pf_mac(own(7)).unwrap();
    assert_eq!(switch.take_untold(), 1 << 1);
    check(&switch);
    assert_eq!(ask(&mut switch, 1, &Message::reset()) & CTS, 0);
    for stolen in [own(0), own(7)] {
        assert_eq!(ask(&mut switch, 1, &Message::set_mac(stolen)) & NACK, NACK);
    }
    assert_eq!(switch.set_pf_mac(own(2)), Err(Refusal::Address));
    assert!(!switch.set_pf_mode([own(2)], &[0; 128], false, false));
    assert_eq!(switch.take_untold(), 0);
}

#[test]
fn trust_ends() {
    let mut switch = switch(2);
    let trust = |switch: &mut Switch, on| {
        switch
            .administer(0, |admin| {
                (admin.mac, admin.trusted) = (Some(own(0)), on);
            })
            .unwrap();
    };
    trust(&mut switch, true);
    let before = view(&switch, 0);
    ask(&mut switch, 0, &Message::reset());
    ask(&mut switch, 0, &Message::set_mac(own(7)));
    ask(&mut switch, 0, &Message::add_mac_filter(own(8)));
    assert_ne!(view(&switch, 0), before);
    trust(&mut switch, false);
    assert_eq!(switch.take_untold(), 1);
    assert!(!view(&switch, 0).enabled);
    ask(&mut switch, 0, &Message::reset());
    assert_eq!(switch.administration(0).unwrap().1, Some(own(0)));
    for lost in [own(7), own(8)] {
        let further = Message::add_mac_filter(lost);
        assert_eq!(ask(&mut switch, 0, &further) & NACK, NACK);
    }
    // Nothing was chosen, so nothing is taken.
    trust(&mut switch, true);
    trust(&mut switch, false);
    assert_eq!(switch.take_untold(), 0);
}

/// Source and destination of a migration have the same address.
#[test]
fn the_administrator_gives_an_address_twice() {
    let mut switch = switch(3);
    // What function 2 has chosen for itself is taken from it.
    for vf in 0..2 {
        switch
            .administer(vf, |admin| admin.mac = Some(own(2)))
            .unwrap();
        check(&switch);
    }
    assert_eq!(switch.administration(2).unwrap().1, None);
    assert!(!view(&switch, 2).enabled);
    for vf in 0..2 {
        let reply = switch.handle(vf, &words(&Message::reset())).unwrap();
        assert!(reply.granted());
        assert_eq!(ask(&mut switch, vf, &Message::set_mac(own(2))) & ACK, ACK);
    }
    ask(&mut switch, 2, &Message::reset());
    assert_eq!(ask(&mut switch, 2, &Message::set_mac(own(2))) & NACK, NACK);
}

#[test]
fn shares_cannot_be_used_up_by_others() {
    for count in 1..=MAX_VFS {
        let mut switch = switch(count);
        let greedy = |switch: &mut Switch, vf: usize| {
            let (mut vlans, mut further) = (0, 0);
            for i in 0..40u8 {
                let vid = 100 * (vf as u16 + 1) + u16::from(i);
                let granted = ask(switch, vf, &Message::set_vlan(vid, true)) & ACK != 0;
                vlans += usize::from(granted);
                let mac = [0x02, 0, 1, vf as u8, 0, i];
                let granted = ask(switch, vf, &Message::add_mac_filter(mac)) & ACK != 0;
                further += usize::from(granted);
            }
            (vlans, further)
        };
        let fair = (Switch::vlan_share(count), Switch::further_share(count));
        assert!(fair.0 >= 3 && fair.1 >= 2);
        for vf in 0..count {
            assert_eq!(greedy(&mut switch, vf), fair, "function {vf} of {count}");
        }
        // And the PF's share is still there.
        for vid in 0..Switch::pf_vlan_share(count) as u16 {
            switch.set_pf_vlan(vid, true).unwrap();
        }
        assert_eq!(switch.set_pf_vlan(4000, true), Err(Refusal::Vlans));
        check(&switch);
        assert!(switch.set_pf_mode([[2, 9, 9, 9, 9, 9]], &[0; 128], false, false));
    }
}

#[test]
fn too_many_vlans_for_functions() {
    let mut switch = Switch::new();
    for vid in 1..100 {
        switch.set_pf_vlan(vid, true).unwrap();
    }
    assert_eq!(switch.enable(1), Err(Refusal::Vlans));
    assert_eq!(switch.count(), 0);
    assert_eq!(switch.enable(MAX_VFS + 1), Err(Refusal::Value));
}

#[test]
fn vlans_of_the_pf_are_replaced() {
    let mut switch = switch(MAX_VFS);
    let share = Switch::pf_vlan_share(MAX_VFS) as u16;
    assert!(switch.set_pf_vlans(0..share));
    check(&switch);
    assert!(!switch.set_pf_vlans(100..100 + share + 1));
    check(&switch);
    let vlans = |switch: &Switch| view(switch, PF_POOL).vlans;
    assert_eq!(vlans(&switch), (100..100 + share).collect());
    assert!(switch.set_pf_vlans([7, 7]));
    assert_eq!(vlans(&switch), [7].into());
}

#[test]
fn put_into_a_vlan() {
    let mut switch = switch(2);
    ask(&mut switch, 0, &Message::set_vlan(5, true));
    switch
        .administer(0, |admin| (admin.vlan, admin.qos) = (77, 3))
        .unwrap();
    check(&switch);
    assert_eq!(
        ask(&mut switch, 0, &Message::set_vlan(6, true)) & NACK,
        NACK
    );
    // What it had asked for before can be given back.
    assert_eq!(ask(&mut switch, 0, &Message::set_vlan(5, false)) & ACK, ACK);
    assert_eq!(switch.pool_tag(0).raw(), 1 << 30 | 3 << 13 | 77);
    let refused = switch.administer(0, |admin| admin.vlan = 4095);
    assert_eq!(refused, Err(Refusal::Value));
    let nobody = switch.administer(2, |_| ());
    assert_eq!(nobody, Err(Refusal::NoSuchVf));
}

#[test]
fn registers_as_the_datasheet_has_them() {
    let mut switch = switch(1);
    let (low, high) = switch.receive_address(1);
    assert_eq!((low, high.raw()), (0x0000_0002, 0x8004_0001));
    let (_, high) = switch.receive_address(0);
    assert_eq!(high.get(RAH::POOLSEL), 0x80);
    assert_eq!(switch.pools().raw(), 0x4000_0380);
    assert_eq!(switch.transmit_switch().raw(), 0x8000_0101);
    ask(&mut switch, 0, &Message::set_lpe(9000));
    assert_eq!(switch.pool_offloads(0).raw(), 0xc901_2328);
    ask(&mut switch, 0, &Message::set_lpe(MAX_FRAME + 1));
    assert_eq!(switch.pool_offloads(0).get(VMOLR::RLPML), 9000);
    ask(&mut switch, 0, &Message::set_vlan(5, true));
    assert_eq!(switch.pool_vlan(0).raw(), 0x8000_1005);
    let (message, _) = Message::set_multicast([0x123]);
    ask(&mut switch, 0, &message);
    assert_eq!(switch.multicast_table()[9], 1 << 3);
    assert!(switch.pool_offloads(0).is_set(VMOLR::ROMPE));
    assert_eq!(
        ask(&mut switch, 0, &Message::set_promisc(true)) & NACK,
        NACK
    );
    switch
        .administer(0, |admin| admin.link = LinkState::Disable)
        .unwrap();
    assert!(!view(&switch, 0).eq(&view(&switch, PF_POOL)));
    assert_eq!(switch.multicast_table()[9], 0);
    switch.enable(0).unwrap();
    assert_eq!(switch.receive_address(0).1.get(RAH::POOLSEL), 0);
    assert_eq!(switch.pools().raw(), 0);
    check(&switch);
}

/// A few addresses, so that they meet.
fn mac() -> impl Strategy<Value = [u8; 6]> {
    prop_oneof![
        4 => (0..6u8).prop_map(own),
        1 => Just(PF),
        1 => any::<[u8; 6]>(),
    ]
}

fn message() -> impl Strategy<Value = [u32; WORDS]> {
    let vid = || prop_oneof![3 => 0..8u16, 1 => 0..4096u16];
    prop_oneof![
        4 => Just(words(&Message::reset())),
        3 => mac().prop_map(|m| words(&Message::set_mac(m))),
        3 => mac().prop_map(|m| words(&Message::add_mac_filter(m))),
        1 => mac().prop_map(|m| words(&Message::clear_mac_filters(m))),
        4 => (vid(), any::<bool>()).prop_map(|(v, add)| words(&Message::set_vlan(v, add))),
        2 => any::<u32>().prop_map(|b| words(&Message::set_lpe(b % 12_000))),
        1 => any::<bool>().prop_map(|m| words(&Message::set_promisc(m))),
        2 => prop::collection::vec(0..4096u16, 0..30)
            .prop_map(|h| words(&Message::set_multicast(h).0)),
        3 => any::<[u32; WORDS]>(),
        3 => (0..10u32, any::<u8>(), any::<[u32; WORDS]>()).prop_map(|(kind, info, mut words)| {
            words[0] = kind | u32::from(info) << 16;
            words
        }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let vf = || 0..MAX_VFS + 1;
    prop_oneof![
        20 => (vf(), message()).prop_map(|(vf, words)| Event::Message(vf, words)),
        1 => vf().prop_map(Event::FunctionReset),
        1 => Just(Event::DeviceReset),
        1 => (0..MAX_VFS + 2).prop_map(Event::Enable),
        1 => (vf(), prop::option::of(mac())).prop_map(|(vf, mac)| Event::Mac(vf, mac)),
        1 => (vf(), 0..4100u16, 0..9u8).prop_map(|(vf, v, q)| Event::Vlan(vf, v, q)),
        1 => (vf(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(vf, a, b, c)| Event::Flags(vf, a, b, c)),
        1 => mac().prop_map(Event::PfMac),
        2 => (0..64u16, any::<bool>()).prop_map(|(vid, add)| Event::PfVlan(vid, add)),
        1 => mac().prop_map(Event::PfFurther),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 1000 }))]

    /// Whatever functions say and the administrator does, in any order.
    #[test]
    fn functions_stay_apart(
        count in 1..=MAX_VFS,
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut switch = switch(count);
        for event in &events {
            apply(&mut switch, event);
        }
    }

    /// No words make the decoder panic, and what it takes for a request is one.
    #[test]
    fn any_words(words: [u32; WORDS]) {
        if let Ok(Request::SetVlan { vid, .. }) = Request::decode(&words) {
            prop_assert!(vid < 4096);
        }
        if let Ok(Request::SetMac(mac) | Request::AddMacFilter(mac)) = Request::decode(&words) {
            prop_assert!(mac[0] & 1 == 0 && mac != [0; 6]);
        }
    }
}
