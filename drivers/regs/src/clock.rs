// SPDX-License-Identifier: GPL-2.0

//! The time of an 82576's clock, and what its time stamps are taken of: pure code.
//!
//! The device counts (SYSTIM), and nobody sets the count: time is a base, and what was counted since. A device that
//! takes another one's place counts from somewhere else, so the base moves there; meanwhile the system's clock tells how
//! much time has gone by.
//!
//! The count's unit is 2 to the power of -19 ns: each 16 ns it is incremented by TIMINCA's 24 bits, of which 5 hold
//! the 16 and 19 are left for a fraction. So it wraps every 9.77 hours (2 to the power of 45 ns), and the frequency
//! is adjustable in steps of 0.12 ppm (Linux `igb/igb_ptp.c`; 82576 datasheet, chapter on time synchronisation).

use crate::pf82576::{
    TIMINCA,
    TSYNCRXCFG,
    TSYNCRXCTL, //
};

/// Binary digits of a count's fraction of a nanosecond.
pub const FRACTION_BITS: u32 = 19;

/// Increment per period of 16 ns at the nominal frequency.
pub const NOMINAL: u32 = 16 << FRACTION_BITS;

/// Largest adjustment of the frequency, either way, in parts per billion: the increment has 24 bits and must not be 0.
pub const MAX_PPB: i32 = 999_999_881;

/// The increment for a frequency that is off by `scaled_ppm`, parts per million with 16 binary digits after the point.
/// What the register cannot hold is as close as it can.
#[must_use]
pub const fn increment(scaled_ppm: i64) -> u32 {
    // Per million and by 2^16: NOMINAL / (10^6 << 16) is 2 / 15625.
    const NUMERATOR: u64 = 2;
    const DENOMINATOR: u64 = 15_625;
    const LIMIT: u64 = (MAX_PPB as u64 * (NOMINAL as u64)) / 1_000_000_000;
    let size = scaled_ppm.unsigned_abs();
    let wanted = if size > LIMIT * DENOMINATOR / NUMERATOR {
        LIMIT
    } else {
        (size * NUMERATOR + DENOMINATOR / 2) / DENOMINATOR
    };
    let change = if wanted > LIMIT { LIMIT } else { wanted };
    // CAST: LIMIT has 23 bits.
    if scaled_ppm < 0 {
        NOMINAL - change as u32
    } else {
        NOMINAL + change as u32
    }
}

/// The register's value for an increment.
#[must_use]
pub const fn timinca(increment: u32) -> TIMINCA {
    TIMINCA::zeroed()
        .with(TIMINCA::INCPERIOD, 1)
        .with(TIMINCA::INCVALUE, increment)
}

/// A time or a duration: nanoseconds and their fraction, in the count's unit. Wraps after 584 years, as the stack's
/// times do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Time {
    ns: u64,
    fraction: u32,
}

impl Time {
    /// What was counted between two counts, up to half a wrap either way.
    const fn counted(from: u64, to: u64) -> Self {
        // CAST: A difference that wraps is one below 0.
        let delta = to.wrapping_sub(from) as i64;
        Self {
            // CAST: As above, for what is added to a time.
            ns: (delta >> FRACTION_BITS) as u64,
            // CAST: Fewer bits than that.
            fraction: (delta as u64 & ((1 << FRACTION_BITS) - 1)) as u32,
        }
    }

    /// How much a clock that is incremented by `increment` goes on in `elapsed` nanoseconds.
    const fn elapsed(elapsed: u64, increment: u32) -> Self {
        // By NOMINAL, whose power of two is the fraction's and 4 more.
        let units = (elapsed as u128 * increment as u128) >> 4;
        Self {
            // CAST: Wraps, see above.
            ns: (units >> FRACTION_BITS) as u64,
            // CAST: Fewer bits than that.
            fraction: (units as u64 & ((1 << FRACTION_BITS) - 1)) as u32,
        }
    }

    const fn plus(self, other: Self) -> Self {
        let fraction = self.fraction + other.fraction;
        Self {
            ns: self
                .ns
                .wrapping_add(other.ns)
                .wrapping_add((fraction >> FRACTION_BITS) as u64),
            fraction: fraction & ((1 << FRACTION_BITS) - 1),
        }
    }
}

/// A clock. All times are in nanoseconds; the system's is one that does not stop while the machine is suspended.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The base: the clock's time when the device had counted this, and the system's clock showed that. Without a count
    /// it is one that no device was read at.
    time: Time,
    count: Option<u64>,
    system: u64,
    increment: u32,
}

impl Clock {
    /// A clock at the nominal frequency that shows `ns`, without a device.
    #[must_use]
    pub const fn new(ns: u64, system: u64) -> Self {
        Self {
            time: Time { ns, fraction: 0 },
            count: None,
            system,
            increment: NOMINAL,
        }
    }

    /// The device's increment.
    #[must_use]
    pub const fn increment(&self) -> u32 {
        self.increment
    }

    /// The time at which the device has counted this, for a time stamp: less than 4.8 hours before or after the base.
    /// `None` if the device was not read yet.
    #[must_use]
    pub fn at(&self, count: u64) -> Option<u64> {
        let base = self.count?;
        Some(self.time.plus(Time::counted(base, count)).ns)
    }

    /// The device was read. Moves the base there, so it must be called at least every 4.8 hours. Returns the time.
    pub fn read(&mut self, count: u64, system: u64) -> u64 {
        match self.count {
            Some(base) => {
                self.time = self.time.plus(Time::counted(base, count));
                self.system = system;
            }
            None => self.leave(system),
        }
        self.count = Some(count);
        self.time.ns
    }

