// SPDX-License-Identifier: GPL-2.0

//! Self-emulated counters: the driver continues in software what a replaced device counts from 0
//! (paper, section on self-emulation: n before the migration, m after it, reads n + m).

/// How the hardware counter behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Counts on and wraps at its width.
    FreeRunning,
    /// A read returns what was counted since the last read and clears it.
    ReadClear,
}

/// A counter that never goes back, over a hardware counter of a given width.
///
/// Plain data; whoever reads the hardware counter holds the lock of the statistics.
///
/// # Examples
///
/// ```
/// use compsc_core::counter::{Mode, SelfEmulated};
///
/// let mut octets = SelfEmulated::new(32, Mode::FreeRunning, 0);
/// assert_eq!(octets.update(1000), 1000);
/// // The device is frozen at 1500; the new one starts at 0 and has counted 7 so far.
/// octets.rebase(Some(1500), 0);
/// assert_eq!(octets.update(7), 1507);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfEmulated {
    width: u8,
    mode: Mode,
    base: u64,
    last: u64,
}

impl SelfEmulated {
    /// A counter at 0 over a hardware counter that now reads `raw_now`.
    ///
    /// # Panics
    ///
    /// When `width` is not 1 to 64 bits.
    pub const fn new(width: u8, mode: Mode, raw_now: u64) -> Self {
        Self::from_parts(width, mode, 0, raw_now)
    }

    /// A counter from its saved parts.
    ///
    /// # Panics
    ///
    /// When `width` is not 1 to 64 bits.
    pub const fn from_parts(width: u8, mode: Mode, base: u64, last: u64) -> Self {
        assert!(width >= 1 && width <= 64);
        Self {
            width,
            mode,
            base,
            last: last & (u64::MAX >> (64 - width)),
        }
    }

    /// Width of the hardware counter in bits.
    pub const fn width(&self) -> u8 {
        self.width
    }

    /// The value, as of the last update.
    pub const fn value(&self) -> u64 {
        self.base
    }

    /// The raw value at the last update.
    pub const fn last(&self) -> u64 {
        self.last
    }

    const fn mask(&self) -> u64 {
        u64::MAX >> (64 - self.width)
    }

    /// Accounts a raw value just read and returns the counter. A free-running counter must be read
    /// at least once per half of its range: a larger step is that of a device which has started at 0
    /// behind the driver's back.
    pub const fn update(&mut self, raw: u64) -> u64 {
        let raw = raw & self.mask();
        let step = raw.wrapping_sub(self.last) & self.mask();
        let counted = match self.mode {
            Mode::FreeRunning if step <= self.mask() / 2 => step,
            Mode::FreeRunning | Mode::ReadClear => raw,
        };
        self.base = self.base.wrapping_add(counted);
        self.last = raw;
        self.base
    }

    /// Goes on with another device: first accounts what the old one had counted when the host froze it
    /// (`None` when nobody could read it), then starts from what the new one reads, which is
    /// not the guest's.
    pub const fn rebase(&mut self, frozen: Option<u64>, raw_now: u64) {
        if let Some(frozen) = frozen {
            self.update(frozen);
        }
        self.last = raw_now & self.mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What happens to a counter.
    #[derive(Clone, Debug)]
    enum Event {
        /// The device counts, less than half of its range, and the driver reads.
        Read(u64),
        /// The device counts, is frozen, and is replaced by one that reads this much.
        Move(u64, u64),
        /// As `Move`, but the host could not read the counter.
        BlindMove(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let v = any::<u64>;
        prop_oneof![
            4 => v().prop_map(Event::Read),
            2 => (v(), v()).prop_map(|(a, b)| Event::Move(a, b)),
            1 => v().prop_map(Event::BlindMove),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 4000 }))]

        /// Against an unbounded count: nothing is lost, nothing is counted twice, and the value never goes back,
        /// through wraps of any width.
        #[test]
        fn counts_everything_once(
            width in 1..=63u8,
            start: u64,
            events in prop::collection::vec(event(), 0..40),
        ) {
            let mask = u64::MAX >> (64 - width);
            let mut raw = start & mask;
            let mut total = 0u64;
            let mut counter = SelfEmulated::new(width, Mode::FreeRunning, raw);
            for event in events {
                let before = counter.value();
                match event {
                    Event::Read(counted) => {
                        // So that the sum itself does not wrap.
                        let counted = counted & (mask / 2) & (u64::MAX >> 8);
                        raw = raw.wrapping_add(counted) & mask;
                        total += counted;
                        prop_assert_eq!(counter.update(raw), total);
                    }
                    Event::Move(counted, fresh) => {
                        let counted = counted & (mask / 2) & (u64::MAX >> 8);
                        let frozen = raw.wrapping_add(counted) & mask;
                        total += counted;
                        raw = fresh & mask;
                        counter.rebase(Some(frozen), raw);
                        prop_assert_eq!(counter.value(), total);
                    }
                    Event::BlindMove(fresh) => {
                        raw = fresh & mask;
                        counter.rebase(None, raw);
                        prop_assert_eq!(counter.value(), total);
                    }
                }
                prop_assert!(counter.value() >= before);
            }
        }

        #[test]
        fn read_clear_counts_everything_once(
            reads in prop::collection::vec((any::<u16>(), any::<bool>()), 0..40),
        ) {
            let mut counter = SelfEmulated::new(12, Mode::ReadClear, 0);
            let mut total = 0;
            for (raw, moved) in reads {
                let raw = u64::from(raw) & 0xfff;
                total += raw;
                if moved {
                    // The host's read has cleared the old device; the new one starts empty.
                    counter.rebase(Some(raw), 0);
                } else {
                    counter.update(raw);
                }
                prop_assert_eq!(counter.value(), total);
            }
        }
    }

    #[test]
    fn wraps_at_true_width() {
        let mut octets = SelfEmulated::new(36, Mode::FreeRunning, (1 << 36) - 1);
        assert_eq!(octets.update(1), 2);
        let mut packets = SelfEmulated::new(32, Mode::FreeRunning, 0);
        packets.update(u64::from(u32::MAX));
        assert_eq!(packets.update(0), 1 << 32);
        let mut wide = SelfEmulated::new(64, Mode::FreeRunning, u64::MAX);
        assert_eq!(wide.update(0), 1);
    }

    #[test]
    fn restarted_behind_the_back() {
        let mut packets = SelfEmulated::new(32, Mode::FreeRunning, 0);
        packets.update(1000);
        assert_eq!(packets.update(20), 1020);
    }

    #[test]
    fn parts_survive() {
        let mut counter = SelfEmulated::new(32, Mode::FreeRunning, 5);
        counter.update(9);
        let again =
            SelfEmulated::from_parts(32, Mode::FreeRunning, counter.value(), counter.last());
        assert_eq!(again, counter);
        assert_eq!(again.width(), 32);
    }

    #[test]
    #[should_panic(expected = "width >= 1")]
    fn no_width() {
        SelfEmulated::new(0, Mode::FreeRunning, 0);
    }
}
