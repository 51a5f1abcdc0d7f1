// SPDX-License-Identifier: GPL-2.0

//! The clock's registers, and which packets are stamped.
//!
//! The device keeps the stamp of one received and of one sent packet, and takes no other until that was read.

use super::Pf;
use compsc::adapter::ptp::Timer;
use compsc_regs::{
    clock::{
        timinca,
        Stamping, //
    },
    pf82576::*,
};

/// The filters that this driver uses, by Ethernet type and by ports.
const ETHERNET_FILTER: usize = 3;
const PORT_FILTER: usize = 3;

/// A count of two halves.
fn count(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl Timer for Pf {
    fn count_low(&self) -> u32 {
        self.rings.hw.read::<SYSTIML>().raw()
    }

    fn count_high(&self) -> u32 {
        self.rings.hw.read::<SYSTIMH>().raw()
    }

    fn set_increment(&self, increment: u32) {
        self.put(0, timinca(increment));
    }

    fn set_stamping(&self, stamping: Stamping) {
        let (ethernet, udp) = stamping.rx.transports();
        let off = ETQF::zeroed();
        self.put(ETHERNET_FILTER, if ethernet { ETQF::PTP } else { off });
        if udp {
            self.put(PORT_FILTER, IMIR::PTP);
            self.put(PORT_FILTER, IMIREXT::ANY);
            self.put(PORT_FILTER, SPQF::PTP);
        }
        self.put(PORT_FILTER, if udp { FTQF::PTP } else { FTQF::OFF });
        let (control, config) = stamping.rx.registers();
        self.put(0, config);
        self.put(0, control);
        self.put(
            0,
            TSYNCTXCTL::zeroed().with_bit(TSYNCTXCTL::EN, stamping.tx),
        );
        // Flushes: packets are stamped by this choice from now on.
        self.rings.hw.read::<STATUS>();
    }

    fn has_rx_stamp(&self) -> bool {
        self.rings.hw.read::<TSYNCRXCTL>().is_set(TSYNCRXCTL::VALID)
    }

    fn take_rx_stamp(&self) -> Option<u64> {
        let hw = &self.rings.hw;
        if !self.has_rx_stamp() {
            return None;
        }
        let low = hw.read::<RXSTMPL>().raw();
        let high = hw.read::<RXSTMPH>().raw();
        // The emulator releases the stamp by this read.
        hw.read::<RXSATRH>();
        Some(count(low, high))
    }

    fn take_tx_stamp(&self) -> Option<u64> {
        let hw = &self.rings.hw;
        if !hw.read::<TSYNCTXCTL>().is_set(TSYNCTXCTL::VALID) {
            return None;
        }
        let low = hw.read::<TXSTMPL>().raw();
        Some(count(low, hw.read::<TXSTMPH>().raw()))
    }
}
