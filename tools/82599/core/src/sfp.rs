// SPDX-License-Identifier: GPL-2.0

//! I2C bus to the SFP+ module (datasheet 3.7.1 and 8.2.3.1.5, module contents SFF-8472): I2CCTL is bit-banged by
//! software; the model is the slave, a 10GBASE-SR module.

const CLK_IN: u32 = 1;
const CLK_OUT: u32 = 2;
const DATA_IN: u32 = 4;
const DATA_OUT: u32 = 8;

/// Address bytes of the module's two pages, without the read bit.
const IDENTITY: u8 = 0xA0;
const DIAGNOSTICS: u8 = 0xA2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    /// The byte after a start condition.
    Address,
    /// The byte that sets the word address.
    Offset,
    /// Bytes that are written.
    Write,
    /// Bytes that are read.
    Read,
    /// Another device was addressed, or the master has read enough.
    Ignore,
}

/// The bus and the module.
#[derive(Clone, Debug)]
pub struct Sfp {
    clock: bool,
    master: bool,
    slave: bool,
    phase: Phase,
    /// Clock cycles of the current byte, 0 to 8; the ninth is the acknowledge.
    cycle: u8,
    shift: u8,
    page: u8,
    offset: u8,
}

impl Default for Sfp {
    fn default() -> Self {
        Self {
            clock: true,
            master: true,
            slave: true,
            phase: Phase::Idle,
            cycle: 0,
            shift: 0,
            page: IDENTITY,
            offset: 0,
        }
    }
}

/// A byte of the module's memory.
fn module(page: u8, offset: u8) -> u8 {
    const VENDOR: &[u8; 16] = b"MODEL           ";
    const PART: &[u8; 16] = b"82599-SFP-SR    ";
    if page == DIAGNOSTICS {
        return match offset {
            // 35 degrees Celsius, 3.3 V.
            96 => 35,
            98 => 0x80,
            99 => 0xE8,
            _ => 0,
        };
    }
    match offset {
        // SFP with LC connector, 10GBASE-SR, 64B/66B, 10.3 Gb/s, 80 m over OM2, 300 m over OM3.
        0 => 3,
        1 => 4,
        2 => 7,
        3 => 0x10,
        11 => 6,
        12 => 103,
        16 => 8,
        19 => 30,
        20..=35 => VENDOR[usize::from(offset - 20)],
        // Intel's identifier, which drivers accept without a parameter.
        37 => 0x00,
        38 => 0x1B,
        39 => 0x21,
        40..=55 => PART[usize::from(offset - 40)],
        63 => (0..63).fold(0u8, |sum, i| sum.wrapping_add(module(page, i))),
        // 850 nm.
        60 => 0x03,
        61 => 0x52,
        // Diagnostics: implemented, internally calibrated; SFF-8472 revision 10.2.
        92 => 0x60,
        94 => 3,
        95 => (64..95).fold(0u8, |sum, i| sum.wrapping_add(module(page, i))),
        _ => 0,
    }
}

impl Sfp {
    /// Value of I2CCTL: what is driven, and the state of both lines.
    pub(crate) fn read(&self) -> u32 {
        let mut value = 0;
        if self.clock {
            value |= CLK_IN | CLK_OUT;
        }
        if self.master {
            value |= DATA_OUT;
        }
        if self.master && self.slave {
            value |= DATA_IN;
        }
        value
    }

    /// A write of I2CCTL.
    pub(crate) fn write(&mut self, value: u32) {
        let (clock, data) = (value & CLK_OUT != 0, value & DATA_OUT != 0);
        let (old_clock, old_data) = (self.clock, self.master);
        self.clock = clock;
        self.master = data;
        if old_clock && clock && old_data != data {
            // Data changes while the clock is high: start or stop.
            self.slave = true;
            self.cycle = 0;
            self.shift = 0;
            self.phase = if data { Phase::Idle } else { Phase::Address };
        } else if !old_clock && clock {
            self.rise(data);
        } else if old_clock && !clock {
            self.fall();
        }
    }

