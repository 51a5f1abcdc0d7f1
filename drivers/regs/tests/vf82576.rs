// SPDX-License-Identifier: GPL-2.0

//! The 82576 virtual function's map: facts of the chip, and record → replay over the real registers.

#[path = "../../../compsc-core/tests/suite/model.rs"]
mod model;

#[path = "suite/documentation.rs"]
mod documentation;

use compsc_core::class::{Class, Phase, Replay, Writable};
use compsc_core::log::{Io32, Recorder, SlotStore};
use compsc_core::regs::{decode, find, Map, Register};
use compsc_regs::vf82576::*;
use compsc_regs::{chip, table};
use model::{Device, Restore, World};
use proptest::prelude::*;

/// The table in the documentation is the declaration.
#[test]
fn documentation_matches() {
    documentation::check::<Vf82576>("82576 virtual function");
}

#[test]
fn offsets_of_the_chip() {
    for (name, index, offset) in [
        ("CTRL", 0, 0x0000),
        ("STATUS", 0, 0x0008),
        ("VMBMEM", 15, 0x083c),
        ("V2PMAILBOX", 0, 0x0c40),
        ("VFGPRC", 0, 0x0f10),
        ("VFGOTLBC", 0, 0x0f50),
        ("EICS", 0, 0x1520),
        ("EIMS", 0, 0x1524),
        ("EIMC", 0, 0x1528),
        ("EITR", 2, 0x1688),
        ("IVAR0", 0, 0x1700),
        ("IVAR_MISC", 0, 0x1740),
        ("RDBAL", 1, 0x2900),
        ("SRRCTL", 0, 0x280c),
        ("RDH", 1, 0x2910),
        ("RXDCTL", 1, 0x2928),
        ("TDT", 0, 0x3818),
        ("TXDCTL", 1, 0x3928),
        ("TDWBAH", 0, 0x383c),
    ] {
        let (register, found) = find(Vf82576::TABLE, offset).unwrap();
        assert_eq!((register.name, found), (name, index));
    }
    assert!(find(Vf82576::TABLE, 0x2820).is_none());
}

#[test]
fn treatments_of_the_chip() {
    for r in Vf82576::TABLE {
        match r.name {
            "RDH" | "TDH" => assert_eq!((r.class, r.replay), (Class::Ro, Replay::Head)),
            "RDT" | "TDT" => assert_eq!(r.replay, Replay::Tail),
            "CTRL" => assert_eq!(r.replay, Replay::OpSet),
            "EICS" => assert_eq!(r.replay, Replay::Kick),
            "VMBMEM" | "V2PMAILBOX" => assert_eq!(r.replay, Replay::Mailbox),
            "RXDCTL" | "TXDCTL" => assert_eq!(r.replay, Replay::LastWrite(Phase::Enable)),
            "EIMS" => assert_eq!(r.replay, Replay::LastWrite(Phase::Unmask)),
            name if name.starts_with("VF") => {
                assert_eq!(r.replay, Replay::SelfEmulate { width_bits: 32 });
            }
            _ => {}
        }
    }
    // What the log needs: the figure is in the layout of existing regions.
    assert_eq!(Vf82576::SLOTS, 35);
}

#[test]
fn decodes_for_humans() {
    let decode = |offset, value| decode(Vf82576::TABLE, offset, value).to_string();
    assert_eq!(
        decode(0x2828, 0x0201_0000),
        "RXDCTL[0] = 0x02010000 WTHRESH=1 ENABLE=1"
    );
    assert_eq!(decode(0x0000, 1 << 26), "CTRL = 0x04000000 RST=1");
    assert_eq!(decode(0x0c40, 0x81), "V2PMAILBOX = 0x00000081 REQ=1 RSTD=1");
    assert_eq!(
        decode(0x1700, 0x8081),
        "IVAR0 = 0x00008081 RX0=1 RX0_VALID=1 TX0_VALID=1"
    );
    assert_eq!(decode(0x1234, 5), "0x1234 = 0x00000005");
    assert_eq!(
        decode(0x280c, 0x8200_0002),
        "SRRCTL[0] = 0x82000002 BSIZEPACKET=2 DESCTYPE=1 DROP_EN=1"
    );
    assert_eq!(
        format!("{:?}", EITR::from_interval(122)),
        "EITR[0] = 0x000001e8 INTERVAL=0x7a"
    );
}

