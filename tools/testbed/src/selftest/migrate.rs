// SPDX-License-Identifier: GPL-2.0

//! Live migrations of a nested guest under traffic: completed, cancelled, and of guests that are not
//! prepared for it.

use super::Ktap;
use crate::analysis;
use crate::host::compscctl;
use crate::host::dmesg;
use crate::lab::Lab;
use crate::lab::LabArgs;
use crate::lab::StreamArgs;
use crate::session;
use crate::session::Session;
use crate::traffic::timeline::now_ns;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use clap::Args;
use compsc_migrate::Error;
use compsc_migrate::Observer;
use compsc_migrate::Progress;
use compsc_migrate::Silent;
use compsc_migrate::Stage;
use compsc_migrate::Verdict;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Options of `testbed selftest-migrate`.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    #[command(flatten)]
    lab: LabArgs,
    #[command(flatten)]
    streams: StreamArgs,
    /// Migrations under traffic.
    #[arg(long, default_value_t = 3)]
    migrations: usize,
    /// Migrations that are cancelled.
    #[arg(long, default_value_t = 4)]
    cancels: u32,
}

/// QEMU's limit for guests whose driver announces its memory.
const LIMIT: Duration = Duration::from_millis(300);
/// The same for guests that announce nothing: all memory is copied while they stand still.
const LONG_LIMIT: Duration = Duration::from_secs(20);
/// Time for the streams to flow before the first and after each migration.
const SETTLE: Duration = Duration::from_secs(2);

/// Cancels a migration some time after a stage has begun.
struct Cancel {
    stage: Stage,
    after: Duration,
    since: Option<Instant>,
}

