// SPDX-License-Identifier: GPL-2.0

//! MAC and link (datasheet 8.2.3.1 and 8.2.3.22), semaphores (8.2.3.4), MDIO (no PHY answers).

use crate::device::Device;
use crate::device::Host;
use crate::irq;
use crate::regs::at;

/// CTRL.PCIe Master Disable.
pub const CTRL_MASTER_DISABLE: u32 = 1 << 2;
/// CTRL.LRST.
pub const CTRL_LRST: u32 = 1 << 3;
/// CTRL.RST.
pub const CTRL_RST: u32 = 1 << 26;
/// CTRL_EXT.PFRSTD.
pub const CTRL_EXT_PFRSTD: u32 = 1 << 14;
/// HLREG0.LPBK: what is sent comes back.
pub const HLREG0_LPBK: u32 = 1 << 15;
/// HLREG0.RXCRCSTRP.
pub const HLREG0_RXCRCSTRP: u32 = 1 << 1;
/// HLREG0.JUMBOEN.
pub const HLREG0_JUMBOEN: u32 = 1 << 2;
/// HLREG0.TXPADEN.
pub const HLREG0_TXPADEN: u32 = 1 << 10;

const AUTOC_FLU: u32 = 1;
const AUTOC_RESTART_AN: u32 = 1 << 12;
const LINKS_UP_10G: u32 = 0x7000_0000;
const MSCA_COMMAND: u32 = 1 << 30;
const MSCA_READ: u32 = 0x0800_0000;
const ESDP_SDP2: u32 = 1 << 2;
const STATUS_MASTER_ENABLE: u32 = 1 << 19;
const STATUS_IOV: u32 = 1 << 18;
const SWSM_SMBI: u32 = 1;

/// State of the MAC that is in no register.
#[derive(Clone, Debug, Default)]
pub struct Mac {
    /// Whether a cable with a partner is plugged in.
    pub(crate) cable: bool,
    reported: bool,
}

impl Device {
    /// Whether the link is up: a partner is there, or AUTOC.FLU forces it.
    pub(crate) fn link_up(&self) -> bool {
        self.mac.cable || self.reg(at::AUTOC) & AUTOC_FLU != 0
    }

    /// Whether frames come back from the MAC instead of leaving.
    pub(crate) fn mac_loopback(&self) -> bool {
        self.reg(at::HLREG0) & HLREG0_LPBK != 0
    }

    /// Whether the device may start memory accesses.
    pub(crate) fn master_enabled(&self) -> bool {
        self.reg(at::CTRL) & CTRL_MASTER_DISABLE == 0
    }

    pub(crate) fn status(&self) -> u32 {
        let mut status = u32::from(self.num_vfs) << 10;
        if self.num_vfs != 0 {
            status |= STATUS_IOV;
        }
        if self.master_enabled() {
            status |= STATUS_MASTER_ENABLE;
        }
        if self.link_up() {
            status |= 1 << 7;
        }
        status
    }

    pub(crate) fn links(&self) -> u32 {
        if self.link_up() { LINKS_UP_10G } else { 0 }
    }

    /// SDP2 of a port with a cage tells that a module is plugged in.
    pub(crate) fn esdp(&self) -> u32 {
        self.reg(at::ESDP) | ESDP_SDP2
    }

    /// Tells PF and VFs that the link went up or down, if it did.
    pub(crate) fn update_link<H: Host>(&mut self, host: &mut H) {
        let up = self.link_up();
        if up != self.mac.reported {
            self.mac.reported = up;
            self.raise_other(host, irq::LSC);
            if up {
                self.resume_all(host);
            }
        }
    }

    pub(crate) fn autoc_write<H: Host>(&mut self, host: &mut H, value: u32) {
        // The partner needs no negotiation, so a restart ends at once.
        self.set_reg(at::AUTOC, value & !AUTOC_RESTART_AN);
        self.update_link(host);
    }

    pub(crate) fn ctrl_write<H: Host>(&mut self, host: &mut H, value: u32) {
        if value & (CTRL_RST | CTRL_LRST) != 0 {
            self.software_reset(host);
        } else {
            self.set_reg(at::CTRL, value);
            self.resume_all(host);
        }
    }

    pub(crate) fn ctrl_ext_write<H: Host>(&mut self, host: &mut H, value: u32) {
        self.set_reg(at::CTRL_EXT, value);
        if value & CTRL_EXT_PFRSTD != 0 {
            self.reset_done(host);
        }
    }

    /// The bus answers reads with all ones: no PHY is connected, the port has an SFP+ cage.
    pub(crate) fn msca_write(&mut self, value: u32) {
        self.set_reg(at::MSCA, value & !MSCA_COMMAND);
        if value & MSCA_COMMAND != 0 && value & MSCA_READ != 0 {
            let written = self.reg(at::MSRWD) & 0xFFFF;
            self.set_reg(at::MSRWD, 0xFFFF_0000 | written);
        }
    }

    /// A read takes SWSM.SMBI: whoever reads it as 0 owns it.
    pub(crate) fn swsm_read(&mut self) -> u32 {
        let value = self.reg(at::SWSM);
        self.set_reg(at::SWSM, value | SWSM_SMBI);
        value
    }

    pub(crate) fn link_reset(&mut self) {
        self.mac.reported = self.link_up();
    }
}
