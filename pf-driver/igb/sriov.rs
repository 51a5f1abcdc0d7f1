// SPDX-License-Identifier: GPL-2.0

//! Virtual functions (VFs): their mailboxes, statistics and rates.
//!
//! What a VF asks for is decoded and judged in [`compsc_regs::sriov`]; this file moves words.

use super::{
    refused,
    Pf,
    State, //
};
use compsc::{
    adapter::{
        sriov::{
            Host,
            VfStats, //
        },
        Chip, Events,
    },
    mailbox::{
        HostMailbox,
        MailboxRegs, //
    },
};
use compsc_core::counter::{
    Mode,
    SelfEmulated, //
};
use compsc_regs::{
    mailbox::{
        PF_CONTROL,
        WORDS, //
    },
    pf82576::*,
    sriov::{
        Administration,
        MAX_VFS,
        PF_POOL, //
    },
};
use kernel::{
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    },
};

/// Messages that a VF may send at once, and one more every so many milliseconds: far above what a driver needs, far
/// below what would keep the PF from the others.
const BURST: u32 = 200;
const REFILL_MS: i64 = 2;

/// What a buffer costs that a VF does not give away: the PF waits for it.
const HELD: u32 = 50;

/// Milliseconds after which a VF that has sent too many messages is looked at again. Interrupts are masked meanwhile.
const THROTTLE_MS: u32 = 20;

/// Milliseconds between two refusals that a VF has not asked for.
const REFUSAL_MS: i64 = 1000;

/// Speed of the port in Mb/s, the most that a rate can be.
const SPEED: u32 = 1000;

/// Window of the rate limiter, for frames of up to 9728 bytes.
const RATE_WINDOW: u32 = 0x14;

/// Counters of a VF.
const COUNTERS: usize = 5;

/// What the PF remembers of its VFs besides the switch.
pub(super) struct Vfs {
    counters: [[SelfEmulated; COUNTERS]; MAX_VFS],
    budgets: [Budget; MAX_VFS],
    /// When each was last told that it has not shaken hands.
    refused: [Instant<Monotonic>; MAX_VFS],
    /// VFs whose message waits because they have sent too many, or keep the buffer.
    waiting: u32,
    /// The VFs' interrupts are masked.
    throttled: bool,
}

impl Vfs {
    pub(super) fn new() -> impl Init<Self> {
        init!(Self {
            counters: [[SelfEmulated::new(32, Mode::FreeRunning, 0); COUNTERS]; MAX_VFS],
            budgets: [Budget::new(); MAX_VFS],
            refused: [Instant::now(); MAX_VFS],
            waiting: 0,
            throttled: false,
        })
    }
}

/// Messages that a VF may still send. Its acknowledgements and resets count as well.
#[derive(Clone, Copy)]
struct Budget {
    left: u32,
    since: Instant<Monotonic>,
}

impl Budget {
    fn new() -> Self {
        Self {
            left: BURST,
            since: Instant::now(),
        }
    }

    /// Takes `cost`, or what is left. Returns whether there was anything.
    fn take(&mut self, cost: u32) -> bool {
        let earned = self.since.elapsed().as_millis() / REFILL_MS;
        if earned > 0 {
            // CAST: Bounded by the burst.
            self.left = BURST.min(self.left + earned.min(BURST.into()) as u32);
            self.since = Instant::now();
        }
        let any = self.left > 0;
        self.left = self.left.saturating_sub(cost);
        any
    }
}

/// The mailbox of a VF.
struct Mailbox<'a> {
    pf: &'a Pf,
    vf: usize,
}

impl MailboxRegs for Mailbox<'_> {
    fn control(&self) -> u32 {
        self.pf.rings.hw.read_at::<P2VMAILBOX>(self.vf).raw()
    }

    fn set_control(&self, value: u32) {
        self.pf
            .rings
            .hw
            .write_at(self.vf, P2VMAILBOX::from_raw(value));
    }

    fn word(&self, index: usize) -> u32 {
        self.pf
            .rings
            .hw
            .read_at::<VMBMEM>(self.vf * WORDS + index)
            .raw()
    }

    fn set_word(&self, index: usize, value: u32) {
        self.pf
            .rings
            .hw
            .write_at(self.vf * WORDS + index, VMBMEM::from_raw(value));
    }
}

