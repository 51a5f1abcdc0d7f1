// SPDX-License-Identifier: GPL-2.0

//! What the host does to a function itself: stop its queues, read its counters, wake its guest.

mod e82576;

use crate::vfio_core::VfioCore;
use compsc_core::{
    class::Replay,
    region::MAX_QUEUES,
    regs::RegisterDesc,
    stream::{
        Identity,
        Unsent, //
    },
};
use core::num::NonZero;
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};

/// What a read returns when the function has gone from the bus.
const GONE: u32 = !0;
/// How long a queue may take to note that it is disabled.
const DISABLE: Delta = Delta::from_millis(10);
/// Pause between two looks at the hardware.
const POLL: Delta = Delta::from_micros(20);

/// The chip of a PCI function, by vendor and device id.
pub(crate) fn of(vendor: u16, device: u16) -> Option<&'static dyn Chip> {
    match (vendor, device) {
        (0x8086, 0x10c9) => Some(&e82576::PF),
        (0x8086, 0x10ca) => Some(&e82576::VF),
        _ => None,
    }
}

/// A kind of function. One static instance per kind, without state.
///
/// All offsets are in bytes, in BAR 0. The provided methods are the procedure that Intel's functions
/// share; RXDCTL and TXDCTL enable a queue with [`QUEUE_ENABLE`] in all of them.
pub(crate) trait Chip: Sync {
    /// Name in messages.
    fn name(&self) -> &'static str;
    /// Identity for the migration stream.
    fn identity(&self) -> Identity;
    /// The register map.
    fn registers(&self) -> &'static [RegisterDesc];
    /// Receive descriptor control of queue `n`.
    fn rxdctl(&self, n: u16) -> u32;
    /// Transmit descriptor control of queue `n`.
    fn txdctl(&self, n: u16) -> u32;
    /// Transmit descriptor head of queue `n`.
    fn tdh(&self, n: u16) -> u32;
    /// Transmit descriptor tail of queue `n`.
    fn tdt(&self, n: u16) -> u32;
    /// Transmit ring length of queue `n`, in bytes.
    fn tdlen(&self, n: u16) -> u32;
    /// Interrupt mask set.
    fn eims(&self) -> u32;
    /// Interrupt cause set.
    fn eics(&self) -> u32;
    /// Interrupt cause; writing 1 clears.
    fn eicr(&self) -> u32;
    /// Number of interrupt vectors; cause n is vector n.
    fn vectors(&self) -> u16;
    /// Length of the register window in bytes.
    fn window(&self) -> u32;
    /// Whether `register` is a counter of `width` bits that the guest goes on with in software. Only those are
    /// read for a guest: whatever else it names might have an effect on the function.
    fn is_counter(&self, register: u32, width: u8) -> bool {
        self.registers().iter().any(|r| {
            matches!(r.replay, Replay::SelfEmulate { width_bits } if width_bits == width)
                && r.index_of(register as usize).is_some()
        })
    }

    /// Stops the port of a function that has one: nothing is received any more. Returns what
    /// [`start_port`](Self::start_port) needs.
    fn stop_port(&self, _io: &VfioCore) -> Result<u32> {
        Ok(0)
    }

    /// Undoes [`stop_port`](Self::stop_port), which has returned `before`.
    fn start_port(&self, _io: &VfioCore, _before: u32) -> Result {
        Ok(())
    }

    /// Stops port and queues: receive at once, transmit when the hardware has sent what was posted, or when
    /// `drain` is over.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the function does not answer, `EIO` if its memory space is disabled: then it is not
    /// able to do anything either.
    fn stop(&self, io: &VfioCore, drain: Delta) -> Result<Stopped> {
        let start = Instant::<Monotonic>::now();
        let mut stopped = Stopped {
            port: self.stop_port(io)?,
            ..Stopped::default()
        };
        for n in 0..self.queues() {
            let value = present(io.read32(self.rxdctl(n))?)?;
            stopped.queues[usize::from(n)].rxdctl = value;
            if value & QUEUE_ENABLE != 0 {
                io.write32(self.rxdctl(n), value & !QUEUE_ENABLE)?;
            }
        }
        for n in 0..self.queues() {
            let value = present(io.read32(self.txdctl(n))?)?;
            stopped.queues[usize::from(n)].txdctl = value;
            if value & QUEUE_ENABLE == 0 {
                continue;
            }
            let unsent = loop {
                let (head, tail) = (
                    present(io.read32(self.tdh(n))?)?,
                    present(io.read32(self.tdt(n))?)?,
                );
                if head == tail || start.elapsed() > drain {
                    break self.between(head, tail, io.read32(self.tdlen(n))?);
                }
                fsleep(POLL);
            };
            stopped.queues[usize::from(n)].unsent = unsent;
            io.write32(self.txdctl(n), value & !QUEUE_ENABLE)?;
        }
        // However long the draining took: what has been fetched is being sent, and its report must arrive, or
        // it would be sent again.
        let disabled = Instant::<Monotonic>::now();
        for n in 0..self.queues() {
            for register in [self.rxdctl(n), self.txdctl(n)] {
                // TIMEOUT: a queue that does not stop loses the bus next, which stops it for certain.
                while io.read32(register)? & QUEUE_ENABLE != 0 && disabled.elapsed() <= DISABLE {
                    fsleep(POLL);
                }
            }
        }
        stopped.count = self.queues();
        stopped.time = start.elapsed();
        Ok(stopped)
    }