#[test]
fn field_values() {
    // Values as the Linux driver writes them.
    let srrctl = SRRCTL::zeroed()
        .with_buffer_bytes(2048)
        .with(SRRCTL::DESCTYPE, SRRCTL::DESCTYPE_ADV_ONEBUF)
        .set(SRRCTL::DROP_EN);
    assert_eq!(srrctl.raw(), 0x8200_0002);
    assert_eq!(EITR::from_interval(122).raw(), 488);
    assert_eq!(EITR::from_interval(1_000_000).raw(), 0x7ffc);
    let ivar = IVAR0::zeroed().with_tx(0, 0).with_rx(0, 1);
    assert_eq!(ivar.raw(), 0x0000_8081);
    assert_eq!(ivar.with_rx(1, 2).with_tx(1, 2).raw(), 0x8282_8081);
    assert_eq!(TXDCTL::zeroed().set(TXDCTL::ENABLE).raw(), 0x0200_0000);
    let rxdctl = RXDCTL::zeroed()
        .with(RXDCTL::PTHRESH, 16)
        .with(RXDCTL::HTHRESH, 8)
        .with(RXDCTL::WTHRESH, 1)
        .set(RXDCTL::ENABLE);
    assert_eq!(rxdctl.raw(), 0x0201_0810);
    assert_eq!(rxdctl.get(RXDCTL::HTHRESH), 8);
    assert!(!rxdctl.clear(RXDCTL::ENABLE).is_set(RXDCTL::ENABLE));
    assert_eq!(STATUS::from_raw(0x83).speed_mbps(), 1000);
    assert_eq!(STATUS::from_raw(0x42).speed_mbps(), 100);
    assert!(STATUS::from_raw(0x83).is_set(STATUS::LU));
}

#[test]
fn table_by_chip() {
    assert!(table(chip::I82576, compsc_core::region::role::VF).is_some());
    let pf = table(chip::I82576, compsc_core::region::role::PF).unwrap();
    assert!(pf.iter().any(|r| r.name == "RCTL"));
    assert!(table(chip::I82599, compsc_core::region::role::PF).is_none());
    assert_eq!(chip::name(chip::I82599), Some("82599"));
    assert_eq!(chip::name(0), None);
}

/// A write of one register, chosen at random; `None` for a reset.
type Write = Option<(usize, usize, u32)>;

fn put<R, I, L>(device: &Recorder<Vf82576, I, L>, index: usize, value: u32)
where
    R: Register<Map = Vf82576> + Writable,
    I: Io32,
    L: SlotStore,
{
    device.write_at(index % R::COUNT, R::from_raw(value));
}

/// Defines the function that makes a write, over all writable registers.
macro_rules! writables {
    ($($name:ident),* $(,)?) => {
        const WRITABLE: &[&str] = &[$(stringify!($name)),*];

        fn apply<I: Io32, L: SlotStore>(device: &Recorder<Vf82576, I, L>, write: Write) {
            let Some((register, index, value)) = write else {
                device.reset(CTRL::zeroed().set(CTRL::RST));
                return;
            };
            let puts = [$(put::<$name, I, L>),*];
            puts[register % puts.len()](device, index, value);
        }
    };
}

writables!(
    VMBMEM, V2PMAILBOX, PSRTYPE, SRRCTL, RDBAL, RDBAH, RDLEN, DCA_RXCTRL, RDT, TDBAL, TDBAH, TDLEN,
    DCA_TXCTRL, TDT, TDWBAL, TDWBAH, TXDCTL, RXDCTL, EITR, IVAR0, IVAR_MISC, EIAC, EIAM, PBACL,
    EICR, EICS, EIMC, EIMS,
);

#[test]
fn all_writable_registers_are_tried() {
    let mut declared: Vec<_> = Vf82576::TABLE
        .iter()
        .filter(|r| r.class.writable() && r.replay != Replay::OpSet)
        .map(|r| r.name)
        .collect();
    let mut tried = WRITABLE.to_vec();
    declared.sort_unstable();
    tried.sort_unstable();
    assert_eq!(declared, tried);
}

fn run(history: &[Write], cuts: Vec<usize>, restore: Restore) -> World<Vf82576> {
    let world = World::new(cuts, restore);
    {
        let device = world.recorder();
        for write in history {
            apply(&device, *write);
            world.operation_done();
        }
    }
    world
}

fn assert_same(reference: &Device<Vf82576>, migrated: &Device<Vf82576>) {
    for r in Vf82576::TABLE.iter().filter(|r| r.replay.recorded()) {
        for index in 0..r.count {
            let offset = r.offset_of(index);
            let (want, have) = (reference.value(offset), migrated.value(offset));
            if r.class == Class::Rws {
                assert_eq!(want & !have, 0, "a cause stays masked");
            } else {
                assert_eq!(want, have, "{}[{index}]", r.name);
            }
        }
    }
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        30 => (0..WRITABLE.len(), 0..16usize, any::<u32>()).prop_map(Some),
        1 => Just(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 2000 }))]

    #[test]
    fn same_device_after_replay(
        history in prop::collection::vec(write(), 1..120),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        at_once: bool,
    ) {
        let reference = run(&history, Vec::new(), Restore::AtOnce);
        let cuts = cuts.iter().map(|i| i.index(reference.steps())).collect();
        let restore = if at_once { Restore::AtOnce } else { Restore::AfterOperation };
        let world = run(&history, cuts, restore);
        world.migrate();
        world.operation_done();
        assert_same(&reference.device(), &world.device());
    }
}
