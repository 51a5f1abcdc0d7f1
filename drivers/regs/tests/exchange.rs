// SPDX-License-Identifier: GPL-2.0

//! Exchanges over the mailbox, with a PF that is slow, silent, busy, or says something else first.

use compsc_regs::exchange::{
    bit, Exchange, Failure, MailboxRegs, Ready, Request, Seen, Step, Unsolicited, TIMEOUT_US,
};
use compsc_regs::mailbox::{Answer, Message, ACK, CTS, PF_CONTROL, WORDS};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// The VF's mailbox, and a PF that does the next thing of its list after a time.
#[derive(Default)]
struct Pf {
    control: Cell<u32>,
    words: RefCell<[u32; WORDS]>,
    now: Cell<u32>,
    rings: Cell<u32>,
    acks: Cell<u32>,
    asked: RefCell<Vec<u32>>,
    /// Microseconds after the ring, and what happens: bits, and a message.
    after_ring: RefCell<VecDeque<(u32, u32, Option<u32>)>>,
    rung_at: Cell<u32>,
    /// The PF keeps the buffer until then.
    keeps_until: Cell<u32>,
}

impl Pf {
    /// Acknowledges after `read` and answers after `answer` microseconds, with these messages.
    fn answering(read: u32, answer: u32, messages: &[u32]) -> Self {
        let pf = Self::default();
        let mut list = pf.after_ring.borrow_mut();
        list.push_back((read, bit::PFACK, None));
        for first in messages {
            list.push_back((read + answer, bit::PFSTS, Some(*first)));
        }
        drop(list);
        pf
    }

    fn set(&self, bits: u32) {
        self.control.set(self.control.get() | bits);
    }

    fn has_buffer(&self) -> bool {
        self.now.get() < self.keeps_until.get()
    }

    fn live(&self) {
        if self.rings.get() == 0 {
            return;
        }
        let mut list = self.after_ring.borrow_mut();
        while let Some(&(after, bits, message)) = list.front() {
            // One message at a time: the VF acknowledges before the next one.
            let pending = message.is_some() && self.control.get() & (bit::PFSTS | bit::VFU) != 0;
            if self.now.get() - self.rung_at.get() < after || pending {
                return;
            }
            if let Some(first) = message {
                self.words.borrow_mut()[..2].copy_from_slice(&[first, 0x77]);
            }
            self.set(bits);
            list.pop_front();
        }
    }
}

impl MailboxRegs for Pf {
    fn control(&self) -> u32 {
        self.live();
        let seen = self.control.get();
        self.control
            .set(seen & !(bit::PFSTS | bit::PFACK | bit::RSTD));
        seen
    }

    fn set_control(&self, value: u32) {
        if value & bit::VFU != 0 && !self.has_buffer() {
            self.set(bit::VFU);
        }
        if value & (bit::RING | bit::ACK) != 0 {
            assert!(
                self.control.get() & bit::VFU != 0,
                "rings without the buffer"
            );
            self.control.set(self.control.get() & !bit::VFU);
        }
        if value & bit::RING != 0 {
            self.rings.set(self.rings.get() + 1);
            self.rung_at.set(self.now.get());
            *self.asked.borrow_mut() = self.words.borrow().to_vec();
        }
        if value & bit::ACK != 0 {
            self.acks.set(self.acks.get() + 1);
        }
    }

    fn word(&self, index: usize) -> u32 {
        assert!(
            self.control.get() & bit::VFU != 0,
            "reads without the buffer"
        );
        self.words.borrow()[index]
    }

    fn set_word(&self, index: usize, value: u32) {
        assert!(
            self.control.get() & bit::VFU != 0,
            "writes without the buffer"
        );
        self.words.borrow_mut()[index] = value;
    }
}

/// Runs an exchange to its end.
fn run<E: Exchange>(pf: &Pf, seen: &mut Seen, mut exchange: E) -> Result<E::Output, Failure> {
    loop {
        match exchange.step(pf, seen)? {
            Step::Done(output) => return Ok(output),
            Step::Pause(us) => {
                assert!(us > 0);
                pf.now.set(pf.now.get() + us);
            }
        }
    }
}

const VLAN: Message = Message::set_vlan(7, true);

