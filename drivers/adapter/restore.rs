// SPDX-License-Identifier: GPL-2.0

//! Restore: making a device that knows nothing into the one that the guest had (the paper's replay).
//!
//! One path serves all causes: a migration, an aborted one, a function-level reset, a reset of the PF, a
//! transmit hang, resume from suspend, and the debugfs trigger.
//!
//! 1. Quiesce: the gate is closed, NAPI disabled, transmit locked out. Carrier and queueing discipline
//!    notice nothing.
//! 2. Reset the function and shake hands with the PF.
//! 3. Consume what the old device had finished: it is in memory.
//! 4. Ask the PF for MAC, VLANs, multicast and frame size again.
//! 5. Replay the log up to the interrupt routing, move the clock to the new device, lay out the rings from slot 0,
//!    replay the queue enables, write the tails.
//! 6. Open the gate, start NAPI and transmit, replay the interrupt masks, raise all vectors.

use super::{
    elapsed_ns,
    Adapter,
    Chip,
    Control, //
};
use crate::{
    net::xdp,
    queue::{
        xdp::NoProgram,
        Descriptors, //
    },
    trace, //
};
use compsc_core::{
    class::Phase,
    gate::{
        self,
        Pending,
        Published,
        Word as _, //
    },
};
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Instant, //
    },
};

/// Milliseconds until another attempt when the PF does not answer.
const RETRY_MS: u32 = 100;

/// Seconds after which a silent PF is reported, for the first time; then after twice as long, and so on.
const REPORT_S: u64 = 2;

/// Times that a locked gate is looked at, every millisecond, before the worker comes back later.
const LOCKED_LOOKS: u32 = 50;

impl<C: Chip> Adapter<C> {
    /// Runs a restore that somebody asked for.
    pub(super) fn restore_worker(&self) {
        let mut control = self.control.lock();
        if control.detached {
            return;
        }
        // The result is seen to inside: a failure queues the next attempt.
        let _ = self.restore_if_needed(&mut control, false);
    }

    /// Restores if the host moved the function, a restore is unfinished, or `force`.
    pub(crate) fn restore_if_needed(&self, control: &mut Control, force: bool) -> Result {
        if control.detached {
            return Err(ENODEV);
        }
        let mut force = force;
        for _ in 0..LOCKED_LOOKS {
            let word = match self.gate.pending() {
                Pending::Locked => {
                    fsleep(Delta::from_millis(1));
                    continue;
                }
                Pending::Restore(word) => word,
                Pending::Nothing if force => {
                    // The reset may clear them.
                    self.update_counters(control);
                    self.gate.word().load()
                }
                Pending::Nothing => return Ok(()),
            };
            self.quiesce(control);
            match self.restore(control, word) {
                Ok(Published::Open) => {
                    control.unanswered = None;
                    if core::mem::take(&mut control.recovery_failed) {
                        self.recovered_work.queue_on_system();
                    }
                    return Ok(());
                }
                // The host moved the function once more meanwhile.
                Ok(Published::Again) => force = false,
                // The same, in the middle of a request to the PF.
                Err(_) if gate::version(self.gate.word().load()) != gate::version(word) => {
                    force = false;
                }
                Err(e) => {
                    self.report_failure(control, e);
                    self.restore_work.queue(&self.queue, RETRY_MS);
                    return Err(e);
                }
            }
        }
        self.restore_work.queue(&self.queue, RETRY_MS);
        Err(EAGAIN)
    }

    fn report_failure(&self, control: &mut Control, error: Error) {
        let (since, reports) = *control
            .unanswered
            .get_or_insert_with(|| (Instant::now(), 0));
        let waited = elapsed_ns(since) / 1_000_000_000;
        if waited >= REPORT_S << reports {
            control.unanswered = Some((since, reports + 1));
            // It does not come back at once: who has another way should take it.
            if reports != 0 && control.up && control.link.take().is_some() {
                self.report_link(None);
            }
            dev_warn!(
                self.function.device(),
                "{}: no answer from the physical function for {} s ({:?}); is its driver loaded and its interface up? Trying again\n",
                self.netdev_name(),
                waited,
                error
            );
        }
    }

    /// Locks the data path out. What the stack sees does not change.
    pub(super) fn quiesce(&self, control: &mut Control) {
        self.pause_clock();
        self.gate.close();
        if !control.up {
            return;
        }
        if !control.quiesced {
            for pair in self.active() {
                pair.napi.disable();
            }
        }
        // The gate is closed: after the last transmit function that was under way has ended, none touches
        // the ring. The stack's watchdog must not take the silence for a hang, in none of the attempts that may follow.
        for pair in self.active() {
            pair.with_tx_locked(|| {
                if let Some(stack) = pair.stack() {
                    stack.touch_watchdog();
                }
            });
        }
        control.quiesced = true;
    }

