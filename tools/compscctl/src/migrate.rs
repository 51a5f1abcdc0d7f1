// SPDX-License-Identifier: GPL-2.0

//! `compscctl migrate`: one live migration between two QEMU processes, by their monitors.

use crate::output::Format;
use crate::output::print;
use crate::output::print_json;
use anyhow::Context;
use anyhow::Result;
use clap::Args;
use compsc_migrate::Error;
use compsc_migrate::Observer;
use compsc_migrate::Outcome;
use compsc_migrate::Plan;
use compsc_migrate::Progress;
use compsc_migrate::Stage;
use compsc_migrate::Verdict;
use compsc_migrate::show::Show;
use compsc_report::tables::table;
use serde::Serialize;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::flag;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Options of `compscctl migrate`.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// QMP socket of the QEMU that runs the guest.
    #[arg(long, value_name = "QMP", value_parser = socket)]
    source: PathBuf,
    /// QMP socket of the QEMU that waits with -incoming defer.
    #[arg(long, value_name = "QMP", value_parser = socket)]
    destination: PathBuf,
    /// Channel between the two, as QEMU spells it: unix:PATH or tcp:HOST:PORT. Default: a socket beside the
    /// destination's.
    #[arg(long, value_name = "URI")]
    channel: Option<String>,
    /// Where the destination listens, if that is not the channel: tcp:0.0.0.0:PORT, or the far end of a relay.
    #[arg(long, value_name = "URI")]
    listen: Option<String>,
    /// QEMU stops the guest when it expects the rest to take no longer than this, in milliseconds.
    #[arg(long, default_value_t = 300, value_name = "MS")]
    downtime_limit: u64,
    /// Most bytes per second, with suffix K, M or G (powers of 1024) if wanted; 0 is no limit.
    #[arg(long, default_value = "0", value_name = "BYTES", value_parser = bytes)]
    max_bandwidth: u64,
    /// Cancel after so many seconds.
    #[arg(long, default_value_t = 300, value_name = "S")]
    timeout: u64,
    #[command(flatten)]
    format: Format,
}

/// A monitor socket, as a path or as QEMU's own option spells it.
fn socket(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    let path = path.split(',').next().unwrap_or_default();
    if path.is_empty() {
        return Err("the path of a socket is wanted".to_owned());
    }
    Ok(PathBuf::from(path))
}

/// A number of bytes with a suffix.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.chars().last() {
        Some('K' | 'k') => (&text[..text.len() - 1], 10),
        Some('M' | 'm') => (&text[..text.len() - 1], 20),
        Some('G' | 'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "a number of bytes is wanted, such as 500000, 64K, 100M or 1G".to_owned())
}

/// Shows the migration, and cancels it when a signal says so.
struct Watch {
    show: Show,
    /// A signal came.
    cancel: Arc<AtomicBool>,
    /// The user was told that it did.
    told: bool,
    /// Nothing has been changed yet: a signal simply ends the program.
    idle: Arc<AtomicBool>,
}

impl Watch {
    fn new() -> Result<Self> {
        let watch = Self {
            show: Show::new("migration"),
            cancel: Arc::new(AtomicBool::new(false)),
            told: false,
            idle: Arc::new(AtomicBool::new(true)),
        };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_default(signal, watch.idle.clone())
                .and_then(|_| flag::register(signal, watch.cancel.clone()))
                .with_context(|| format!("cannot take signal {signal}"))?;
        }
        Ok(watch)
    }
}

impl Observer for Watch {
    fn stage(&mut self, stage: Stage) {
        if stage > Stage::PreMigration {
            self.idle.store(false, Ordering::SeqCst);
        }
        self.show.stage(stage);
    }

    fn progress(&mut self, stage: Stage, progress: &Progress) -> Verdict {
        if self.cancel.load(Ordering::SeqCst) {
            if !self.told {
                self.told = true;
                self.show.step("migration: cancelling");
            }
            return Verdict::Cancel;
        }
        self.show.progress(stage, progress)
    }
}

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// completed, cancelled or failed.
    result: &'static str,
    /// What went wrong, in words.
    error: Option<String>,
    /// The figures of a completed migration.
    outcome: Option<&'a Outcome>,
}

