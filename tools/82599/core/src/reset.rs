// SPDX-License-Identifier: GPL-2.0

//! Resets (datasheet 4.2): what each clears.
//!
//! | | PF registers | queues | VF windows | mailboxes | per-VF statistics | EEPROM, cable |
//! |---|---|---|---|---|---|---|
//! | power-on, machine reset | all | all | all | all, RSTI | all | kept |
//! | CTRL.RST, CTRL.LRST, PF FLR | all | all | all | all, RSTI | all | kept |
//! | VFCTRL.RST, VF FLR | - | of the VF, but TDWBAL/H and the rate | of the VF | of the VF; PFVFLRE set | kept | kept |
//! | CTRL_EXT.PFRSTD = 1 | - | - | - | RSTI to RSTD in all | kept | kept |

use crate::device::Device;
use crate::device::Host;
use crate::irq;
use crate::regs::at;
use crate::rx::RxQueue;
use crate::sfp::Sfp;
use crate::tx::TxQueue;
use crate::vf::VfState;

impl Device {
    fn clear_port(&mut self) {
        self.reset_registers();
        // The address comes from the EEPROM; a row of registers has one reset value.
        let mac = self.config.mac;
        self.set_reg(
            at::RAL,
            u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]),
        );
        self.set_reg(at::RAL + 4, u32::from_le_bytes([mac[4], mac[5], 0, 0x80]));
        self.set_reg(at::MPSAR, !0);
        self.set_reg(at::MPSAR + 4, !0);
        // All of the packet buffers' memory belongs to the first.
        self.set_reg(0x3C00, 512 << 10);
        self.set_reg(0xCC00, 160 << 10);
        for i in 0..4 {
            self.set_reg(at::PFMBIMR + 4 * i, !0);
        }
        for q in &mut self.rx {
            *q = RxQueue::default();
        }
        for q in &mut self.tx {
            *q = TxQueue::default();
        }
        for vf in &mut self.vfs {
            *vf = VfState::default();
        }
        self.irq.reset();
        self.fdir.clear();
        self.five_tuples = 0;
        self.clock.reset();
        self.rx_done = 0;
        self.tx_done = 0;
        self.tx_waiting = 0;
        self.rsc_queues = 0;
        self.sfp = Sfp::default();
    }

    pub(crate) fn power_on(&mut self) {
        self.clear_port();
        for mailbox in &mut self.mailboxes {
            mailbox.power_on();
        }
        self.link_reset();
    }

    /// The machine was reset.
    pub fn system_reset<H: Host>(&mut self, host: &mut H) {
        self.power_on();
        host.pin(false);
    }

    /// Function level reset of the PF.
    pub fn pf_flr<H: Host>(&mut self, host: &mut H) {
        self.software_reset(host);
    }

    /// CTRL.RST or CTRL.LRST. The bits read 0 afterwards: the reset takes no time.
    pub(crate) fn software_reset<H: Host>(&mut self, host: &mut H) {
        // A VF learns of it through RSTI, which it polls; the message needs the window as it was.
        for n in 0..self.num_vfs {
            self.vf_raise_mailbox(host, n);
        }
        self.clear_port();
        for mailbox in &mut self.mailboxes {
            mailbox.pf_reset();
        }
        host.pin(false);
        self.link_reset();
        self.offer_again(host);
    }

    /// VFCTRL.RST, or function level reset of a VF. Harmless for a VF that is not enabled.
    pub fn vf_reset<H: Host>(&mut self, host: &mut H, n: u8) {
        let per_pool = self.queues_per_pool();
        let first = usize::from(n) * per_pool;
        if first + per_pool <= crate::QUEUES {
            for q in first..first + per_pool {
                self.rx[q] = RxQueue::default();
                self.tx[q].vf_reset();
                self.rx_done &= !(1 << q);
                self.tx_done &= !(1 << q);
                self.tx_waiting &= !(1 << q);
            }
        }
        let Some(vf) = self.vfs.get_mut(usize::from(n)) else {
            return;
        };
        vf.reset();
        self.irq.reset_vf(usize::from(n));
        self.set_reg(at::PSRTYPE + 4 * u32::from(n), 0);
        self.mailboxes[usize::from(n)].vf_reset(n < self.num_vfs);
        if n < self.num_vfs {
            self.raise_other(host, irq::MAILBOX);
        }
    }
}
