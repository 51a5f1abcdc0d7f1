// SPDX-License-Identifier: GPL-2.0

//! Record → replay → the same device, for random driver histories that are cut at any instruction.

use crate::model::{Device, Restore, World};
use compsc_core::class::{Phase, Replay};
use compsc_core::log::Recorder;
use compsc_core::regs::{find_slot, Map, Register};
use proptest::prelude::*;

compsc_core::registers! {
    /// A device with every class and every treatment.
    pub map Toy { chip: 0x7f, role: 1, size: 0x200 }

    /// Control.
    CTRL @ 0x00: Rws, OpSet {
        /// Reset.
        RST: 26,
    }
    /// Status.
    STATUS @ 0x08: Ro, Ignore {}
    /// Queue enable: declared first, replayed late.
    DCTL[2; 0x10] @ 0x10: Rw, LastWrite(Enable) {}
    /// Ring base.
    BASE[2; 0x10] @ 0x14: Rw, LastWrite(Rings) {}
    /// Ring head.
    HEAD[2; 0x10] @ 0x18: Ro, Head {}
    /// Ring tail.
    TAIL[2; 0x10] @ 0x1c: Rw, Tail {}
    /// A setting.
    SETTING @ 0x40: Rw, LastWrite(Setup) {}
    /// Throttling.
    EITR[3; 4] @ 0x44: Rw, LastWrite(Interrupts) {}
    /// Address for messages: can be written, but not read back.
    DOORBELL @ 0x50: Wo, LastWrite(Setup) {}
    /// Cause set.
    EICS @ 0x54: Wo, Kick {}
    /// Mask clear.
    EIMC @ 0x58: Wo, Ignore {}
    /// Mask set.
    EIMS @ 0x5c: Rws, LastWrite(Unmask) {}
    /// Causes.
    EICR @ 0x60: Rw1c, Ignore {}
    /// Pending clear.
    PBACL @ 0x64: Wc, Ignore {}
    /// Drops.
    DROPS @ 0x68: Rc, SelfEmulate {12 bits} {}
    /// Octets.
    OCTETS @ 0x6c: Ro, SelfEmulate {32 bits} {}
    /// Mailbox.
    MAILBOX[4; 4] @ 0x80: Rw, Mailbox {}
    /// Not to be touched.
    RESERVED @ 0xf0: Reserved, Ignore {}
}

/// What a driver does.
#[derive(Clone, Debug)]
enum Op {
    Base(usize, u32),
    Dctl(usize, u32),
    Tail(usize, u32),
    Setting(u32),
    Eitr(usize, u32),
    Doorbell(u32),
    Kick(u32),
    Mask(u32),
    Unmask(u32),
    Ack(u32),
    Pending(u32),
    Mailbox(usize, u32),
    Read(u8),
    UpdateSetting(u32),
    Reset,
}

fn op() -> impl Strategy<Value = Op> {
    let v = any::<u32>;
    prop_oneof![
        3 => (0..2usize, v()).prop_map(|(n, v)| Op::Base(n, v)),
        3 => (0..2usize, v()).prop_map(|(n, v)| Op::Dctl(n, v)),
        2 => (0..2usize, v()).prop_map(|(n, v)| Op::Tail(n, v)),
        2 => v().prop_map(Op::Setting),
        3 => (0..3usize, v()).prop_map(|(n, v)| Op::Eitr(n, v)),
        1 => v().prop_map(Op::Doorbell),
        1 => v().prop_map(Op::Kick),
        1 => (0..8u32).prop_map(Op::Mask),
        2 => (0..8u32).prop_map(Op::Unmask),
        1 => v().prop_map(Op::Ack),
        1 => v().prop_map(Op::Pending),
        1 => (0..4usize, v()).prop_map(|(n, v)| Op::Mailbox(n, v)),
        2 => any::<u8>().prop_map(Op::Read),
        1 => v().prop_map(Op::UpdateSetting),
        1 => Just(Op::Reset),
    ]
}

