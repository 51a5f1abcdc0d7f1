// SPDX-License-Identifier: GPL-2.0

//! The data path's registers, and which queues are this function's: the first ones without virtual functions, those
//! of its pool with them.

use super::{
    Pf,
    State, //
};
use compsc::{
    adapter::Chip,
    queue::QueueRegs, //
};
use compsc_regs::{
    pf82576::*,
    sriov::PF_POOL, //
};

impl Pf {
    /// Queue of a queue pair.
    #[inline(always)]
    pub(super) fn queue(&self, pair: usize) -> usize {
        self.first_queue.get() as usize + pair * self.queue_step.get() as usize
    }

    /// Chooses between distribution by hash over all queues, and by pool. No queue of this function is enabled.
    pub(super) fn apply_mode(&self, state: &mut State) {
        let pools = state.switch.count() != 0;
        let (first, step) = if pools { (PF_POOL, POOLS) } else { (0, 1) };
        // CAST: Few queues.
        self.first_queue.set(first as u32);
        self.queue_step.set(step as u32);
        state.switch.set_pf_two_queues(pools && state.pairs > 1);
        let hw = &self.rings.hw;
        hw.write(QDE::from_raw(if pools { (1 << QUEUES) - 1 } else { 0 }));
        self.apply(state);
        self.apply_rss(state);
    }

    /// Gives each queue its vector. Those of virtual functions are routed by these themselves.
    pub(super) fn route_queues(&self, pairs: usize) {
        let mut elements = [IVAR::zeroed(); POOLS];
        for pair in 0..pairs {
            let queue = self.queue(pair);
            let element = &mut elements[queue % POOLS];
            *element = element.with_queue(queue, Self::queue_vector(pair));
        }
        for (i, element) in elements.into_iter().enumerate() {
            self.put(i, element);
        }
    }

    /// Bit of a queue pair's vector.
    #[inline(always)]
    fn vector(pair: usize) -> u32 {
        1 << Self::queue_vector(pair)
    }
}

impl QueueRegs for Pf {
    const STAMPS: bool = true;

    #[inline(always)]
    fn write_rx_tail(&self, pair: usize, slot: u32) {
        self.rings.write_rx_tail(self.queue(pair), slot);
    }

    #[inline(always)]
    fn write_tx_tail(&self, pair: usize, slot: u32) {
        self.rings.write_tx_tail(self.queue(pair), slot);
    }

    #[inline(always)]
    fn mask_queue_irq(&self, pair: usize) {
        self.rings.mask(Self::vector(pair));
    }

    #[inline(always)]
    fn unmask_queue_irq(&self, pair: usize) {
        self.rings.unmask(Self::vector(pair));
    }

    #[inline(always)]
    fn set_queue_itr(&self, pair: usize, usecs: u32) {
        self.rings
            .set_interval(Self::queue_vector(pair) as usize, usecs);
    }

    #[inline(always)]
    fn kick_queue(&self, pair: usize) {
        self.rings.kick(Self::vector(pair));
    }
}