impl Observer for Cancel {
    fn stage(&mut self, stage: Stage) {
        if stage >= self.stage && self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    fn progress(&mut self, _: Stage, _: &Progress) -> Verdict {
        match self.since {
            Some(since) if since.elapsed() >= self.after => Verdict::Cancel,
            _ => Verdict::Continue,
        }
    }
}

/// The guest answers; if it does not, the error says what it knows.
fn answers(session: &mut Session<'_>) -> Result<()> {
    session
        .wait_ping(Duration::from_secs(10))
        .map_err(|e| anyhow!("{e:#}\n{}", session.diagnosis()).context("the guest is silent"))
}

/// Boots a guest and runs a test with it; what the guest's console says goes with an error.
fn with_guest(
    lab: &Lab,
    driver: &str,
    test: impl FnOnce(&mut Session<'_>) -> Result<()>,
) -> Result<()> {
    let mut session = Session::boot(lab, driver)?;
    test(&mut session).map_err(|e| session.vm.explain(e))
}

/// Migrates under traffic and holds the result against the rules.
fn under_traffic(args: &MigrateArgs, session: &mut Session<'_>) -> Result<()> {
    session.wait_ping(Duration::from_secs(20))?;
    session.start_traffic(&args.streams.config())?;
    thread::sleep(SETTLE);
    let begin = now_ns();
    let mut migrations = Vec::new();
    for i in 0..args.migrations {
        let to = 1 - session.function;
        let mut migration = session
            .migrate(to, LIMIT, &mut Silent)
            .with_context(|| format!("migration {}", i + 1))?;
        thread::sleep(SETTLE);
        answers(session).with_context(|| format!("after migration {}", i + 1))?;
        session.settle(&mut migration)?;
        println!(
            "# migration {}: {} ms, downtime {} ms, {} rounds, restore {} us",
            i + 1,
            migration.outcome.total_ms,
            migration.outcome.downtime_ms,
            migration.outcome.precopy_rounds,
            migration.restore_us.unwrap_or(0)
        );
        migrations.push(migration);
    }
    let end = now_ns();
    let seen = session.finish_traffic()?;
    let run = analysis::analyse(
        "compsc",
        args.migrations,
        &migrations,
        &seen,
        (begin, end),
        |us| session.monotonic(us),
    );
    for row in &run.migrations {
        if row.carrier_changes != 0 {
            bail!("the guest saw {} carrier changes", row.carrier_changes);
        }
        if let Some((name, before, after)) = row.counters_went_back.first() {
            bail!("the guest's {name} went back from {before} to {after}");
        }
        if row.restore_us.is_none() {
            bail!("the guest's driver did not restore the function");
        }
    }
    println!("# {} datagrams lost, {} reordered", run.lost, run.reordered);
    let log = session.vm.agent.check("dmesg")?;
    if let Some(line) = session::complaints(&log).first() {
        bail!("the guest's kernel: {line}");
    }
    if !run.is_good() {
        bail!(
            "corrupted {}, duplicated {}; {}",
            run.corrupted,
            run.duplicated,
            run.problems.join("; ")
        );
    }
    Ok(())
}

/// Cancels migrations in each phase; the guest goes on where it was, under the same rules.
fn cancelled(args: &MigrateArgs, session: &mut Session<'_>) -> Result<()> {
    session.wait_ping(Duration::from_secs(20))?;
    session.start_traffic(&args.streams.config())?;
    thread::sleep(SETTLE);
    let begin = now_ns();
    let before = session.vm.agent.health()?;
    // Reproducible, and spread over the phases and within them.
    let stages = [Stage::PreCopy, Stage::StopAndCopy];
    let (mut seed, mut done) = (args.streams.seed, 0);
    for i in 0..args.cancels {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut cancel = Cancel {
            stage: stages[i as usize % stages.len()],
            after: Duration::from_millis((seed >> 33) % 400 * u64::from(i % 2 == 0)),
            since: None,
        };
        let to = 1 - session.function;
        let destination = session.destination(to)?;
        match session.engine(&destination, LIMIT, &mut cancel) {
            Err(Error::Cancelled { stage, after, .. }) => {
                // It may have received everything already, and would run the guest a second time.
                drop(destination);
                println!("# cancelled during {stage}: {after}");
                done += 1;
            }
            // It was faster.
            Ok(_) => {
                session.arrive(to, destination);
                session.vm.agent.hello(Duration::from_secs(60))?;
            }
            Err(e) => return Err(anyhow!(e).context(format!("cancelling {}", i + 1))),
        }
        thread::sleep(Duration::from_millis(500));
        answers(session).with_context(|| format!("after cancelling {}", i + 1))?;
    }
    thread::sleep(SETTLE);
    let end = now_ns();
    let after = session.vm.agent.health()?;
    let seen = session.finish_traffic()?;
    let run = analysis::analyse("compsc", 0, &[], &seen, (begin, end), |us| {
        session.monotonic(us)
    });
    if done == 0 {
        bail!("no migration was slow enough to be cancelled");
    }
    if let Some((name, before, after)) = after.went_back(&before).first() {
        bail!("the guest's {name} went back from {before} to {after}");
    }
    if after.carrier_changes != before.carrier_changes {
        bail!("the guest's carrier changed");
    }
    if !run.is_good() {
        bail!(
            "corrupted {}, duplicated {}; {}",
            run.corrupted,
            run.duplicated,
            run.problems.join("; ")
        );
    }
    Ok(())
}

/// A migration that the command-line tool drives.
fn by_tool(session: &mut Session<'_>) -> Result<()> {
    session.wait_ping(Duration::from_secs(20))?;
    let destination = session.destination(1)?;
    let (source, target) = (
        session.vm.qmp.to_string_lossy().into_owned(),
        destination.qmp.to_string_lossy().into_owned(),
    );
    let limit = LIMIT.as_millis().to_string();
    let document = compscctl(&[
        "migrate",
        "--source",
        &source,
        "--destination",
        &target,
        "--downtime-limit",
        &limit,
        "--json",
    ])?;
    session.arrive(1, destination);
    session.vm.agent.hello(Duration::from_secs(60))?;
    answers(session)?;
    let outcome = &document["outcome"];
    if document["result"] != "completed"
        || outcome["stages"].as_array().map(Vec::len) != Some(Stage::ALL.len())
        || outcome["device_bytes"].as_u64().unwrap_or(0) == 0
    {
        bail!("compscctl reported {document}");
    }
    Ok(())
}

/// A guest whose interface is down: it comes up on the target.
fn interface_down(session: &mut Session<'_>) -> Result<()> {
    session.wait_ping(Duration::from_secs(20))?;
    session.vm.agent.check("ip link set eth0 down")?;
    session.migrate(1, LONG_LIMIT, &mut Silent)?;
    session.vm.agent.check("ip link set eth0 up")?;
    session.wait_ping(Duration::from_secs(20))
}

/// A guest without a driver for the function.
fn no_driver(session: &mut Session<'_>) -> Result<()> {
    session.migrate(1, LONG_LIMIT, &mut Silent)?;
    session.vm.agent.check("true").map(|_| ())
}

/// A guest with the distribution's driver: slower, but it arrives. That driver notices a new function only
/// by a reset of its PF or a transmit hang; its user can always set the interface up anew.
fn upstream(session: &mut Session<'_>) -> Result<()> {
    session.wait_ping(Duration::from_secs(20))?;
    session.migrate(1, LONG_LIMIT, &mut Silent)?;
    session
        .vm
        .agent
        .check("ip link set eth0 down; ip link set eth0 up")?;
    answers(session)
}

/// Runs the test program.
pub fn run_all(args: &MigrateArgs) -> ExitCode {
    let mut ktap = Ktap::start();
    let mut lab = None;
    ktap.case("prepares the host", || {
        lab = Some(Lab::set_up(&args.lab, 2)?);
        Ok(())
    });
    let Some(lab) = lab else {
        return ktap.finish();
    };
    ktap.case(
        "migrates under traffic, nothing corrupted or doubled",
        || with_guest(&lab, "compsc", |s| under_traffic(args, s)),
    );
    ktap.case("goes on on the source after cancelling", || {
        with_guest(&lab, "compsc", |s| cancelled(args, s))
    });
    ktap.case("migrates by compscctl", || {
        with_guest(&lab, "compsc", by_tool)
    });
    ktap.case("migrates with the interface down", || {
        with_guest(&lab, "compsc", interface_down)
    });
    ktap.case("migrates without a driver", || {
        with_guest(&lab, "none", no_driver)
    });
    ktap.case("migrates with the distribution's driver", || {
        with_guest(&lab, "igbvf", upstream)
    });
    ktap.case("leaves no complaint in the host's kernel log", || {
        let complaints = session::complaints(&dmesg()?);
        match complaints.first() {
            Some(line) => bail!("{line}"),
            None => Ok(()),
        }
    });
    ktap.finish()
}
