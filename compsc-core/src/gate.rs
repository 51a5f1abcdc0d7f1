// SPDX-License-Identifier: GPL-2.0

//! The gate: how a driver notices that its device was replaced, at the cost of one load and one compare.
//!
//! The *gate word* lies in the shared region and only the host writes it, while the vCPUs are stopped. It holds a lock
//! bit (the device must not be used), a flag that asks for dummy writes, and a version that the host raises
//! whenever it has replaced or reset the device. The guest remembers the word that its device is set up for, the
//! *seen* word. While both are equal, the device is the one that the driver knows.
//!
//! # Sections
//!
//! Every use of the device happens inside a section: [`GuestGate::enter`], accesses, [`GuestGate::exit`]. Entry fails
//! when the device is not ready. Exit tells whether the device was replaced meanwhile, for a vCPU can be
//! frozen between any two instructions: then what was written is replayed by the restore worker, and what was
//! read must not be believed. A failed entry or exit hands over to the restore worker; the section's
//! caller waits or comes back later.
//!
//! What a section may do depends on whether the restore worker can exclude it:
//!
//! * Sections under the driver's lock (a queue's lock for its ring, the control mutex for op sets such as up and
//!   down). The worker takes these locks before it restores, so it never sees a ring or an op set
//!   half done.
//! * Sections that nothing excludes (interrupt handlers). They write single recorded registers, and causes that
//!   the final kick repeats. [`Recorder::replay`](crate::log::Recorder::replay) is built for them.
//!
//! # Restore worker
//!
//! One worker per device: [`GuestGate::pending`] → restore → [`GuestGate::publish`], again while either asks for it. The
//! interplay of sections, worker and host is model-checked in `tests/loom_gate.rs`.
//!
//! # Memory order
//!
//! Loads of both words are acquire, stores are release: who sees a published word also sees the device
//! and the rings that were set up before.

use core::fmt;

/// The device must not be used. Bit 0 of the gate word.
pub const LOCKED: u32 = 1 << 0;

/// The host asks for dummy writes. Bit 1 of the gate word.
pub const DUMMY_WRITES: u32 = 1 << 1;

/// Position of the version in the gate word. Bits 2 to 7 are 0 in this version of the protocol.
pub const VERSION_SHIFT: u32 = 8;

/// In the seen word alone: the guest has closed the gate itself. No gate word has this bit.
const CLOSED: u32 = 1 << 2;

/// The version of a gate word, 24 bits.
#[inline(always)]
pub const fn version(word: u32) -> u32 {
    word >> VERSION_SHIFT
}

/// The word that keeps the guest away from the device; same version.
pub const fn locked(word: u32) -> u32 {
    word | LOCKED
}

/// The word for a device that has to be restored: unlocked, next version (it wraps at 24 bits), no dummy
/// writes.
pub const fn unlocked_bumped(word: u32) -> u32 {
    version(word).wrapping_add(1) << VERSION_SHIFT
}

/// The word for the same device and version, unlocked.
pub const fn unlocked(word: u32) -> u32 {
    word & !LOCKED
}

/// The word with dummy writes asked for, or not.
pub const fn with_dummy_writes(word: u32, on: bool) -> u32 {
    if on {
        word | DUMMY_WRITES
    } else {
        word & !DUMMY_WRITES
    }
}

/// The part of a word that the guest compares: all but the dummy-write flag.
#[inline(always)]
const fn identity(word: u32) -> u32 {
    word & !DUMMY_WRITES
}

/// A 32-bit word of memory shared between CPUs: the gate word, or the seen word.
pub trait Word {
    /// Loads with acquire order.
    fn load(&self) -> u32;
    /// Stores with release order.
    fn store(&self, value: u32);
}

impl<T: Word + ?Sized> Word for &T {
    #[inline(always)]
    fn load(&self) -> u32 {
        (**self).load()
    }

    #[inline(always)]
    fn store(&self, value: u32) {
        (**self).store(value);
    }
}

/// What an entered section knows: the gate word at entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a section ends with GuestGate::exit"]
pub struct Ticket(u32);

impl Ticket {
    /// Whether the host asks for dummy writes of what the device has written.
    #[inline(always)]
    pub const fn dummy_writes(self) -> bool {
        self.0 & DUMMY_WRITES != 0
    }

    /// The gate word at entry.
    pub const fn word(self) -> u32 {
        self.0
    }
}