fn granted() -> u32 {
    ACK | CTS | VLAN.words()[0]
}

proptest! {
    #[test]
    fn slow_pf_answers(read in 0..400_000u32, answer in 0..400_000u32, keeps in 0..9_000u32, noise in 0..4usize) {
        let mut messages = vec![PF_CONTROL | CTS; noise];
        messages.push(granted());
        let pf = Pf::answering(read, answer, &messages);
        pf.keeps_until.set(keeps);
        let result = run(&pf, &mut Seen::new(), Request::new(&VLAN));
        prop_assert_eq!(result, Ok((Answer::Ack, [granted(), 0x77, 0])));
        prop_assert_eq!(&pf.asked.borrow()[..2], VLAN.words());
        prop_assert_eq!((pf.rings.get() as usize, pf.acks.get() as usize), (1, messages.len()));
        // No later than the pause after it.
        prop_assert!(pf.now.get() <= keeps + read + answer + 600);
    }
}

#[test]
fn silent_pf() {
    for pf in [Pf::default(), Pf::answering(100, 0, &[])] {
        let result = run(&pf, &mut Seen::new(), Request::new(&VLAN));
        assert_eq!(result, Err(Failure::Silent));
        assert!((TIMEOUT_US..TIMEOUT_US + 1000).contains(&pf.now.get()));
    }
}

#[test]
fn busy_pf() {
    let pf = Pf::answering(0, 0, &[granted()]);
    pf.keeps_until.set(u32::MAX);
    let result = run(&pf, &mut Seen::new(), Request::new(&VLAN));
    assert_eq!((result, pf.rings.get()), (Err(Failure::Busy), 0));
    assert!(pf.now.get() <= 10_000);
}

#[test]
fn pf_that_never_answers_the_question() {
    let pf = Pf::answering(10, 10, &[PF_CONTROL | CTS; 5]);
    let result = run(&pf, &mut Seen::new(), Request::new(&VLAN));
    assert_eq!((result, pf.acks.get()), (Err(Failure::Unrelated), 4));
}

#[test]
fn what_was_there_before_is_no_answer() {
    let pf = Pf::default();
    pf.words.borrow_mut()[0] = granted();
    pf.set(bit::PFSTS | bit::PFACK);
    let mut seen = Seen::new();
    assert!(!seen.take(&pf, bit::RSTI));
    assert_eq!(
        run(&pf, &mut seen, Request::new(&VLAN)),
        Err(Failure::Silent)
    );
}

#[test]
fn a_reset_seen_during_an_exchange_is_remembered() {
    let pf = Pf::answering(10, 10, &[granted()]);
    pf.set(bit::RSTD);
    let mut seen = Seen::new();
    assert!(run(&pf, &mut seen, Request::new(&VLAN)).is_ok());
    assert_eq!(pf.control.get() & bit::RSTD, 0);
    assert!(seen.take(&pf, bit::RSTD) && !seen.take(&pf, bit::RSTD));
}

#[test]
fn ready_when_out_of_reset() {
    let pf = Pf::default();
    pf.set(bit::RSTI | bit::RSTD);
    let mut seen = Seen::new();
    let mut ready = Ready::default();
    assert!(matches!(ready.step(&pf, &mut seen), Ok(Step::Pause(_))));
    pf.control.set(pf.control.get() & !bit::RSTI);
    assert_eq!(ready.step(&pf, &mut seen), Ok(Step::Done(())));
    assert!(!seen.take(&pf, bit::RSTI | bit::RSTD));
    pf.set(bit::RSTI);
    assert_eq!(run(&pf, &mut seen, Ready::default()), Err(Failure::Silent));
}

#[test]
fn message_of_the_pf() {
    let pf = Pf::default();
    let mut seen = Seen::new();
    assert_eq!(run(&pf, &mut seen, Unsolicited::default()), Ok(None));
    pf.words.borrow_mut()[0] = PF_CONTROL;
    pf.set(bit::PFSTS);
    pf.keeps_until.set(500);
    assert_eq!(
        run(&pf, &mut seen, Unsolicited::default()),
        Ok(Some(PF_CONTROL))
    );
    assert_eq!(pf.acks.get(), 1);
    assert_eq!(run(&pf, &mut seen, Unsolicited::default()), Ok(None));
}