impl Pf {
    /// Deals with causes of the other vector.
    pub(super) fn handle_events(&self) -> Events {
        let hw = &self.rings.hw;
        let causes = hw.read::<ICR>();
        if causes.is_set(ICR::DRSTA) {
            dev_warn!(
                self.function.device(),
                "the device was reset behind the driver's back\n"
            );
        }
        let mut events = Events {
            service: causes.is_set(ICR::LSC) || causes.is_set(ICR::DRSTA),
            again: None,
        };
        let mut state = self.state.lock();
        if state.switch.count() == 0 {
            return events;
        }
        // In this order: a VF asks after its reset, so whoever is seen asking is seen reset.
        let mailboxes = hw.read::<MBVFICR>();
        hw.write(mailboxes);
        let resets = hw.read::<VFLRE>();
        hw.write(resets);
        let acks = mailboxes.get(MBVFICR::VFACK);
        let mut flooded = false;
        for vf in (0..MAX_VFS).filter(|vf| (resets.raw() | acks) & 1 << vf != 0) {
            flooded |= !state.vfs.budgets[vf].take(1);
        }
        for vf in (0..MAX_VFS).filter(|vf| resets.raw() & 1 << vf != 0) {
            if state.switch.function_reset(vf) {
                self.apply(&state);
            }
        }
        let asking = mailboxes.get(MBVFICR::VFREQ) | state.vfs.waiting;
        state.vfs.waiting = 0;
        for vf in (0..MAX_VFS).filter(|vf| asking & 1 << vf != 0) {
            if !state.vfs.budgets[vf].take(1) {
                state.vfs.waiting |= 1 << vf;
                continue;
            }
            let mailbox = Mailbox { pf: self, vf };
            let Ok(words) = HostMailbox::receive(&mailbox) else {
                state.vfs.budgets[vf].take(HELD);
                state.vfs.waiting |= 1 << vf;
                continue;
            };
            let Some(reply) = state.switch.handle(vf, &words) else {
                continue;
            };
            // Before the answer, which the VF takes for done.
            self.apply(&state);
            if HostMailbox::send(&mailbox, reply.words()).is_err() {
                dev_dbg!(
                    self.function.device(),
                    "virtual function {} keeps its mailbox and gets no answer\n",
                    vf
                );
            }
        }
        for vf in (0..MAX_VFS).filter(|vf| acks & 1 << vf != 0) {
            let Some(reply) = state.switch.acknowledged(vf) else {
                continue;
            };
            // Two deaf sides must not answer each other for ever.
            if state.vfs.refused[vf].elapsed().as_millis() <= REFUSAL_MS {
                continue;
            }
            // Nothing that the VF has put into the buffer meanwhile may be overwritten.
            if hw.read::<MBVFICR>().get(MBVFICR::VFREQ) & 1 << vf == 0 {
                state.vfs.refused[vf] = Instant::now();
                let _ = HostMailbox::send(&Mailbox { pf: self, vf }, reply.words());
            }
        }
        flooded |= state.vfs.waiting != 0;
        if flooded {
            // Whoever floods must not have a processor deal with its interrupts.
            hw.write(IMC::zeroed().set(IMC::VMMB));
            events.again = Some(THROTTLE_MS);
        } else if state.vfs.throttled {
            self.unmask_causes();
        }
        state.vfs.throttled = flooded;
        events
    }

    /// Tells all VFs that they have to shake hands again.
    pub(super) fn ask_all_to_reset(&self) {
        for vf in 0..self.vf_count() {
            self.ask_to_reset(vf);
        }
    }

    /// Tells a VF that it has to shake hands again.
    pub(super) fn ask_to_reset(&self, vf: usize) {
        // One that keeps its mailbox finds out by its next request, which is refused.
        let _ = HostMailbox::send(&Mailbox { pf: self, vf }, &[PF_CONTROL]);
    }

    fn read_vf_counters(&self, vf: usize) -> [u64; COUNTERS] {
        let hw = &self.rings.hw;
        [
            hw.read_at::<PVFGPRC>(vf).raw(),
            hw.read_at::<PVFGPTC>(vf).raw(),
            hw.read_at::<PVFGORC>(vf).raw(),
            hw.read_at::<PVFGOTC>(vf).raw(),
            hw.read_at::<PVFMPRC>(vf).raw(),
        ]
        .map(u64::from)
    }

