// SPDX-License-Identifier: GPL-2.0

//! Live migrations of a nested guest under traffic: completed, cancelled, and of guests that are not
//! prepared for it.

use super::Ktap;
use super::ptp::Look;
use super::ptp::holds;
use crate::analysis;
use crate::host::compscctl;
use crate::host::dmesg;
use crate::host::nic;
use crate::host::nic::HostDriver;
use crate::host::nic::Kind;
use crate::host::qemu::Vm;
use crate::host::run;
use crate::host::write_sysfs;
use crate::lab::Lab;
use crate::lab::LabArgs;
use crate::lab::Shape;
use crate::lab::StreamArgs;
use crate::proto::Order;
use crate::proto::Output;
use crate::session::Session;
use crate::traffic;
use crate::traffic::timeline::now_ns;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use clap::Args;
use compsc_kernel_log::complaints;
use compsc_kernel_log::kmemleak;
use compsc_migrate::Error;
use compsc_migrate::Observer;
use compsc_migrate::Outcome;
use compsc_migrate::Progress;
use compsc_migrate::Silent;
use compsc_migrate::Stage;
use compsc_migrate::Verdict;
use compsc_report::run::Run;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use vfio_states::random::Random;

/// Options of `testbed selftest-migrate`.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// Run only the cases whose names contain this.
    #[arg(long, env = "COMPSC_ONLY", value_name = "WORDS")]
    only: Option<String>,
    #[command(flatten)]
    lab: LabArgs,
    #[command(flatten)]
    streams: StreamArgs,
    /// Migrations under traffic.
    #[arg(long, default_value_t = 3)]
    migrations: usize,
    /// Processors of the guest that has several.
    #[arg(long, default_value_t = 2)]
    processors: u32,
    /// Migrations that are cancelled, and as many of a hostile guest.
    #[arg(long, default_value_t = 4)]
    cancels: u32,
}

impl MigrateArgs {
    /// Migrations of each guest of another shape.
    fn shape_migrations(&self) -> usize {
        self.migrations.div_ceil(2)
    }
}

/// QEMU's limit for guests whose driver announces its memory.
const LIMIT: Duration = Duration::from_millis(300);
/// The same for guests that announce nothing: all memory is copied while they stand still.
const LONG_LIMIT: Duration = Duration::from_secs(20);
/// Time for the streams to flow before the first and after each migration.
const SETTLE: Duration = Duration::from_secs(2);
/// Time in which a guest with our driver answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is done to a migration some time after a stage has begun.
struct Disturb<'a> {
    stage: Stage,
    after: Duration,
    since: Option<Instant>,
    how: &'a mut dyn FnMut() -> Verdict,
}

impl<'a> Disturb<'a> {
    fn new(stage: Stage, after: Duration, how: &'a mut dyn FnMut() -> Verdict) -> Self {
        Self {
            stage,
            after,
            since: None,
            how,
        }
    }
}

impl Observer for Disturb<'_> {
    fn stage(&mut self, stage: Stage) {
        if stage >= self.stage && self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    fn progress(&mut self, stage: Stage, _: &Progress) -> Verdict {
        match self.since {
            // What is committed cannot be disturbed any more.
            Some(since) if stage < Stage::Commitment && since.elapsed() >= self.after => {
                (self.how)()
            }
            _ => Verdict::Continue,
        }
    }
}

/// The guest answers within `patience`; if it does not, the error says what it knows.
fn answers(session: &mut Session<'_>, patience: Duration) -> Result<()> {
    session
        .wait_ping(patience)
        .map_err(|e| anyhow!("{e:#}\n{}", session.diagnosis()).context("the guest is silent"))
}

