// SPDX-License-Identifier: GPL-2.0

//! What the registers of a receive and of a transmit queue have in common (datasheet 8.2.3.8 and 8.2.3.9): base, length,
//! head, tail and enable, at the same offsets in each queue's space.

use crate::device::Problem;

/// Bytes of register space of a queue.
pub const SPACE: u32 = 0x40;
/// Bytes of a descriptor.
pub(crate) const DESCRIPTOR: u32 = 16;

const BASE_LOW: u32 = 0x00;
const BASE_HIGH: u32 = 0x04;
const LENGTH: u32 = 0x08;
const DCA: u32 = 0x0C;
const HEAD: u32 = 0x10;
const TAIL: u32 = 0x18;
const CONTROL: u32 = 0x28;

const BASE_MASK: u32 = 0xFFFF_FF80;
const LENGTH_MASK: u32 = 0x000F_FF80;
const ENABLE: u32 = 1 << 25;
/// RXDCTL and TXDCTL: flush a VF's write-backs. Nothing is ever held back, so it reads 0.
const SWFLSH: u32 = 1 << 26;

/// In what the two kinds of queue differ.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Datasheet names of the head and of a queue.
    pub(crate) head: &'static str,
    pub(crate) queue: &'static str,
    /// Bits of the base's low half that software may write, to no effect.
    pub(crate) base_ignored: u32,
    /// Implemented bits of DCA_RXCTRL or DCA_TXCTRL.
    pub(crate) dca: u32,
    /// Implemented bits of RXDCTL or TXDCTL.
    pub(crate) control: u32,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The register is not one of these.
    Foreign,
    /// Nothing that concerns the queue's work.
    Stored,
    /// The ring is another, or starts anew.
    Changed,
    /// The head was written with what it holds.
    Rewound,
    /// Software handed over descriptors.
    Tail,
    /// The queue was switched on or off.
    Switched,
}

/// A ring and its registers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ring {
    low: u32,
    high: u32,
    length: u32,
    dca: u32,
    head: u32,
    tail: u32,
    control: u32,
}

impl Ring {
    /// Descriptors in the ring.
    pub(crate) fn count(&self) -> u32 {
        self.length / DESCRIPTOR
    }

    pub(crate) fn enabled(&self) -> bool {
        self.control & ENABLE != 0
    }

    /// RXDCTL or TXDCTL.
    pub(crate) fn control(&self) -> u32 {
        self.control
    }

    pub(crate) fn head(&self) -> u32 {
        self.head
    }

    pub(crate) fn set_head(&mut self, head: u32) {
        self.head = head;
    }

    pub(crate) fn tail(&self) -> u32 {
        self.tail
    }

    /// The head moves on.
    pub(crate) fn advance(&mut self) {
        self.head = (self.head + 1) % self.count().max(1);
    }

    pub(crate) fn address(&self, index: u32) -> u64 {
        let base = u64::from(self.high) << 32 | u64::from(self.low);
        base.wrapping_add(u64::from(DESCRIPTOR) * u64::from(index))
    }

    /// Descriptors the hardware owns: none while the queue is off or its registers make no sense.
    pub(crate) fn available(&self) -> u32 {
        let count = self.count();
        if !self.enabled() || self.tail >= count || self.head >= count {
            return 0;
        }
        (self.tail + count - self.head) % count
    }

    /// A register of the ring.
    pub(crate) fn read(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            BASE_LOW => self.low,
            BASE_HIGH => self.high,
            LENGTH => self.length,
            DCA => self.dca,
            HEAD => self.head,
            TAIL => self.tail,
            CONTROL => self.control,
            _ => return None,
        })
    }

    /// Writes a register of the ring. Also returns what was wrong with the write, and the register's name.
    pub(crate) fn write(
        &mut self,
        offset: u32,
        value: u32,
        kind: &Kind,
    ) -> (Effect, Option<(Problem, &'static str)>) {
        let live = self.enabled();
        let (mask, effect) = match offset {
            BASE_LOW => {
                self.low = value & BASE_MASK;
                (BASE_MASK | kind.base_ignored, Effect::Changed)
            }
            BASE_HIGH => {
                self.high = value;
                (!0, Effect::Changed)
            }
            LENGTH => {
                self.length = value & LENGTH_MASK;
                (LENGTH_MASK, Effect::Changed)
            }
            DCA => {
                self.dca = value & kind.dca;
                (kind.dca, Effect::Stored)
            }
            // Read-only. Drivers write 0 while the queue is off, which is what it holds then.
            HEAD if live || value != 0 => {
                return (Effect::Stored, Some((Problem::ReadOnly, kind.head)));
            }
            HEAD => (!0, Effect::Rewound),
            TAIL => {
                self.tail = value & 0xFFFF;
                (!0, Effect::Tail)
            }
            CONTROL => {
                self.control = value & kind.control;
                let switched = live != self.enabled();
                if switched {
                    self.head = 0;
                }
                let effect = if switched {
                    Effect::Switched
                } else {
                    Effect::Stored
                };
                (kind.control | SWFLSH, effect)
            }
            _ => return (Effect::Foreign, None),
        };
        let problem = (value & !mask != 0).then_some((Problem::ReservedBits, kind.queue));
        (effect, problem)
    }
}
