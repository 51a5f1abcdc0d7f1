// SPDX-License-Identifier: GPL-2.0

//! IEEE 1588 clock and time stamps (datasheet 7.9 and 8.2.3.26).
//!
//! SYSTIM grows by TIMINCA.incvalue every TIMINCA.incperiod cycles of 6.4 ns (the DMA clock at 10 Gb/s).

use crate::device::Device;
use crate::device::Host;
use crate::packet;
use crate::packet::Packet;
use crate::regs::at;

/// TSYNCRXCTL and TSYNCTXCTL: a time stamp is latched.
const VALID: u32 = 1;
const ENABLED: u32 = 1 << 4;
const ETQF_EN: u32 = 1 << 31;
const ETQF_1588: u32 = 1 << 30;

/// The clock, and the two latched time stamps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// SYSTIM at `since`.
    base: u64,
    since: u64,
    latched_high: u32,
    rx: Option<u64>,
    tx: Option<u64>,
}

impl Clock {
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Device {
    fn systim<H: Host>(&mut self, host: &mut H) -> u64 {
        let timinca = self.reg(at::TIMINCA);
        let (period, value) = (u128::from(timinca >> 24), u128::from(timinca & 0xFF_FFFF));
        if period == 0 {
            return self.clock.base;
        }
        let elapsed = u128::from(host.now().saturating_sub(self.clock.since));
        // 6.4 ns are 64 tenths.
        let ticks = elapsed * 10 / 64 / period;
        self.clock.base.wrapping_add((ticks * value) as u64)
    }

    pub(crate) fn clock_read<H: Host>(&mut self, host: &mut H, offset: u32) -> u32 {
        match offset {
            at::SYSTIML => {
                let time = self.systim(host);
                self.clock.latched_high = (time >> 32) as u32;
                time as u32
            }
            at::SYSTIMH => self.clock.latched_high,
            at::TSYNCRXCTL => self.reg(offset) | u32::from(self.clock.rx.is_some()) * VALID,
            at::TSYNCTXCTL => self.reg(offset) | u32::from(self.clock.tx.is_some()) * VALID,
            // Reading the high half frees the latch.
            at::RXSTMPH => {
                self.clock.rx = None;
                self.reg(offset)
            }
            _ => {
                self.clock.tx = None;
                self.reg(offset)
            }
        }
    }

    pub(crate) fn clock_write<H: Host>(&mut self, host: &mut H, offset: u32, value: u32) {
        let time = self.systim(host);
        self.clock.since = host.now();
        self.clock.base = match offset {
            at::SYSTIML => time & !0xFFFF_FFFF | u64::from(value),
            at::SYSTIMH => time & 0xFFFF_FFFF | u64::from(value) << 32,
            _ => time,
        };
        self.set_reg(offset, value);
    }

    /// Latches the time of a frame to be sent with the descriptor's 1588 bit.
    pub(crate) fn stamp_transmit<H: Host>(&mut self, host: &mut H) {
        if self.reg(at::TSYNCTXCTL) & ENABLED == 0 || self.clock.tx.is_some() {
            return;
        }
        let time = self.systim(host);
        self.clock.tx = Some(time);
        self.set_reg(at::TXSTMPL, time as u32);
        self.set_reg(at::TXSTMPH, (time >> 32) as u32);
    }

    /// Latches the time of a received PTP frame. Returns whether the descriptor shall say so.
    pub(crate) fn stamp_receive<H: Host>(
        &mut self,
        host: &mut H,
        frame: &[u8],
        p: &Packet,
    ) -> bool {
        let control = self.reg(at::TSYNCRXCTL);
        if control & ENABLED == 0
            || self.clock.rx.is_some()
            || !self.ptp_match(control >> 1 & 7, frame, p)
        {
            return false;
        }
        let time = self.systim(host);
        self.clock.rx = Some(time);
        self.set_reg(at::RXSTMPL, time as u32);
        self.set_reg(at::RXSTMPH, (time >> 32) as u32);
        true
    }

    fn ptp_match(&self, kind: u32, frame: &[u8], p: &Packet) -> bool {
        let filter = self.reg(at::RXMTRL);
        let udp = p.protocol == packet::UDP
            && p.data != 0
            && u32::from(packet::be16(frame, p.l4 + 2)) == filter >> 16;
        let ethernet = p.ethertype == packet::ETHERTYPE_PTP
            && (0..8).any(|i| {
                let etqf = self.reg(at::ETQF + 4 * i);
                etqf & ETQF_EN != 0
                    && etqf & ETQF_1588 != 0
                    && etqf & 0xFFFF == u32::from(p.ethertype)
            });
        let message = if udp { p.data } else { p.l3 };
        let Some(header) = frame.get(message..message + 34) else {
            return false;
        };
        let v2 = header[0] & 0xF;
        match kind {
            // Version 2 over Ethernet, version 1 over UDP, version 2 over both: one message type.
            0 => ethernet && u32::from(v2) == filter >> 8 & 0xF,
            1 => udp && u32::from(header[32]) == filter & 0xFF,
            2 => (ethernet || udp) && u32::from(v2) == filter >> 8 & 0xF,
            // All event messages of version 2.
            5 => (ethernet || udp) && v2 < 8,
            _ => false,
        }
    }
}
