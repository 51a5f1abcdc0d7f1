// SPDX-License-Identifier: GPL-2.0

//! What the EEPROM says about the board: versions, and whether it wakes the machine.

use super::Pf;
use compsc::adapter::{
    devlink::Versions,
    port::{
        wake,
        Port, //
    }, //
};
use compsc_core::{
    class::Phase,
    regs::Bit, //
};
use compsc_regs::pf82576::{
    nvm::{
        self,
        Image, //
    },
    CTRL,
    RCTL,
    STATUS,
    WUC,
    WUFC, //
};
use kernel::{
    prelude::*,
    str::CString, //
};

/// Words of a part number in text, at most: as many as the longest known, with room.
const PART_WORDS: u16 = 16;

/// What wakes the machine, for `ethtool` and for the device.
const WAKE: [(u32, Bit<WUFC>); 5] = [
    (wake::LINK, WUFC::LNKC),
    (wake::UNICAST, WUFC::EX),
    (wake::MULTICAST, WUFC::MC),
    (wake::BROADCAST, WUFC::BC),
    (wake::MAGIC, WUFC::MAG),
];

/// Adapters with two devices and four ports, of which one wakes the machine; nothing tells which device that is on.
const QUAD_PORT: [u16; 2] = [0x10e8, 0x1526];

impl Pf {
    /// What can wake the machine.
    fn wakes(&self) -> Result<u32> {
        let port = self.rings.hw.read::<STATUS>().get(STATUS::LAN_ID);
        let made_for_it = port == 0 || self.eeprom_word(nvm::INIT_CONTROL3_PORT1)? & nvm::APME != 0;
        let wakes = made_for_it
            && self.function.can_wake()
            && !QUAD_PORT.contains(&self.function.device_id());
        Ok(if wakes {
            WAKE.iter().fold(0, |all, (option, _)| all | option)
        } else {
            0
        })
    }

    /// What can wake the machine, and what shall.
    pub(super) fn read_wake(&self) -> Result<(u32, u32)> {
        let supported = self.wakes()?;
        // What firmware does unless it is told otherwise.
        let wanted = self.state.lock().wake.unwrap_or(wake::MAGIC);
        Ok((supported, supported & wanted))
    }

    /// Waits for what wakes the machine, with the filters that were.
    pub(super) fn wait_for_wake(&self) -> bool {
        let Ok((_, wanted)) = self.read_wake() else {
            return false;
        };
        if wanted == 0 {
            return false;
        }
        let hw = &self.rings.hw;
        let up = hw.read::<STATUS>().is_set(STATUS::LU);
        hw.replay(Phase::Setup, |_, _, _| {});
        hw.write_unrecorded(hw.read::<CTRL>().set(CTRL::ADVD3WUC));
        if wanted & wake::MULTICAST != 0 {
            hw.write_unrecorded(hw.read::<RCTL>().set(RCTL::MPE));
        }
        // A link that is up changes when the machine sleeps.
        let filters = WAKE
            .iter()
            .filter(|(option, _)| wanted & option != 0 && !(up && *option == wake::LINK))
            .fold(WUFC::zeroed(), |filters, (_, bit)| filters.set(*bit));
        hw.write_unrecorded(WUC::zeroed().set(WUC::PME_EN));
        hw.write_unrecorded(filters);
        true
    }

    pub(super) fn read_versions(&self) -> Result<Versions> {
        Ok(Versions {
            board: self.board()?,
            firmware: Some(self.firmware()?),
        })
    }

    fn firmware(&self) -> Result<CString> {
        let etrack = [
            self.eeprom_word(nvm::ETRACK)?,
            self.eeprom_word(nvm::ETRACK + 1)?,
        ];
        let version = nvm::version(self.eeprom_word(nvm::VERSION)?, etrack);
        let (major, minor) = (version.major, version.minor);
        Ok(match version.image {
            Image::Build(build) => CString::try_from_fmt(fmt!("{major}.{minor}.{build}"))?,
            Image::Etrack(id) => CString::try_from_fmt(fmt!("{major}.{minor}, {id:#010x}"))?,
        })
    }

    /// Part number of the board; `None` when it is not in the EEPROM.
    fn board(&self) -> Result<Option<CString>> {
        let (first, second) = (
            self.eeprom_word(nvm::PART)?,
            self.eeprom_word(nvm::PART + 1)?,
        );
        if first != nvm::PART_IN_TEXT {
            if (first, second) == (u16::MAX, u16::MAX) {
                return Ok(None);
            }
            let (high, low) = (second >> 8, second & 0xff);
            return Ok(Some(CString::try_from_fmt(fmt!(
                "{first:04X}{high:02X}-0{low:02X}"
            ))?));
        }
        // The length counts its own word.
        let words = self.eeprom_word(second.into())?;
        if !(2..=PART_WORDS).contains(&words) {
            return Ok(None);
        }
        let mut text = KVec::with_capacity(2 * usize::from(words), GFP_KERNEL)?;
        for at in 1..words {
            let word = self.eeprom_word(u32::from(second) + u32::from(at))?;
            text.extend_from_slice(&word.to_be_bytes(), GFP_KERNEL)?;
        }
        let end = text.iter().position(|c| !c.is_ascii_graphic());
        let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
        Ok(Some(CString::try_from_fmt(fmt!("{text}"))?))
    }
}