/// Result of [`GuestGate::enter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Entry {
    /// The device is the one that the driver has set up.
    Pass(Ticket),
    /// The device was replaced, reset or locked: run the restore worker.
    Stale,
}

/// Result of [`GuestGate::exit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Exit {
    /// All of the section reached the device it was meant for.
    Valid,
    /// As `Valid`, but the host asked for dummy writes after the section had begun: what the section
    /// consumed without them has to be written now.
    DummyWritesAsked,
    /// The device was replaced, reset or locked inside the section: run the restore worker, believe
    /// nothing that was read.
    Moved,
}

/// What the restore worker has to do; see [`GuestGate::pending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pending {
    /// Nothing: the device is set up.
    Nothing,
    /// Look again later: the host holds the lock.
    Locked,
    /// Set up the device, then [`GuestGate::publish`] this word.
    Restore(u32),
}

/// Result of [`GuestGate::publish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Published {
    /// Sections may enter.
    Open,
    /// The device was replaced again during the restore: start over.
    Again,
}

/// The guest's side of the gate.
///
/// Lives as long as the shared region. `enter` and `exit` may be called in any context on any CPU; `pending` and
/// `publish` belong to the one restore worker.
pub struct GuestGate<W: Word, S: Word> {
    word: W,
    seen: S,
}

impl<W: Word, S: Word> fmt::Debug for GuestGate<W, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GuestGate {{ word: {:#010x}, seen: {:#010x} }}",
            self.word.load(),
            self.seen.load()
        )
    }
}

impl<W: Word, S: Word> GuestGate<W, S> {
    /// The gate over the host's word and the guest's memory of it.
    pub const fn new(word: W, seen: S) -> Self {
        Self { word, seen }
    }

    /// The host's word.
    pub const fn word(&self) -> &W {
        &self.word
    }

    /// Starts a section: one load and one compare when the device is ready and no dummy writes
    /// are asked for.
    #[inline(always)]
    pub fn enter(&self) -> Entry {
        let word = self.word.load();
        let seen = self.seen.load();
        if word == seen {
            return Entry::Pass(Ticket(word));
        }
        Self::enter_slow(word, seen)
    }

    /// The seen word never holds the dummy flag, so that nobody has to write it when the flag moves: while the
    /// host asks for dummy writes, entry takes this path.
    #[cold]
    fn enter_slow(word: u32, seen: u32) -> Entry {
        if identity(word) == seen {
            Entry::Pass(Ticket(word))
        } else {
            Entry::Stale
        }
    }

    /// Ends a section: one load and one compare when nothing happened.
    #[inline(always)]
    pub fn exit(&self, ticket: Ticket) -> Exit {
        let word = self.word.load();
        if word == ticket.0 {
            return Exit::Valid;
        }
        Self::exit_slow(word, ticket)
    }

    #[cold]
    fn exit_slow(word: u32, ticket: Ticket) -> Exit {
        if identity(word) != identity(ticket.0) {
            Exit::Moved
        } else if word & DUMMY_WRITES != 0 {
            Exit::DummyWritesAsked
        } else {
            Exit::Valid
        }
    }

    /// Whether the host asks for dummy writes right now. For a section too long to leave this to its entry.
    #[inline(always)]
    pub fn dummy_writes(&self) -> bool {
        self.word.load() & DUMMY_WRITES != 0
    }

    /// What the restore worker has to do.
    pub fn pending(&self) -> Pending {
        let word = self.word.load();
        if identity(word) == self.seen.load() {
            Pending::Nothing
        } else if word & LOCKED != 0 {
            Pending::Locked
        } else {
            Pending::Restore(word)
        }
    }

    /// Opens the gate after a restore for `word`, as given by [`pending`](Self::pending) or
    /// [`close`](Self::close).
    ///
    /// Were the device replaced between the check in here and the store, sections would find the words unequal
    /// again at their entry: nothing passes, and the next restore follows.
    pub fn publish(&self, word: u32) -> Published {
        if identity(self.word.load()) != identity(word) {
            return Published::Again;
        }
        self.seen.store(identity(word));
        Published::Open
    }

