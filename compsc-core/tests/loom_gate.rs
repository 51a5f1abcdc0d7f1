// SPDX-License-Identifier: GPL-2.0

//! Model check of gate, recorder and replay: all interleavings of two sections, the restore worker and the host,
//! with loom. Run with `RUSTFLAGS="--cfg loom" cargo test -p compsc_core --test loom_gate --release`.
//!
//! The bus is a mutex: device accesses are single events in one order, as MMIO is. The log is relaxed, the
//! gate words have the order that [`Word`] asks for.

#![cfg(loom)]

use compsc_core::class::{Phase, Replay};
use compsc_core::gate::{
    locked, unlocked_bumped, Entry, Exit, GuestGate, Pending, Published, Word,
};
use compsc_core::log::{slot_of, slot_value, Io32, Recorder, SlotStore};
use compsc_core::regs::{Map, Register};
use loom::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

compsc_core::registers! {
    /// Two registers and a reset.
    pub map Toy { chip: 0x7f, role: 1, size: 0x10 }

    /// Control.
    CTRL @ 0x0: Rws, OpSet {
        /// Reset.
        RST: 26,
    }
    /// One setting.
    A @ 0x4: Rw, LastWrite(Setup) {}
    /// Another.
    B @ 0x8: Rw, LastWrite(Enable) {}
}

/// The host's side and the devices: device `current` is the one that the guest reaches.
#[derive(Default)]
struct Bus {
    current: usize,
    registers: [[u32; 4]; 3],
}

struct System {
    bus: Mutex<Bus>,
    slots: [AtomicU64; 2],
    word: AtomicU32,
    seen: AtomicU32,
}

struct Gate<'a>(&'a AtomicU32);

impl Word for Gate<'_> {
    fn load(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    fn store(&self, value: u32) {
        self.0.store(value, Ordering::Release);
    }
}

impl Io32 for System {
    fn read32(&self, offset: usize) -> u32 {
        let bus = self.bus.lock().unwrap();
        bus.registers[bus.current][offset / 4]
    }

    fn write32(&self, offset: usize, value: u32) {
        let mut bus = self.bus.lock().unwrap();
        let current = bus.current;
        if offset == CTRL::OFFSET {
            bus.registers[current] = [0; 4];
        } else {
            bus.registers[current][offset / 4] = value;
        }
    }
}

impl SlotStore for System {
    fn store(&self, slot: usize, value: u64) {
        self.slots[slot].store(value, Ordering::Relaxed);
    }

    fn load(&self, slot: usize) -> u64 {
        self.slots[slot].load(Ordering::Relaxed)
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

impl System {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            bus: Mutex::new(Bus::default()),
            slots: [AtomicU64::new(0), AtomicU64::new(0)],
            word: AtomicU32::new(0),
            seen: AtomicU32::new(0),
        })
    }

    fn gate(&self) -> GuestGate<Gate<'_>, Gate<'_>> {
        GuestGate::new(Gate(&self.word), Gate(&self.seen))
    }

    fn device(&self) -> Recorder<Toy, &Self, &Self> {
        Recorder::new(self, self)
    }

    /// The host replaces the device.
    fn migrate(&self) {
        let word = Gate(&self.word);
        word.store(locked(word.load()));
        self.bus.lock().unwrap().current += 1;
        word.store(unlocked_bumped(word.load()));
    }

    /// One section that writes one register. Returns whether it entered. Whatever its exit says, what it wrote must
    /// end in the current device; a section that exits `Valid` just need not ask for the worker.
    fn section<R>(&self, value: R) -> bool
    where
        R: Register<Map = Toy> + compsc_core::class::Writable,
    {
        let gate = self.gate();
        let Entry::Pass(ticket) = gate.enter() else {
            return false;
        };
        self.device().write(value);
        if gate.exit(ticket) == Exit::Moved {
            // The word has moved for good: the worker must not find everything in order with the old word.
            assert_ne!(self.word.load(Ordering::Acquire), ticket.word());
        }
        true
    }

    /// The restore worker, once: until nothing is pending or the host holds the lock.
    fn restore(&self) {
        let gate = self.gate();
        loop {
            let word = match gate.pending() {
                Pending::Nothing | Pending::Locked => return,
                Pending::Restore(word) => word,
            };
            let device = self.device();
            device.reset_for_replay(CTRL::zeroed().set(CTRL::RST));
            for phase in Phase::ALL {
                device.replay(phase, |_, _, _| ());
            }
            if gate.publish(word) == Published::Open {
                return;
            }
        }
    }

    /// Everything has settled: what the guest wrote is in the current device.
    fn check(&self, wrote_a: bool, wrote_b: bool) {
        self.restore();
        assert_eq!(self.gate().pending(), Pending::Nothing);
        let bus = self.bus.lock().unwrap();
        let now = bus.registers[bus.current];
        assert_eq!(now[1], if wrote_a { 0xa } else { 0 });
        assert_eq!(now[2], if wrote_b { 0xb } else { 0 });
    }
}

fn explore(preemptions: Option<usize>, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(f);
}

