// SPDX-License-Identifier: GPL-2.0

//! The kernel's own selftests of network drivers, run against one driver at a time (`make test-netdev`).
//!
//! The function under test is in the machine's own network namespace; the test's *remote endpoint* is another adapter
//! on the same cable, in a namespace of its own, with the distribution's driver. Each program finds a driver that has
//! just been bound.

pub mod report;

use crate::host::dmesg;
use crate::host::nic;
use crate::host::nic::Adapter;
use crate::host::nic::HostDriver;
use crate::host::nic::insmod;
use crate::host::nic::modprobe;
use crate::host::run;
use crate::host::write_sysfs;
use crate::selftest::net::Space;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use clap::Args;
use clap::ValueEnum;
use nix::sys::signal::Signal;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use serde::Deserialize;
use serde::Serialize;
use std::fs;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

/// Where the test programs are in the kernel's source tree.
const FOLDER: &str = "tools/testing/selftests/drivers/net";

/// Programs that need nothing but a driver and another machine on the cable. Those about header split, zero copy, flow
/// steering, hardware GRO and the like are not of this hardware; those that measure times are not for an emulated machine.
const PROGRAMS: [&str; 14] = [
    "stats.py",
    "queues.py",
    "ping.py",
    "napi_id.py",
    "napi_threaded.py",
    "ring_reconfig.py",
    "xdp.py",
    "hw/csum.py",
    "hw/irq.py",
    "hw/nic_timestamp.py",
    "hw/rss_api.py",
    "hw/rss_ctx.py",
    "hw/rss_drv.py",
    "hw/tso.py",
];

/// Namespace of the remote endpoint.
const REMOTE: &str = "remote";
const REMOTE_SPACE: Space = Space(Some(REMOTE));
const LOCAL_SPACE: Space = Space(None);
const LOCAL_V4: &str = "192.0.2.1";
const REMOTE_V4: &str = "192.0.2.2";
const LOCAL_V6: &str = "2001:db8::1";
const REMOTE_V6: &str = "2001:db8::2";
/// Address of a virtual function.
const VF_MAC: &str = "02:c0:5c:00:02:01";

/// Times that a case is tried before it counts as failed.
const TRIES: u32 = 3;

/// The name under which a program that did not get to its end is a case that failed.
const UNFINISHED: &str = "(end)";
/// The same for a kernel that complained meanwhile.
const LOG: &str = "(kernel log)";

/// A driver under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Driver {
    /// The distribution's, of physical functions.
    Igb,
    /// This project's, of physical functions.
    IgbCompsc,
    /// The distribution's, of virtual functions.
    Igbvf,
    /// This project's, of virtual functions.
    IgbvfCompsc,
}

impl Driver {
    const ALL: [Self; 4] = [Self::Igb, Self::IgbCompsc, Self::Igbvf, Self::IgbvfCompsc];

    /// Name of the module, and of the driver on the PCI bus.
    const fn module(self) -> &'static str {
        match self {
            Self::Igb => "igb",
            Self::IgbCompsc => "igb_compsc",
            Self::Igbvf => "igbvf",
            Self::IgbvfCompsc => "igbvf_compsc",
        }
    }

    fn load(self, modules: &Path) -> Result<()> {
        match self {
            Self::Igb | Self::Igbvf => modprobe(self.module(), &[]),
            Self::IgbCompsc | Self::IgbvfCompsc => {
                insmod(&modules.join("compsc.ko"))?;
                insmod(&modules.join(format!("{}.ko", self.module())))
            }
        }
    }
}

/// Options of `testbed netdev`.
#[derive(Args, Debug)]
pub struct NetdevArgs {
    /// The kernel's selftests (`scripts/kernel-selftests`).
    #[arg(long, value_name = "DIR")]
    tests: PathBuf,
    /// Folder of the project's modules.
    #[arg(long, env = "COMPSC_MODULES", value_name = "DIR")]
    modules: PathBuf,
    /// The driver under test.
    #[arg(long)]
    driver: Driver,
    /// Folder for results; a program whose results are there already is not run again.
    #[arg(long, value_name = "DIR")]
    results: PathBuf,
    /// Only programs whose name contains this.
    #[arg(long, env = "COMPSC_ONLY", value_name = "WORD")]
    only: Option<String>,
    /// Seconds that a program may take.
    #[arg(long, default_value_t = 1200)]
    seconds: u64,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should.
    Pass,
    /// The driver does not do what the test asks for.
    Fail,
    /// The driver, or this machine, lacks what the test is about.
    Skip,
}

