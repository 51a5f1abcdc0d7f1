// SPDX-License-Identifier: GPL-2.0

//! From arrivals on both sides to figures per migration.
//!
//! All times are brought to the host's monotonic clock. What arrives at the host is stamped there.
//! What arrives in the guest is stamped by the guest's clock and mapped with [`ClockMap`]: a migration
//! may change how far the two clocks are apart, and the request/response stream samples that all the
//! time. The request/response stream, sent and received at the host, is the reference for the
//! service gap.

use crate::session::Migration;
use crate::session::Seen;
use crate::traffic::Datagrams;
use crate::traffic::timeline::ClockMap;
use crate::traffic::timeline::longest_gap;
use compsc_migrate::Stage;
use compsc_report::STREAMS;
use compsc_report::run::Row;
use compsc_report::run::Run;
use std::collections::BTreeMap;

/// Width of one step of [`Run::throughput`] in nanoseconds.
const STEP: u64 = 100_000_000;

fn ms(ns: u64) -> f64 {
    // CAST: exact up to 2^53 ns, a hundred days.
    (ns / 1000) as f64 / 1000.0
}

fn signed_ms(at: u64, zero: u64) -> f64 {
    if at >= zero {
        ms(at - zero)
    } else {
        -ms(zero - at)
    }
}

/// Samples of the guest's clock whose round trip was short enough to tell the time.
fn clock_map(seen: &Seen) -> ClockMap {
    let mut trips: Vec<u64> = seen
        .exchanges
        .iter()
        .map(|e| e.received_ns - e.sent_ns)
        .collect();
    trips.sort_unstable();
    let typical = trips.get(trips.len() / 2).copied().unwrap_or(0);
    let good = seen
        .exchanges
        .iter()
        .filter(|e| e.received_ns - e.sent_ns <= 3 * typical)
        .map(|e| (e.guest_ns, e.sent_ns / 2 + e.received_ns / 2));
    ClockMap::new(good.collect())
}

/// Brings everything together. `begin` is when the traffic was complete, `end` when it was ended;
/// `monotonic` brings QEMU's times (wall clock, microseconds) to the host's monotonic clock.
pub fn analyse(
    driver: &str,
    wanted: usize,
    migrations: &[Migration],
    seen: &Seen,
    (begin, end): (u64, u64),
    monotonic: impl Fn(u64) -> u64,
) -> Run {
    let map = clock_map(seen);
    let mut arrivals: BTreeMap<&str, Vec<(u64, u32)>> = BTreeMap::new();
    for stream in STREAMS {
        let line = match stream {
            "rr" => seen.exchanges.iter().map(|e| (e.received_ns, 64)).collect(),
            "tcp_in" | "udp_in" => {
                let packed = seen
                    .guest
                    .timelines
                    .get(stream)
                    .cloned()
                    .unwrap_or_default();
                packed
                    .arrivals()
                    .iter()
                    .map(|&(at, n)| (map.map(at), n))
                    .collect()
            }
            _ => seen
                .host
                .timelines
                .get(stream)
                .cloned()
                .unwrap_or_default()
                .arrivals(),
        };
        arrivals.insert(stream, line);
    }
    let times: BTreeMap<&str, Vec<u64>> = arrivals
        .iter()
        .map(|(&name, line)| {
            let mut times: Vec<u64> = line.iter().map(|a| a.0).collect();
            // Mapped times of two samples may overlap by their error.
            times.sort_unstable();
            (name, times)
        })
        .collect();

    let starts: Vec<u64> = migrations
        .iter()
        .map(|m| monotonic(m.outcome.begin_us(Stage::PreCopy).unwrap_or(0)))
        .collect();
    // Which migration a moment belongs to: the last one begun before.
    let owner = |at: u64| starts.partition_point(|&s| s <= at).checked_sub(1);

    let mut lost = vec![BTreeMap::<String, u64>::new(); migrations.len()];
    let mut duplicated = vec![0_u64; migrations.len()];
    let mut corrupted = vec![0_u64; migrations.len()];
    let mut run = Run {
        driver: driver.to_owned(),
        function: String::new(),
        host_driver: String::new(),
        migrations: Vec::new(),
        wanted,
        baseline_gap_ms: BTreeMap::new(),
        datagrams_sent: BTreeMap::new(),
        lost: 0,
        duplicated: 0,
        corrupted: 0,
        reordered: 0,
        bulk_bytes: BTreeMap::new(),
        exchanges: seen.exchanges.len(),
        problems: Vec::new(),
        throughput: BTreeMap::new(),
        stop_ms: Vec::new(),
    };
    let to_host = |at: u64| at;
    let to_guest = |at: u64| map.map(at);
    let sides: [(&str, _, _, &dyn Fn(u64) -> u64); 2] = [
        ("udp_in", &seen.host, &seen.guest, &to_guest),
        ("udp_out", &seen.guest, &seen.host, &to_host),
    ];
    for (name, sender, receiver, clock) in sides {
        let sent = sender.datagrams_sent.get(name).copied().unwrap_or(0);
        let got = receiver.datagrams.get(name).cloned().unwrap_or_default();
        run.datagrams_sent.insert(name.to_owned(), sent);
        if got.received == 0 {
            run.problems
                .push(format!("{name}: not one datagram arrived"));
        }
        run.reordered += got.reordered;
        for (at, count) in losses(&got, sent, end, clock) {
            run.lost += count;
            if let Some(i) = owner(at) {
                *lost[i].entry(name.to_owned()).or_default() += count;
            }
        }
        for (times, total, per) in [
            (&got.duplicated_ns, &mut run.duplicated, &mut duplicated),
            (&got.corrupted_ns, &mut run.corrupted, &mut corrupted),
        ] {
            *total += times.len() as u64;
            for &at in times {
                if let Some(i) = owner(clock(at)) {
                    per[i] += 1;
                }
            }
        }
    }
    for stack in [&seen.guest_stack, &seen.host_stack] {
        run.corrupted += stack.tcp_checksum_errors + stack.udp_checksum_errors;
    }
    compare_bulk(&mut run, seen);
    for (side, report) in [("guest", &seen.guest), ("host", &seen.host)] {
        let errors = report.errors.iter().map(|e| format!("{side}: {e}"));
        run.problems.extend(errors);
    }

    let first = starts.first().copied().unwrap_or(end);
    for (name, times) in &times {
        let (from, to) = longest_gap(times, begin, first);
        run.baseline_gap_ms
            .insert((*name).to_owned(), ms(to - from));
    }
    for name in ["tcp_in", "tcp_out"] {
        run.throughput
            .insert(name.to_owned(), throughput(&arrivals[name], begin, end));
    }
    for (i, migration) in migrations.iter().enumerate() {
        let out = &migration.outcome;
        let stop = monotonic(out.begin_us(Stage::StopAndCopy).unwrap_or(0));
        // What comes later belongs to the preparation of the next destination.
        let until = match migration.settled_ns {
            0 => starts.get(i + 1).copied().unwrap_or(end),
            settled => settled,
        };
        run.stop_ms.push(signed_ms(stop, begin));
        let mut gap_ms = BTreeMap::new();
        let mut gap_span_ms = BTreeMap::new();
        for (name, times) in &times {
            let (from, to) = longest_gap(times, starts[i], until);
            gap_ms.insert((*name).to_owned(), ms(to - from));
            gap_span_ms.insert(
                (*name).to_owned(),
                (signed_ms(from, stop), signed_ms(to, stop)),
            );
        }
        let zero = out.begin_us(Stage::PreMigration).unwrap_or(0);
        let (before, after) = &migration.health;
        run.migrations.push(Row {
            total_ms: out.total_ms,
            downtime_ms: out.downtime_ms,
            gap_ms,
            gap_span_ms,
            lost: lost[i].values().sum(),
            duplicated: duplicated[i],
            corrupted: corrupted[i],
            lost_by_stream: lost[i].clone(),
            retransmits: migration.retransmits,
            precopy_rounds: out.precopy_rounds,
            precopy_bytes: out.precopy_bytes,
            downtime_bytes: out.downtime_bytes,
            device_bytes: out.device_bytes,
            restore_us: migration.restore_us,
            stages_ms: out
                .stages
                .iter()
                .map(|s| {
                    (
                        s.stage.to_string(),
                        ms(s.begin_us.saturating_sub(zero) * 1000),
                    )
                })
                .collect(),
            carrier_changes: after.carrier_changes.saturating_sub(before.carrier_changes),
            counters_went_back: after.went_back(before),
            source: migration.source.clone(),
            destination: migration.destination.clone(),
            guest: after.figures.clone(),
        });
    }
    run
}

