// SPDX-License-Identifier: GPL-2.0

//! When how many bytes arrived, in buckets of one millisecond, and what follows from it.

use serde::Deserialize;
use serde::Serialize;

/// Monotonic time of this machine in nanoseconds.
pub fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000_000
        + u64::try_from(now.tv_nsec()).unwrap_or(0)
}

/// Length of a bucket in nanoseconds.
pub const BUCKET_NS: u64 = 1_000_000;

/// Arrivals of one stream by the receiver's clock.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    base_ns: u64,
    bytes: Vec<u32>,
}

impl Timeline {
    /// An empty timeline that begins at `base_ns`.
    pub fn new(base_ns: u64) -> Self {
        Self {
            base_ns,
            bytes: Vec::new(),
        }
    }

    /// Records that `bytes` arrived at `now`.
    pub fn add(&mut self, now: u64, bytes: usize) {
        let index = usize::try_from(now.saturating_sub(self.base_ns) / BUCKET_NS).unwrap_or(0);
        if index >= self.bytes.len() {
            self.bytes.resize(index + 1, 0);
        }
        self.bytes[index] =
            self.bytes[index].saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// The form that travels between guest and host.
    pub fn pack(&self) -> Packed {
        let mut runs = Vec::new();
        let mut empty = 0_i64;
        for &bytes in &self.bytes {
            if bytes == 0 {
                empty += 1;
                continue;
            }
            if empty > 0 {
                runs.push(-empty);
                empty = 0;
            }
            runs.push(i64::from(bytes));
        }
        Packed {
            base_ns: self.base_ns,
            runs,
        }
    }
}

/// A timeline as sent over the agent's port: bytes per bucket; -n stands for n empty buckets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Packed {
    base_ns: u64,
    runs: Vec<i64>,
}

impl Packed {
    /// Time (start of the bucket, receiver's clock) and bytes of every bucket that is not empty.
    pub fn arrivals(&self) -> Vec<(u64, u32)> {
        let mut at = self.base_ns;
        let mut out = Vec::new();
        for &run in &self.runs {
            if run < 0 {
                at += run.unsigned_abs() * BUCKET_NS;
            } else {
                out.push((at, u32::try_from(run).unwrap_or(u32::MAX)));
                at += BUCKET_NS;
            }
        }
        out
    }
}

/// Maps another machine's clock to ours by samples of both: request/response exchanges in which
/// the other side told its time, set against the middle of sending and receiving here.
///
/// A guest's clock may stand still or run on while it is stopped, as the platform has it, so one
/// offset does not do. Each time is mapped by the sample nearest to it.
#[derive(Clone, Debug, Default)]
pub struct ClockMap {
    /// (other clock, our clock), by the other clock.
    samples: Vec<(u64, u64)>,
}

impl ClockMap {
    /// From samples (other clock, ours) in nanoseconds.
    pub fn new(mut samples: Vec<(u64, u64)>) -> Self {
        samples.sort_unstable();
        Self { samples }
    }

    /// The other machine's `time` by our clock.
    pub fn map(&self, time: u64) -> u64 {
        let after = self.samples.partition_point(|s| s.0 < time);
        let nearest = match (
            after.checked_sub(1).map(|i| self.samples[i]),
            self.samples.get(after),
        ) {
            (Some(a), Some(&b)) => {
                if time - a.0 <= b.0 - time {
                    a
                } else {
                    b
                }
            }
            (Some(a), None) => a,
            (None, Some(&b)) => b,
            (None, None) => return time,
        };
        if time >= nearest.0 {
            nearest.1 + (time - nearest.0)
        } else {
            nearest.1.saturating_sub(nearest.0 - time)
        }
    }
}

/// Longest time without an arrival that overlaps `from..to`, as (begin, end). The silence before
/// the first and after the last arrival counts up to the window's edges.
pub fn longest_gap(arrivals: &[u64], from: u64, to: u64) -> (u64, u64) {
    let first = arrivals.partition_point(|&a| a < from);
    let last = arrivals.partition_point(|&a| a <= to);
    let mut previous = first.checked_sub(1).map_or(from, |i| arrivals[i]);
    let mut best = (previous, previous);
    let mut note = |begin: u64, end: u64| {
        if end.saturating_sub(begin) > best.1 - best.0 {
            best = (begin, end);
        }
    };
    for &arrival in &arrivals[first..last] {
        note(previous, arrival);
        previous = previous.max(arrival);
    }
    note(
        previous,
        arrivals
            .get(last)
            .copied()
            .unwrap_or(to)
            .min(to)
            .max(previous),
    );
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_arrivals() {
        let mut line = Timeline::new(5_000_000);
        line.add(5_000_001, 10);
        line.add(5_999_999, 5);
        line.add(9_000_000, 7);
        assert_eq!(line.pack().arrivals(), [(5_000_000, 15), (9_000_000, 7)]);
    }

    #[test]
    fn gap_overlaps_window() {
        let arrivals = [10, 20, 30, 100, 110, 400];
        assert_eq!(longest_gap(&arrivals, 25, 120), (30, 100));
        assert_eq!(longest_gap(&arrivals, 50, 60), (30, 60));
        assert_eq!(longest_gap(&arrivals, 105, 500), (110, 400));
        assert_eq!(longest_gap(&arrivals, 410, 900), (400, 900));
        assert_eq!(longest_gap(&[], 1, 9), (1, 9));
    }

    #[test]
    fn clock_that_stood_still() {
        // Offset 1000 before, 6000 after a pause of 5000.
        let map = ClockMap::new(vec![(0, 1000), (100, 1100), (200, 6200), (300, 6300)]);
        assert_eq!(map.map(90), 1090);
        assert_eq!(map.map(140), 1140);
        assert_eq!(map.map(190), 6190);
        assert_eq!(map.map(350), 6350);
    }
}
