// SPDX-License-Identifier: GPL-2.0

//! Register window of a VF (datasheet 8.3): its queues are the PF's queues of its pool.

use crate::device::Device;
use crate::device::Function;
use crate::device::Host;
use crate::device::Problem;
use crate::mac;
use crate::regs::at;

/// Interrupt registers and statistics of a VF. The statistics wrap and are never cleared by a read.
#[derive(Clone, Debug, Default)]
pub struct VfState {
    pub(crate) vteicr: u32,
    pub(crate) vteims: u32,
    pub(crate) vteiac: u32,
    pub(crate) vteiam: u32,
    pub(crate) vteitr: [u32; 3],
    pub(crate) vtivar: [u32; 4],
    pub(crate) vtivar_misc: u32,
    vtrscint: [u32; 3],
    /// Frames received.
    pub(crate) gprc: u32,
    /// Frames sent.
    pub(crate) gptc: u32,
    /// Octets received, 36 bits.
    pub(crate) gorc: u64,
    /// Octets sent, 36 bits.
    pub(crate) gotc: u64,
    /// Multicast frames received.
    pub(crate) mprc: u32,
}

impl VfState {
    /// A reset of the VF leaves its statistics.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            gprc: self.gprc,
            gptc: self.gptc,
            gorc: self.gorc,
            gotc: self.gotc,
            mprc: self.mprc,
            ..Self::default()
        };
    }
}

const LOW: u64 = 0xFFFF_FFFF;

impl Device {
    /// The absolute number of a VF's queue.
    fn vf_queue(&self, n: u8, local: u32) -> Option<usize> {
        let per_pool = self.queues_per_pool();
        let q = usize::from(n) * per_pool + local as usize;
        ((local as usize) < per_pool && q < crate::QUEUES).then_some(q)
    }

    /// A VF's counter, at its offset in the VF's window.
    fn vf_counter(&self, n: u8, offset: u32) -> Option<u32> {
        let vf = &self.vfs[usize::from(n)];
        Some(match offset {
            0x101C => vf.gprc,
            0x1020 => (vf.gorc & LOW) as u32,
            0x1024 => (vf.gorc >> 32) as u32 & 0xF,
            0x1034 => vf.mprc,
            0x201C => vf.gptc,
            0x2020 => (vf.gotc & LOW) as u32,
            0x2024 => (vf.gotc >> 32) as u32 & 0xF,
            _ => return None,
        })
    }

    /// The same counters as the PF sees them on the transmit side.
    pub(crate) fn pf_vf_counter(&self, offset: u32) -> u32 {
        if offset < 0x8400 {
            self.vfs[((offset - 0x8300) / 4) as usize].gptc
        } else {
            let gotc = self.vfs[((offset - 0x8400) / 8) as usize].gotc;
            if offset & 4 == 0 {
                (gotc & LOW) as u32
            } else {
                (gotc >> 32) as u32 & 0xF
            }
        }
    }

