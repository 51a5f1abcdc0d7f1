// SPDX-License-Identifier: GPL-2.0

//! A device that enforces register classes, and a world in which it is replaced between any two
//! instructions of its driver.

use compsc_core::class::{Class, Phase, Replay};
use compsc_core::log::{Io32, Recorder, SlotStore};
use compsc_core::regs::{find, Map, RegisterDesc};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// A device of map `M`. Registers start with values that tell an unwritten register from a written one.
pub(crate) struct Device<M> {
    values: BTreeMap<usize, u32>,
    /// Writes since the last reset, as (offset, value).
    pub(crate) writes: Vec<(usize, u32)>,
    map: PhantomData<M>,
}

impl<M> Clone for Device<M> {
    fn clone(&self) -> Self {
        Self {
            values: self.values.clone(),
            writes: self.writes.clone(),
            map: PhantomData,
        }
    }
}

fn reset_value(register: &RegisterDesc, offset: usize) -> u32 {
    match register.class {
        Class::Rws => 0,
        // CAST: offsets fit.
        _ => (offset as u32).wrapping_mul(0x9e37_79b9) | 1,
    }
}

impl<M: Map> Device<M> {
    pub(crate) fn new() -> Self {
        let mut device = Self {
            values: BTreeMap::new(),
            writes: Vec::new(),
            map: PhantomData,
        };
        device.reset();
        device
    }

    fn reset(&mut self) {
        self.writes.clear();
        for register in M::TABLE {
            for index in 0..register.count {
                let offset = register.offset_of(index);
                self.values.insert(offset, reset_value(register, offset));
            }
        }
    }

    pub(crate) fn value(&self, offset: usize) -> u32 {
        self.values[&offset]
    }

    pub(crate) fn read(&mut self, offset: usize) -> u32 {
        let (register, _) = find(M::TABLE, offset).expect("read of an undeclared register");
        assert!(
            register.class.readable(),
            "read of {} of class {}",
            register.name,
            register.class
        );
        let value = self.values[&offset];
        if register.class == Class::Rc {
            self.values.insert(offset, 0);
        }
        value
    }

    pub(crate) fn write(&mut self, offset: usize, value: u32) {
        let (register, _) = find(M::TABLE, offset).expect("write of an undeclared register");
        assert!(register.replay != Replay::Head, "write of a ring head");
        assert!(
            register.class.writable(),
            "write of {} of class {}",
            register.name,
            register.class
        );
        if register.replay == Replay::OpSet {
            if value != 0 {
                self.reset();
            }
            return;
        }
        self.writes.push((offset, value));
        let old = self.values[&offset];
        let new = match register.class {
            Class::Rw => value,
            Class::Rws => old | value,
            Class::Rw1c => old & !value,
            Class::Wo | Class::Wc => old,
            Class::Ro | Class::Rc | Class::Reserved => unreachable!(),
        };
        self.values.insert(offset, new);
        // The interrupt mask is set through EIMS and cleared through EIMC.
        if register.name == "EIMC" {
            let eims = M::TABLE.iter().find(|r| r.name == "EIMS").expect("EIMS");
            *self.values.get_mut(&eims.offset).unwrap() &= !value;
        }
    }
}

/// When the restore runs after the device was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// On the spot, while the driver stands in the middle of an operation that nothing excludes.
    AtOnce,
    /// After the driver's operation, which holds the lock that the restore worker needs.
    AfterOperation,
}

/// The log, the current device, and the plan when to replace it.
pub(crate) struct World<M: Map> {
    slots: Vec<Cell<u64>>,
    device: RefCell<Device<M>>,
    step: Cell<usize>,
    cuts: RefCell<Vec<usize>>,
    restore: Restore,
    pending: Cell<bool>,
    pub(crate) migrations: Cell<usize>,
    /// What replay wrote since the last replacement.
    pub(crate) replayed: RefCell<Vec<(usize, usize, u32)>>,
}

