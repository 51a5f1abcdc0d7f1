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
        ("ETQF", 3, 0x5cbc),
        ("IMIR", 3, 0x5a8c),
        ("IMIREXT", 3, 0x5aac),
        ("SPQF", 3, 0x59cc),
        ("FTQF", 3, 0x59ec),
        ("SYSTIMH", 0, 0xb604),
        ("TIMINCA", 0, 0xb608),
        ("TSYNCTXCTL", 0, 0xb614),
        ("TXSTMPH", 0, 0xb61c),
        ("TSYNCRXCTL", 0, 0xb620),
        ("RXSTMPH", 0, 0xb628),
        ("RXSATRH", 0, 0xb630),
        ("TSYNCRXCFG", 0, 0x5f50),
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
            // A count that is another one on another device, and latches.
            "SYSTIML" | "SYSTIMH" | "RXSTMPL" | "RXSTMPH" | "RXSATRL" | "RXSATRH" | "TXSTMPL"
            | "TXSTMPH" => {
                assert!(!r.class.writable(), "{}", r.name);
                assert_eq!(r.replay, Replay::Ignore);
            }
            "TIMINCA" | "TSYNCRXCTL" | "TSYNCTXCTL" | "TSYNCRXCFG" | "ETQF" | "FTQF" => {
                assert_eq!(r.replay, Replay::LastWrite(Phase::Setup));
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
    assert_eq!(Pf82576::SLOTS, 831);
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
    assert_eq!(ETQF::PTP.raw(), 0x4400_88f7);
    assert_eq!(IMIR::PTP.raw(), 0x3f01);
    assert_eq!(SPQF::PTP.raw(), 0x3f01);
    assert_eq!(IMIREXT::ANY.raw(), 0x0008_1000);
    assert_eq!(FTQF::PTP.raw(), 0x6800_8011);
    assert_eq!(FTQF::OFF.raw(), 0xf000_0000);
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

#[test]
fn versions_of_eeproms() {
    use compsc_regs::pf82576::nvm::{
        version,
        Image,
        Version, //
    };
    // No number in the archive: three numbers in one word.
    assert_eq!(
        version(0x1a23, [0xffff, 0x0fff]),
        Version {
            major: 1,
            minor: 0xa2,
            image: Image::Build(3)
        }
    );
    // The minor version is written in decimal digits, in the middle or in the low byte.
    for (word, minor) in [(0x1230, 23), (0x1023, 23), (0x1590, 59)] {
        assert_eq!(
            version(word, [0x1234, 0x8000]),
            Version {
                major: 1,
                minor,
                image: Image::Etrack(0x8000_1234)
            }
        );
    }
}