fn apply<I, L>(device: &Recorder<Toy, I, L>, op: &Op)
where
    I: compsc_core::log::Io32,
    L: compsc_core::log::SlotStore,
{
    match *op {
        Op::Base(n, v) => device.write_at(n, BASE::from_raw(v)),
        Op::Dctl(n, v) => device.write_at(n, DCTL::from_raw(v)),
        Op::Tail(n, v) => device.write_at(n, TAIL::from_raw(v)),
        Op::Setting(v) => device.write(SETTING::from_raw(v)),
        Op::Eitr(n, v) => device.write_at(n, EITR::from_raw(v)),
        Op::Doorbell(v) => device.write(DOORBELL::from_raw(v)),
        Op::Kick(v) => device.write(EICS::from_raw(v)),
        Op::Mask(v) => device.write(EIMC::from_raw(v)),
        Op::Unmask(v) => device.write(EIMS::from_raw(v)),
        Op::Ack(v) => device.write(EICR::from_raw(v)),
        Op::Pending(v) => device.write(PBACL::from_raw(v)),
        Op::Mailbox(n, v) => device.write_at(n, MAILBOX::from_raw(v)),
        Op::Read(which) => match which % 6 {
            0 => drop(device.read::<STATUS>()),
            1 => drop(device.read_at::<HEAD>(usize::from(which / 6) % 2)),
            2 => drop(device.read::<DROPS>()),
            3 => drop(device.read::<OCTETS>()),
            4 => drop(device.read::<EIMS>()),
            _ => drop(device.read_at::<BASE>(usize::from(which / 6) % 2)),
        },
        // A value that does not depend on what is read: after a replacement, reads are not to be believed.
        Op::UpdateSetting(v) => device.update(|_: SETTING| SETTING::from_raw(v)),
        Op::Reset => device.reset(CTRL::zeroed().set(CTRL::RST)),
    }
}

/// Compares what replay is responsible for.
fn assert_same(history: &[Op], reference: &Device<Toy>, migrated: &Device<Toy>) {
    let since_reset = history
        .iter()
        .rposition(|op| matches!(op, Op::Reset))
        .map_or(0, |i| i + 1);
    let ever_unmasked = history[since_reset..].iter().fold(0, |bits, op| match op {
        Op::Unmask(v) => bits | v,
        _ => bits,
    });
    for register in Toy::TABLE {
        if !register.replay.recorded() {
            continue;
        }
        for index in 0..register.count {
            let offset = register.offset_of(index);
            let (want, have) = (reference.value(offset), migrated.value(offset));
            if register.name == "EIMS" {
                assert_eq!(want & !have, 0, "a cause stays masked");
                assert_eq!(have & !ever_unmasked, 0, "a cause was never unmasked");
            } else {
                assert_eq!(want, have, "{}[{index}]", register.name);
            }
        }
    }
}

fn run(history: &[Op], cuts: Vec<usize>, restore: Restore) -> World<Toy> {
    let world = World::<Toy>::new(cuts, restore);
    {
        let device = world.recorder();
        for op in history {
            apply(&device, op);
            world.operation_done();
        }
    }
    world
}

