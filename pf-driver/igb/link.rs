// SPDX-License-Identifier: GPL-2.0

//! PHY, flow control, EEPROM and LEDs.
//!
//! What goes through MDIC to the PHY is not in the log: it is state here, and written again after a reset.

use super::Pf;
use compsc::adapter::{
    devlink::Versions,
    poll_until,
    port::{
        mode,
        HashFields,
        Identify,
        LinkSettings,
        Pause,
        Port,
        RETA_ENTRIES,
        RSS_KEY_BYTES, //
    },
    Hw,
};
use compsc_core::regs::Bit;
use compsc_regs::pf82576::*;
use kernel::prelude::*;

/// Milliseconds for the PHY or the EEPROM to answer, and for a semaphore to become free.
const PHY_MS: u32 = 10;
const EEPROM_MS: u32 = 5;
const SEMAPHORE_MS: u32 = 100;

/// Sum of the EEPROM's first words.
const EEPROM_SUM: u16 = 0xbaba;
/// Words that the sum is over.
const EEPROM_SUMMED: u32 = 0x40;

/// Pause frames: their address, type, and the time that they ask for.
const PAUSE_ADDRESS: [u8; 6] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x01];
const PAUSE_TYPE: u32 = 0x8808;
const PAUSE_TIME: u32 = 0xffff;
/// Fill of the receive buffer (64 KiB) at which a pause is asked for, and the distance to where it ends, in bytes.
const HIGH_WATER: u32 = 57_344;
const HYSTERESIS: u32 = 16;

/// LED 0: lit or dark whatever the link does.
const LED_ON: u32 = 0xe;
const LED_OFF: u32 = 0xf;

/// State of the link.
pub(super) struct Link {
    /// Speeds that are offered.
    modes: usize,
    pause: Pause,
    /// Pause frames as negotiated: obeyed, sent.
    resolved: (bool, bool),
    /// The link was up at the last look, and flow control set for it.
    up: bool,
    /// LEDCTL before [`Port::identify`].
    leds: Option<LEDCTL>,
}

impl Link {
    pub(super) const fn new() -> Self {
        Self {
            modes: mode::SPEEDS,
            pause: Pause {
                autoneg: true,
                rx: true,
                tx: true,
            },
            resolved: (false, false),
            up: false,
            leds: None,
        }
    }

    /// The device was reset.
    pub(super) fn lost(&mut self) {
        self.up = false;
    }

    /// CTRL with flow control as resolved.
    pub(super) fn control(&self, ctrl: CTRL) -> CTRL {
        let (rx, tx) = self.resolved;
        ctrl.with_bit(CTRL::RFCE, rx).with_bit(CTRL::TFCE, tx)
    }

    pub(super) fn configure_flow_control(&self, hw: &Hw<Pf82576>) {
        let [a, b, c, d, e, f] = PAUSE_ADDRESS;
        hw.write(FCAL::from_raw(u32::from_le_bytes([a, b, c, d])));
        hw.write(FCAH::from_raw(u32::from_le_bytes([e, f, 0, 0])));
        hw.write(FCT::from_raw(PAUSE_TYPE));
        hw.write(FCTTV::from_raw(PAUSE_TIME));
        hw.write(FCRTL::from_raw(HIGH_WATER - HYSTERESIS).set(FCRTL::XONE));
        hw.write(FCRTH::from_raw(HIGH_WATER));
    }

    /// What the PHY advertises: its two registers.
    fn advertisement(&self) -> (u16, u16) {
        let mut anar = phy::ANAR_CSMA;
        for (i, mode) in [mode::HALF_10, mode::FULL_10, mode::HALF_100, mode::FULL_100]
            .into_iter()
            .enumerate()
        {
            if self.modes & mode != 0 {
                anar |= phy::ADVERTISE_10HALF << i;
            }
        }
        if self.pause.autoneg {
            // IEEE 802.3 annex 28B.
            anar |= match (self.pause.rx, self.pause.tx) {
                (true, _) => phy::ADVERTISE_PAUSE | phy::ADVERTISE_ASYM_PAUSE,
                (false, true) => phy::ADVERTISE_ASYM_PAUSE,
                (false, false) => 0,
            };
        }
        let gigabit = if self.modes & mode::FULL_1000 != 0 {
            phy::ADVERTISE_1000FULL
        } else {
            0
        };
        (anar, gigabit)
    }

