// SPDX-License-Identifier: GPL-2.0

//! The 82576 physical function's map: facts of the chip.

#[path = "suite/documentation.rs"]
mod documentation;

use compsc_core::class::{Class, Phase, Replay, Resets, Writable};
use compsc_core::region::MAX_SLOTS;
use compsc_core::regs::{find, Map, Register};
use compsc_regs::pf82576::*;
use compsc_regs::vf82576;

/// The table in the documentation is the declaration.
#[test]
fn documentation_matches() {
    documentation::check::<Pf82576>("82576 physical function");
}

#[test]
fn offsets_of_the_chip() {
    for (name, index, offset) in [
        ("CTRL", 0, 0x0000),
        ("STATUS", 0, 0x0008),
        ("EICS", 0, 0x1520),
        ("EITR", 9, 0x16a4),
        ("IVAR", 7, 0x171c),
        ("IVAR_MISC", 0, 0x1740),
        ("RDBAL", 0, 0xc000),
        ("SRRCTL", 15, 0xc3cc),
        ("RDH", 1, 0xc050),
        ("RXDCTL", 15, 0xc3e8),
        ("RQDPC", 2, 0xc0b0),
        ("TDBAL", 15, 0xe3c0),
        ("TDT", 0, 0xe018),
        ("TDWBAH", 1, 0xe07c),
        ("RAL", 15, 0x5478),
        ("RAH2", 7, 0x551c),
        ("VFTA", 127, 0x57fc),
        ("VLVF", 31, 0x5d7c),
        ("VMOLR", 7, 0x5aec),
        ("VMBMEM", 16, 0x0840),
        ("P2VMAILBOX", 7, 0x0c1c),
        ("RETA", 31, 0x5c7c),
        ("RSSRK", 9, 0x5ca4),
        ("GOTCH", 0, 0x4094),
        ("PVFMPRC", 1, 0x1013c),
    ] {
        let (register, found) = find(Pf82576::TABLE, offset).unwrap();
        assert_eq!((register.name, found), (name, index), "{offset:#x}");
    }
}

#[test]
fn treatments_of_the_chip() {
    for r in Pf82576::TABLE {
        match r.name {
            "RDH" | "TDH" => assert_eq!((r.class, r.replay), (Class::Ro, Replay::Head)),
            "RDT" | "TDT" => assert_eq!(r.replay, Replay::Tail),
            "EICS" | "ICS" => assert_eq!(r.replay, Replay::Kick),
            "RXDCTL" | "TXDCTL" => assert_eq!(r.replay, Replay::LastWrite(Phase::Enable)),
            "EIMS" | "IMS" => assert_eq!(r.replay, Replay::LastWrite(Phase::Unmask)),
            // Whatever goes on to something else behind them.
            "MDIC" | "EERD" | "RTTDQSEL" | "RTTBCNRC" => assert_eq!(r.replay, Replay::Ignore),
            // A read takes them, or they are another function's.
            "SWSM" | "SW_FW_SYNC" | "VMBMEM" | "P2VMAILBOX" | "MBVFICR" | "VFLRE" => {
                assert_eq!(r.replay, Replay::Mailbox);
            }
            name if (0x4000..0x4100).contains(&r.offset) => {
                assert_eq!(r.class, Class::Rc, "{name}");
            }
            _ => {}
        }
    }
    fn resets<R: Resets + Writable>() {}
    resets::<CTRL>();
    // What the log needs: the figure is in the layout of existing regions.
    assert_eq!(Pf82576::SLOTS, 787);
    const { assert!(Pf82576::SLOTS <= MAX_SLOTS) };
}

/// The rings of both functions have the same fields: code that serves both builds values for either.
#[test]
fn fields_are_those_of_the_virtual_function() {
    let mut compared = 0;
    for pf in Pf82576::TABLE {
        let shared = matches!(pf.offset, 0xc000..0xc040 | 0xe000..0xe040) || pf.name == "EITR";
        let Some(vf) = vf82576::Vf82576::TABLE
            .iter()
            .find(|vf| shared && vf.name == pf.name)
        else {
            continue;
        };
        compared += 1;
        assert_eq!((pf.class, pf.replay), (vf.class, vf.replay), "{}", pf.name);
        let fields = |r: &compsc_core::regs::RegisterDesc| -> Vec<(&str, u32)> {
            r.fields.iter().map(|f| (f.name, f.mask())).collect()
        };
        assert_eq!(fields(pf), fields(vf), "{}", pf.name);
    }
    assert_eq!(compared, 19);
}

#[test]
fn field_values() {
    // Values as the Linux driver writes them.
    assert_eq!(CTRL::zeroed().set(CTRL::RST).raw(), 0x0400_0000);
    assert_eq!(CTRL::zeroed().set(CTRL::SLU).raw(), 0x40);
    let ivar = IVAR::zeroed().with_queue(3, 4).with_queue(11, 5);
    assert_eq!(ivar.raw(), 0x8585_8484);
    let mode = MRQC::zeroed().with(MRQC::ENABLE, MRQC::ENABLE_VMDQ_RSS);
    assert_eq!(mode.raw(), 5);
    let read = MDIC::zeroed()
        .with(MDIC::REGADD, phy::BMSR)
        .with(MDIC::PHYADD, phy::ADDRESS)
        .with(MDIC::OP, MDIC::OP_READ);
    assert_eq!(read.raw(), 0x0821_0000);
    let word = EERD::zeroed().with(EERD::ADDR, 0x3f).set(EERD::START);
    assert_eq!(word.raw(), 0xfd);
    assert_eq!(STATUS::from_raw(0x83).speed_mbps(), 1000);
    assert_eq!(RAH::COUNT + RAH2::COUNT, RECEIVE_ADDRESSES);
    assert_eq!(
        GPIE::zeroed()
            .set(GPIE::NSICR)
            .set(GPIE::MSIX_MODE)
            .set(GPIE::PBA)
            .raw(),
        0x8000_0011
    );
}
