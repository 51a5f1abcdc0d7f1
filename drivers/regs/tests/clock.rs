// SPDX-License-Identifier: GPL-2.0

//! The clock of an 82576 against a model of what counts, and what is rounded to which filter.

use compsc_regs::clock::{
    filter, increment, timinca, Clock, RxFilter, FRACTION_BITS, MAX_PPB, NOMINAL,
};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;
/// One count's unit more is rounded away.
const ROUNDING: u64 = 1;

fn scaled(ppb: i64) -> i64 {
    // As the stack does: parts per million with 16 binary digits.
    ppb * 65_536 / 1000
}

#[test]
fn registers() {
    assert_eq!(NOMINAL, 0x80_0000);
    assert_eq!(timinca(NOMINAL).raw(), 0x0180_0000);
    assert_eq!(increment(0), NOMINAL);
    // 100 ppm of 2^23, and 1000 ppm the other way.
    assert_eq!(increment(scaled(100_000)), NOMINAL + 839);
    assert_eq!(increment(-scaled(1_000_000)), NOMINAL - 8389);
    // A step is 2^-23: half of one rounds up.
    assert_eq!(increment(scaled(59)), NOMINAL);
    assert_eq!(increment(scaled(60)), NOMINAL + 1);
    // The ends of the register.
    assert_eq!(increment(scaled(MAX_PPB.into())), 0xff_ffff);
    assert_eq!(increment(-scaled(MAX_PPB.into())), 1);
    assert_eq!(increment(i64::MAX), 0xff_ffff);
    assert_eq!(increment(i64::MIN), 1);
}

#[test]
fn filters() {
    for (asked, given) in [
        (0, Some(RxFilter::None)),
        // All packets, or some of them.
        (1, None),
        (2, None),
        // Version 1: one kind of message, not both.
        (3, None),
        (filter::V1_L4_SYNC, Some(RxFilter::V1Sync)),
        (filter::V1_L4_DELAY_REQ, Some(RxFilter::V1DelayReq)),
        // NTP, and what is not known yet.
        (15, None),
        (16, None),
        (u32::MAX, None),
    ] {
        assert_eq!(RxFilter::covering(asked), given, "{asked}");
    }
    for asked in filter::V2_L4_EVENT..=filter::V2_DELAY_REQ {
        assert_eq!(RxFilter::covering(asked), Some(RxFilter::V2Event));
    }
    let mut all = 0;
    for asked in 0..32 {
        let Some(given) = RxFilter::covering(asked) else {
            continue;
        };
        all |= 1 << given.number();
        // What was given can be asked for.
        assert_eq!(RxFilter::covering(given.number()), Some(given));
    }
    assert_eq!(RxFilter::ALL, all);
    assert_eq!(all, 0x1031);

    // Values as the Linux driver writes them.
    let registers = |filter: RxFilter| {
        let (control, config) = filter.registers();
        (control.raw(), config.raw())
    };
    assert_eq!(registers(RxFilter::None), (0, 0));
    assert_eq!(registers(RxFilter::V1Sync), (0x12, 0));
    assert_eq!(registers(RxFilter::V1DelayReq), (0x12, 1));
    assert_eq!(registers(RxFilter::V2Event), (0x1a, 0));
    assert_eq!(RxFilter::V2Event.transports(), (true, true));
    assert_eq!(RxFilter::V1Sync.transports(), (false, true));
    assert_eq!(RxFilter::None.transports(), (false, false));
}

#[test]
fn wraps() {
    // The count wraps after 2^45 ns; three days, read every four hours.
    let mut count = u64::MAX - 5;
    let mut clock = Clock::new(0, 0);
    clock.continue_on(count, 0);
    let step = 4 * 3600 * SECOND;
    for i in 1..=18 {
        count = count.wrapping_add(step << FRACTION_BITS);
        assert_eq!(clock.read(count, i * step), i * step);
    }
    // Time stamps from before the last reading.
    let before = count.wrapping_sub(3600 * SECOND << FRACTION_BITS);
    assert_eq!(clock.at(before), Some(18 * step - 3600 * SECOND));
    assert_eq!(clock.at(count.wrapping_sub(1)), Some(18 * step - 1));
}

#[test]
fn sets_and_adjusts_exactly() {
    let mut clock = Clock::new(7, 0);
    clock.continue_on(1 << 60, 0);
    let later = (1u64 << 60) + (1234 << FRACTION_BITS) + 99;
    assert_eq!(clock.read(later, 1234), 7 + 1234);
    clock.set(1_700_000_000 * SECOND);
    assert_eq!(clock.at(later), Some(1_700_000_000 * SECOND));
    clock.adjust(-5);
    clock.adjust(3);
    assert_eq!(clock.at(later), Some(1_700_000_000 * SECOND - 2));
    clock.leave(5000);
    clock.set(12);
    assert_eq!(clock.without_device(5001), 13);
    // The system's clock does not go back; if it did, this one would stand still.
    assert_eq!(clock.without_device(4000), 12);
    // Whatever the next device counts; time stamps mean nothing before it was read.
    assert_eq!(clock.at(later), None);
    assert_eq!(clock.read(3, 5010), 22);
    assert_eq!(clock.at(3 + (5 << FRACTION_BITS)), Some(27));
}

/// A device: what it counts, and how fast.
#[derive(Clone, Copy, Debug)]
struct Device {
    count: u64,
    increment: u32,
}