/// A case of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    name: String,
    outcome: Outcome,
    /// What the program said about a skip, or the check that failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    comment: String,
}

impl Case {
    fn failed(name: &str, comment: &str) -> Self {
        Self {
            name: name.to_owned(),
            outcome: Outcome::Fail,
            comment: comment.to_owned(),
        }
    }
}

/// What a program said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    name: String,
    seconds: u64,
    cases: Vec<Case>,
}

/// Results of one driver.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    driver: String,
    kernel: String,
    programs: Vec<Program>,
}

/// Where a driver's results are.
fn results_file(folder: &Path, driver: Driver) -> PathBuf {
    folder.join(format!("{}.json", driver.module()))
}

/// Options of `testbed netdev-forget`.
#[derive(Args, Debug)]
pub struct ForgetArgs {
    /// The driver whose results are forgotten.
    #[arg(long)]
    driver: Driver,
    /// Folder with the results.
    #[arg(long, value_name = "DIR")]
    results: PathBuf,
    /// Only those of programs whose name contains this.
    #[arg(long, value_name = "WORD", default_value = "")]
    only: String,
}

/// Forgets results, so that these programs are run again.
///
/// # Errors
///
/// If the file cannot be read or written.
pub fn forget(args: &ForgetArgs) -> Result<()> {
    let file = results_file(&args.results, args.driver);
    if !file.exists() {
        return Ok(());
    }
    let mut results: Results = serde_json::from_str(&fs::read_to_string(&file)?)
        .with_context(|| file.display().to_string())?;
    results
        .programs
        .retain(|program| !program.name.contains(&args.only));
    save(&file, &results)
}

fn save(file: &Path, results: &Results) -> Result<()> {
    fs::write(file, serde_json::to_string_pretty(results)? + "\n")
        .with_context(|| file.display().to_string())
}

/// Reads a program's KTAP. The lines before a result that tell of a failed check or an exception say why.
fn cases(output: &str) -> (Vec<Case>, Option<usize>) {
    let mut cases = Vec::new();
    let mut planned = None;
    let mut why = String::new();
    for line in output.lines() {
        if let Some(count) = line.strip_prefix("1..") {
            planned = count.trim().parse().ok();
        }
        // A check's message; or an exception's, which stands after the traceback without indentation.
        let said = line.strip_prefix("# Exception| ").unwrap_or("");
        if line.starts_with("# Check failed") {
            line.trim_start_matches("# ").clone_into(&mut why);
        } else if said.starts_with(|c: char| c.is_alphabetic()) && !said.starts_with("Traceback") {
            said.clone_into(&mut why);
        } else if let Some(error) = said.trim_start().strip_prefix("STDERR: ") {
            why = format!("{why}: {error}");
        }
        let (failed, rest) = match (line.strip_prefix("not ok "), line.strip_prefix("ok ")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => continue,
        };
        let (title, comment) = rest.split_once(" # ").unwrap_or((rest, ""));
        // After the number comes the program's name and a dot.
        let title = title.split_once(' ').map_or(title, |(_, title)| title);
        let name = title.split_once('.').map_or(title, |(_, name)| name);
        let skipped = comment.starts_with("SKIP") || comment.starts_with("XFAIL");
        let outcome = match (failed, skipped) {
            (true, _) => Outcome::Fail,
            (_, true) => Outcome::Skip,
            _ => Outcome::Pass,
        };
        let comment = if failed { why.as_str() } else { comment };
        cases.push(Case {
            name: name.trim().to_owned(),
            outcome,
            comment: comment.to_owned(),
        });
        why.clear();
    }
    (cases, planned)
}

/// The function under test.
struct Under {
    driver: Driver,
    address: String,
}

