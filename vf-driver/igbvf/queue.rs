// SPDX-License-Identifier: GPL-2.0

//! The data path's registers. Queue pair n is queue n, and has vector n.

use super::Vf;
use compsc::queue::QueueRegs;
use compsc_regs::vf82576::ALL_CAUSES;

impl QueueRegs for Vf {
    #[inline(always)]
    fn write_rx_tail(&self, queue: usize, slot: u32) {
        self.rings.write_rx_tail(queue, slot);
    }

    #[inline(always)]
    fn write_tx_tail(&self, queue: usize, slot: u32) {
        self.rings.write_tx_tail(queue, slot);
    }

    #[inline(always)]
    fn mask_queue_irq(&self, queue: usize) {
        self.rings.mask(1 << queue);
    }

    #[inline(always)]
    fn unmask_queue_irq(&self, _queue: usize) {
        // The emulator takes what was written last for the whole mask.
        self.rings.unmask(ALL_CAUSES);
    }

    #[inline(always)]
    fn set_queue_itr(&self, queue: usize, usecs: u32) {
        self.rings.set_interval(queue, usecs);
    }

    #[inline(always)]
    fn kick_queue(&self, queue: usize) {
        self.rings.kick(1 << queue);
    }
}
