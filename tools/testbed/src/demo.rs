// SPDX-License-Identifier: GPL-2.0

//! The demo: a guest under traffic goes from function to function and back, with our driver and
//! then with the distribution's.

use crate::analysis;
use crate::host;
use crate::host::nic::Kind;
use crate::lab::Lab;
use crate::lab::LabArgs;
use crate::lab::StreamArgs;
use crate::session::Session;
use crate::traffic::timeline::now_ns;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use clap::Args;
use compsc_kernel_log::complaints;
use compsc_migrate::show::Show;
use compsc_report::Report;
use compsc_report::picture;
use compsc_report::run::Run;
use compsc_report::tables;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `testbed demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    #[command(flatten)]
    lab: LabArgs,
    #[command(flatten)]
    streams: StreamArgs,
    /// What the guest owns.
    #[arg(long, default_value = "vf", value_name = "KIND")]
    function: Kind,
    /// Migrations per driver.
    #[arg(long, default_value_t = 4, value_name = "N")]
    migrations: usize,
    /// Drivers in the guest, one run each; the first is the product, the others are controls: the distribution's driver,
    /// virtio (a paravirtual interface), failover (igbvf, unplugged for the migration, with a paravirtual interface in its
    /// stead). By default compsc and the distribution's.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    drivers: Option<Vec<String>>,
    /// QEMU's downtime limit in milliseconds.
    #[arg(long, default_value_t = 300, value_name = "MS")]
    downtime_limit: u64,
    /// The same for controls: with a driver that announces nothing, all memory counts as dirty
    /// and is copied while the guest is stopped.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    control_downtime_limit: u64,
    /// Seconds of traffic before the first and after each migration.
    #[arg(long, default_value_t = 2, value_name = "S")]
    settle: u64,
    /// The same for a control: the distribution's drivers take seconds to recover, and igbvf looks for a lost
    /// function only ten seconds after it has reset one.
    #[arg(long, default_value_t = 13, value_name = "S")]
    control_settle: u64,
    /// Folder for demo.json and demo.svg.
    #[arg(long, value_name = "DIR")]
    results: PathBuf,
}

/// Runs the demo and writes its results.
///
/// # Errors
///
/// If the product's run was not perfect, or something could not be done at all.
pub fn run(args: &DemoArgs) -> Result<()> {
    let mut show = Show::new("");
    let mut runs = Vec::new();
    let mut failure = None;
    let stock = || vec!["compsc".to_owned(), args.function.stock_driver().to_owned()];
    let drivers = args.drivers.clone().unwrap_or_else(stock);
    for (i, driver) in drivers.iter().enumerate() {
        match run_driver(args, driver, i > 0, &mut show) {
            Ok(run) => runs.push(run),
            // A control that breaks is a finding, not a failure of the demo.
            Err(e) if i > 0 => show.keep(&format!("control {driver}: {e:#}")),
            Err(e) => {
                failure = Some(e);
                break;
            }
        }
    }
    let complaints = complaints(&host::dmesg()?);
    drop(show);

    std::fs::create_dir_all(&args.results)
        .with_context(|| format!("cannot make {}", args.results.display()))?;
    let file = args.results.join("demo.json");
    let report = Report::new(runs);
    let runs = &report.runs;
    std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    picture::draw(&args.results.join("demo.svg"), runs)?;
    print!("{}", tables::tables(runs));
    println!(
        "results: {0}/demo.json {0}/demo.svg",
        args.results.display()
    );
    if let Some(e) = failure {
        return Err(e);
    }
    if !complaints.is_empty() {
        bail!("the host's kernel complained:\n{}", complaints.join("\n"));
    }
    match runs.first() {
        Some(run) if run.is_good() => Ok(()),
        Some(run) => bail!(
            "{} of {} migrations completed; corrupted {}, duplicated {}; {}",
            run.migrations.len(),
            run.wanted,
            run.corrupted,
            run.duplicated,
            run.problems.join("; ")
        ),
        None => bail!("no run"),
    }
}

/// Functions that the distribution's igb makes at most.
const MOST_FUNCTIONS: usize = 7;

/// One run: boot, traffic, migrations, figures.
fn run_driver(args: &DemoArgs, driver: &str, control: bool, show: &mut Show) -> Result<Run> {
    show.step(&format!(
        "{driver}: adapters, functions and host drivers (PF: {})",
        args.lab.host_driver.module()
    ));
    let functions = match driver {
        // Each function tells it of a reset once only.
        "igbvf" => (args.migrations + 1).min(MOST_FUNCTIONS),
        _ => 2,
    };
    let kind = args.function.name().to_uppercase();
    let lab = Lab::set_up(&args.lab, args.function, functions)?;
    show.step(&format!("{driver}: booting the guest"));
    let mut session = Session::boot(&lab, driver, lab.shape())?;
    session
        .wait_ping(Duration::from_secs(20))
        .map_err(|e| session.vm.explain(e))?;
    show.step(&format!("{driver}: traffic"));
    session.start_traffic(&args.streams.config())?;
    std::thread::sleep(Duration::from_secs(1));
    let limit = match driver {
        "igbvf" | "igb" => args.control_downtime_limit,
        _ => args.downtime_limit,
    };
    let settle = match driver {
        "igbvf" | "igb" | "failover" => args.control_settle,
        _ => args.settle,
    };
    let begin = now_ns();
    std::thread::sleep(Duration::from_secs(settle));
    let mut migrations = Vec::new();
    let mut problems = Vec::new();
    session.new_retransmits()?;
    for i in 0..args.migrations {
        let to = (session.place + 1) % functions;
        show.label(format!(
            "{driver}: migration {} of {} to {kind} {to}",
            i + 1,
            args.migrations
        ));
        match session.migrate(to, Duration::from_millis(limit), show) {
            Ok(mut migration) => {
                let out = &migration.outcome;
                show.keep(&format!(
                    "{driver}: migration {} to {kind} {to}: {} ms, downtime {} ms, {} rounds",
                    i + 1,
                    out.total_ms,
                    out.downtime_ms,
                    out.precopy_rounds
                ));
                std::thread::sleep(Duration::from_secs(settle));
                let mut back = session.wait_ping(Duration::from_secs(20));
                if let Err(e) = &back {
                    let diagnosis = session.diagnosis();
                    problems.push(format!("after migration {}: {e:#}\n{diagnosis}", i + 1));
                    if control {
                        show.step(&format!(
                            "{driver}: the guest's interface is dead; setting it up anew"
                        ));
                        let anew = "ip link set eth0 down; ip link set eth0 up";
                        back = session
                            .vm
                            .agent
                            .check(anew)
                            .and_then(|_| session.wait_ping(Duration::from_secs(20)));
                    }
                }
                let settled = session.settle(&mut migration);
                migrations.push(migration);
                if let Err(e) = back.and(settled) {
                    problems.push(format!("after migration {}: {e:#}", i + 1));
                    break;
                }
            }
            Err(e) => {
                problems.push(format!("migration {}: {e:#}", i + 1));
                break;
            }
        }
    }
    let end = now_ns();
    show.step(&format!("{driver}: last bytes and figures"));
    let seen = session
        .finish_traffic()
        .with_context(|| problems.join("; "))?;
    let mut run = analysis::analyse(
        driver,
        args.migrations,
        &migrations,
        &seen,
        (begin, end),
        |us| session.monotonic(us),
    );
    let log = session.vm.agent.check("dmesg")?;
    problems.extend(
        complaints(&log)
            .into_iter()
            .map(|l| format!("guest's kernel: {l}")),
    );
    run.problems.append(&mut problems);
    args.function.name().clone_into(&mut run.function);
    args.lab
        .host_driver
        .module()
        .clone_into(&mut run.host_driver);
    Ok(run)
}