    /// The time while the device cannot be read: what the system's clock says has gone by since the last reading.
    #[must_use]
    pub const fn without_device(&self, system: u64) -> u64 {
        self.without(system).ns
    }

    const fn without(&self, system: u64) -> Time {
        let elapsed = system.saturating_sub(self.system);
        self.time.plus(Time::elapsed(elapsed, self.increment))
    }

    /// Moves the base to the present without a device. The next one that is read may count whatever it wants.
    pub fn leave(&mut self, system: u64) {
        self.time = self.without(system);
        self.system = self.system.max(system);
        self.count = None;
    }

    /// Goes on with a device that counts something else.
    pub fn continue_on(&mut self, count: u64, system: u64) {
        self.leave(system);
        self.count = Some(count);
    }

    /// Sets the clock to `ns` at the base: it was read, or left, right before.
    pub fn set(&mut self, ns: u64) {
        self.time = Time { ns, fraction: 0 };
    }

    /// Adds nanoseconds.
    pub fn adjust(&mut self, delta: i64) {
        // CAST: Wraps for what is below 0.
        self.time.ns = self.time.ns.wrapping_add(delta as u64);
    }

    /// The device was given another increment since it was read last, and was read again after that: then no more than
    /// `window` nanoseconds had gone by. A device whose count jumped is one that counts something else.
    pub fn tuned(&mut self, increment: u32, count: u64, system: u64, window: u64) {
        // No increment is more than twice the nominal one; a count that went back is a large one here.
        let same = self
            .count
            .is_some_and(|base| Time::counted(base, count).ns <= window.saturating_mul(2));
        if same {
            self.read(count, system);
        } else {
            self.continue_on(count, system);
        }
        self.increment = increment;
    }

    /// Takes another increment, without a device.
    pub fn tune_without_device(&mut self, increment: u32, system: u64) {
        self.leave(system);
        self.increment = increment;
    }
}

/// Which received packets are stamped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxFilter {
    /// None.
    #[default]
    None,
    /// PTP version 1 over UDP: Sync messages.
    V1Sync,
    /// PTP version 1 over UDP: Delay_Req messages.
    V1DelayReq,
    /// PTP version 2, over Ethernet and UDP: all event messages.
    V2Event,
}

/// Kinds of filters, as the kernel numbers them (`enum hwtstamp_rx_filters`).
pub mod filter {
    /// None.
    pub const NONE: u32 = 0;
    /// PTP version 1, UDP, Sync.
    pub const V1_L4_SYNC: u32 = 4;
    /// PTP version 1, UDP, Delay_Req.
    pub const V1_L4_DELAY_REQ: u32 = 5;
    /// PTP version 2, UDP, event messages: the first of those for version 2.
    pub const V2_L4_EVENT: u32 = 6;
    /// PTP version 2, event messages.
    pub const V2_EVENT: u32 = 12;
    /// PTP version 2, Delay_Req: the last of those for version 2.
    pub const V2_DELAY_REQ: u32 = 14;
}

impl RxFilter {
    /// The filter that takes what is asked for, and perhaps more. `None` if there is none: the device
    /// stamps no other packets, and of version 1 either the one kind of message or the other.
    #[must_use]
    pub const fn covering(asked: u32) -> Option<Self> {
        Some(match asked {
            filter::NONE => Self::None,
            filter::V1_L4_SYNC => Self::V1Sync,
            filter::V1_L4_DELAY_REQ => Self::V1DelayReq,
            filter::V2_L4_EVENT..=filter::V2_DELAY_REQ => Self::V2Event,
            _ => return None,
        })
    }

    /// What the kernel calls it.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::None => filter::NONE,
            Self::V1Sync => filter::V1_L4_SYNC,
            Self::V1DelayReq => filter::V1_L4_DELAY_REQ,
            Self::V2Event => filter::V2_EVENT,
        }
    }

    /// All filters, one bit each, as the kernel numbers them.
    pub const ALL: u32 = 1 << Self::None.number()
        | 1 << Self::V1Sync.number()
        | 1 << Self::V1DelayReq.number()
        | 1 << Self::V2Event.number();

    /// Whether it is for packets over Ethernet, and whether it is for those over UDP.
    #[must_use]
    pub const fn transports(self) -> (bool, bool) {
        match self {
            Self::None => (false, false),
            Self::V1Sync | Self::V1DelayReq => (false, true),
            Self::V2Event => (true, true),
        }
    }

    /// The registers that choose among PTP packets.
    #[must_use]
    pub const fn registers(self) -> (TSYNCRXCTL, TSYNCRXCFG) {
        const fn on(kind: u32) -> TSYNCRXCTL {
            TSYNCRXCTL::zeroed()
                .with(TSYNCRXCTL::TYPE, kind)
                .set(TSYNCRXCTL::EN)
        }
        const fn v1(message: u32) -> TSYNCRXCFG {
            TSYNCRXCFG::zeroed().with(TSYNCRXCFG::CTRLT, message)
        }
        match self {
            Self::None => (TSYNCRXCTL::zeroed(), TSYNCRXCFG::zeroed()),
            Self::V1Sync => (on(TSYNCRXCTL::TYPE_L4_V1), v1(TSYNCRXCFG::CTRLT_SYNC)),
            Self::V1DelayReq => (on(TSYNCRXCTL::TYPE_L4_V1), v1(TSYNCRXCFG::CTRLT_DELAY_REQ)),
            Self::V2Event => (on(TSYNCRXCTL::TYPE_EVENT_V2), TSYNCRXCFG::zeroed()),
        }
    }
}

/// What is stamped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamping {
    /// Sent packets, if their senders ask for it.
    pub tx: bool,
    /// Received ones.
    pub rx: RxFilter,
}
