// SPDX-License-Identifier: GPL-2.0

//! Steps of an exchange over the mailbox between a virtual function (VF) and its physical function (PF); the same
//! on both chips.
//!
//! One message at a time: a side takes the buffer (VFU, PFU), writes the message and rings; the other one reads it
//! and acknowledges. An [`Exchange`] does what can be done at once and says how long to pause before its next step;
//! the caller pauses, or gives up because the device has been replaced. The pauses have a bounded sum.

use crate::mailbox::{
    Answer,
    Message, //
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

/// Bits of the control register. The first four are the same for both sides, the others are the VF's.
pub mod bit {
    /// A message is in the buffer (REQ, STS).
    pub const RING: u32 = 1 << 0;
    /// The message was read.
    pub const ACK: u32 = 1 << 1;
    /// The VF has the buffer.
    pub const VFU: u32 = 1 << 2;
    /// The PF has the buffer.
    pub const PFU: u32 = 1 << 3;
    /// The PF has put a message into the buffer.
    pub const PFSTS: u32 = 1 << 4;
    /// The PF has read the message.
    pub const PFACK: u32 = 1 << 5;
    /// The PF is in reset.
    pub const RSTI: u32 = 1 << 6;
    /// The PF was reset.
    pub const RSTD: u32 = 1 << 7;
    /// Bits that a read clears.
    pub(super) const READ_CLEAR: u32 = PFSTS | PFACK | RSTD;
}

/// Time that the PF has for one step, in microseconds. It answers from an interrupt handler.
pub const TIMEOUT_US: u32 = 500_000;

/// Time in which a PF on another CPU answers, in microseconds, and the pause between two looks meanwhile.
const SOON_US: u32 = 200;
const SHORT_US: u32 = 5;

/// Pause between two looks, or attempts to take the buffer, in microseconds.
const PAUSE_US: u32 = 100;

/// Attempts of a VF to take the buffer.
const ATTEMPTS: u32 = 100;

/// Messages that are no answer, before the PF is taken for confused.
const UNRELATED: u32 = 4;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// The exchange is complete.
    Done(T),
    /// Nothing can be done for so many microseconds.
    Pause(u32),
}

/// Why an exchange has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The other side does not give the buffer away.
    Busy,
    /// The PF does not react.
    Silent,
    /// The PF answers something else.
    Unrelated,
}

/// What a VF has read from its control register and not used yet: some bits are cleared by reading them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen(u32);

impl Seen {
    /// Nothing.
    pub const fn new() -> Self {
        Self(0)
    }

    fn look<R: MailboxRegs>(&mut self, regs: &R) -> u32 {
        let seen = regs.control() | self.0;
        self.0 = seen & bit::READ_CLEAR;
        seen
    }

    /// Whether any of the bits is set; read-clear bits among them are forgotten.
    pub fn take<R: MailboxRegs>(&mut self, regs: &R, mask: u32) -> bool {
        let seen = self.look(regs) & mask;
        self.0 &= !mask;
        seen != 0
    }
}

/// Something that a VF does over its mailbox.
pub trait Exchange {
    /// What it results in.
    type Output;

    /// Does what can be done now.
    ///
    /// # Errors
    ///
    /// When the PF does not do its part. The exchange is over then.
    fn step<R: MailboxRegs>(
        &mut self,
        regs: &R,
        seen: &mut Seen,
    ) -> Result<Step<Self::Output>, Failure>;
}

/// Taking the buffer, for one side.
#[derive(Debug)]
pub struct Take {
    own: u32,
    attempts: u32,
}

impl Take {
    /// `own` is the side's bit, [`bit::VFU`] or [`bit::PFU`].
    pub const fn new(own: u32, attempts: u32) -> Self {
        Self { own, attempts }
    }

    const fn by_vf() -> Self {
        Self::new(bit::VFU, ATTEMPTS)
    }

    /// Tries once. `look` reads the control register.
    ///
    /// # Errors
    ///
    /// [`Failure::Busy`] after the last attempt.
    pub fn step<R: MailboxRegs>(
        &mut self,
        regs: &R,
        look: impl FnOnce() -> u32,
    ) -> Result<Step<()>, Failure> {
        self.attempts = self.attempts.checked_sub(1).ok_or(Failure::Busy)?;
        regs.set_control(self.own);
        Ok(if look() & self.own != 0 {
            Step::Done(())
        } else {
            Step::Pause(PAUSE_US)
        })
    }
}

