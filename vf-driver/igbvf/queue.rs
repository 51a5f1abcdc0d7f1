// SPDX-License-Identifier: GPL-2.0

//! Queue registers.

use super::Vf;
use compsc::queue::{
    Descriptors,
    QueueRegs,
    RxRing,
    TxRing,
    DESC_SIZE, //
};
use compsc_regs::vf82576::*;

/// Descriptors that the device holds before it fetches more, and wants free before it writes back.
const RX_PTHRESH: u32 = 16;
const RX_HTHRESH: u32 = 8;
const TX_PTHRESH: u32 = 8;
const TX_HTHRESH: u32 = 1;

/// A ring's address halves and length in bytes, as the registers take them.
fn ring(descriptors: &Descriptors) -> (u32, u32, u32) {
    let address = descriptors.dma_address();
    // CAST: The halves of the address; a ring is at most 64 KiB long.
    (
        address as u32,
        (address >> 32) as u32,
        descriptors.count() * DESC_SIZE as u32,
    )
}

impl Vf {
    pub(super) fn setup_tx(&self, queue: usize, tx: &TxRing) {
        let (low, high, len) = ring(tx.descriptors());
        let hw = &self.hw;
        hw.write_at(queue, TXDCTL::zeroed());
        hw.write_at(queue, TDBAL::from_raw(low));
        hw.write_at(queue, TDBAH::from_raw(high));
        hw.write_at(queue, TDLEN::from_raw(len));
        // Descriptors are written back in order, and completion is seen in them alone.
        hw.write_at(queue, DCA_TXCTRL::zeroed());
        hw.write_at(queue, TDWBAL::zeroed());
        hw.write_at(queue, TDWBAH::zeroed());
    }

    pub(super) fn setup_rx(&self, queue: usize, rx: &RxRing, buffer: u32) {
        let (low, high, len) = ring(rx.descriptors());
        let hw = &self.hw;
        hw.write_at(queue, RXDCTL::zeroed());
        hw.write_at(
            queue,
            SRRCTL::zeroed()
                .with_buffer_bytes(buffer)
                .with(SRRCTL::DESCTYPE, SRRCTL::DESCTYPE_ADV_ONEBUF)
                // A function without buffers must not hold up the others.
                .set(SRRCTL::DROP_EN),
        );
        hw.write_at(queue, RDBAL::from_raw(low));
        hw.write_at(queue, RDBAH::from_raw(high));
        hw.write_at(queue, RDLEN::from_raw(len));
    }

    pub(super) fn write_enables(&self, queue: usize, on: bool) {
        let tx = TXDCTL::zeroed()
            .with(TXDCTL::PTHRESH, TX_PTHRESH)
            .with(TXDCTL::HTHRESH, TX_HTHRESH);
        let rx = RXDCTL::zeroed()
            .with(RXDCTL::PTHRESH, RX_PTHRESH)
            .with(RXDCTL::HTHRESH, RX_HTHRESH);
        self.hw
            .write_at(queue, if on { tx.set(TXDCTL::ENABLE) } else { tx });
        self.hw
            .write_at(queue, if on { rx.set(RXDCTL::ENABLE) } else { rx });
    }

    /// Whether both directions are enabled, or both are disabled.
    pub(super) fn queue_is(&self, queue: usize, enabled: bool) -> bool {
        self.hw.read_at::<TXDCTL>(queue).is_set(TXDCTL::ENABLE) == enabled
            && self.hw.read_at::<RXDCTL>(queue).is_set(RXDCTL::ENABLE) == enabled
    }
}

impl QueueRegs for Vf {
    #[inline(always)]
    fn write_rx_tail(&self, queue: usize, slot: u32) {
        self.hw.write_at(queue, RDT::from_raw(slot));
    }

    #[inline(always)]
    fn write_tx_tail(&self, queue: usize, slot: u32) {
        self.hw.write_at(queue, TDT::from_raw(slot));
    }

    #[inline(always)]
    fn mask_queue_irq(&self, queue: usize) {
        self.hw.write(EIMC::from_raw(1 << queue));
    }

    #[inline(always)]
    fn unmask_queue_irq(&self, _queue: usize) {
        // The log keeps one value per register: it must be that of all vectors.
        self.hw.write(EIMS::from_raw(ALL_CAUSES));
    }

    #[inline(always)]
    fn set_queue_itr(&self, queue: usize, usecs: u32) {
        self.hw.write_at(queue, EITR::from_interval(usecs));
    }

    #[inline(always)]
    fn kick_queue(&self, queue: usize) {
        self.hw.write(EICS::from_raw(1 << queue));
    }
}