    /// Which pause frames are obeyed and sent, from what both sides advertise.
    fn resolve(&self, own: u16, partner: u16) -> (bool, bool) {
        if !self.pause.autoneg {
            return (self.pause.rx, self.pause.tx);
        }
        let (symmetric, asymmetric) = (phy::ADVERTISE_PAUSE, phy::ADVERTISE_ASYM_PAUSE);
        if own & partner & symmetric != 0 {
            return (self.pause.rx, self.pause.tx);
        }
        if own & partner & asymmetric != 0 {
            return (own & symmetric != 0, partner & symmetric != 0);
        }
        (false, false)
    }
}

/// Link modes in the words of PHY registers.
fn modes_of(register: u16) -> usize {
    let bit = |mask: u16, mode: usize| if register & mask != 0 { mode } else { 0 };
    bit(phy::ADVERTISE_10HALF, mode::HALF_10)
        | bit(phy::ADVERTISE_10HALF << 1, mode::FULL_10)
        | bit(phy::ADVERTISE_10HALF << 2, mode::HALF_100)
        | bit(phy::ADVERTISE_10HALF << 3, mode::FULL_100)
        | bit(phy::ADVERTISE_PAUSE, mode::PAUSE)
        | bit(phy::ADVERTISE_ASYM_PAUSE, mode::ASYM_PAUSE)
}

/// A resource shared with firmware and the other port, held while this exists.
struct Shared<'a> {
    pf: &'a Pf,
    bit: Bit<SW_FW_SYNC>,
}

impl<'a> Shared<'a> {
    /// Takes the resource with these bits of software and firmware.
    fn take(pf: &'a Pf, software: Bit<SW_FW_SYNC>, firmware: Bit<SW_FW_SYNC>) -> Result<Self> {
        let hw = &pf.rings.hw;
        poll_until(SEMAPHORE_MS, || {
            if !pf.take_semaphore() {
                return false;
            }
            let sync = hw.read::<SW_FW_SYNC>();
            let free = !sync.is_set(software) && !sync.is_set(firmware);
            if free {
                hw.write(sync.set(software));
            }
            pf.give_semaphore();
            free
        })?;
        Ok(Self { pf, bit: software })
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        let hw = &self.pf.rings.hw;
        // Without the semaphore the bit is cleared all the same: nobody else sets it.
        let taken = poll_until(SEMAPHORE_MS, || self.pf.take_semaphore()).is_ok();
        hw.write(hw.read::<SW_FW_SYNC>().clear(self.bit));
        if taken {
            self.pf.give_semaphore();
        }
    }
}

impl Pf {
    fn take_semaphore(&self) -> bool {
        let hw = &self.rings.hw;
        // The read takes the first bit, if it was free.
        if hw.read::<SWSM>().is_set(SWSM::SMBI) {
            return false;
        }
        hw.write(SWSM::zeroed().set(SWSM::SMBI).set(SWSM::SWESMBI));
        let taken = hw.read::<SWSM>().is_set(SWSM::SWESMBI);
        if !taken {
            self.give_semaphore();
        }
        taken
    }

    fn give_semaphore(&self) {
        self.rings.hw.write(SWSM::zeroed());
    }