/// Boots a guest and runs a test with it; what the guest's console says goes with an error.
fn with_guest(
    lab: &Lab,
    driver: &str,
    shape: Shape,
    test: impl FnOnce(&mut Session<'_>) -> Result<()>,
) -> Result<()> {
    let mut session = Session::boot(lab, driver, shape)?;
    test(&mut session).map_err(|e| session.vm.explain(e))
}

/// The rules for traffic that hold whatever happens.
fn good(run: &Run) -> Result<()> {
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

/// Migrates under traffic and holds the result against the rules.
fn under_traffic(
    session: &mut Session<'_>,
    streams: &traffic::Config,
    migrations: usize,
    each: impl Fn(&mut Session<'_>) -> Result<()>,
) -> Result<()> {
    session.wait_ping(Duration::from_secs(20))?;
    session.start_traffic(streams)?;
    thread::sleep(SETTLE);
    let begin = now_ns();
    let mut seen = Vec::new();
    for i in 0..migrations {
        let to = 1 - session.place;
        let mut migration = session
            .migrate(to, LIMIT, &mut Silent)
            .with_context(|| format!("migration {}", i + 1))?;
        thread::sleep(SETTLE);
        answers(session, PATIENCE)
            .and_then(|()| each(session))
            .with_context(|| format!("after migration {}", i + 1))?;
        session.settle(&mut migration)?;
        println!(
            "# migration {}: {} ms, downtime {} ms, {} rounds, restore {} us",
            i + 1,
            migration.outcome.total_ms,
            migration.outcome.downtime_ms,
            migration.outcome.precopy_rounds,
            migration.restore_us.unwrap_or(0)
        );
        seen.push(migration);
    }
    let end = now_ns();
    let traffic = session.finish_traffic()?;
    let run = analysis::analyse("compsc", migrations, &seen, &traffic, (begin, end), |us| {
        session.monotonic(us)
    });
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
    quiet(session)?;
    good(&run)
}

/// The guest's kernel has nothing to complain about.
fn quiet(session: &mut Session<'_>) -> Result<()> {
    let log = session.vm.agent.check("dmesg")?;
    match complaints(&log).first() {
        Some(line) => bail!("the guest's kernel: {line}"),
        None => Ok(()),
    }
}

/// The guest's kernel finds no memory that our driver has lost, if it looks for such.
fn no_leaks(session: &mut Session<'_>) -> Result<()> {
    let order = Order::Exec {
        command: kmemleak::COMMAND.to_owned(),
    };
    let report: Output = session.vm.agent.ask(order, Duration::from_secs(300))?;
    if report.status != 0 {
        bail!("the guest's leak detector: {}", report.stderr);
    }
    super::no_leaks_of_ours(kmemleak::parse(&report.stdout)).context("in the guest")
}

/// Frames with a VLAN tag carry the traffic.
fn over_vlan(args: &MigrateArgs, lab: &Lab, session: &mut Session<'_>) -> Result<()> {
    let pf = &lab.interface;
    let link = format!("{pf}.77");
    run(
        "ip",
        &[
            "link", "add", "link", pf, "name", &link, "type", "vlan", "id", "77",
        ],
    )?;
    let result = vlan_traffic(args, session, &link);
    run("ip", &["link", "del", &link])?;
    result
}

fn vlan_traffic(args: &MigrateArgs, session: &mut Session<'_>, link: &str) -> Result<()> {
    run("ip", &["addr", "add", "10.82.77.1/24", "dev", link])?;
    run("ip", &["link", "set", link, "up"])?;
    session.vm.agent.check(
        "cd /lib/modules/$(uname -r) && for m in $(grep -v igb order); do insmod $m; done; \
         ip link add link eth0 name eth0.77 type vlan id 77 && \
         ip addr add 10.82.77.2/24 dev eth0.77 && ip link set eth0.77 up",
    )?;
    let streams = traffic::Config {
        host: [10, 82, 77, 1].into(),
        guest: [10, 82, 77, 2].into(),
        ..args.streams.config()
    };
    under_traffic(session, &streams, args.shape_migrations(), |_| Ok(()))
}

/// A guest with two functions: both move, and the second one answers as well.
fn two_functions(args: &MigrateArgs, lab: &Lab, session: &mut Session<'_>) -> Result<()> {
    let pf = &lab.interface;
    run("ip", &["addr", "replace", "10.82.58.1/24", "dev", pf])?;
    // Both are in one segment: each answers for its own address only.
    session.vm.agent.check(
        "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore; \
         ip link set eth1 up && ip addr add 10.82.58.2/24 dev eth1",
    )?;
    let both = |_: &mut Session<'_>| {
        nic::wait_for(
            Duration::from_secs(10),
            "the second function to answer",
            || run("ping", &["-c", "1", "-W", "1", "10.82.58.2"]).ok(),
        )
        .map(drop)
    };
    both(session)?;
    under_traffic(
        session,
        &args.streams.config(),
        args.shape_migrations(),
        both,
    )?;
    let restores = session
        .vm
        .agent
        .check("grep -h ^restores /sys/kernel/debug/compsc/*/status")?;
    let counts: Vec<&str> = restores
        .lines()
        .filter_map(|line| line.strip_prefix("restores "))
        .collect();
    if counts.len() != 2 || counts.contains(&"0") {
        bail!("the two functions were restored {counts:?} times");
    }
    Ok(())
}

/// Whatever is done to migrations, the guest goes on where it was, under the same rules.
fn stays(
    args: &MigrateArgs,
    session: &mut Session<'_>,
    attempts: impl FnOnce(&mut Session<'_>) -> Result<()>,
) -> Result<()> {
    session.wait_ping(Duration::from_secs(20))?;
    session.start_traffic(&args.streams.config())?;
    thread::sleep(SETTLE);
    let begin = now_ns();
    let before = session.vm.agent.health()?;
    attempts(session)?;
    thread::sleep(SETTLE);
    let end = now_ns();
    let after = session.vm.agent.health()?;
    let seen = session.finish_traffic()?;
    let run = analysis::analyse("compsc", 0, &[], &seen, (begin, end), |us| {
        session.monotonic(us)
    });
    if let Some((name, before, after)) = after.went_back(&before).first() {
        bail!("the guest's {name} went back from {before} to {after}");
    }
    if after.carrier_changes != before.carrier_changes {
        bail!("the guest's carrier changed");
    }
    quiet(session)?;
    good(&run)
}

/// The guest suspends its devices and resumes them under traffic, which goes on; then it migrates.
fn suspended(args: &MigrateArgs, session: &mut Session<'_>) -> Result<()> {
    stays(args, session, |session| {
        // The kernel's test of this wakes up by itself after five seconds.
        let order = Order::Exec {
            command: "echo devices >/sys/power/pm_test && echo mem >/sys/power/state".to_owned(),
        };
        let output: Output = session.vm.agent.ask(order, Duration::from_secs(120))?;
        if output.status != 0 {
            bail!("the guest cannot suspend: {}", output.stderr);
        }
        answers(session, Duration::from_secs(20))
    })?;
    under_traffic(session, &args.streams.config(), 1, |_| Ok(()))
}

/// What became of a migration that was disturbed.
fn outcome(
    session: &mut Session<'_>,
    mut destination: Vm,
    result: std::result::Result<Outcome, Error>,
) -> Result<bool> {
    let disturbed = match result {
        Err(Error::Cancelled { stage, after, .. }) => {
            println!("# cancelled during {stage}: {after}");
            true
        }
        Err(Error::Failed { stage, after, .. }) => {
            println!("# failed during {stage}: {after}");
            true
        }
        // It was faster.
        Ok(_) => false,
        Err(e) => return Err(e.into()),
    };
    if disturbed {
        // It may have received everything already, and would run the guest a second time.
        destination.kill();
    } else {
        session.arrive(1 - session.place, destination);
        session.vm.agent.hello(Duration::from_secs(60))?;
    }
    thread::sleep(Duration::from_millis(500));
    answers(session, PATIENCE)?;
    Ok(disturbed)
}

/// Cancels migrations at random moments of each phase.
fn cancelled(args: &MigrateArgs, count: u32, session: &mut Session<'_>) -> Result<()> {
    let mut random = Random::new(args.streams.seed);
    let mut done = 0;
    for i in 0..count {
        // While it is being set up, while memory is copied, and while the guest stands still.
        let (stage, most) = [
            (Stage::Reservation, 100),
            (Stage::PreCopy, 2000),
            (Stage::StopAndCopy, 100),
        ][i as usize % 3];
        let mut how = || Verdict::Cancel;
        let after = Duration::from_millis(random.below(most));
        let destination = session.destination(1 - session.place)?;
        let result = session.engine(
            &destination,
            LIMIT,
            &mut Disturb::new(stage, after, &mut how),
        );
        done += u32::from(
            outcome(session, destination, result)
                .with_context(|| format!("cancelling {}", i + 1))?,
        );
    }
    if done == 0 {
        bail!("no migration was slow enough to be cancelled");
    }
    Ok(())
}

/// The destination's QEMU dies, early and late.
fn destination_dies(session: &mut Session<'_>) -> Result<()> {
    for (stage, after) in [(Stage::PreCopy, 300), (Stage::PreCopy, 1500)] {
        let destination = session.destination(1 - session.place)?;
        let process = Pid::from_raw(i32::try_from(destination.pid())?);
        let mut how = || {
            // It may be dead already.
            let _ = kill(process, Signal::SIGKILL);
            Verdict::Continue
        };
        let after = Duration::from_millis(after);
        let result = session.engine(
            &destination,
            LIMIT,
            &mut Disturb::new(stage, after, &mut how),
        );
        if result.is_ok() {
            bail!("a migration to a dead process completed");
        }
        outcome(session, destination, result).with_context(|| format!("killed in {stage}"))?;
    }
    Ok(())
}

/// The stream is cut: at its beginning, in the middle, and where the device's state is.
fn stream_cut(session: &mut Session<'_>) -> Result<()> {
    let destination = session.destination(1 - session.place)?;
    let Ok(whole) = session.engine_cut(&destination, u64::MAX, &mut Silent)? else {
        bail!("a migration over a relay did not complete");
    };
    session.arrive(1 - session.place, destination);
    session.vm.agent.hello(Duration::from_secs(60))?;
    // Memory is not the same twice, so the last cut comes some time before the end.
    let end = whole.ram_bytes + whole.device_bytes;
    for bytes in [200, end / 2, end / 10 * 9] {
        let destination = session.destination(1 - session.place)?;
        let result = session.engine_cut(&destination, bytes, &mut Silent)?;
        if !outcome(session, destination, result).with_context(|| format!("cut at {bytes}"))? {
            println!("# the stream was shorter than {bytes} bytes");
        }
    }
    Ok(())
}

/// A guest whose user space forges regions while it is migrated. Each migration completes or is refused; the
/// guest goes on, and the host does not mind.
fn hostile(args: &MigrateArgs, session: &mut Session<'_>) -> Result<()> {
    let start = Order::HostileStart {
        seed: args.streams.seed,
    };
    let _: Value = session.vm.agent.ask(start, Duration::from_secs(20))?;
    let (mut moved, mut refused) = (0, 0);
    for _ in 0..args.cancels {
        let mut destination = session.destination(1 - session.place)?;
        match session.engine(&destination, LONG_LIMIT, &mut Silent) {
            Ok(_) => {
                session.arrive(1 - session.place, destination);
                moved += 1;
            }
            Err(Error::Failed { .. }) => {
                destination.kill();
                refused += 1;
            }
            Err(e) => return Err(e.into()),
        }
        session.vm.agent.hello(Duration::from_secs(60))?;
    }
    let regions: u64 = session
        .vm
        .agent
        .ask(Order::HostileStop, Duration::from_secs(20))?;
    println!("# {regions} forged regions, {moved} migrations completed, {refused} refused");
    if regions == 0 {
        bail!("the guest was not hostile");
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
    answers(session, PATIENCE)?;
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

/// A guest with the distribution's driver: slower, but it arrives. On a function that has not been told of a
/// reset of its PF that driver notices the move by its full transmit ring alone, and what a socket may hold
/// fills the shortest ring only.
fn upstream(args: &MigrateArgs, session: &mut Session<'_>) -> Result<()> {
    session.vm.agent.check("ethtool -G eth0 tx 80")?;
    session.wait_ping(Duration::from_secs(20))?;
    session.start_traffic(&args.streams.config())?;
    // The second way leads to a function whose reset the guest has already taken notice of.
    for to in [1, 0] {
        thread::sleep(SETTLE);
        session.migrate(to, LONG_LIMIT, &mut Silent)?;
        answers(session, Duration::from_secs(90))?;
    }
    session.finish_traffic().map(|_| ())
}

/// Both drivers of virtual functions over this project's driver of the physical one, which keeps them while they are in
/// use.
fn over_own_host(args: &MigrateArgs) -> Result<()> {
    let own = LabArgs {
        host_driver: HostDriver::Compsc,
        ..args.lab.clone()
    };
    let lab = Lab::set_up(&own, Kind::Vf, 2)?;
    let count = Path::new("/sys/class/net")
        .join(&lab.interface)
        .join("device/sriov_numvfs");
    let keeps = |_: &mut Session<'_>| match fs::write(&count, "0") {
        Ok(()) => bail!("the host's driver gave up functions that a guest has"),
        Err(e) if e.raw_os_error() == Some(Errno::EBUSY as i32) => Ok(()),
        Err(e) => bail!("the host's driver keeps its functions, but says {e}"),
    };
    with_guest(&lab, "compsc", lab.shape(), |session| {
        under_traffic(
            session,
            &args.streams.config(),
            args.shape_migrations(),
            keeps,
        )
    })
    .context("this project's driver in the guest")?;
    with_guest(&lab, "igbvf", lab.shape(), |session| {
        upstream(args, session)
    })
    .context("the distribution's driver in the guest")
}

/// An adapter with virtual functions that no driver looks after: they would go with it.
fn refuses_host(args: &MigrateArgs) -> Result<()> {
    let address = nic::adapters()?.pop().context("no 82576")?;
    let device = Path::new("/sys/bus/pci/devices").join(&address);
    nic::modprobe("pci-pf-stub", &[])?;
    nic::bind(&address, "pci-pf-stub")?;
    write_sysfs(&device.join("sriov_drivers_autoprobe"), "0")?;
    write_sysfs(&device.join("sriov_numvfs"), "2")?;
    write_sysfs(&device.join("driver/unbind"), &address)?;
    write_sysfs(&device.join("driver_override"), &args.lab.vfio)?;
    let bind = Path::new("/sys/bus/pci/drivers")
        .join(&args.lab.vfio)
        .join("bind");
    let refused = fs::write(bind, &address);
    nic::bind(&address, "pci-pf-stub")?;
    write_sysfs(&device.join("sriov_numvfs"), "0")?;
    let Err(e) = refused else {
        bail!("it was taken");
    };
    let errno = e.raw_os_error().map(Errno::from_raw);
    if errno != Some(Errno::EBUSY) || !dmesg()?.contains("2 virtual functions are enabled") {
        bail!("refused with {e}, and not by our driver");
    }
    // Without them it is welcome.
    nic::bind(&address, &args.lab.vfio)
}

/// What a guest that owns the physical function has set, and sees.
const PF_SETTINGS: &str = "ethtool eth0; for what in -a -c -g -k -l -x; do ethtool $what eth0; done; \
    ip -4 addr show eth0; ip maddr show eth0";

/// A guest that owns the physical function: what it has set there moves with it.
fn owns_pf(args: &MigrateArgs) -> Result<()> {
    let lab = Lab::set_up(&args.lab, Kind::Pf, 2)?;
    let shape = Shape {
        cpus: args.processors,
        ..lab.shape()
    };
    with_guest(&lab, "compsc", shape, |session| {
        session.vm.agent.check(
            "ethtool -A eth0 autoneg off rx off tx on && ethtool -G eth0 rx 512 tx 512 && \
             ethtool -X eth0 weight 1 3 && ethtool -C eth0 adaptive-rx off rx-usecs 30 && \
             ip maddr add 01:00:5e:01:02:03 dev eth0",
        )?;
        session.wait_ping(Duration::from_secs(20))?;
        let before = session.vm.agent.check(PF_SETTINGS)?;
        let same = |session: &mut Session<'_>| {
            let after = session.vm.agent.check(PF_SETTINGS)?;
            match before.lines().zip(after.lines()).find(|(b, a)| b != a) {
                Some((before, after)) => bail!("\"{before}\" has become \"{after}\""),
                None => Ok(()),
            }
        };
        let clock = |session: &mut Session<'_>| -> Result<Look> {
            Look::parse(&session.vm.agent.check("/proc/1/exe clock eth0")?)
        };
        let first = clock(session)?;
        under_traffic(
            session,
            &args.streams.config(),
            args.shape_migrations(),
            same,
        )?;
        // The other adapter counts from somewhere else, some minutes away.
        let last = clock(session)?;
        holds("the clock", first.gained(last, 1.0), 0, CLOCK_MARGIN)?;
        stays(args, session, |session| {
            cancelled(args, args.cancels.div_ceil(2), session)
        })?;
        no_leaks(session)
    })
}

/// Nanoseconds by which the clock of a guest's adapter and the guest's own differ after all migrations: an emulated
/// processor need not count as the adapters do.
const CLOCK_MARGIN: i64 = 500_000_000;

/// Runs the test program.
pub fn run_all(args: &MigrateArgs) -> ExitCode {
    let mut ktap = Ktap::start(args.only.as_deref());
    let mut lab = None;
    ktap.case("prepares the host", || {
        lab = Some(Lab::set_up(&args.lab, Kind::Vf, 4)?);
        Ok(())
    });
    let Some(lab) = lab else {
        return ktap.finish();
    };
    let plain = lab.shape();
    let streams = args.streams.config();
    ktap.case(
        "migrates under traffic, nothing corrupted or doubled",
        || {
            with_guest(&lab, "compsc", plain, |s| {
                under_traffic(s, &streams, args.migrations, |_| Ok(()))?;
                no_leaks(s)
            })
        },
    );
    ktap.case("migrates with several processors and a VLAN", || {
        let shape = Shape {
            cpus: args.processors,
            ..plain
        };
        with_guest(&lab, "compsc", shape, |s| over_vlan(args, &lab, s))
    });
    ktap.case(
        "migrates with two functions and frames of 9000 bytes",
        || {
            let shape = Shape {
                mtu: 9000,
                functions: 2,
                ..plain
            };
            with_guest(&lab, "compsc", shape, |s| two_functions(args, &lab, s))
        },
    );
    ktap.case("goes on on the source after cancelling", || {
        with_guest(&lab, "compsc", plain, |s| {
            stays(args, s, |s| cancelled(args, args.cancels, s))?;
            no_leaks(s)
        })
    });
    ktap.case("goes on on the source when the destination dies", || {
        with_guest(&lab, "compsc", plain, |s| stays(args, s, destination_dies))
    });
    ktap.case("goes on on the source when the stream is cut", || {
        with_guest(&lab, "compsc", plain, |s| stays(args, s, stream_cut))
    });
    ktap.case(
        "goes on after the guest was suspended, and migrates",
        || with_guest(&lab, "compsc", plain, |s| suspended(args, s)),
    );
    ktap.case("migrates by compscctl", || {
        with_guest(&lab, "compsc", plain, by_tool)
    });
    ktap.case("migrates with the interface down", || {
        with_guest(&lab, "compsc", plain, interface_down)
    });
    ktap.case("migrates without a driver", || {
        with_guest(&lab, "none", plain, no_driver)
    });
    ktap.case("survives a hostile guest", || {
        with_guest(&lab, "none", plain, |s| hostile(args, s))
    });
    ktap.case("migrates with the distribution's driver", || {
        with_guest(&lab, "igbvf", plain, |session| upstream(args, session))
    });
    if args.lab.host_driver == HostDriver::Igb {
        ktap.case(
            "migrates over this project's driver of the physical function",
            || over_own_host(args),
        );
    }
    ktap.case("refuses a physical function with virtual functions", || {
        refuses_host(args)
    });
    // The last one: the adapter whose virtual functions the others have is the guest's.
    let name = "migrates a guest that owns the physical function";
    if nic::adapters().unwrap_or_default().len() < 4 {
        ktap.skip(name, "takes four adapters, each two on a cable");
    } else {
        ktap.case(name, || owns_pf(args));
    }
    ktap.case(
        "leaves no complaint in the host's kernel log",
        || match complaints(&dmesg()?).first() {
            Some(line) => bail!("{line}"),
            None => Ok(()),
        },
    );
    ktap.leaks();
    ktap.finish()
}
