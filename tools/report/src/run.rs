// SPDX-License-Identifier: GPL-2.0

//! Figures of runs and of their migrations. What a report of schema 1 may lack is empty or 0 then.

use crate::figures::Figures;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// Figures of one migration; the names are those of the report's format.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Row {
    /// From the command to completion, by QEMU, in milliseconds.
    pub total_ms: u64,
    /// The guest's standstill by QEMU, in milliseconds.
    pub downtime_ms: u64,
    /// Longest time without an arrival, per stream, in milliseconds.
    pub gap_ms: BTreeMap<String, f64>,
    /// Gaps as (begin, end) in milliseconds since the guest was stopped.
    #[serde(default)]
    pub gap_span_ms: BTreeMap<String, (f64, f64)>,
    /// Datagrams lost, both ways.
    pub lost: u64,
    /// Datagrams that arrived more than once, both ways.
    pub duplicated: u64,
    /// Datagrams that arrived damaged, both ways.
    pub corrupted: u64,
    /// Lost, per stream.
    #[serde(default)]
    pub lost_by_stream: BTreeMap<String, u64>,
    /// TCP segments sent again, both sides.
    #[serde(default)]
    pub retransmits: u64,
    /// Rounds of pre-copy.
    pub precopy_rounds: u64,
    /// Bytes sent while the guest ran.
    #[serde(default)]
    pub precopy_bytes: u64,
    /// Bytes sent while the guest was stopped.
    #[serde(default)]
    pub downtime_bytes: u64,
    /// Bytes of device state.
    pub device_bytes: u64,
    /// How long the guest's driver took to restore the function; null if it does not tell.
    pub restore_us: Option<u64>,
    /// Beginning of each stage in milliseconds since the engine was called.
    #[serde(default)]
    pub stages_ms: BTreeMap<String, f64>,
    /// Changes of the carrier seen by the guest.
    #[serde(default)]
    pub carrier_changes: u64,
    /// Counters that went back, with their values before and after.
    #[serde(default)]
    pub counters_went_back: Vec<(String, u64, u64)>,
    /// The VFIO driver's figures of the source function.
    #[serde(default)]
    pub source: Figures,
    /// The VFIO driver's figures of the destination function.
    #[serde(default)]
    pub destination: Figures,
    /// The guest driver's figures.
    #[serde(default)]
    pub guest: Figures,
}

/// Figures of one run: one driver, several migrations.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Run {
    /// The guest's driver.
    pub driver: String,
    /// What the guest owned, "vf" or "pf"; empty where it was not recorded, and then "vf".
    #[serde(default)]
    pub function: String,
    /// Driver of the physical function on the host, or of the one at the other end of the guest's cable; empty where it
    /// was not recorded.
    #[serde(default)]
    pub host_driver: String,
    /// One entry per migration that completed.
    pub migrations: Vec<Row>,
    /// Migrations that were asked for.
    #[serde(default)]
    pub wanted: usize,
    /// Longest gap per stream before the first migration, in milliseconds.
    #[serde(default)]
    pub baseline_gap_ms: BTreeMap<String, f64>,
    /// Datagrams sent, per stream.
    #[serde(default)]
    pub datagrams_sent: BTreeMap<String, u64>,
    /// Datagrams lost, duplicated and corrupted in the whole run, both ways.
    #[serde(default)]
    pub lost: u64,
    /// See `lost`.
    #[serde(default)]
    pub duplicated: u64,
    /// See `lost`; also counts segments and datagrams whose checksum the stack refused.
    #[serde(default)]
    pub corrupted: u64,
    /// Datagrams that arrived after one with a higher number.
    #[serde(default)]
    pub reordered: u64,
    /// Bytes of each bulk stream, sent and received.
    #[serde(default)]
    pub bulk_bytes: BTreeMap<String, (u64, u64)>,
    /// Requests that were answered.
    #[serde(default)]
    pub exchanges: usize,
    /// Everything that went wrong, in words. Empty if nothing did.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Throughput of the bulk streams: milliseconds since the beginning, bits per second.
    #[serde(default)]
    pub throughput: BTreeMap<String, Vec<(f64, f64)>>,
    /// When each migration stopped the guest, in milliseconds since the beginning.
    #[serde(default)]
    pub stop_ms: Vec<f64>,
}

/// The middle value of `values`; NaN if there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

impl Run {
    /// Median over the migrations of a stream's gap minus QEMU's downtime, in milliseconds.
    pub fn excess_ms(&self, stream: &str) -> f64 {
        let excess = |row: &Row| {
            // CAST: milliseconds.
            row.gap_ms.get(stream).copied().unwrap_or(f64::NAN) - row.downtime_ms as f64
        };
        median(self.migrations.iter().map(excess).collect())
    }

    /// Whether everything completed and nothing was corrupted or duplicated.
    pub fn is_good(&self) -> bool {
        self.migrations.len() == self.wanted
            && self.corrupted == 0
            && self.duplicated == 0
            && self.problems.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::Report;

    #[test]
    fn the_median_is_the_middle() {
        assert!(median(Vec::new()).is_nan());
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
    }

    /// What every report of schema 1 has, and no more.
    const SMALLEST: &str = r#"{"schema":1,"later":[],"runs":[{"driver":"compsc","migrations":[
        {"total_ms":900,"downtime_ms":100,"gap_ms":{"rr":130.5},"lost":2,"duplicated":0,"corrupted":0,
         "precopy_rounds":3,"device_bytes":4096,"restore_us":null,"later":1}]}]}"#;

    #[test]
    fn reports_survive_writing_and_reading() {
        let mut report = Report::parse(SMALLEST).unwrap();
        assert_eq!(report.runs[0].migrations[0].restore_us, None);
        assert_eq!(report.runs[0].excess_ms("rr"), 30.5);
        let run = &mut report.runs[0];
        run.throughput
            .insert("tcp_in".to_owned(), vec![(0.0, 1e6), (100.0, 2.5e6)]);
        run.migrations[0].restore_us = Some(1500);
        let text = serde_json::to_string(&report).unwrap();
        let again = Report::parse(&text).unwrap();
        assert_eq!(again.runs, report.runs);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(Report::parse("[]"), Err(Error::Format(_))));
        assert!(matches!(
            Report::parse(r#"{"schema":2,"runs":"of another kind"}"#),
            Err(Error::Schema(2))
        ));
        let text = SMALLEST.replace("\"lost\":2,", "");
        let message = Report::parse(&text).unwrap_err().to_string();
        assert!(message.contains("lost"), "{message}");
    }
}
