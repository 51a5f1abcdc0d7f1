// SPDX-License-Identifier: GPL-2.0

//! Reset, and the settings that nobody changes (82576 datasheet, chapter on initialisation).

use super::{
    Pf,
    OTHER_USECS, //
};
use compsc::adapter::{
    poll_until,
    Chip, //
};
use compsc_core::regs::Register;
use compsc_regs::pf82576::*;
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// Milliseconds for requests on the bus to end, and for the EEPROM to be read after a reset.
const MASTER_MS: u32 = 80;
const EEPROM_MS: u32 = 10;

/// Milliseconds that receive and transmit units need to come to rest.
const REST_MS: i64 = 10;

/// Collisions after which a packet is given up (half duplex).
const COLLISION_THRESHOLD: u32 = 15;

/// Ethernet type of VLAN tags, for the inner and the outer one.
const VLAN_TYPES: u32 = 0x8100 | 0x8100 << 16;

impl Pf {
    /// Stops everything and resets the device. The log is kept if a replay follows.
    ///
    /// # Errors
    ///
    /// `EIO` when the device is gone.
    pub(super) fn reset_registers(&self, keep_log: bool) -> Result {
        let hw = &self.rings.hw;
        if hw.read::<STATUS>().raw() == u32::MAX {
            return Err(EIO);
        }
        let ctrl = hw.read::<CTRL>();
        hw.write_unrecorded(ctrl.set(CTRL::GIO_MASTER_DISABLE));
        // A device that does not end its requests is reset all the same.
        let _ = poll_until(MASTER_MS, || {
            !hw.read::<STATUS>().is_set(STATUS::GIO_MASTER_ENABLE)
        });
        hw.write(IMC::from_raw(u32::MAX));
        hw.write_unrecorded(RCTL::zeroed());
        hw.write_unrecorded(TCTL::zeroed().set(TCTL::PSP));
        hw.read::<STATUS>();
        fsleep(Delta::from_millis(REST_MS));
        if keep_log {
            hw.reset_for_replay(ctrl.set(CTRL::RST));
        } else {
            hw.reset(ctrl.set(CTRL::RST));
        }
        fsleep(Delta::from_millis(1));
        // The emulator never says that the EEPROM was read.
        let _ = poll_until(EEPROM_MS, || hw.read::<EECD>().is_set(EECD::AUTO_RD));
        hw.write(IMC::from_raw(u32::MAX));
        hw.read::<ICR>();
        Ok(())
    }

    /// Resets the device. Returns the address that its EEPROM holds.
    pub(super) fn reset_device(&self, keep_log: bool) -> Result<[u8; 6]> {
        self.reset_registers(keep_log)?;
        let hw = &self.rings.hw;
        let [a, b, c, d] = hw.read_at::<RAL>(0).raw().to_le_bytes();
        let [e, f, ..] = hw.read_at::<RAH>(0).raw().to_le_bytes();
        {
            let mut state = self.state.lock();
            state.switch.device_reset();
            state.link.lost();
            if !keep_log {
                self.configure(&state);
                self.apply_mode(&mut state);
            }
            self.apply_rates(&state);
        }
        self.resume_link()?;
        Ok([a, b, c, d, e, f])
    }

    /// Settings that nobody changes.
    fn configure(&self, state: &super::State) {
        let hw = &self.rings.hw;
        let ctrl = hw.read::<CTRL>();
        hw.write(
            state.link.control(
                ctrl.clear(CTRL::GIO_MASTER_DISABLE)
                    .clear(CTRL::LRST)
                    .clear(CTRL::RST)
                    .clear(CTRL::FRCSPD)
                    .clear(CTRL::FRCDPX)
                    .set(CTRL::SLU)
                    .set(CTRL::VME),
            ),
        );
        let ctrl_ext = hw.read::<CTRL_EXT>();
        hw.write(ctrl_ext.clear(CTRL_EXT::PFRSTD).set(CTRL_EXT::DRV_LOAD));
        hw.write(VET::from_raw(VLAN_TYPES));
        hw.write(WUC::zeroed());
        hw.write(WUFC::zeroed());
        state.link.configure_flow_control(hw);

        hw.write(
            RXCSUM::zeroed()
                .set(RXCSUM::IPOFLD)
                .set(RXCSUM::TUOFLD)
                .set(RXCSUM::CRCOFL)
                .set(RXCSUM::PCSD),
        );
        hw.write(DTXCTL::from_raw(hw.read::<DTXCTL>().raw()).set(DTXCTL::VLAN_ADDED));
        for pool in 0..POOLS {
            hw.write_at(pool, PSRTYPE::zeroed());
        }
        for word in 0..UTA::COUNT {
            hw.write_at(word, UTA::zeroed());
        }
        hw.write(RPLOLR::zeroed().set(RPLOLR::STRVLAN).set(RPLOLR::STRCRC));
        hw.write(
            hw.read::<TCTL>()
                .with(TCTL::CT, COLLISION_THRESHOLD)
                .set(TCTL::PSP)
                .set(TCTL::RTLC)
                .set(TCTL::EN),
        );

        hw.write(
            GPIE::zeroed()
                .set(GPIE::NSICR)
                .set(GPIE::MSIX_MODE)
                .set(GPIE::PBA),
        );
        hw.write(
            IVAR_MISC::zeroed()
                .with(IVAR_MISC::OTHER, Self::OTHER_VECTOR)
                .set(IVAR_MISC::OTHER_VALID),
        );
        self.rings.configure_vectors(1 << Self::OTHER_VECTOR);
        self.rings
            .set_interval(Self::OTHER_VECTOR as usize, OTHER_USECS);
        hw.write(MBVFIMR::from_raw((1 << POOLS) - 1));
    }

    /// Lets causes through to the other vector.
    pub(super) fn unmask_causes(&self) {
        self.rings.hw.write(
            IMS::zeroed()
                .set(IMS::LSC)
                .set(IMS::VMMB)
                .set(IMS::DOUTSYNC)
                .set(IMS::DRSTA),
        );
    }

    /// Lets causes through, and tells virtual functions that the reset is over.
    pub(super) fn announce_ready(&self) {
        let hw = &self.rings.hw;
        self.unmask_causes();
        self.rings.unmask(1 << Self::OTHER_VECTOR);
        // Not recorded: a replay would tell them once more.
        hw.write_unrecorded(hw.read::<CTRL_EXT>().set(CTRL_EXT::PFRSTD));
        self.ask_all_to_reset();
    }
}