/// One section, worker and host, without a bound on preemptions.
#[test]
fn one_section() {
    explore(None, || {
        let system = System::new();
        let section = {
            let system = system.clone();
            thread::spawn(move || system.section(A::from_raw(0xa)))
        };
        let host = {
            let system = system.clone();
            thread::spawn(move || system.migrate())
        };
        system.restore();
        let a = section.join().unwrap();
        host.join().unwrap();
        system.check(a, false);
    });
}

/// Two sections on two registers, worker and host.
#[test]
fn two_sections() {
    explore(Some(3), || {
        let system = System::new();
        let a = {
            let system = system.clone();
            thread::spawn(move || system.section(A::from_raw(0xa)))
        };
        let b = {
            let system = system.clone();
            thread::spawn(move || system.section(B::from_raw(0xb)))
        };
        let host = {
            let system = system.clone();
            thread::spawn(move || system.migrate())
        };
        system.restore();
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        host.join().unwrap();
        system.check(a, b);
    });
}

/// The device is replaced twice, the second time perhaps during the restore.
#[test]
fn two_migrations() {
    explore(Some(3), || {
        let system = System::new();
        let a = {
            let system = system.clone();
            thread::spawn(move || system.section(A::from_raw(0xa)))
        };
        let host = {
            let system = system.clone();
            thread::spawn(move || {
                system.migrate();
                system.migrate();
            })
        };
        system.restore();
        let a = a.join().unwrap();
        host.join().unwrap();
        system.check(a, false);
    });
}

/// A restore that the guest asks for itself, while sections run that it cannot exclude.
#[test]
fn closed_by_the_guest() {
    explore(None, || {
        let system = System::new();
        let a = {
            let system = system.clone();
            thread::spawn(move || system.section(A::from_raw(0xa)))
        };
        let b = {
            let system = system.clone();
            thread::spawn(move || system.section(B::from_raw(0xb)))
        };
        system.gate().close();
        system.restore();
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        system.check(a, b);
    });
}

/// A section writes a register that was written before; replay must not put the old value back.
#[test]
fn overwritten_during_replay() {
    explore(None, || {
        let system = System::new();
        system.device().write(A::from_raw(0x1));
        let a = {
            let system = system.clone();
            thread::spawn(move || system.section(A::from_raw(0xa)))
        };
        system.migrate();
        system.restore();
        let entered = a.join().unwrap();
        system.restore();
        let bus = system.bus.lock().unwrap();
        assert_eq!(
            bus.registers[bus.current][1],
            if entered { 0xa } else { 0x1 }
        );
    });
}

/// Control: a replay that does not look at the slot again puts an old value back, and the model finds it.
#[test]
#[should_panic(expected = "the old value is back")]
fn replay_without_second_look_is_found() {
    explore(None, || {
        let system = System::new();
        system.device().write(A::from_raw(0x1));
        let a = {
            let system = system.clone();
            thread::spawn(move || system.section(A::from_raw(0xa)))
        };
        system.gate().close();
        for register in Toy::TABLE {
            if let Replay::LastWrite(_) = register.replay {
                if let Some(value) = slot_value(system.load(register.slot)) {
                    system.write32(register.offset, value);
                }
            }
        }
        let entered = a.join().unwrap();
        let bus = system.bus.lock().unwrap();
        assert!(
            !entered || bus.registers[bus.current][1] == 0xa,
            "the old value is back"
        );
    });
}

/// Control: a recorder that writes the device first loses a write, and the model finds it.
#[test]
#[should_panic(expected = "a write is lost")]
fn device_before_log_is_found() {
    explore(None, || {
        let system = System::new();
        let a = {
            let system = system.clone();
            thread::spawn(move || {
                let gate = system.gate();
                let Entry::Pass(_) = gate.enter() else {
                    return false;
                };
                system.write32(A::OFFSET, 0xa);
                system.store(A::SLOT, slot_of(0xa));
                true
            })
        };
        system.migrate();
        system.restore();
        let entered = a.join().unwrap();
        system.restore();
        let bus = system.bus.lock().unwrap();
        assert!(
            !entered || bus.registers[bus.current][1] == 0xa,
            "a write is lost"
        );
    });
}

/// Control: a worker that opens the gate before it has replayed lets a section be overwritten, and the model
/// finds it.
#[test]
#[should_panic(expected = "an old value on top")]
fn publish_before_replay_is_found() {
    explore(None, || {
        let system = System::new();
        system.device().write(A::from_raw(0x1));
        system.migrate();
        let a = {
            let system = system.clone();
            thread::spawn(move || system.section(A::from_raw(0xa)))
        };
        let gate = system.gate();
        let Pending::Restore(word) = gate.pending() else {
            panic!("nothing to restore");
        };
        // The value is taken, the gate opened, the value written.
        let value = slot_value(system.load(A::SLOT)).unwrap();
        assert_eq!(gate.publish(word), Published::Open);
        system.write32(A::OFFSET, value);
        let entered = a.join().unwrap();
        let bus = system.bus.lock().unwrap();
        assert!(
            !entered || bus.registers[bus.current][1] == 0xa,
            "an old value on top"
        );
    });
}