impl<M: Map> World<M> {
    /// A world that replaces the device before each of the instructions numbered in `cuts`.
    pub(crate) fn new(mut cuts: Vec<usize>, restore: Restore) -> Self {
        cuts.sort_unstable_by(|a, b| b.cmp(a));
        cuts.dedup();
        Self {
            slots: vec![Cell::new(0); M::SLOTS],
            device: RefCell::new(Device::new()),
            step: Cell::new(0),
            cuts: RefCell::new(cuts),
            restore,
            pending: Cell::new(false),
            migrations: Cell::new(0),
            replayed: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn recorder(&self) -> Recorder<M, Instructions<'_, M>, Instructions<'_, M>> {
        Recorder::new(self.instructions(), self.instructions())
    }

    /// Bare access to device and log, for a recorder that is made wrong on purpose.
    pub(crate) fn instructions(&self) -> Instructions<'_, M> {
        Instructions(self)
    }

    pub(crate) fn device(&self) -> Device<M> {
        self.device.borrow().clone()
    }

    pub(crate) fn steps(&self) -> usize {
        self.step.get()
    }

    fn instruction(&self) {
        let step = self.step.get();
        self.step.set(step + 1);
        if self.cuts.borrow().last() == Some(&step) {
            self.cuts.borrow_mut().pop();
            self.migrate();
        }
    }

    /// Replaces the device, and restores it when the plan says so.
    pub(crate) fn migrate(&self) {
        *self.device.borrow_mut() = Device::new();
        self.migrations.set(self.migrations.get() + 1);
        match self.restore {
            Restore::AtOnce => self.replay(),
            Restore::AfterOperation => self.pending.set(true),
        }
    }

    /// To be called between two operations of the driver.
    pub(crate) fn operation_done(&self) {
        if self.pending.replace(false) {
            // The restore starts with a reset, for the driver has written to the new device.
            self.device.borrow_mut().reset();
            self.replay();
        }
    }

    fn replay(&self) {
        // The same log and device, but instructions of the restore are not counted.
        let recorder: Recorder<M, Plain<'_, M>, Plain<'_, M>> =
            Recorder::new(Plain(self), Plain(self));
        let mut order = Vec::new();
        self.replayed.borrow_mut().clear();
        for phase in Phase::ALL {
            recorder.replay(phase, |register, index, value| {
                assert!(!matches!(register.replay, Replay::Head | Replay::Tail));
                let position = M::TABLE
                    .iter()
                    .position(|r| r.offset == register.offset)
                    .unwrap();
                order.push((phase, position, index));
                self.replayed.borrow_mut().push((position, index, value));
            });
        }
        let mut sorted = order.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(order, sorted, "replay out of order");
    }
}

/// The driver's view: each access is an instruction at which the world may change.
pub(crate) struct Instructions<'a, M: Map>(&'a World<M>);

impl<M: Map> Io32 for Instructions<'_, M> {
    fn read32(&self, offset: usize) -> u32 {
        self.0.instruction();
        self.0.device.borrow_mut().read(offset)
    }

    fn write32(&self, offset: usize, value: u32) {
        self.0.instruction();
        self.0.device.borrow_mut().write(offset, value);
    }
}

impl<M: Map> SlotStore for Instructions<'_, M> {
    fn store(&self, slot: usize, value: u64) {
        self.0.instruction();
        self.0.slots[slot].set(value);
    }

    fn load(&self, slot: usize) -> u64 {
        self.0.instruction();
        self.0.slots[slot].get()
    }

    fn fence(&self) {}
}

/// The restore worker's view.
struct Plain<'a, M: Map>(&'a World<M>);

impl<M: Map> Io32 for Plain<'_, M> {
    fn read32(&self, offset: usize) -> u32 {
        self.0.device.borrow_mut().read(offset)
    }

    fn write32(&self, offset: usize, value: u32) {
        self.0.device.borrow_mut().write(offset, value);
    }
}

impl<M: Map> SlotStore for Plain<'_, M> {
    fn store(&self, slot: usize, value: u64) {
        self.0.slots[slot].set(value);
    }

    fn load(&self, slot: usize) -> u64 {
        self.0.slots[slot].get()
    }

    fn fence(&self) {}
}
