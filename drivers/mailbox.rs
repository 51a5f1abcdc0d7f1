// SPDX-License-Identifier: GPL-2.0

//! Mailbox between a virtual function and its physical function, from both sides.
//!
//! What is done in which order is in [`compsc_regs::exchange`]; this file reads, writes and waits. A VF waits for the PF's answer to its request ([`Mailbox`]); the PF waits for nothing that a
//! VF could withhold ([`HostMailbox`]). The caller holds the adapter's control lock.

use crate::region::RegionWord;
use compsc_core::gate::{
    self,
    Word as _, //
};
pub use compsc_regs::exchange::MailboxRegs;
use compsc_regs::{
    exchange::{
        bit,
        post,
        Exchange,
        Failure,
        Ready,
        Request,
        Seen,
        Step,
        Take,
        Unsolicited, //
    },
    mailbox::{
        Answer,
        Message,
        WORDS, //
    },
};
use core::cell::Cell;
use kernel::{
    prelude::*,
    time::{
        delay::{
            fsleep,
            udelay, //
        },
        Delta, //
    },
};

/// Longest pause in microseconds that is not slept.
const SPIN_US: u32 = 10;

fn pause(us: u32) {
    let time = Delta::from_micros(us.into());
    if us <= SPIN_US {
        udelay(time);
    } else {
        fsleep(time);
    }
}

/// The PF's side of a mailbox.
pub struct HostMailbox;

impl HostMailbox {
    /// Attempts to take the buffer. A VF that holds it for longer has only itself to blame.
    const ATTEMPTS: u32 = 5;

    fn take_buffer<R: MailboxRegs>(regs: &R) -> Result {
        let mut take = Take::new(bit::PFU, Self::ATTEMPTS);
        while let Step::Pause(us) = take.step(regs, || regs.control()).map_err(|_| EBUSY)? {
            pause(us);
        }
        Ok(())
    }

    /// The message that a VF has rung for, read once, and acknowledged. Whatever the VF writes meanwhile, the
    /// result is some message.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the VF does not give the buffer away: it may be writing. Nothing is acknowledged then.
    pub fn receive<R: MailboxRegs>(regs: &R) -> Result<[u32; WORDS]> {
        Self::take_buffer(regs)?;
        let words = core::array::from_fn(|i| regs.word(i));
        regs.set_control(bit::ACK);
        Ok(words)
    }

    /// Sends an answer, or a message that the VF did not ask for.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the VF does not give the buffer away.
    pub fn send<R: MailboxRegs>(regs: &R, words: &[u32]) -> Result {
        Self::take_buffer(regs)?;
        post(regs, words);
        Ok(())
    }
}

/// The VF's side of a mailbox.
pub struct Mailbox {
    seen: Cell<Seen>,
    gate: RegionWord,
}

// SAFETY: Used under the adapter's control lock only.
unsafe impl Sync for Mailbox {}

impl Mailbox {
    /// A mailbox from which nothing was read. `gate` tells when the device is replaced.
    pub const fn new(gate: RegionWord) -> Self {
        Self {
            seen: Cell::new(Seen::new()),
            gate,
        }
    }

    /// Forgets what was read from a mailbox that is no longer there.
    pub fn forget(&self) {
        self.seen.set(Seen::new());
    }

    /// Changes when the device is replaced.
    fn version(&self) -> u32 {
        gate::version(self.gate.load())
    }

    /// Runs an exchange to its end, or until the device is replaced: the new one knows nothing of it, and its restore
    /// waits for the lock that the caller holds.
    fn run<R: MailboxRegs, E: Exchange>(&self, regs: &R, mut exchange: E) -> Result<E::Output> {
        let version = self.version();
        loop {
            let mut seen = self.seen.get();
            let step = exchange.step(regs, &mut seen);
            self.seen.set(seen);
            match step {
                Ok(Step::Done(output)) => return Ok(output),
                Ok(Step::Pause(_)) if self.version() != version => return Err(EAGAIN),
                Ok(Step::Pause(us)) => pause(us),
                Err(Failure::Busy) => return Err(EBUSY),
                Err(Failure::Silent) => return Err(ETIMEDOUT),
                Err(Failure::Unrelated) => return Err(EPROTO),
            }
        }
    }

    /// Waits until the PF is not in reset (RSTI), and forgets that it was (RSTD).
    pub fn wait_pf_ready<R: MailboxRegs>(&self, regs: &R) -> Result {
        self.run(regs, Ready::default())
    }

    /// Whether the PF was reset since the last look.
    pub fn pf_was_reset<R: MailboxRegs>(&self, regs: &R) -> bool {
        let mut seen = self.seen.get();
        let reset = seen.take(regs, bit::RSTI | bit::RSTD);
        self.seen.set(seen);
        reset
    }

    /// The first word of a message that the PF sent on its own, if there is one.
    pub fn unsolicited<R: MailboxRegs>(&self, regs: &R) -> Option<u32> {
        self.run(regs, Unsolicited::default()).ok().flatten()
    }

    /// Sends a request and waits for its answer, of which the first three words are returned.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` or `EBUSY` when the PF does not react, `EAGAIN` when the device was replaced meanwhile.
    pub fn request<R: MailboxRegs>(
        &self,
        regs: &R,
        message: &Message,
    ) -> Result<(Answer, [u32; 3])> {
        self.run(regs, Request::new(message))
    }
}