/// The stages with their times, and the figures.
fn report(outcome: &Outcome) -> String {
    let begin = outcome.begin_us(Stage::PreMigration).unwrap_or(0);
    // CAST: times of a migration in microseconds.
    let ms = |us: u64| format!("{:.1}", us as f64 / 1000.0);
    let stages = outcome.stages.iter().enumerate().map(|(i, stage)| {
        let end = outcome.stages.get(i + 1);
        vec![
            format!("{} {}", stage.stage.number(), stage.stage),
            ms(stage.begin_us.saturating_sub(begin)),
            end.map_or_else(String::new, |next| {
                ms(next.begin_us.saturating_sub(stage.begin_us))
            }),
        ]
    });
    let figures = [
        ("total by QEMU, ms", outcome.total_ms.to_string()),
        ("downtime by QEMU, ms", outcome.downtime_ms.to_string()),
        ("stop to resume, ms", ms(outcome.stop_to_resume_us)),
        ("rounds of pre-copy", outcome.precopy_rounds.to_string()),
        (
            "sent while the guest ran, KiB",
            (outcome.precopy_bytes / 1024).to_string(),
        ),
        (
            "sent while it stood still, KiB",
            (outcome.downtime_bytes / 1024).to_string(),
        ),
        ("device state, bytes", outcome.device_bytes.to_string()),
    ];
    let figures = figures.map(|(name, value)| vec![name.to_owned(), value]);
    format!(
        "{}\n\n{}\n",
        table(["stage", "begins\nms", "takes\nms"], 1, stages),
        table(["figure", "value"], 1, figures)
    )
}

/// Runs the command.
///
/// # Errors
///
/// If the migration was not completed; with `--json` the reason is on standard output as well.
pub(crate) fn run(args: &MigrateArgs) -> Result<()> {
    let own = format!("{}.channel", args.destination.display());
    let plan = Plan {
        source: args.source.clone(),
        destination: args.destination.clone(),
        channel: args
            .channel
            .clone()
            .unwrap_or_else(|| format!("unix:{own}")),
        listen: args.listen.clone(),
        downtime_limit: Duration::from_millis(args.downtime_limit),
        max_bandwidth: args.max_bandwidth,
        timeout: Duration::from_secs(args.timeout),
        patience: Duration::from_secs(1),
    };
    let mut watch = Watch::new()?;
    let result = compsc_migrate::migrate(&plan, &mut watch);
    let late = watch.cancel.load(Ordering::SeqCst);
    drop(watch);
    if args.channel.is_none() {
        // QEMU leaves the socket behind.
        let _ = fs::remove_file(Path::new(&own));
    }
    if args.format.json {
        print_json(&Document {
            schema: 1,
            result: match &result {
                Ok(_) => "completed",
                Err(Error::Cancelled { .. }) => "cancelled",
                Err(_) => "failed",
            },
            error: result.as_ref().err().map(ToString::to_string),
            outcome: result.as_ref().ok(),
        })?;
    } else if let Ok(outcome) = &result {
        print(&report(outcome))?;
    }
    if result.is_ok() && late {
        eprintln!("it was too late to cancel: the guest runs on the destination");
    }
    result.map(|_| ()).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use compsc_migrate::StageTime;

    #[test]
    fn arguments_are_understood() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("64K"), Ok(65536));
        assert_eq!(bytes("1G"), Ok(1 << 30));
        for wrong in ["", "K", "-1", "1T", "99999999999999G", "1ä"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        for text in ["/run/a.qmp", "unix:/run/a.qmp", "unix:/run/a.qmp,server=on"] {
            assert_eq!(socket(text), Ok(PathBuf::from("/run/a.qmp")));
        }
        assert!(socket("unix:").is_err());
    }

    #[test]
    fn the_table_has_all_stages() {
        let outcome = Outcome {
            stages: Stage::ALL
                .iter()
                .zip(0..)
                .map(|(&stage, i)| StageTime {
                    stage,
                    begin_us: 5_000_000 + i * 1500,
                })
                .collect(),
            ..Outcome::default()
        };
        let text = report(&outcome);
        for stage in Stage::ALL {
            assert!(text.contains(&stage.to_string()), "{text}");
        }
        assert!(text.contains("7.5"), "{text}");
    }
}