fn reference(history: &[Op]) -> World<Toy> {
    run(history, Vec::new(), Restore::AtOnce)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 10_000 }))]

    /// After the end of a history, replay alone makes a fresh device equal.
    #[test]
    fn replay_rebuilds_the_device(history in prop::collection::vec(op(), 0..40)) {
        let world = reference(&history);
        let before = world.device();
        world.migrate();
        assert_same(&history, &before, &world.device());
    }

    /// The device is replaced up to four times, before any instruction of the history.
    #[test]
    fn cut_anywhere(
        history in prop::collection::vec(op(), 1..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        at_once in any::<bool>(),
    ) {
        let reference = reference(&history);
        let steps = reference.steps();
        prop_assume!(steps > 0);
        let cuts: Vec<usize> = cuts.iter().map(|i| i.index(steps)).collect();
        let restore = if at_once { Restore::AtOnce } else { Restore::AfterOperation };
        let world = run(&history, cuts, restore);
        prop_assert!(world.migrations.get() > 0);
        assert_same(&history, &reference.device(), &world.device());
    }

    /// Replay writes exactly the recorded registers that were written since the last reset, once each.
    #[test]
    fn replays_what_was_written(history in prop::collection::vec(op(), 0..40)) {
        let world = reference(&history);
        let mut written: Vec<(usize, usize)> = world
            .device()
            .writes
            .iter()
            .filter_map(|&(offset, _)| {
                let position = Toy::TABLE.iter().position(|r| r.index_of(offset).is_some())?;
                let register = &Toy::TABLE[position];
                register
                    .replay
                    .recorded()
                    .then(|| (position, register.index_of(offset).unwrap()))
            })
            .collect();
        written.sort_unstable();
        written.dedup();
        world.migrate();
        let mut replayed: Vec<_> =
            world.replayed.borrow().iter().map(|&(position, index, _)| (position, index)).collect();
        replayed.sort_unstable();
        prop_assert_eq!(written, replayed);
    }
}

/// Every cut of one history that holds all operations, both ways.
#[test]
fn every_cut_of_one_history() {
    let history = [
        Op::Setting(1),
        Op::Reset,
        Op::Setting(2),
        Op::Base(0, 0x1000),
        Op::Base(1, 0x2000),
        Op::Eitr(2, 9),
        Op::Doorbell(5),
        Op::Dctl(0, 1 << 25),
        Op::Tail(0, 7),
        Op::Unmask(7),
        Op::Kick(7),
        Op::Mask(2),
        Op::Ack(7),
        Op::Pending(1),
        Op::Mailbox(3, 3),
        Op::Read(0),
        Op::UpdateSetting(4),
        Op::Unmask(2),
        Op::Reset,
        Op::Setting(6),
        Op::Unmask(4),
    ];
    // Miri looks at the whole history only.
    let shortest = if cfg!(miri) { history.len() } else { 1 };
    for len in shortest..=history.len() {
        let history = &history[..len];
        let reference = reference(history);
        for cut in 0..reference.steps() {
            for restore in [Restore::AtOnce, Restore::AfterOperation] {
                let world = run(history, vec![cut], restore);
                assert_eq!(world.migrations.get(), 1);
                assert_same(history, &reference.device(), &world.device());
            }
        }
    }
}

/// A recorder that writes the device before the log loses a write at the cut in between, and the test notices.
#[test]
#[should_panic(expected = "BASE[0]")]
fn wrong_order_is_noticed() {
    use compsc_core::log::{slot_of, Io32, SlotStore};

    let history = [Op::Base(0, 0x1000)];
    let reference = reference(&history);
    for cut in 0..reference.steps() {
        let world = World::<Toy>::new(vec![cut], Restore::AtOnce);
        let bare = world.instructions();
        bare.write32(BASE::OFFSET, 0x1000);
        bare.store(BASE::SLOT, slot_of(0x1000));
        assert_same(&history, &reference.device(), &world.device());
    }
}

#[test]
#[should_panic(expected = "write of a ring head")]
fn model_refuses_heads() {
    Device::<Toy>::new().write(HEAD::OFFSET, 0);
}

#[test]
#[should_panic(expected = "write of STATUS")]
fn model_refuses_read_only() {
    Device::<Toy>::new().write(STATUS::OFFSET, 0);
}

#[test]
#[should_panic(expected = "index < R::COUNT")]
fn index_outside_the_array() {
    let world = World::<Toy>::new(Vec::new(), Restore::AtOnce);
    world.recorder().write_at(2, BASE::from_raw(0));
}

#[test]
fn slots_are_dense_and_found_again() {
    assert_eq!(Toy::SLOTS, 2 + 2 + 1 + 3 + 1 + 1);
    let mut names = Vec::new();
    for slot in 0..Toy::SLOTS {
        let (register, index) = find_slot(Toy::TABLE, slot).unwrap();
        assert_eq!(register.slot + index, slot);
        names.push((register.name, index));
    }
    names.dedup();
    assert_eq!(names.len(), Toy::SLOTS);
    assert!(find_slot(Toy::TABLE, Toy::SLOTS).is_none());
    assert_eq!(STATUS::SLOT, compsc_core::regs::NO_SLOT);
    const { assert!(BASE::RECORDED && !TAIL::RECORDED && !HEAD::RECORDED) };
}