/// Writes a message into the buffer, which the caller has taken, and rings. The buffer is free then.
pub fn post<R: MailboxRegs>(regs: &R, words: &[u32]) {
    for (i, word) in words.iter().enumerate() {
        regs.set_word(i, *word);
    }
    regs.set_control(bit::RING);
}

/// Waiting for the PF, for a bounded time.
#[derive(Debug, Default)]
struct Patience {
    waited_us: u32,
}

impl Patience {
    fn pause<T>(&mut self) -> Result<Step<T>, Failure> {
        if self.waited_us >= TIMEOUT_US {
            return Err(Failure::Silent);
        }
        let pause = if self.waited_us < SOON_US {
            SHORT_US
        } else {
            PAUSE_US
        };
        self.waited_us += pause;
        Ok(Step::Pause(pause))
    }
}

/// Waits until the PF is not in reset (RSTI), and forgets that it was (RSTD).
#[derive(Debug, Default)]
pub struct Ready(Patience);

impl Exchange for Ready {
    type Output = ();

    fn step<R: MailboxRegs>(&mut self, regs: &R, seen: &mut Seen) -> Result<Step<()>, Failure> {
        if seen.look(regs) & bit::RSTI != 0 {
            return self.0.pause();
        }
        seen.take(regs, bit::RSTD);
        Ok(Step::Done(()))
    }
}

/// A request and its answer, of which the first three words are returned.
#[derive(Debug)]
pub struct Request<'a> {
    message: &'a Message,
    state: State,
    unrelated: u32,
}

#[derive(Debug)]
enum State {
    /// The buffer is taken, for the request.
    Take(Take),
    /// The request is posted, the PF reads it.
    Posted(Patience),
    /// The PF has read the request.
    Acknowledged(Patience),
    /// The PF has rung, the buffer is taken to read what it says.
    Rung(Take),
}

impl<'a> Request<'a> {
    /// Nothing is done yet.
    pub const fn new(message: &'a Message) -> Self {
        Self {
            message,
            state: State::Take(Take::by_vf()),
            unrelated: 0,
        }
    }
}

impl Exchange for Request<'_> {
    type Output = (Answer, [u32; 3]);

    fn step<R: MailboxRegs>(
        &mut self,
        regs: &R,
        seen: &mut Seen,
    ) -> Result<Step<Self::Output>, Failure> {
        loop {
            self.state = match &mut self.state {
                State::Take(take) => {
                    if let Step::Pause(us) = take.step(regs, || seen.look(regs))? {
                        return Ok(Step::Pause(us));
                    }
                    // An old acknowledgement or message would be taken for the answer.
                    seen.take(regs, bit::PFSTS | bit::PFACK);
                    post(regs, self.message.words());
                    State::Posted(Patience::default())
                }
                State::Posted(patience) => {
                    if !seen.take(regs, bit::PFACK) {
                        return patience.pause();
                    }
                    State::Acknowledged(Patience::default())
                }
                State::Acknowledged(patience) => {
                    if !seen.take(regs, bit::PFSTS) {
                        return patience.pause();
                    }
                    State::Rung(Take::by_vf())
                }
                State::Rung(take) => {
                    if let Step::Pause(us) = take.step(regs, || seen.look(regs))? {
                        return Ok(Step::Pause(us));
                    }
                    let len = self.message.answer_len();
                    let words = core::array::from_fn(|i| if i < len { regs.word(i) } else { 0 });
                    regs.set_control(bit::ACK);
                    match self.message.answer(words[0]) {
                        // The PF may have sent something else meanwhile.
                        Answer::Unrelated => self.unrelated += 1,
                        answer => return Ok(Step::Done((answer, words))),
                    }
                    if self.unrelated == UNRELATED {
                        return Err(Failure::Unrelated);
                    }
                    State::Acknowledged(Patience::default())
                }
            };
        }
    }
}

/// The first word of a message that the PF has sent on its own, if there is one.
#[derive(Debug, Default)]
pub struct Unsolicited(Option<Take>);

impl Exchange for Unsolicited {
    type Output = Option<u32>;

    fn step<R: MailboxRegs>(
        &mut self,
        regs: &R,
        seen: &mut Seen,
    ) -> Result<Step<Self::Output>, Failure> {
        if self.0.is_none() && !seen.take(regs, bit::PFSTS) {
            return Ok(Step::Done(None));
        }
        let take = self.0.get_or_insert(Take::by_vf());
        if let Step::Pause(us) = take.step(regs, || seen.look(regs))? {
            return Ok(Step::Pause(us));
        }
        let first = regs.word(0);
        regs.set_control(bit::ACK);
        Ok(Step::Done(Some(first)))
    }
}
