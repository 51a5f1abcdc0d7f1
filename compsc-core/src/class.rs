// SPDX-License-Identifier: GPL-2.0

//! Register classes and replay treatments.
//!
//! The class says what the hardware does on an access; the treatment says what becomes of the
//! register when the device is replaced by another one. Both belong to the declaration of a register
//! (see [`registers!`](crate::registers)) and decide at compile time what a driver may do with it.

use core::fmt;

/// What the hardware does when a register is read or written (paper, table of register types).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Read-write: reads return the value last written.
    Rw,
    /// Read-only: writes have no effect.
    Ro,
    /// Write-only: reads return nothing meaningful.
    Wo,
    /// Read, and write 1 to clear the bit.
    Rw1c,
    /// Writing 1 clears an event that may be reported elsewhere; reads return nothing meaningful.
    Wc,
    /// Cleared by a read; writes have no effect.
    Rc,
    /// Set to 1 by software and cleared to 0 by hardware, or by another register.
    Rws,
    /// Holds a value that must not be touched.
    Reserved,
}

impl Class {
    /// Whether a read returns something meaningful.
    pub const fn readable(self) -> bool {
        matches!(
            self,
            Self::Rw | Self::Ro | Self::Rw1c | Self::Rc | Self::Rws
        )
    }

    /// Whether a write has an effect.
    pub const fn writable(self) -> bool {
        matches!(
            self,
            Self::Rw | Self::Wo | Self::Rw1c | Self::Wc | Self::Rws
        )
    }

    /// The name used in tools and documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rw => "rw",
            Self::Ro => "ro",
            Self::Wo => "wo",
            Self::Rw1c => "rw1c",
            Self::Wc => "wc",
            Self::Rc => "rc",
            Self::Rws => "rws",
            Self::Reserved => "reserved",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// When a recorded register is written during replay. Phases run in the order of declaration here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Settings that other registers build on.
    Setup,
    /// Ring addresses, lengths and queue options, while the queues are disabled.
    Rings,
    /// Interrupt routing and throttling.
    Interrupts,
    /// Queue enables.
    Enable,
    /// Interrupt masks: last, when everything that may raise an interrupt is in place.
    Unmask,
}

impl Phase {
    /// All phases in replay order.
    pub const ALL: [Self; 5] = [
        Self::Setup,
        Self::Rings,
        Self::Interrupts,
        Self::Enable,
        Self::Unmask,
    ];

    /// The name used in tools and documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Rings => "rings",
            Self::Interrupts => "interrupts",
            Self::Enable => "enable",
            Self::Unmask => "unmask",
        }
    }
}

/// What becomes of a register when the device is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Recorded; the last value written is written again in the given phase.
    LastWrite(Phase),
    /// A write starts a new op set (device reset) and forgets the log; never replayed itself.
    OpSet,
    /// A hardware counter of this many bits, continued in software (see [`crate::counter`]).
    SelfEmulate {
        /// Width of the counter; it wraps at 2 to the power of this.
        width_bits: u8,
    },
    /// Raises a cause. Not recorded: after a restore all causes are raised once.
    Kick,
    /// Neither recorded nor replayed: status, or a cause that a kick replaces.
    Ignore,
    /// Part of a message exchange with the physical function. Messages are not replayed: the state that
    /// they asked for is asked for again.
    Mailbox,
    /// Index of the hardware in a ring. Never written: the ring moves instead (see [`crate::ring`]).
    Head,
    /// Index of the software in a ring. Not recorded: it follows from the ring.
    Tail,
}

impl Replay {
    /// Whether writes go into the log.
    pub const fn recorded(self) -> bool {
        matches!(self, Self::LastWrite(_))
    }

    /// The name used in tools and documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LastWrite(Phase::Setup) => "last-write/setup",
            Self::LastWrite(Phase::Rings) => "last-write/rings",
            Self::LastWrite(Phase::Interrupts) => "last-write/interrupts",
            Self::LastWrite(Phase::Enable) => "last-write/enable",
            Self::LastWrite(Phase::Unmask) => "last-write/unmask",
            Self::OpSet => "op-set",
            Self::SelfEmulate { .. } => "self-emulate",
            Self::Kick => "kick",
            Self::Ignore => "ignore",
            Self::Mailbox => "mailbox",
            Self::Head => "head",
            Self::Tail => "tail",
        }
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Registers that may be read. Implemented by [`registers!`](crate::registers) from the class.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read: its register class has no meaningful read value"
)]
pub trait Readable {}

/// Registers that may be written one at a time. Implemented by [`registers!`](crate::registers)
/// from the class and the treatment.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written: its register class is read-only, it is a ring head, or its write is an op set"
)]
pub trait Writable {}

/// Registers whose write resets the device, so that it needs
/// [`Recorder::reset`](crate::log::Recorder::reset). Implemented by [`registers!`](crate::registers).
#[diagnostic::on_unimplemented(message = "a write of `{Self}` does not reset the device")]
pub trait Resets {}