    /// Closes the gate from the guest's side, so that the device is restored although the host did not ask
    /// for it (a reset under the driver, a trigger for tests): sections fail to enter until the
    /// worker publishes.
    ///
    /// A section that is inside is not told at its exit; whoever closes the gate excludes the sections that need
    /// to know, with the driver's locks.
    pub fn close(&self) {
        self.seen.store(self.seen.load() | CLOSED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[derive(Default)]
    struct Plain(Cell<u32>);

    impl Word for Plain {
        fn load(&self) -> u32 {
            self.0.get()
        }

        fn store(&self, value: u32) {
            self.0.set(value);
        }
    }

    fn ticket(entry: Entry) -> Ticket {
        match entry {
            Entry::Pass(ticket) => ticket,
            Entry::Stale => panic!("stale"),
        }
    }

    #[test]
    fn words() {
        let word = 0x0000_0500;
        assert_eq!(version(word), 5);
        assert_eq!(version(locked(word)), 5);
        assert_eq!(unlocked(locked(word)), word);
        assert_eq!(
            unlocked_bumped(locked(with_dummy_writes(word, true))),
            0x600
        );
        assert_eq!(unlocked_bumped(0xffff_ff03), 0);
        assert_eq!(
            with_dummy_writes(with_dummy_writes(word, true), false),
            word
        );
    }

    #[test]
    fn a_migration_seen_from_the_guest() {
        let (word, seen) = (Plain::default(), Plain::default());
        let gate = GuestGate::new(&word, &seen);
        assert_eq!(gate.pending(), Pending::Nothing);

        // Pre-copy: dummy writes are asked for inside a section.
        let before = ticket(gate.enter());
        assert!(!before.dummy_writes());
        word.store(with_dummy_writes(word.load(), true));
        assert_eq!(gate.exit(before), Exit::DummyWritesAsked);
        let during = ticket(gate.enter());
        assert!(during.dummy_writes() && gate.dummy_writes());
        assert_eq!(gate.pending(), Pending::Nothing);

        // Stop and resume on another device, inside that section.
        word.store(locked(word.load()));
        assert_eq!(gate.exit(during), Exit::Moved);
        assert_eq!(gate.enter(), Entry::Stale);
        assert_eq!(gate.pending(), Pending::Locked);
        word.store(unlocked_bumped(word.load()));
        assert_eq!(gate.exit(during), Exit::Moved);
        assert_eq!(gate.enter(), Entry::Stale);
        let Pending::Restore(restore) = gate.pending() else {
            panic!("nothing to restore");
        };

        // Replaced again meanwhile.
        word.store(unlocked_bumped(locked(word.load())));
        assert_eq!(gate.publish(restore), Published::Again);
        let Pending::Restore(restore) = gate.pending() else {
            panic!("nothing to restore");
        };
        assert_eq!(gate.publish(restore), Published::Open);
        assert_eq!(gate.pending(), Pending::Nothing);
        let after = ticket(gate.enter());
        assert!(!after.dummy_writes());
        assert_eq!(gate.exit(after), Exit::Valid);
    }

    #[test]
    fn dummy_writes_end_inside_a_section() {
        let (word, seen) = (Plain::default(), Plain::default());
        let gate = GuestGate::new(&word, &seen);
        word.store(DUMMY_WRITES);
        let section = ticket(gate.enter());
        word.store(0);
        assert_eq!(gate.exit(section), Exit::Valid);
    }

    #[test]
    fn asked_for_during_a_restore() {
        let (word, seen) = (Plain::default(), Plain::default());
        let gate = GuestGate::new(&word, &seen);
        word.store(unlocked_bumped(0));
        let Pending::Restore(restore) = gate.pending() else {
            panic!("nothing to restore");
        };
        word.store(with_dummy_writes(word.load(), true));
        assert_eq!(gate.publish(restore), Published::Open);
        assert!(ticket(gate.enter()).dummy_writes());
    }

    #[test]
    fn closed_by_the_guest() {
        let (word, seen) = (Plain::default(), Plain::default());
        let gate = GuestGate::new(&word, &seen);
        gate.close();
        assert_eq!(gate.enter(), Entry::Stale);
        // No word of the host opens it, locked or not.
        word.store(locked(0));
        assert_eq!(gate.enter(), Entry::Stale);
        assert_eq!(gate.pending(), Pending::Locked);
        word.store(0);
        assert_eq!(gate.pending(), Pending::Restore(0));
        assert_eq!(gate.publish(0), Published::Open);
        assert!(matches!(gate.enter(), Entry::Pass(_)));
    }
}