    /// Rising clock: a bit is sampled.
    fn rise(&mut self, data: bool) {
        match self.phase {
            Phase::Address | Phase::Offset | Phase::Write if self.cycle < 8 => {
                self.shift = self.shift << 1 | u8::from(data);
            }
            // The master's acknowledge asks for another byte.
            Phase::Read if self.cycle == 8 && data => self.phase = Phase::Ignore,
            _ => {}
        }
        if !matches!(self.phase, Phase::Idle | Phase::Ignore) {
            self.cycle += 1;
        }
    }

    /// Falling clock: the slave puts its next bit on the line.
    fn fall(&mut self) {
        self.slave = true;
        match self.phase {
            Phase::Idle | Phase::Ignore => {}
            Phase::Read => {
                if self.cycle == 9 {
                    self.cycle = 0;
                    self.load();
                }
                if self.cycle < 8 {
                    self.slave = self.shift >> (7 - self.cycle) & 1 != 0;
                }
            }
            Phase::Address | Phase::Offset | Phase::Write => match self.cycle {
                8 => self.slave = !self.byte(),
                9 => {
                    self.cycle = 0;
                    self.shift = 0;
                    if self.phase == Phase::Address {
                        // The byte was this module's address with the read bit: see byte().
                        self.phase = Phase::Read;
                        self.load();
                        self.slave = self.shift >> 7 != 0;
                    }
                }
                _ => {}
            },
        }
    }

    fn load(&mut self) {
        self.shift = module(self.page, self.offset);
        self.offset = self.offset.wrapping_add(1);
    }

    /// A byte is complete. Returns whether it is acknowledged.
    fn byte(&mut self) -> bool {
        match self.phase {
            Phase::Address => {
                let page = self.shift & !1;
                if page != IDENTITY && page != DIAGNOSTICS {
                    self.phase = Phase::Ignore;
                    return false;
                }
                self.page = page;
                if self.shift & 1 == 0 {
                    self.phase = Phase::Offset;
                }
            }
            Phase::Offset => {
                self.offset = self.shift;
                self.phase = Phase::Write;
            }
            // The module's memory is read-only.
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(bus: &mut Sfp, data: bool) -> bool {
        let data = if data { DATA_OUT } else { 0 };
        bus.write(data);
        bus.write(data | CLK_OUT);
        let line = bus.read() & DATA_IN != 0;
        bus.write(data);
        line
    }

    fn start(bus: &mut Sfp) {
        bus.write(DATA_OUT);
        bus.write(DATA_OUT | CLK_OUT);
        bus.write(CLK_OUT);
        bus.write(0);
    }

    fn put(bus: &mut Sfp, byte: u8) -> bool {
        for i in (0..8).rev() {
            bit(bus, byte >> i & 1 != 0);
        }
        !bit(bus, true)
    }

    fn get(bus: &mut Sfp, more: bool) -> u8 {
        let byte = (0..8).fold(0, |byte, _| byte << 1 | u8::from(bit(bus, true)));
        bit(bus, !more);
        byte
    }

    #[test]
    fn reads_bytes_after_a_repeated_start() {
        let mut bus = Sfp::default();
        start(&mut bus);
        assert!(put(&mut bus, 0xA0));
        assert!(put(&mut bus, 37));
        start(&mut bus);
        assert!(put(&mut bus, 0xA1));
        assert_eq!(
            [
                get(&mut bus, true),
                get(&mut bus, true),
                get(&mut bus, false)
            ],
            [0x00, 0x1B, 0x21]
        );
        start(&mut bus);
        assert!(!put(&mut bus, 0x60), "nobody else is on the bus");
    }

    #[test]
    fn checksums_of_the_module() {
        let sum = (0..63).fold(0u8, |sum, i| sum.wrapping_add(module(IDENTITY, i)));
        assert_eq!(module(IDENTITY, 63), sum);
    }
}