impl Under {
    /// Finds the function, and puts the other end of the cable where the tests expect it.
    fn set_up(args: &NetdevArgs) -> Result<Self> {
        let adapters = nic::adapters()?;
        let [own, other] = adapters.as_slice() else {
            bail!(
                "two 82576 on one cable are needed; this machine has {}",
                adapters.len()
            );
        };
        HostDriver::Igb.load(&args.modules)?;
        args.driver.load(&args.modules)?;
        nic::bind(other, HostDriver::Igb.module())?;
        let remote = nic::interface(other)?;
        Space::make(REMOTE)?.take(&remote)?;
        REMOTE_SPACE.run(
            "ip",
            &[
                "addr",
                "add",
                &format!("{REMOTE_V6}/64"),
                "dev",
                &remote,
                "nodad",
            ],
        )?;
        REMOTE_SPACE.up(&remote, &format!("{REMOTE_V4}/24"))?;
        let address = match args.driver {
            Driver::Igb | Driver::IgbCompsc => own.clone(),
            Driver::Igbvf | Driver::IgbvfCompsc => {
                let adapter = Adapter::set_up(0, 1, HostDriver::Igb)?;
                adapter.set_mac(&adapter.functions[0], VF_MAC)?;
                adapter.functions[0].address.clone()
            }
        };
        Ok(Self {
            driver: args.driver,
            address,
        })
    }

    /// Binds the driver anew, and waits until the remote endpoint answers. Returns the interface's name.
    fn fresh(&self) -> Result<String> {
        let unbind = Path::new(nic::PCI)
            .join(&self.address)
            .join("driver/unbind");
        if unbind.exists() {
            write_sysfs(&unbind, &self.address)?;
        }
        nic::bind(&self.address, self.driver.module())?;
        let interface = nic::interface(&self.address)?;
        LOCAL_SPACE.run(
            "ip",
            &[
                "addr",
                "add",
                &format!("{LOCAL_V6}/64"),
                "dev",
                &interface,
                "nodad",
            ],
        )?;
        LOCAL_SPACE.up(&interface, &format!("{LOCAL_V4}/24"))?;
        for target in [REMOTE_V4, REMOTE_V6] {
            LOCAL_SPACE.answer(target, Duration::from_secs(20))?;
        }
        Ok(interface)
    }
}

/// Runs a program, and the cases that failed up to two times more: in an emulated machine that is short of processors a
/// test may wait in vain, whatever the driver.
fn run_patiently(args: &NetdevArgs, under: &Under, program: &str, log: &Path) -> Result<Program> {
    let mut done = run_program(args, &under.fresh()?, program, log, &[])?;
    for again in 2..=TRIES {
        let failed = |case: &&mut Case| case.outcome == Outcome::Fail && case.name != UNFINISHED;
        let names: Vec<String> = done
            .cases
            .iter_mut()
            .filter(failed)
            .map(|case| case.name.clone())
            .collect();
        if names.is_empty() {
            break;
        }
        let log = log.with_extension(format!("{again}.log"));
        let next = run_program(args, &under.fresh()?, program, &log, &names)?;
        done.seconds += next.seconds;
        for case in done.cases.iter_mut().filter(failed) {
            let passes = |other: &&Case| other.name == case.name && other.outcome == Outcome::Pass;
            if next.cases.iter().any(|other| passes(&other)) {
                case.outcome = Outcome::Pass;
                case.comment = format!("at time {again}");
            }
        }
    }
    Ok(done)
}

