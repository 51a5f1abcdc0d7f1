// SPDX-License-Identifier: GPL-2.0

//! EEPROM (datasheet 6 and 8.2.3.2): contents, EERD and EEWR. The bit-banging interface of EEC grants
//! access and does nothing; drivers use EERD for the size modelled.

use crate::device::Device;
use crate::regs::at;

/// Words.
pub const WORDS: usize = 1024;

const CHECKSUM: usize = 0x3F;
const SUM: u16 = 0xBABA;
const DONE: u32 = 1 << 1;
const START: u32 = 1;
const EEC_REQ: u32 = 1 << 6;
const EEC_GNT: u32 = 1 << 7;
const EEC_PRES: u32 = 1 << 8;
const EEC_AUTO_RD: u32 = 1 << 9;
const EEC_ADDR_SIZE: u32 = 1 << 10;
/// 64 << 4 words.
const EEC_SIZE: u32 = 4 << 11;

const FIRMWARE: usize = 0x100;
const PATCH: usize = 0x120;
const PHY_INIT: usize = 0x140;
const PBA: usize = 0x180;

/// The EEPROM. It survives every reset.
#[derive(Clone, Debug)]
pub struct Eeprom(Box<[u16]>);

impl Default for Eeprom {
    fn default() -> Self {
        Self::new()
    }
}

impl Eeprom {
    /// Contents as software needs them: pointers, a firmware version, an init list for each SFP+ type.
    pub fn new() -> Self {
        let mut w = vec![0xFFFF; WORDS].into_boxed_slice();
        for word in &mut w[..0x40] {
            *word = 0;
        }
        // Sections that are not there.
        for word in &mut w[0x03..0x0F] {
            *word = 0xFFFF;
        }
        for pointer in [0x17, 0x1B, 0x26, 0x27, 0x28, 0x33] {
            w[pointer] = 0xFFFF;
        }
        // Firmware module: pass-through patch configuration with a version above 0.5, no link management.
        w[0x0F] = FIRMWARE as u16;
        w[FIRMWARE + 4] = PATCH as u16;
        w[PATCH + 7] = 0x0009;
        // Board assembly number.
        w[0x15] = 0xFAFA;
        w[0x16] = PBA as u16;
        w[PBA..PBA + 6].copy_from_slice(&[6, 0x3832, 0x3539, 0x392D, 0x3030, 0x3100]);
        // Init sequences of modules: pairs of SFP+ type and pointer, all with an empty sequence.
        w[0x2B] = PHY_INIT as u16;
        let list = PHY_INIT + 0x20;
        w[PHY_INIT] = 0;
        for (i, kind) in (3u16..=8).enumerate() {
            w[PHY_INIT + 1 + 2 * i] = kind;
            w[PHY_INIT + 2 + 2 * i] = list as u16;
        }
        w[PHY_INIT + 13] = 0xFFFF;
        w[list] = 0;
        w[list + 1] = 0xFFFF;
        // Device capabilities: any SFP+ module, no crosstalk between cages.
        w[0x2C] = 0x0081;
        // Image version.
        w[0x2D] = 0x2599;
        w[0x2E] = 0x8000;
        let mut eeprom = Self(w);
        eeprom.0[CHECKSUM] = SUM.wrapping_sub(eeprom.sum());
        eeprom
    }

    /// Sum of the words that the checksum covers, without the checksum (no section pointer is valid).
    fn sum(&self) -> u16 {
        self.0[..CHECKSUM]
            .iter()
            .fold(0, |sum, word| sum.wrapping_add(*word))
    }

    /// A word; 0xFFFF outside of the EEPROM.
    pub fn word(&self, address: usize) -> u16 {
        self.0.get(address).copied().unwrap_or(0xFFFF)
    }
}

impl Device {
    pub(crate) fn eec(&self) -> u32 {
        let value = self.reg(at::EEC) & !(EEC_GNT | 0x7800);
        let grant = if value & EEC_REQ != 0 { EEC_GNT } else { 0 };
        value | grant | EEC_PRES | EEC_AUTO_RD | EEC_ADDR_SIZE | EEC_SIZE
    }

    pub(crate) fn eerd_write(&mut self, value: u32) {
        let mut result = value & 0xFFFC;
        if value & START != 0 {
            let word = self.eeprom.word((value as usize >> 2) & 0x3FFF);
            result |= u32::from(word) << 16 | DONE;
        }
        self.set_reg(at::EERD, result);
    }

    pub(crate) fn eewr_write(&mut self, value: u32) {
        let mut result = value & !(DONE | START);
        if value & START != 0 {
            if let Some(word) = self.eeprom.0.get_mut((value as usize >> 2) & 0x3FFF) {
                *word = (value >> 16) as u16;
            }
            result |= DONE;
        }
        self.set_reg(at::EEWR, result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_right() {
        let eeprom = Eeprom::new();
        let sum = (0..=CHECKSUM).fold(0u16, |sum, i| sum.wrapping_add(eeprom.word(i)));
        assert_eq!(sum, SUM);
        assert_eq!(eeprom.word(WORDS), 0xFFFF);
    }
}