#[derive(Clone, Debug)]
enum Event {
    /// Time goes by.
    Pass(u64),
    /// The clock is read.
    Read,
    /// Another device, reached after a while; whether it was read before.
    Replace(u64, u64, bool),
    /// The clock is read, set and adjusted while there is no device, for a while.
    Away(u64, Option<i64>, Option<i64>),
    /// The frequency is changed; whether the count jumps, as the emulator's does.
    Tune(i64, Option<u64>),
    Adjust(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let hour = 3600 * SECOND;
    let ppm = -500_000_000i64..500_000_000;
    let small = -(1i64 << 40)..1 << 40;
    prop_oneof![
        (0..hour).prop_map(Event::Pass),
        Just(Event::Read),
        (any::<u64>(), 0..hour, any::<bool>()).prop_map(|(a, b, c)| Event::Replace(a, b, c)),
        (
            0..hour,
            proptest::option::of(ppm.clone()),
            proptest::option::of(small.clone())
        )
            .prop_map(|(a, b, c)| Event::Away(a, b, c)),
        // A jump that is to be seen: back, or by more than a microsecond.
        (ppm, proptest::option::of(1u64 << 34..1 << 63)).prop_map(|(a, b)| Event::Tune(a, b)),
        small.prop_map(Event::Adjust),
    ]
}

proptest! {
    #[test]
    fn increments_are_monotonic_and_close(ppb in -999_999_880i64..999_999_880) {
        let here = increment(scaled(ppb));
        prop_assert!(here <= increment(scaled(ppb) + 1));
        let exact = f64::from(NOMINAL) * (1.0 + ppb as f64 / 1e9);
        prop_assert!((f64::from(here) - exact).abs() < 0.51, "{here} for {exact}");
    }

    /// Whatever happens to the device, the clock is what an ideal one would be: it goes on at the adjusted frequency, whether a
    /// device counts or the system's clock stands in.
    #[test]
    fn goes_on(start in any::<u64>(), events in proptest::collection::vec(event(), 1..60)) {
        let mut device = Device { count: start, increment: NOMINAL };
        let mut system = 0u64;
        let mut clock = Clock::new(1 << 50, system);
        clock.continue_on(device.count, system);
        // In the count's unit, since 0.
        let mut ideal = (1u128 << 50) << FRACTION_BITS;
        let pass = |device: &mut Device, system: &mut u64, ideal: &mut u128, ns: u64| {
            // Whole periods, so that the model has no rounding of its own.
            let periods = ns / 16;
            device.count = device.count.wrapping_add(periods.wrapping_mul(device.increment.into()));
            *system += periods * 16;
            *ideal += u128::from(periods) * u128::from(device.increment);
        };
        let mut roundings = ROUNDING;
        for event in events {
            match event {
                Event::Pass(ns) => pass(&mut device, &mut system, &mut ideal, ns),
                Event::Read => { clock.read(device.count, system); }
                Event::Replace(count, ns, read) => {
                    // Unread, the clock's base is as old as the last reading.
                    if read {
                        clock.read(device.count, system);
                    }
                    pass(&mut device, &mut system, &mut ideal, ns);
                    device.count = count;
                    clock.continue_on(device.count, system);
                    roundings += ROUNDING;
                }
                Event::Away(ns, ppb, delta) => {
                    clock.read(device.count, system);
                    pass(&mut device, &mut system, &mut ideal, ns);
                    if let Some(ppb) = ppb {
                        device.increment = increment(scaled(ppb));
                        clock.tune_without_device(device.increment, system);
                        roundings += ROUNDING;
                    }
                    if let Some(delta) = delta {
                        clock.adjust(delta);
                        ideal = ideal.wrapping_add_signed(i128::from(delta) << FRACTION_BITS);
                    }
                    pass(&mut device, &mut system, &mut ideal, ns);
                    let shown = clock.without_device(system);
                    prop_assert!(shown.abs_diff((ideal >> FRACTION_BITS) as u64) <= roundings);
                    device.count = device.count.rotate_left(7);
                    clock.continue_on(device.count, system);
                    roundings += ROUNDING;
                }
                Event::Tune(ppb, jump) => {
                    clock.read(device.count, system);
                    let window = 800;
                    pass(&mut device, &mut system, &mut ideal, window);
                    device.increment = increment(scaled(ppb));
                    if let Some(jump) = jump {
                        device.count = device.count.wrapping_add(jump);
                        // The system's clock says how long it was, at the old frequency.
                        roundings += ROUNDING;
                    }
                    clock.tuned(device.increment, device.count, system, window);
                }
                Event::Adjust(delta) => {
                    clock.adjust(delta);
                    ideal = ideal.wrapping_add_signed(i128::from(delta) << FRACTION_BITS);
                }
            }
            // Half a wrap is what a clock may go unread.
            let shown = clock.read(device.count, system);
            prop_assert!(
                shown.abs_diff((ideal >> FRACTION_BITS) as u64) <= roundings,
                "{shown} instead of {}", ideal >> FRACTION_BITS
            );
            prop_assert_eq!(clock.increment(), device.increment);
        }
    }

    /// Readings do not go back while devices come and go.
    #[test]
    fn never_goes_back(
        steps in proptest::collection::vec((any::<u64>(), 0u64..10 * SECOND, any::<bool>()), 1..40),
        ppb in -900_000_000i64..900_000_000,
    ) {
        let mut clock = Clock::new(SECOND, 0);
        clock.tune_without_device(increment(scaled(ppb)), 0);
        let (mut count, mut system, mut last) = (0u64, 0, 0);
        for (another, ns, here) in steps {
            if here {
                count = count.wrapping_add((ns << FRACTION_BITS) / 2);
                system += ns;
                let now = clock.read(count, system);
                prop_assert!(now >= last);
                last = now;
            } else {
                system += ns;
                let now = clock.without_device(system);
                prop_assert!(now >= last);
                clock.continue_on(another, system);
                count = another;
                prop_assert!(clock.at(count) >= Some(now));
                last = clock.at(count).unwrap_or(0);
            }
        }
    }
}
