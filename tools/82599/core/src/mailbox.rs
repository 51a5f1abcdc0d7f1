// SPDX-License-Identifier: GPL-2.0

//! Mailboxes between the PF and its VFs (datasheet 7.10.2.9.1 and 8.2.3.27): 16 dwords and two control registers
//! for each VF. What the messages mean is the drivers' matter.

use crate::POOLS;
use crate::device::Device;
use crate::device::Function;
use crate::device::Host;
use crate::device::Problem;
use crate::irq;
use crate::regs::at;

/// Dwords of a mailbox.
pub const SIZE: usize = 16;

// VFMAILBOX.
const REQ: u32 = 1;
const ACK: u32 = 1 << 1;
const VFU: u32 = 1 << 2;
const PFU: u32 = 1 << 3;
const PFSTS: u32 = 1 << 4;
const PFACK: u32 = 1 << 5;
const RSTI: u32 = 1 << 6;
const RSTD: u32 = 1 << 7;
/// Bits that a read of VFMAILBOX clears.
const CLEARED: u32 = PFSTS | PFACK | RSTD;

// PFMAILBOX; VFU and PFU as above.
const STS: u32 = 1;
const RVFU: u32 = 1 << 4;

/// One mailbox.
#[derive(Clone, Debug, Default)]
pub struct Mailbox {
    memory: [u32; SIZE],
    /// VFU, PFU and the bits that only the VF sees.
    state: u32,
    /// REQ and ACK as the PF sees them in PFMBICR.
    causes: u32,
    /// VFLRE: the VF was reset.
    vflre: bool,
}

impl Mailbox {
    /// The VF was reset: nothing is left but the PF's state. The PF is told of a VF that is enabled.
    pub(crate) fn vf_reset(&mut self, enabled: bool) {
        self.memory = [0; SIZE];
        self.state &= RSTI | PFU;
        self.causes = 0;
        self.vflre |= enabled;
    }

    /// The PF was reset.
    pub(crate) fn pf_reset(&mut self) {
        self.memory = [0; SIZE];
        self.state = RSTI;
        self.causes = 0;
        self.vflre = false;
    }

    /// The PF says that its reset is over.
    pub(crate) fn pf_reset_done(&mut self) {
        self.state = self.state & !RSTI | RSTD;
    }

    /// State before a PF driver was ever there.
    pub(crate) fn power_on(&mut self) {
        *self = Self::default();
        self.state = RSTI;
    }
}

impl Device {
    pub(crate) fn mailbox_word(&self, n: u32, word: u32) -> u32 {
        self.mailboxes[n as usize % POOLS].memory[word as usize % SIZE]
    }

    pub(crate) fn set_mailbox_word(&mut self, n: u32, word: u32, value: u32) {
        self.mailboxes[n as usize % POOLS].memory[word as usize % SIZE] = value;
    }

    pub(crate) fn pf_mailbox_read(&self, n: u32) -> u32 {
        self.mailboxes[n as usize % POOLS].state & (VFU | PFU)
    }

    pub(crate) fn pf_mailbox_write<H: Host>(&mut self, host: &mut H, n: u32, value: u32) {
        let mailbox = &mut self.mailboxes[n as usize % POOLS];
        if value & RVFU != 0 {
            mailbox.state &= !VFU;
        }
        // The buffer has one owner.
        if value & PFU == 0 {
            mailbox.state &= !PFU;
        } else if mailbox.state & VFU == 0 {
            mailbox.state |= PFU;
        }
        if value & STS != 0 {
            mailbox.state |= PFSTS;
        }
        if value & ACK != 0 {
            mailbox.state |= PFACK;
        }
        if value & (STS | ACK) != 0 {
            self.vf_raise_mailbox(host, n as u8);
        }
    }

    /// PFMBICR n: requests of 16 VFs, then their acknowledges.
    pub(crate) fn pfmbicr(&self, n: u32) -> u32 {
        let first = 16 * n as usize % POOLS;
        let mut value = 0;
        for (i, mailbox) in self.mailboxes[first..first + 16].iter().enumerate() {
            value |= (mailbox.causes & REQ) << i | (mailbox.causes >> 1 & 1) << (16 + i);
        }
        value
    }

    pub(crate) fn pfmbicr_write(&mut self, n: u32, value: u32) {
        let first = 16 * n as usize % POOLS;
        for (i, mailbox) in self.mailboxes[first..first + 16].iter_mut().enumerate() {
            mailbox.causes &= !(value >> i & REQ | (value >> (16 + i) & 1) << 1);
        }
    }

    /// PFVFLRE n: VFs that were reset.
    pub(crate) fn vflre(&self, n: u32) -> u32 {
        let first = 32 * n as usize;
        let group = self.mailboxes[first..first + 32].iter().enumerate();
        group.fold(0, |value, (i, mailbox)| {
            value | u32::from(mailbox.vflre) << i
        })
    }

    pub(crate) fn vflrec_write(&mut self, n: u32, value: u32) {
        let first = 32 * n as usize;
        for (i, mailbox) in self.mailboxes[first..first + 32].iter_mut().enumerate() {
            mailbox.vflre &= value >> i & 1 == 0;
        }
    }

    pub(crate) fn vf_mailbox_read(&mut self, n: u8) -> u32 {
        let mailbox = &mut self.mailboxes[usize::from(n)];
        let value = mailbox.state;
        mailbox.state &= !CLEARED;
        value
    }

    pub(crate) fn vf_mailbox_write<H: Host>(&mut self, host: &mut H, n: u8, value: u32) {
        let mailbox = &mut self.mailboxes[usize::from(n)];
        if value & VFU == 0 {
            mailbox.state &= !VFU;
        } else if mailbox.state & PFU == 0 {
            mailbox.state |= VFU;
        }
        let causes = value & (REQ | ACK);
        mailbox.causes |= causes;
        if value & !0xFF != 0 {
            self.violation(
                host,
                Function::Vf(n),
                0x2FC,
                value,
                Problem::ReservedBits,
                "VFMAILBOX",
            );
        }
        if causes != 0 {
            self.raise_pf_mailbox(host, n, causes);
        }
    }

    /// PFMBIMR has the layout of PFMBICR.
    fn raise_pf_mailbox<H: Host>(&mut self, host: &mut H, n: u8, causes: u32) {
        let enabled = self.reg(at::PFMBIMR + 4 * u32::from(n / 16)) >> (n % 16);
        if causes & REQ != 0 && enabled & 1 != 0 || causes & ACK != 0 && enabled >> 16 & 1 != 0 {
            self.raise_other(host, irq::MAILBOX);
        }
    }

    /// All VFs learn that the PF is back.
    pub(crate) fn reset_done<H: Host>(&mut self, host: &mut H) {
        for n in 0..POOLS as u8 {
            self.mailboxes[usize::from(n)].pf_reset_done();
            self.vf_raise_mailbox(host, n);
        }
    }
}