    /// Accounts what the VFs have received and sent, and tells of forgers.
    pub(super) fn refresh_vfs(&self) {
        let mut state = self.state.lock();
        for vf in 0..state.switch.count() {
            let raw = self.read_vf_counters(vf);
            for (counter, raw) in state.vfs.counters[vf].iter_mut().zip(raw) {
                counter.update(raw);
            }
        }
        let forgers = self.rings.hw.read::<WVBR>().raw();
        for vf in (0..state.switch.count()).filter(|vf| forgers & 1 << vf != 0) {
            dev_warn!(
                self.function.device(),
                "virtual function {} has sent packets with a forged address or VLAN, which were dropped\n",
                vf
            );
        }
    }

    /// Writes the rates of all VFs: one register selects whose the others are, so the log does not hold them.
    pub(super) fn apply_rates(&self, state: &State) {
        let hw = &self.rings.hw;
        for vf in 0..state.switch.count() {
            let rate = state.switch.administration(vf).map_or(0, |(a, _)| a.rate);
            let mut value = RTTBCNRC::zeroed();
            if rate != 0 {
                let fraction = (SPEED % rate << 14) / rate;
                value = value
                    .set(RTTBCNRC::RS_ENA)
                    .with(RTTBCNRC::RF_INT, SPEED / rate)
                    .with(RTTBCNRC::RF_DEC, fraction);
            }
            for queue in [vf, vf + POOLS] {
                // CAST: Few queues.
                hw.write(RTTDQSEL::from_raw(queue as u32));
                hw.write(RTTBCNRM::from_raw(RATE_WINDOW));
                hw.write(value);
            }
        }
    }
}

impl Host for Pf {
    fn vf_count(&self) -> usize {
        self.state.lock().switch.count()
    }

    fn enable_vfs(&self, count: usize) -> Result {
        let mut state = self.state.lock();
        // Rates of functions that are no more must not limit the queues' next users.
        for vf in 0..state.switch.count() {
            let _ = state.switch.administer(vf, |admin| admin.rate = 0);
        }
        self.apply_rates(&state);
        state.switch.enable(count).map_err(refused)?;
        state.pairs = state.pairs.min(if count == 0 {
            Self::QUEUE_PAIRS
        } else {
            super::POOL_QUEUE_PAIRS
        });
        self.apply_mode(&mut state);
        if count != 0 {
            // Before the virtual functions exist: their guests are not told where this host has had its rings.
            for queue in (0..QUEUES).filter(|queue| queue % POOLS != PF_POOL) {
                self.rings.clear(queue);
            }
        }
        for vf in 0..count {
            let raw = self.read_vf_counters(vf);
            state.vfs.counters[vf] = raw.map(|raw| SelfEmulated::new(32, Mode::FreeRunning, raw));
            state.vfs.budgets[vf] = Budget::new();
        }
        state.vfs.waiting = 0;
        Ok(())
    }

    fn administration(&self, vf: usize) -> Option<(Administration, Option<[u8; 6]>)> {
        self.state.lock().switch.administration(vf)
    }

    fn administer(&self, vf: usize, change: &dyn Fn(&mut Administration)) -> Result {
        let mut state = self.state.lock();
        let before = state.switch.administration(vf).ok_or(EINVAL)?.0;
        let mut after = before;
        change(&mut after);
        if after.rate > SPEED {
            return Err(EINVAL);
        }
        state.switch.administer(vf, change).map_err(refused)?;
        self.settle(&mut state);
        if after.rate != before.rate {
            self.apply_rates(&state);
        }
        if after.mac != before.mac || after.link != before.link {
            self.ask_to_reset(vf);
        }
        Ok(())
    }

    fn vf_stats(&self, vf: usize) -> VfStats {
        let state = self.state.lock();
        let Some(counters) = state.vfs.counters.get(vf) else {
            return VfStats::default();
        };
        let [rx_packets, tx_packets, rx_bytes, tx_bytes, multicast] =
            counters.map(|counter| counter.value());
        VfStats {
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
            multicast,
        }
    }
}