    /// Undoes [`stop`](Self::stop), for a guest whose driver does not restore the function itself.
    fn restart(&self, io: &VfioCore, stopped: &Stopped) -> Result {
        for (n, queue) in (0..).zip(stopped.queues()) {
            for (register, value) in [
                (self.txdctl(n), queue.txdctl),
                (self.rxdctl(n), queue.rxdctl),
            ] {
                if value & QUEUE_ENABLE != 0 {
                    io.write32(register, value)?;
                }
            }
        }
        self.start_port(io, stopped.port)
    }

    /// Reads a counter for which [`is_counter`](Self::is_counter) holds.
    fn counter(&self, io: &VfioCore, register: u32, width: u8) -> Result<u64> {
        let low = u64::from(io.read32(register)?);
        // The function is stopped, so the halves belong together.
        let high = match width {
            ..=32 => 0,
            _ => u64::from(io.read32(register + 4)?),
        };
        let mask = u64::MAX >> (64 - u32::from(width.clamp(1, 64)));
        Ok((high << 32 | low) & mask)
    }

    /// Brings the interrupt unit into the mode in which causes are vectors.
    fn prepare_kick(&self, _io: &VfioCore) -> Result {
        Ok(())
    }

    /// Raises interrupt vector `vector` in the guest.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a vector that the function does not have; otherwise as [`VfioCore::write32`].
    fn kick(&self, io: &VfioCore, vector: u16) -> Result {
        if vector >= self.vectors() {
            return Err(EINVAL);
        }
        self.prepare_kick(io)?;
        io.write32(self.eims(), 1 << vector)?;
        // A cause that is set already would not raise the vector again.
        io.write32(self.eicr(), 1 << vector)?;
        io.write32(self.eics(), 1 << vector)
    }

    /// Number of queues in each direction.
    fn queues(&self) -> u16 {
        // CAST: 16.
        self.identity().max_queues.min(MAX_QUEUES as u16)
    }

    /// Descriptors from `head` to `tail` in a ring of `tdlen` bytes.
    fn between(&self, head: u32, tail: u32, tdlen: u32) -> u32 {
        // Descriptors have 16 bytes. Whatever the registers hold, the result is only reported.
        let Some(size) = NonZero::new(tdlen / 16) else {
            return 0;
        };
        let (head, tail) = (head % size, tail % size);
        if tail >= head {
            tail - head
        } else {
            (size.get() - head).wrapping_add(tail)
        }
    }
}

/// RXDCTL, TXDCTL: the queue is enabled.
const QUEUE_ENABLE: u32 = 1 << 25;

fn present(value: u32) -> Result<u32> {
    match value {
        GONE => Err(ENODEV),
        value => Ok(value),
    }
}

/// A queue pair that was stopped.
#[derive(Clone, Copy, Default)]
pub(crate) struct Queue {
    rxdctl: u32,
    txdctl: u32,
    unsent: u32,
}

/// What [`Chip::stop`] found.
#[derive(Clone, Copy)]
pub(crate) struct Stopped {
    queues: [Queue; MAX_QUEUES],
    count: u16,
    port: u32,
    time: Delta,
}

impl Default for Stopped {
    fn default() -> Self {
        Self {
            queues: [Queue::default(); MAX_QUEUES],
            count: 0,
            port: 0,
            time: Delta::ZERO,
        }
    }
}

impl Stopped {
    fn queues(&self) -> &[Queue] {
        &self.queues[..usize::from(self.count)]
    }

    /// How long it took.
    pub(crate) fn time(&self) -> Delta {
        self.time
    }

    /// The queues with descriptors that were posted and not sent.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = Unsent> + '_ {
        (0..)
            .zip(self.queues())
            .filter(|(_, q)| q.unsent != 0)
            .map(|(queue, q)| Unsent {
                queue,
                count: q.unsent,
            })
    }
}
