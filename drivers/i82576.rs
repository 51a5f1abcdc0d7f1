// SPDX-License-Identifier: GPL-2.0

//! Rings and interrupts of an 82576, for its virtual and its physical functions.
//!
//! [`Rings`] holds a function's registers. Queues are numbered as the function's registers are; vectors are bits of
//! the extended interrupt registers.

use crate::{
    adapter::{
        poll_until,
        Hw, //
    },
    queue::{
        Descriptors,
        RxRing,
        TxRing,
        DESC_SIZE, //
    },
};
use compsc_core::regs::Register;
use compsc_regs::{
    i82576::Function,
    vf82576 as fields, //
};
use kernel::prelude::*;

/// Descriptors that the device holds before it fetches more, and wants free before it writes back.
const RX_PTHRESH: u32 = 16;
const RX_HTHRESH: u32 = 8;
const TX_PTHRESH: u32 = 8;
const TX_HTHRESH: u32 = 1;

/// Milliseconds for a queue to take note of its enable bit.
const QUEUE_MS: u32 = 10;

/// Largest interrupt interval in microseconds.
pub const MAX_USECS: u32 = fields::EITR::INTERVAL.max();

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

/// The registers of a function, and what rings and vectors need of them.
pub struct Rings<M: Function> {
    /// The registers.
    pub hw: Hw<M>,
}

impl<M: Function> Rings<M> {
    /// Sets up a queue in both directions, disabled.
    pub fn setup(&self, queue: usize, tx: &TxRing, rx: &RxRing, buffer: u32) {
        self.setup_tx(queue, tx);
        self.setup_rx(queue, rx, buffer);
    }

    fn setup_tx(&self, queue: usize, tx: &TxRing) {
        let (low, high, len) = ring(tx.descriptors());
        let hw = &self.hw;
        hw.write_at(queue, M::Txdctl::from_raw(0));
        hw.write_at(queue, M::Tdbal::from_raw(low));
        hw.write_at(queue, M::Tdbah::from_raw(high));
        hw.write_at(queue, M::Tdlen::from_raw(len));
        // Descriptors are written back in order, and completion is seen in them alone.
        hw.write_at(queue, M::DcaTxctrl::from_raw(0));
        hw.write_at(queue, M::Tdwbal::from_raw(0));
        hw.write_at(queue, M::Tdwbah::from_raw(0));
    }

    fn setup_rx(&self, queue: usize, rx: &RxRing, buffer: u32) {
        let (low, high, len) = ring(rx.descriptors());
        let hw = &self.hw;
        hw.write_at(queue, M::Rxdctl::from_raw(0));
        let srrctl = fields::SRRCTL::zeroed()
            .with_buffer_bytes(buffer)
            .with(
                fields::SRRCTL::DESCTYPE,
                fields::SRRCTL::DESCTYPE_ADV_ONEBUF,
            )
            // A queue without buffers must not hold up the others.
            .set(fields::SRRCTL::DROP_EN);
        hw.write_at(queue, M::Srrctl::from_raw(srrctl.raw()));
        hw.write_at(queue, M::Rdbal::from_raw(low));
        hw.write_at(queue, M::Rdbah::from_raw(high));
        hw.write_at(queue, M::Rdlen::from_raw(len));
    }

    /// Takes the rings' addresses out of a queue that gets another owner.
    pub fn clear(&self, queue: usize) {
        let hw = &self.hw;
        hw.write_at(queue, M::Tdbal::from_raw(0));
        hw.write_at(queue, M::Tdbah::from_raw(0));
        hw.write_at(queue, M::Tdlen::from_raw(0));
        hw.write_at(queue, M::Rdbal::from_raw(0));
        hw.write_at(queue, M::Rdbah::from_raw(0));
        hw.write_at(queue, M::Rdlen::from_raw(0));
    }

    /// Where the device will begin in the transmit and the receive ring of a queue.
    pub fn heads(&self, queue: usize) -> (u32, u32) {
        (
            self.hw.read_at::<M::Tdh>(queue).raw(),
            self.hw.read_at::<M::Rdh>(queue).raw(),
        )
    }

    /// Enables or disables a queue in both directions, and waits until the device has.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` when it does not.
    pub fn enable(&self, queue: usize, on: bool) -> Result {
        let tx = fields::TXDCTL::zeroed()
            .with(fields::TXDCTL::PTHRESH, TX_PTHRESH)
            .with(fields::TXDCTL::HTHRESH, TX_HTHRESH)
            .with_bit(fields::TXDCTL::ENABLE, on);
        let rx = fields::RXDCTL::zeroed()
            .with(fields::RXDCTL::PTHRESH, RX_PTHRESH)
            .with(fields::RXDCTL::HTHRESH, RX_HTHRESH)
            .with_bit(fields::RXDCTL::ENABLE, on);
        self.hw.write_at(queue, M::Txdctl::from_raw(tx.raw()));
        self.hw.write_at(queue, M::Rxdctl::from_raw(rx.raw()));
        self.wait_enabled(queue, on)
    }

    /// Waits until both directions of a queue are enabled, or both are disabled.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` when that does not happen.
    pub fn wait_enabled(&self, queue: usize, on: bool) -> Result {
        poll_until(QUEUE_MS, || {
            let tx = fields::TXDCTL::from_raw(self.hw.read_at::<M::Txdctl>(queue).raw());
            let rx = fields::RXDCTL::from_raw(self.hw.read_at::<M::Rxdctl>(queue).raw());
            tx.is_set(fields::TXDCTL::ENABLE) == on && rx.is_set(fields::RXDCTL::ENABLE) == on
        })
    }

    /// Masks all of these vectors, and has their causes cleared when their messages are sent.
    pub fn configure_vectors(&self, vectors: u32) {
        self.mask(vectors);
        self.hw.write(M::Eiac::from_raw(vectors));
        // The handler masks; auto-masking is not there in the emulator.
        self.hw.write(M::Eiam::from_raw(0));
    }

    /// Masks vectors.
    #[inline(always)]
    pub fn mask(&self, vectors: u32) {
        self.hw.write(M::Eimc::from_raw(vectors));
    }

    /// Unmasks vectors.
    #[inline(always)]
    pub fn unmask(&self, vectors: u32) {
        self.hw.write(M::Eims::from_raw(vectors));
    }

    /// Raises vectors.
    #[inline(always)]
    pub fn kick(&self, vectors: u32) {
        self.hw.write(M::Eics::from_raw(vectors));
    }

    /// Raises vectors, also those whose cause is set already.
    pub fn kick_anew(&self, vectors: u32) {
        self.hw.write(M::Eicr::from_raw(vectors));
        self.kick(vectors);
    }

    /// Sets the interval of a vector in microseconds.
    #[inline(always)]
    pub fn set_interval(&self, vector: usize, usecs: u32) {
        let value = fields::EITR::from_interval(usecs);
        self.hw.write_at(vector, M::Eitr::from_raw(value.raw()));
    }

    /// Hands receive descriptors up to `slot` to the device.
    #[inline(always)]
    pub fn write_rx_tail(&self, queue: usize, slot: u32) {
        self.hw.write_at(queue, M::Rdt::from_raw(slot));
    }

    /// Hands transmit descriptors up to `slot` to the device.
    #[inline(always)]
    pub fn write_tx_tail(&self, queue: usize, slot: u32) {
        self.hw.write_at(queue, M::Tdt::from_raw(slot));
    }
}