/// When how many datagrams were missed, on the host's clock.
fn losses(got: &Datagrams, sent: u64, end: u64, clock: &dyn Fn(u64) -> u64) -> Vec<(u64, u64)> {
    let mut out: Vec<(u64, u64)> = got
        .lost
        .iter()
        .map(|lost| (clock(lost.noticed_ns), lost.count))
        .collect();
    if sent > got.next {
        out.push((end, sent - got.next));
    }
    out
}

/// Both ends of each bulk stream must have seen the same bytes.
fn compare_bulk(run: &mut Run, seen: &Seen) {
    for (name, from, to) in [
        ("tcp_in", &seen.host, &seen.guest),
        ("tcp_out", &seen.guest, &seen.host),
    ] {
        let (Some(sent), Some(got)) = (from.sent.get(name), to.received.get(name)) else {
            run.problems.push(format!("{name}: the stream did not end"));
            continue;
        };
        run.bulk_bytes
            .insert(name.to_owned(), (sent.bytes, got.bytes));
        if (sent.bytes, sent.hash) == (got.bytes, got.hash) {
            continue;
        }
        let same = sent
            .checkpoints
            .iter()
            .zip(&got.checkpoints)
            .take_while(|(a, b)| a == b)
            .count() as u64;
        let equal = same * crate::traffic::content::CHECKPOINT;
        if same < sent.checkpoints.len().min(got.checkpoints.len()) as u64
            || sent.bytes == got.bytes
        {
            run.corrupted += 1;
            run.problems
                .push(format!("{name}: content differs after byte {equal}"));
        } else {
            run.problems.push(format!(
                "{name}: {} of {} bytes arrived",
                got.bytes, sent.bytes
            ));
        }
    }
}

fn throughput(arrivals: &[(u64, u32)], begin: u64, end: u64) -> Vec<(f64, f64)> {
    let steps = usize::try_from(end.saturating_sub(begin) / STEP).unwrap_or(0);
    let mut bytes = vec![0_u64; steps];
    for &(at, n) in arrivals {
        if let Some(index) = at
            .checked_sub(begin)
            .and_then(|d| usize::try_from(d / STEP).ok())
        {
            if let Some(slot) = bytes.get_mut(index) {
                *slot += u64::from(n);
            }
        }
    }
    bytes
        .iter()
        .enumerate()
        .map(|(i, &n)| {
            // CAST: figures of a picture.
            (ms(i as u64 * STEP), n as f64 * 8.0 * 1e9 / STEP as f64)
        })
        .collect()
}
