// SPDX-License-Identifier: GPL-2.0

//! Any words in the mailboxes of virtual functions, between resets and an administrator's changes.

#![no_main]

#[path = "../../tests/suite/switch.rs"]
mod switch;

use compsc_regs::sriov::Switch;
use libfuzzer_sys::fuzz_target;
use switch::Event;

fuzz_target!(|input: Vec<(u8, [u32; 4])>| {
    let mut switch = Switch::new();
    let _ = switch.enable(3);
    for (what, four) in input {
        let vf = usize::from(what & 7);
        let [a, b, c, d] = four[1].to_le_bytes();
        let mac = [a & !1, b, c, d, four[2] as u8, 1];
        let event = match what >> 3 {
            0 => Event::FunctionReset(vf),
            1 => Event::DeviceReset,
            2 => Event::Enable(vf),
            3 => Event::Mac(vf, Some(mac)),
            4 => Event::Vlan(vf, four[1] as u16, four[2] as u8),
            5 => Event::Flags(vf, a & 1 != 0, a & 2 != 0, a & 4 != 0),
            6 => Event::PfMac(mac),
            7 => Event::PfVlan(four[1] as u16, four[2] & 1 != 0),
            8 => Event::PfFurther(mac),
            _ => {
                let mut words = [four[3]; 16];
                words[..3].copy_from_slice(&four[..3]);
                Event::Message(vf, words)
            }
        };
        switch::apply(&mut switch, &event);
    }
});