    pub(crate) fn vf_read<H: Host>(&mut self, host: &mut H, n: u8, offset: u32) -> u32 {
        if let Some(value) = self.vf_counter(n, offset) {
            return value;
        }
        match offset {
            0x1000..0x1200 => {
                let Some(q) = self.vf_queue(n, (offset - 0x1000) / 0x40) else {
                    return 0;
                };
                return self.rx_read_vf(host, n, q, offset % 0x40);
            }
            0x2000..0x2200 => {
                let Some(q) = self.vf_queue(n, (offset - 0x2000) / 0x40) else {
                    return 0;
                };
                return self.tx_read(host, q, offset % 0x40);
            }
            _ => {}
        }
        let vf = &mut self.vfs[usize::from(n)];
        match offset {
            // VFCTRL is write-only; VTEICS and VTEIMC too.
            0x0000 | 0x0104 | 0x010C => 0,
            0x0008 => self.status(),
            0x0010 => self.links(),
            0x0048 => (host.now() / 1000) as u32,
            0x0100 => core::mem::take(&mut vf.vteicr),
            0x0108 => vf.vteims,
            0x0110 => vf.vteiac,
            0x0114 => vf.vteiam,
            0x0120..0x0130 => vf.vtivar[((offset - 0x0120) / 4) as usize],
            0x0140 => vf.vtivar_misc,
            // VFPBACL clears bits of a table that the PCI layer keeps.
            0x0148 => 0,
            0x0180..0x018C => vf.vtrscint[((offset - 0x0180) / 4) as usize],
            0x0200..0x0240 => self.mailbox_word(u32::from(n), (offset - 0x0200) / 4),
            0x02FC => self.vf_mailbox_read(n),
            0x0300 => self.reg(at::PSRTYPE + 4 * u32::from(n)),
            0x0820..0x082C => vf.vteitr[((offset - 0x0820) / 4) as usize],
            0x3190 => 0,
            _ => {
                self.violation(host, Function::Vf(n), offset, 0, Problem::Reserved, "");
                0
            }
        }
    }

    pub(crate) fn vf_write<H: Host>(&mut self, host: &mut H, n: u8, offset: u32, value: u32) {
        let function = Function::Vf(n);
        if self.vf_counter(n, offset).is_some() {
            return self.violation(
                host,
                function,
                offset,
                value,
                Problem::ReadOnly,
                "statistics",
            );
        }
        match offset {
            0x1000..0x1200 => {
                return match self.vf_queue(n, (offset - 0x1000) / 0x40) {
                    Some(q) => self.rx_write(host, function, q, offset % 0x40, value),
                    None => self.violation(host, function, offset, value, Problem::Reserved, ""),
                };
            }
            0x2000..0x2200 => {
                return match self.vf_queue(n, (offset - 0x2000) / 0x40) {
                    Some(q) => self.tx_write(host, function, q, offset % 0x40, value),
                    None => self.violation(host, function, offset, value, Problem::Reserved, ""),
                };
            }
            _ => {}
        }
        let vf = &mut self.vfs[usize::from(n)];
        match offset {
            0x0000 => {
                if value & mac::CTRL_RST != 0 {
                    self.vf_reset(host, n);
                }
            }
            0x0008 | 0x0010 | 0x0048 | 0x3190 => {
                self.violation(host, function, offset, value, Problem::ReadOnly, "");
            }
            0x0100 => vf.vteicr &= !value,
            0x0104 => {
                for cause in 0..3 {
                    if value >> cause & 1 != 0 {
                        self.vf_raise(host, n, cause);
                    }
                }
            }
            0x0108 => {
                vf.vteims |= value & 0x7;
                for vector in 0..3 {
                    if value >> vector & 1 != 0 {
                        self.vf_fire(host, n, vector);
                    }
                }
            }
            0x010C => vf.vteims &= !value,
            0x0110 => vf.vteiac = value & 0x7,
            0x0114 => vf.vteiam = value & 0x7,
            0x0120..0x0130 => vf.vtivar[((offset - 0x0120) / 4) as usize] = value & 0x8383_8383,
            0x0140 => vf.vtivar_misc = value & 0x83,
            0x0148 => {}
            0x0180..0x018C => vf.vtrscint[((offset - 0x0180) / 4) as usize] = value & 0x7FFF,
            0x0200..0x0240 => self.set_mailbox_word(u32::from(n), (offset - 0x0200) / 4, value),
            0x02FC => self.vf_mailbox_write(host, n, value),
            0x0300 => self.set_reg(at::PSRTYPE + 4 * u32::from(n), value & 0xE000_1330),
            0x0820..0x082C => self.vf_eitr_write(n, ((offset - 0x0820) / 4) as usize, value),
            _ => self.violation(host, function, offset, value, Problem::Reserved, ""),
        }
    }
}
