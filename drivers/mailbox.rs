// SPDX-License-Identifier: GPL-2.0

//! Mailbox between a virtual function and its physical function, from both sides.
//!
//! One message at a time: a side takes the buffer (VFU, PFU), writes the message and rings; the other one reads it
//! and acknowledges. A VF waits for the PF's answer to its request ([`Mailbox`]); the PF waits for nothing that a
//! VF could withhold ([`HostMailbox`]). The caller holds the adapter's control lock.

use compsc_regs::mailbox::{
    Answer,
    Message,
    WORDS, //
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

/// The registers of a mailbox.
pub trait MailboxRegs {
    /// Reads the control register.
    fn control(&self) -> u32;
    /// Writes the control register.
    fn set_control(&self, value: u32);
    /// Reads a word of the buffer.
    fn word(&self, index: usize) -> u32;
    /// Writes a word of the buffer.
    fn set_word(&self, index: usize, value: u32);
}

/// Bits of the control register, the same on both chips. The first four are the same for both sides.
mod bit {
    /// A message is in the buffer (REQ, STS).
    pub(super) const RING: u32 = 1 << 0;
    pub(super) const ACK: u32 = 1 << 1;
    pub(super) const VFU: u32 = 1 << 2;
    pub(super) const PFU: u32 = 1 << 3;
    pub(super) const PFSTS: u32 = 1 << 4;
    pub(super) const PFACK: u32 = 1 << 5;
    pub(super) const RSTI: u32 = 1 << 6;
    pub(super) const RSTD: u32 = 1 << 7;
    pub(super) const READ_CLEAR: u32 = PFSTS | PFACK | RSTD;
}

/// Time that the PF has for one step, in microseconds. It answers from an interrupt handler.
const TIMEOUT_US: u32 = 500_000;

/// Writes a message into the buffer, which the caller has taken, and rings. The buffer is free then.
fn post<R: MailboxRegs>(regs: &R, words: &[u32]) {
    for (i, word) in words.iter().enumerate() {
        regs.set_word(i, *word);
    }
    regs.set_control(bit::RING);
}

/// Tries to take the buffer, `attempts` times: `seen` reads the control register.
fn take_buffer<R: MailboxRegs>(
    regs: &R,
    own: u32,
    attempts: u32,
    mut seen: impl FnMut() -> u32,
) -> Result {
    for _ in 0..attempts {
        regs.set_control(own);
        if seen() & own != 0 {
            return Ok(());
        }
        fsleep(Delta::from_micros(100));
    }
    Err(EBUSY)
}

/// The PF's side of a mailbox.
pub struct HostMailbox;

impl HostMailbox {
    /// Attempts to take the buffer. A VF that holds it for longer has only itself to blame.
    const ATTEMPTS: u32 = 5;

    /// The message that a VF has rung for, read once, and acknowledged. Whatever the VF writes meanwhile, the
    /// result is some message.
    pub fn receive<R: MailboxRegs>(regs: &R) -> [u32; WORDS] {
        // Without the buffer the VF may be writing: then it gets an answer to what was read.
        let _ = take_buffer(regs, bit::PFU, Self::ATTEMPTS, || regs.control());
        let words = core::array::from_fn(|i| regs.word(i));
        regs.set_control(bit::ACK);
        words
    }

    /// Sends an answer, or a message that the VF did not ask for.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the VF does not give the buffer away.
    pub fn send<R: MailboxRegs>(regs: &R, words: &[u32]) -> Result {
        take_buffer(regs, bit::PFU, Self::ATTEMPTS, || regs.control())?;
        post(regs, words);
        Ok(())
    }
}

/// The VF's side of a mailbox. Some bits are cleared by reading them, so every read is remembered.
pub struct Mailbox {
    remembered: Cell<u32>,
}

// SAFETY: Used under the adapter's control lock only.
unsafe impl Sync for Mailbox {}

impl Mailbox {
    /// A mailbox with nothing remembered.
    pub const fn new() -> Self {
        Self {
            remembered: Cell::new(0),
        }
    }

    /// Forgets what was read from a mailbox that is no longer there.
    pub fn forget(&self) {
        self.remembered.set(0);
    }

    fn look<R: MailboxRegs>(&self, regs: &R) -> u32 {
        let seen = regs.control() | self.remembered.get();
        self.remembered.set(seen & bit::READ_CLEAR);
        seen
    }

    /// Whether any of the bits is set; read-clear bits among them are forgotten.
    fn take<R: MailboxRegs>(&self, regs: &R, mask: u32) -> bool {
        let seen = self.look(regs) & mask;
        self.remembered.set(self.remembered.get() & !mask);
        seen != 0
    }

    /// Waits for a bit.
    fn wait<R: MailboxRegs>(&self, regs: &R, mask: u32) -> Result {
        Self::wait_until(|| self.take(regs, mask))
    }

    /// Waits for a condition. Spins as long as a PF on another CPU takes, then sleeps.
    fn wait_until(mut done: impl FnMut() -> bool) -> Result {
        let mut waited = 0;
        while !done() {
            if waited >= TIMEOUT_US {
                return Err(ETIMEDOUT);
            }
            if waited < 200 {
                udelay(Delta::from_micros(5));
                waited += 5;
            } else {
                fsleep(Delta::from_micros(100));
                waited += 100;
            }
        }
        Ok(())
    }

    /// Waits until the PF is not in reset (RSTI), and forgets that it was (RSTD).
    pub fn wait_pf_ready<R: MailboxRegs>(&self, regs: &R) -> Result {
        Self::wait_until(|| self.look(regs) & bit::RSTI == 0)?;
        self.take(regs, bit::RSTD);
        Ok(())
    }

    /// Whether the PF was reset since the last look.
    pub fn pf_was_reset<R: MailboxRegs>(&self, regs: &R) -> bool {
        self.take(regs, bit::RSTI | bit::RSTD)
    }

    /// The first word of a message that the PF sent on its own, if there is one.
    pub fn unsolicited<R: MailboxRegs>(&self, regs: &R) -> Option<u32> {
        if !self.take(regs, bit::PFSTS) || self.lock(regs).is_err() {
            return None;
        }
        let first = regs.word(0);
        regs.set_control(bit::ACK);
        Some(first)
    }

    fn lock<R: MailboxRegs>(&self, regs: &R) -> Result {
        take_buffer(regs, bit::VFU, 100, || self.look(regs))
    }

    /// Sends a request and waits for its answer, of which the first three words are returned.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` or `EBUSY` when the PF does not react.
    pub fn request<R: MailboxRegs>(
        &self,
        regs: &R,
        message: &Message,
    ) -> Result<(Answer, [u32; 3])> {
        self.lock(regs)?;
        // An old acknowledgement or message would be taken for the answer.
        self.take(regs, bit::PFSTS | bit::PFACK);
        post(regs, message.words());
        self.wait(regs, bit::PFACK)?;
        // The PF may have sent something else meanwhile.
        for _ in 0..4 {
            self.wait(regs, bit::PFSTS)?;
            self.lock(regs)?;
            let words = core::array::from_fn(|i| {
                if i < message.answer_len() {
                    regs.word(i)
                } else {
                    0
                }
            });
            regs.set_control(bit::ACK);
            match message.answer(words[0]) {
                Answer::Unrelated => continue,
                answer => return Ok((answer, words)),
            }
        }
        Err(EPROTO)
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}
