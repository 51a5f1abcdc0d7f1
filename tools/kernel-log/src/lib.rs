// SPDX-License-Identifier: GPL-2.0

//! What a kernel complains about, for all test programs alike: lines of its log, and memory that kmemleak finds
//! to be leaked.

pub mod kmemleak;

/// Words in lines with which a kernel, or one of its checkers, complains.
const COMPLAINTS: [&str; 17] = [
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops",
    "Call Trace",
    "general protection",
    "rust_kernel: panicked",
    "KASAN: ",
    "UBSAN: ",
    "INFO: task",
    "INFO: possible",
    "refcount_t",
    "DMA-API:",
    "DMAR: [DMA",
    "DRHD: handling fault",
    "NETDEV WATCHDOG",
    "timed out",
];

/// What is no complaint although it looks like one: all of these words in one line.
const HARMLESS: [&[&str]; 3] = [
    // Said while booting.
    &["DMA-API: preallocated"],
    &["DMA-API: debugging enabled"],
    // The emulated machine's processors look at each other's clocks, and are not always in time.
    &["clocksource: Watchdog remote CPU", "read timed out"],
];

/// The emulated machine delivers a timer's interrupt twice now and then; see Documentation/testing.rst. From
/// here to the end of the trace nothing counts.
const TIMER: &str = "WARNING: kernel/time/hrtimer.c";

/// The kernel says so when it has started itself. No module of ours has been loaded before, and kernels with
/// checkers find fault with their own early boot.
const STARTED: &str = "as init process";

/// The lines of a kernel log that speak of a defect.
pub fn complaints(log: &str) -> Vec<String> {
    let mut skipping = false;
    let own = log.find(STARTED).unwrap_or(0);
    log[own..]
        .lines()
        .filter(|line| {
            skipping |= line.contains(TIMER);
            let counts = !skipping
                && COMPLAINTS.iter().any(|word| line.contains(word))
                && !HARMLESS
                    .iter()
                    .any(|words| words.iter().all(|word| line.contains(word)));
            skipping &= !line.contains("end trace");
            counts
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_found() {
        let log =
            "[ 1.0] all well\n[ 2.0] WARNING: CPU: 0 PID: 1 at x\n[ 3.0] DMAR: [DMA Write] fault\n";
        assert_eq!(complaints(log).len(), 2);
    }

    #[test]
    fn what_came_before_init_is_not_ours() {
        let log = "[ 0.0] BUG: KASAN: wild-memory-access in x\n[ 5.8] Run /init as init process\n[ 6.0] BUG: y\n";
        assert_eq!(complaints(log), ["[ 6.0] BUG: y"]);
    }

    #[test]
    fn a_timer_that_fires_twice_is_not_ours() {
        let log = "WARNING: kernel/time/hrtimer.c:2101 at x\nCall Trace:\n---[ end trace ]---\n\
                   WARNING: net/core/dev.c:1 at y\nCall Trace:\n---[ end trace ]---\n";
        assert_eq!(
            complaints(log),
            ["WARNING: net/core/dev.c:1 at y", "Call Trace:"]
        );
    }

    #[test]
    fn only_the_clock_watchdog_may_time_out() {
        let log = "[ 9.1] clocksource: Watchdog remote CPU 1 read timed out\n\
                   [ 9.2] clocksource: Watchdog clocksource read timed out\n\
                   [ 9.3] igbvf_compsc 0000:01:10.0: mailbox timed out\n";
        assert_eq!(complaints(log).len(), 2);
        assert!(complaints("DMA-API: preallocated 65536 debug entries\n").is_empty());
        assert_eq!(complaints("DMA-API: debugging out of memory\n").len(), 1);
    }
}
