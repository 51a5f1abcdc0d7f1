// SPDX-License-Identifier: GPL-2.0

//! Statistics (datasheet 8.2.3.23). Octets include the frame check sequence. Registers are cleared by a read; the
//! classes in [`regs`](crate::regs) do that.

use crate::device::Device;
use crate::regs::at;

/// Bytes of the frame check sequence.
pub(crate) const FCS: usize = 4;

const MASK_36: u64 = 0xF_FFFF_FFFF;

/// Index of the size class of a frame of `octets` with frame check sequence: 64, 127, 255, 511, 1023, longer.
fn size_class(octets: usize) -> u32 {
    match octets {
        0..=64 => 0,
        65..=127 => 1,
        128..=255 => 2,
        256..=511 => 3,
        512..=1023 => 4,
        _ => 5,
    }
}

impl Device {
    /// Adds to a counter of 32 bits.
    pub(crate) fn count(&mut self, offset: u32, n: u32) {
        let value = self.reg(offset).wrapping_add(n);
        self.set_reg(offset, value);
    }

    /// Adds to a counter of 36 bits in two registers.
    pub(crate) fn count_36(&mut self, offset: u32, n: usize) {
        let value = u64::from(self.reg(offset)) | u64::from(self.reg(offset + 4)) << 32;
        let value = value + n as u64 & MASK_36;
        self.set_reg(offset, value as u32);
        self.set_reg(offset + 4, (value >> 32) as u32);
    }

    /// A frame came from the wire; `good` if a filter took it.
    pub(crate) fn count_received(&mut self, frame: &[u8], good: bool) {
        let octets = frame.len() + FCS;
        self.count(at::TPR, 1);
        self.count_36(at::TORL, octets);
        if !good {
            return;
        }
        self.count(at::GPRC, 1);
        self.count_36(at::GORCL, octets);
        self.count(at::RXNFGPC, 1);
        self.count_36(at::RXNFGBCL, octets);
        self.count(at::PRC64 + 4 * size_class(octets), 1);
        if frame[..6] == [0xFF; 6] {
            self.count(at::BPRC, 1);
        } else if frame[0] & 1 != 0 {
            self.count(at::MPRC, 1);
        }
    }

    /// A frame was stored in a queue.
    pub(crate) fn count_stored(&mut self, q: usize, pool: Option<u8>, frame: &[u8], looped: bool) {
        let octets = frame.len() + FCS;
        let map = self.reg(at::RQSMR + 4 * (q as u32 / 4)) >> (8 * (q % 4)) & 0xF;
        self.count(0x1030 + 0x40 * map, 1);
        self.count_36(0x1034 + 0x40 * map, octets);
        self.count(at::RXDGPC, 1);
        self.count_36(at::RXDGBCL, octets);
        if looped {
            self.count(at::RXLPBKGPC, 1);
            self.count_36(at::RXLPBKGBCL, octets);
        }
        if let Some(pool) = pool {
            let vf = &mut self.vfs[usize::from(pool)];
            vf.gprc = vf.gprc.wrapping_add(1);
            vf.gorc = vf.gorc + octets as u64 & MASK_36;
            if frame[0] & 1 != 0 && frame[..6] != [0xFF; 6] {
                vf.mprc = vf.mprc.wrapping_add(1);
            }
        }
    }

    /// A frame found no descriptor.
    pub(crate) fn count_dropped(&mut self, q: usize, drop_enabled: bool) {
        if drop_enabled {
            let map = self.reg(at::RQSMR + 4 * (q as u32 / 4)) >> (8 * (q % 4)) & 0xF;
            self.count(0x1430 + 0x40 * map, 1);
        } else {
            self.count(at::MPC, 1);
        }
    }

    /// A frame was sent, by whatever way.
    pub(crate) fn count_sent(&mut self, q: usize, pool: Option<u8>, frame: &[u8]) {
        let octets = frame.len() + FCS;
        let map = self.reg(at::TQSM + 4 * (q as u32 / 4)) >> (8 * (q % 4)) & 0xF;
        self.count(0x6030 + 0x40 * map, 1);
        self.count_36(at::QBTC_L + 8 * map, octets);
        self.count(at::TXDGPC, 1);
        self.count_36(at::TXDGBCL, octets);
        if let Some(pool) = pool {
            let vf = &mut self.vfs[usize::from(pool)];
            vf.gptc = vf.gptc.wrapping_add(1);
            vf.gotc = vf.gotc + octets as u64 & MASK_36;
        }
    }

    /// A frame left on the wire.
    pub(crate) fn count_wire(&mut self, frame: &[u8]) {
        let octets = frame.len() + FCS;
        self.count(at::GPTC, 1);
        self.count(at::TPT, 1);
        self.count_36(at::GOTCL, octets);
        self.count(at::PTC64 + 4 * size_class(octets), 1);
        if frame[..6] == [0xFF; 6] {
            self.count(at::BPTC, 1);
        } else if frame[0] & 1 != 0 {
            self.count(at::MPTC, 1);
        }
    }
}