    fn phy(&self) -> Result<Shared<'_>> {
        match self.rings.hw.read::<STATUS>().get(STATUS::LAN_ID) {
            0 => Shared::take(self, SW_FW_SYNC::SW_PHY0, SW_FW_SYNC::FW_PHY0),
            _ => Shared::take(self, SW_FW_SYNC::SW_PHY1, SW_FW_SYNC::FW_PHY1),
        }
    }

    fn mdic(&self, command: MDIC) -> Result<MDIC> {
        let hw = &self.rings.hw;
        hw.write(command.with(MDIC::PHYADD, phy::ADDRESS));
        poll_until(PHY_MS, || hw.read::<MDIC>().is_set(MDIC::READY))?;
        let answer = hw.read::<MDIC>();
        if answer.is_set(MDIC::ERROR) {
            Err(EIO)
        } else {
            Ok(answer)
        }
    }

    fn read_phy(&self, register: u32) -> Result<u16> {
        let _phy = self.phy()?;
        let answer = self.mdic(
            MDIC::zeroed()
                .with(MDIC::REGADD, register)
                .with(MDIC::OP, MDIC::OP_READ),
        )?;
        // CAST: The field has 16 bits.
        Ok(answer.get(MDIC::DATA) as u16)
    }

    fn write_phy(&self, register: u32, value: u16) -> Result {
        let _phy = self.phy()?;
        self.mdic(
            MDIC::zeroed()
                .with(MDIC::REGADD, register)
                .with(MDIC::OP, MDIC::OP_WRITE)
                .with(MDIC::DATA, value.into()),
        )
        .map(|_| ())
    }

    /// Negotiates after a reset, which may have left the PHY alone. A link that is what it would become stays: a
    /// negotiation over copper takes seconds.
    pub(super) fn resume_link(&self) -> Result {
        let (anar, gigabit) = self.state.lock().link.advertisement();
        let complete = phy::BMSR_LSTATUS | phy::BMSR_ANEGCOMPLETE;
        // The first read tells of a loss in the past.
        self.read_phy(phy::BMSR)?;
        let kept = self.read_phy(phy::BMSR)? & complete == complete
            && self.read_phy(phy::ANAR)? == anar
            && self.read_phy(phy::CTRL1000)? & phy::ADVERTISE_1000FULL == gigabit
            && self.read_phy(phy::BMCR)? & (phy::BMCR_ANENABLE | phy::BMCR_PDOWN)
                == phy::BMCR_ANENABLE;
        if kept {
            return Ok(());
        }
        self.start_link()
    }

    /// Writes what the next negotiation offers; returns the part of it that is the gigabit register's.
    fn advertise(&self) -> Result<u16> {
        let (anar, gigabit) = self.state.lock().link.advertisement();
        self.write_phy(phy::ANAR, anar)?;
        Ok(gigabit)
    }

    /// Advertises what is offered and negotiates.
    pub(super) fn start_link(&self) -> Result {
        let gigabit = self.advertise()?;
        let others = self.read_phy(phy::CTRL1000)? & !(phy::ADVERTISE_1000FULL | 1 << 8);
        self.write_phy(phy::CTRL1000, others | gigabit)?;
        let control = self.read_phy(phy::BMCR)? & !phy::BMCR_PDOWN;
        self.write_phy(
            phy::BMCR,
            control | phy::BMCR_ANENABLE | phy::BMCR_ANRESTART,
        )
    }

    /// Sets flow control for a link that has come up.
    pub(super) fn resolve_pause(&self, up: bool) {
        let was_up = core::mem::replace(&mut self.state.lock().link.up, up);
        if !up || was_up {
            return;
        }
        let (Ok(own), Ok(partner)) = (self.read_phy(phy::ANAR), self.read_phy(phy::ANLPAR)) else {
            return;
        };
        let mut state = self.state.lock();
        state.link.resolved = state.link.resolve(own, partner);
        let hw = &self.rings.hw;
        self.put(0, state.link.control(hw.read::<CTRL>()));
    }

    /// Checks the EEPROM's sum.
    ///
    /// # Errors
    ///
    /// `EIO` when it is wrong.
    pub(super) fn check_eeprom(&self) -> Result {
        let mut sum = 0u16;
        for at in 0..EEPROM_SUMMED {
            sum = sum.wrapping_add(self.eeprom_word(at)?);
        }
        if sum == EEPROM_SUM {
            Ok(())
        } else {
            Err(EIO)
        }
    }
}