    /// Restores for a gate word. The data path is locked out before, and let in again on success.
    fn restore(&self, control: &mut Control, word: u32) -> Result<Published> {
        let begin = Instant::now();
        trace::restore_begin(self.function, gate::version(word));
        self.region.set_restoring();
        let start = Instant::now();
        let assigned = self.chip.reset(true)?;
        control.reset = Instant::now();
        let mailbox_ns = self.chip.mailbox_ns();
        let reset_ns = elapsed_ns(start).saturating_sub(mailbox_ns);
        if control.quiesced {
            // After the reset: a device that was still running sends nothing that we would send again.
            self.consume();
        }

        let start = Instant::now();
        self.chip.request_max_frame(control.filters.max_frame())?;
        self.chip.request_filters(&control.filters, assigned)?;
        let mailbox_ns = mailbox_ns + elapsed_ns(start);

        // The host's figures hold for one version.
        let version = gate::version(word);
        let frozen = version != 0 && self.region.frozen_version() == version;
        control.counters.rebase(&self.chip, &self.region, frozen);

        let start = Instant::now();
        for phase in [Phase::Setup, Phase::Rings, Phase::Interrupts] {
            self.replay(phase);
        }
        self.resume_clock(control);
        let mut replay_ns = elapsed_ns(start);

        let mut rings_ns = 0;
        let mut resent = 0;
        if control.up {
            let start = Instant::now();
            let mut tails = KVec::with_capacity(self.active().len(), GFP_KERNEL)?;
            for pair in self.active() {
                let before = pair.tx_stats.replayed.get();
                // SAFETY: NAPI is disabled, the gate closed, and the function reset.
                let slots = unsafe {
                    match ((*pair.tx.as_ptr()).as_ref(), pair.rx.get_mut()) {
                        (Some(tx), Some(rx)) => {
                            let (tx_head, rx_head) = self.chip.heads(pair.index);
                            self.check_head(control, tx_head, tx.descriptors())?;
                            self.check_head(control, rx_head, rx.descriptors())?;
                            let tails =
                                (tx.relayout(&pair.tx_stats, tx_head)?, rx.relayout(rx_head));
                            self.region.set_queue_indices(pair.rx_entry(), rx.indices());
                            self.region.set_queue_indices(pair.tx_entry(), tx.indices());
                            tails
                        }
                        _ => (0, 0),
                    }
                };
                resent += pair.tx_stats.replayed.get() - before;
                tails.push(slots, GFP_KERNEL)?;
            }
            rings_ns = elapsed_ns(start);
            let start = Instant::now();
            self.replay(Phase::Enable);
            for (pair, (tx_tail, rx_tail)) in self.active().iter().zip(tails) {
                self.chip.wait_queue_enabled(pair.index)?;
                self.chip.write_rx_tail(pair.index, rx_tail);
                self.chip.write_tx_tail(pair.index, tx_tail);
            }
            replay_ns += elapsed_ns(start);
        }

        let published = self.gate.publish(word);
        if published == Published::Again {
            return Ok(published);
        }
        let ns = elapsed_ns(begin);
        self.region.set_restored(
            word,
            ns,
            [reset_ns, mailbox_ns, replay_ns, rings_ns],
            resent,
        );
        self.chip.ready();
        if C::PHYSICAL {
            self.events_work.queue(&self.queue, 0);
        }
        if control.up {
            self.resume(control);
            // It takes RTNL, for which the next restore must not wait.
            self.peers_work.queue_on_system();
        }
        trace::restore_end(self.function, gate::version(word), ns, resent);
        Ok(published)
    }

    /// A device that was reset begins at slot 0. One that does not (the emulator keeps its heads) is
    /// followed, as long as its head is inside the ring.
    fn check_head(&self, control: &Control, head: u32, descriptors: &Descriptors) -> Result {
        if head < descriptors.count() {
            return Ok(());
        }
        // Not in each of the attempts that follow.
        if control.unanswered.is_none() {
            dev_warn!(
                self.function.device(),
                "the reset left the head of a ring of {} descriptors at {}\n",
                descriptors.count(),
                head
            );
        }
        Err(EIO)
    }

    /// Lets the data path in again.
    fn resume(&self, control: &mut Control) {
        control.quiesced = false;
        for pair in self.active() {
            pair.napi.enable();
        }
        for pair in self.active() {
            pair.with_tx_locked(|| {
                // SAFETY: The transmit lock is held; only the ring's shared side is used.
                if let Some(tx) = unsafe { (*pair.tx.as_ptr()).as_ref() } {
                    tx.stack().touch_watchdog();
                    tx.stack().wake();
                }
            });
        }
        self.replay(Phase::Unmask);
        // Causes raised on the old device are lost with it.
        self.chip.kick_all();
        for pair in self.active() {
            pair.napi.schedule();
        }
    }

    /// Hands up what the old device had received, and takes back what it had sent.
    fn consume(&self) {
        for pair in self.active() {
            // SAFETY: NAPI is disabled: this is the owner of the instance. The gate is closed: no transmit
            // function touches the ring.
            xdp::in_poll_context(|| unsafe {
                let (Some(tx), Some(rx)) = ((*pair.tx.as_ptr()).as_ref(), pair.rx.get_mut()) else {
                    return;
                };
                while !tx.clean(&pair.tx_stats, 256, 0) {}
                let cx = pair.receive_context(None);
                // Bounded: buffers are posted again, but no device fills them.
                match self.program.get() {
                    None => rx.clean(&cx, &mut NoProgram, || self.gate.dummy_writes(), u32::MAX),
                    Some(program) => pair.receive_through(program, tx, rx, &cx, u32::MAX),
                };
                rx.fill(&cx);
            });
        }
    }

    fn replay(&self, phase: Phase) {
        self.chip.hw().replay(phase, |register, index, value| {
            trace::replay(self.function, register, index, value);
        });
    }
}