#[test]
fn recorded_values_can_be_asked_for() {
    let world = World::<Toy>::new(Vec::new(), Restore::AtOnce);
    let device = world.recorder();
    assert_eq!(device.recorded::<BASE>(1), None);
    device.write_at(1, BASE::from_raw(0));
    assert_eq!(device.recorded::<BASE>(1), Some(BASE::from_raw(0)));
    assert_eq!(device.recorded::<BASE>(2), None);
    device.write_at(1, TAIL::from_raw(4));
    assert_eq!(device.recorded::<TAIL>(1), None);
    device.reset(CTRL::zeroed().set(CTRL::RST));
    assert_eq!(device.recorded::<BASE>(1), None);
}

/// With recording compiled out, nothing is stored and nothing replayed.
#[test]
fn without_recording() {
    use compsc_core::log::{Io32, SlotStore};
    use std::cell::RefCell;

    #[derive(Default)]
    struct Window(RefCell<Vec<(usize, u32)>>);
    impl Io32 for Window {
        fn read32(&self, _: usize) -> u32 {
            0
        }
        fn write32(&self, offset: usize, value: u32) {
            self.0.borrow_mut().push((offset, value));
        }
    }
    struct NoLog;
    impl SlotStore for NoLog {
        fn store(&self, _: usize, _: u64) {
            panic!("stored");
        }
        fn load(&self, _: usize) -> u64 {
            panic!("loaded");
        }
        fn fence(&self) {}
    }
    let window = Window::default();
    let device: Recorder<Toy, _, _, false> = Recorder::new(&window, NoLog);
    device.write_at(1, BASE::from_raw(3));
    device.write(EIMS::from_raw(7));
    device.reset(CTRL::zeroed().set(CTRL::RST));
    for phase in Phase::ALL {
        device.replay(phase, |_, _, _| panic!("replayed"));
    }
    assert_eq!(
        *window.0.borrow(),
        [(BASE::OFFSET + 0x10, 3), (EIMS::OFFSET, 7), (0, 1 << 26)]
    );
}

/// A treatment other than last-write is never logged, whatever the class.
#[test]
fn only_last_write_is_logged() {
    let world = World::<Toy>::new(Vec::new(), Restore::AtOnce);
    let device = world.recorder();
    for op in [
        Op::Tail(1, 9),
        Op::Kick(1),
        Op::Mask(7),
        Op::Ack(1),
        Op::Pending(1),
        Op::Mailbox(0, 1),
    ] {
        apply(&device, &op);
    }
    world.migrate();
    assert!(world.replayed.borrow().is_empty());
    assert!(Toy::TABLE
        .iter()
        .all(|r| r.replay.recorded() == matches!(r.replay, Replay::LastWrite(_))));
}

/// A dump reads only what a read does not change, and only registers of this map.
#[test]
fn dumps_are_harmless() {
    let world = World::<Toy>::new(Vec::new(), Restore::AtOnce);
    let device = world.recorder();
    device.write(SETTING::from_raw(5));
    let dumped: Vec<_> = Toy::TABLE
        .iter()
        .filter(|r| device.dump(r, 0).is_some())
        .map(|r| r.name)
        .collect();
    assert_eq!(
        dumped,
        ["CTRL", "STATUS", "DCTL", "BASE", "HEAD", "TAIL", "SETTING", "EITR", "EIMS", "OCTETS"]
    );
    let setting = Toy::TABLE.iter().find(|r| r.name == "SETTING").unwrap();
    assert_eq!(device.dump(setting, 0), Some(5));
    assert_eq!(device.dump(setting, 1), None);
    let mut foreign = *setting;
    foreign.offset = 0x1000;
    assert_eq!(device.dump(&foreign, 0), None);
}