/// Runs a program, or only some of its cases, with its output in `log`. Returns what it said.
fn run_program(
    args: &NetdevArgs,
    interface: &str,
    program: &str,
    log: &Path,
    only: &[String],
) -> Result<Program> {
    let tests = args.tests.join(FOLDER);
    let path = tests.join(program);
    let folder = path.parent().unwrap_or(&tests);
    let extra = args.tests.join("extra/usr");
    let search = std::env::var("PATH").unwrap_or_default();
    let begin = Instant::now();
    let mut child = Command::new("python3")
        // Nothing is written beside the programs.
        .arg("-B")
        .arg(&path)
        .args(only.iter().flat_map(|name| ["-t", name]))
        .current_dir(folder)
        .env("NETIF", interface)
        .env("LOCAL_V4", LOCAL_V4)
        .env("REMOTE_V4", REMOTE_V4)
        .env("LOCAL_V6", LOCAL_V6)
        .env("REMOTE_V6", REMOTE_V6)
        .env("REMOTE_TYPE", "netns")
        .env("REMOTE_ARGS", REMOTE)
        .env(
            "PATH",
            format!("{0}/bin:{0}/sbin:{search}", extra.display()),
        )
        .env("LD_LIBRARY_PATH", extra.join("lib/x86_64-linux-gnu"))
        .env("TERM", "dumb")
        .stdout(File::create(log)?)
        .stderr(File::options().append(true).open(log)?)
        .process_group(0)
        .spawn()
        .context("cannot run python3")?;
    let group = Pid::from_raw(i32::try_from(child.id())?);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if begin.elapsed() >= Duration::from_secs(args.seconds) {
            break None;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    // With all that it has started and left behind.
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
    let (mut cases, planned) = cases(&fs::read_to_string(log)?);
    match status {
        None => cases.push(Case::failed(UNFINISHED, "took too long")),
        Some(_) if planned.is_some_and(|count| cases.len() < count) => {
            cases.push(Case::failed(UNFINISHED, "ended early"));
        }
        // The kernel's convention for a program that cannot run here.
        Some(status) if planned.is_none() => cases.push(Case {
            name: UNFINISHED.to_owned(),
            outcome: if status.code() == Some(4) {
                Outcome::Skip
            } else {
                Outcome::Fail
            },
            comment: "ran no case".to_owned(),
        }),
        Some(_) => {}
    }
    Ok(Program {
        name: program.to_owned(),
        seconds: begin.elapsed().as_secs(),
        cases,
    })
}

/// Runs the programs with one driver, and writes what they said.
///
/// # Errors
///
/// If the machine is not set up for it, or the driver does not get a link.
pub fn netdev(args: &NetdevArgs) -> Result<()> {
    let under = Under::set_up(args)?;
    let name = under.driver.module();
    let file = results_file(&args.results, under.driver);
    let mut results = match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| file.display().to_string())?,
        Err(_) => Results {
            driver: name.to_owned(),
            kernel: run("uname", &["-r"])?.trim().to_owned(),
            programs: Vec::new(),
        },
    };
    let logs = args.results.join(name);
    fs::create_dir_all(&logs)?;
    for program in PROGRAMS {
        if args
            .only
            .as_ref()
            .is_some_and(|only| !program.contains(only.as_str()))
            || results.programs.iter().any(|done| done.name == program)
        {
            continue;
        }
        let mark = dmesg()?.len();
        let log = logs.join(program.replace('/', "-")).with_extension("log");
        let mut done = run_patiently(args, &under, program, &log)?;
        let said = dmesg()?;
        let complaints = compsc_kernel_log::complaints(said.get(mark..).unwrap_or(&said));
        if let Some(first) = complaints.first() {
            done.cases.push(Case::failed(LOG, first));
        }
        let count = |outcome| {
            done.cases
                .iter()
                .filter(|case| case.outcome == outcome)
                .count()
        };
        println!(
            "{name}: {program}: {} passed, {} failed, {} skipped, {} s",
            count(Outcome::Pass),
            count(Outcome::Fail),
            count(Outcome::Skip),
            done.seconds
        );
        for case in done
            .cases
            .iter()
            .filter(|case| case.outcome == Outcome::Fail)
        {
            println!("{name}:   {} failed: {}", case.name, case.comment);
        }
        results.programs.push(done);
        save(&file, &results)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read() {
        let output = "TAP version 13\n1..4\n# ignored\nok 1 stats.check_pause\n\
            # Check| At /x/stats.py, line 1, in pkt:\n# Check failed 1 != 2 sum\nnot ok 2 stats.pkt_byte_sum\n\
            ok 3 stats.check_fec # SKIP FEC not supported\nok 4 csum.ipv6_rx.a_b # XFAIL later\n# Totals: pass:1\n";
        let (cases, planned) = cases(output);
        assert_eq!(planned, Some(4));
        let seen: Vec<_> = cases
            .iter()
            .map(|case| (case.name.as_str(), case.outcome, case.comment.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("check_pause", Outcome::Pass, ""),
                ("pkt_byte_sum", Outcome::Fail, "Check failed 1 != 2 sum"),
                ("check_fec", Outcome::Skip, "SKIP FEC not supported"),
                ("ipv6_rx.a_b", Outcome::Skip, "XFAIL later"),
            ]
        );
    }
}