impl Port for Pf {
    fn link_settings(&self) -> LinkSettings {
        // What cannot be read is not shown.
        let read = |register| self.read_phy(register).unwrap_or(0);
        let modes = self.state.lock().link.modes;
        let mut advertising = modes_of(read(phy::ANAR)) | mode::AUTONEG | mode::TP;
        if read(phy::CTRL1000) & phy::ADVERTISE_1000FULL != 0 {
            advertising |= mode::FULL_1000 & modes;
        }
        let mut partner = 0;
        if read(phy::BMSR) & phy::BMSR_ANEGCOMPLETE != 0 {
            partner = modes_of(read(phy::ANLPAR)) | mode::AUTONEG;
            if read(phy::STAT1000) & phy::LPA_1000FULL != 0 {
                partner |= mode::FULL_1000;
            }
        }
        LinkSettings {
            supported: mode::SPEEDS | mode::AUTONEG | mode::TP | mode::PAUSE | mode::ASYM_PAUSE,
            advertising,
            partner,
            phy: phy::ADDRESS as u8,
        }
    }

    fn set_advertising(&self, modes: usize) -> Result {
        self.state.lock().link.modes = modes;
        self.start_link()
    }

    fn renegotiate(&self) -> Result {
        self.start_link()
    }

    fn pause(&self) -> Pause {
        self.state.lock().link.pause
    }

    fn set_pause(&self, pause: Pause) -> Result {
        let old = {
            let mut state = self.state.lock();
            let old = core::mem::replace(&mut state.link.pause, pause);
            // Applied at the next look at the link.
            state.link.up = false;
            old
        };
        if pause.autoneg && pause != old {
            return self.start_link();
        }
        self.advertise()?;
        let up = self.rings.hw.read::<STATUS>().is_set(STATUS::LU);
        self.resolve_pause(up);
        Ok(())
    }

    fn eeprom_words(&self) -> u32 {
        1 << (self.rings.hw.read::<EECD>().get(EECD::SIZE) + 6).min(14)
    }

    fn eeprom_word(&self, at: u32) -> Result<u16> {
        if at >= self.eeprom_words() {
            return Err(EINVAL);
        }
        let _eeprom = Shared::take(self, SW_FW_SYNC::SW_EEP, SW_FW_SYNC::FW_EEP)?;
        let hw = &self.rings.hw;
        hw.write(EERD::zeroed().with(EERD::ADDR, at).set(EERD::START));
        poll_until(EEPROM_MS, || hw.read::<EERD>().is_set(EERD::DONE))?;
        // CAST: The field has 16 bits.
        Ok(hw.read::<EERD>().get(EERD::DATA) as u16)
    }

    fn versions(&self) -> Result<Versions> {
        self.read_versions()
    }

    fn wake(&self) -> Result<(u32, u32)> {
        self.read_wake()
    }

    fn set_wake(&self, wake: u32) {
        self.state.lock().wake = Some(wake);
    }

    fn arm_wake(&self) -> bool {
        self.wait_for_wake()
    }

    fn identify(&self, how: Identify) {
        let hw = &self.rings.hw;
        let mut state = self.state.lock();
        let before = *state.link.leds.get_or_insert_with(|| hw.read::<LEDCTL>());
        let lit = |mode| {
            before
                .clear(LEDCTL::LED0_BLINK)
                .with(LEDCTL::LED0_MODE, mode)
        };
        match how {
            Identify::Lit => hw.write(lit(LED_ON)),
            Identify::Dark => hw.write(lit(LED_OFF)),
            Identify::Off => {
                hw.write(before);
                state.link.leds = None;
            }
        }
    }

    fn rss(&self) -> ([u8; RSS_KEY_BYTES], [u8; RETA_ENTRIES]) {
        let state = self.state.lock();
        (state.rss.key, state.rss.table(state.pairs))
    }

    fn set_rss(&self, key: Option<[u8; RSS_KEY_BYTES]>, table: Option<[u8; RETA_ENTRIES]>) {
        let mut state = self.state.lock();
        if let Some(key) = key {
            state.rss.key = key;
        }
        if let Some(table) = table {
            state.rss.set_table(table);
        }
        self.apply_rss(&state);
    }

    fn spread_rss(&self) {
        self.state.lock().rss.spread();
    }

    fn udp_hash(&self, ipv6: bool) -> HashFields {
        self.state.lock().rss.udp[usize::from(ipv6)]
    }

    fn set_udp_hash(&self, ipv6: bool, fields: HashFields) {
        let mut state = self.state.lock();
        state.rss.udp[usize::from(ipv6)] = fields;
        self.apply_rss(&state);
    }
}
