// SPDX-License-Identifier: GPL-2.0

//! The VF driver on a function of this machine, against a PF driver: traffic, settings, and the
//! restore by all causes that need no migration.

use super::Ktap;
use super::net::Flow;
use super::net::Space;
use super::net::clean_log;
use super::net::monotonic;
use super::net::same;
use super::xdp::Subject;
use crate::host::compscctl;
use crate::host::dmesg;
use crate::host::in_namespace;
use crate::host::netdev_genl;
use crate::host::netdev_genl::Object;
use crate::host::nic::Adapter;
use crate::host::nic::HostDriver;
use crate::host::nic::insmod;
use crate::host::nic::wait_for;
use crate::host::run;
use crate::host::write_sysfs;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use clap::Args;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Network namespace of the virtual function.
const SPACE: Space = Space(Some(NAME));
const NAME: &str = "compsc-vf";
const VF_ADDRESS: &str = "10.78.0.2";
const PF_ADDRESS: &str = "10.78.0.1";
const MAC: &str = "02:78:00:00:00:02";

/// Options of `testbed selftest-driver`.
#[derive(Args, Debug)]
pub struct DriverArgs {
    /// Run only the cases whose names contain this.
    #[arg(long, env = "COMPSC_ONLY", value_name = "WORDS")]
    only: Option<String>,
    /// Folder with compsc.ko and igbvf_compsc.ko.
    #[arg(long, env = "COMPSC_MODULES")]
    modules: PathBuf,
    /// Driver of the physical function.
    #[arg(
        long,
        env = "COMPSC_HOST_DRIVER",
        default_value = "igb",
        value_name = "NAME"
    )]
    host_driver: HostDriver,
    /// Restores by the debugfs trigger, and as many function-level resets, under traffic.
    #[arg(long, default_value_t = 20)]
    restores: u32,
}

/// A bound virtual function with its interface.
struct Bench {
    device: PathBuf,
    address: String,
    interface: String,
    pf: String,
    debugfs: PathBuf,
}

impl Bench {
    fn set_up(args: &DriverArgs) -> Result<Self> {
        args.host_driver.load(&args.modules)?;
        let adapter = Adapter::set_up(0, 1, args.host_driver)?;
        insmod(&args.modules.join("compsc.ko"))?;
        insmod(&args.modules.join("igbvf_compsc.ko"))?;
        let function = &adapter.functions[0];
        adapter.set_mac(function, MAC)?;
        function.bind("igbvf_compsc")?;
        let device = Path::new("/sys/bus/pci/devices").join(&function.address);
        let interface = wait_for(Duration::from_secs(5), "a network interface", || {
            let entry = fs::read_dir(device.join("net"))
                .ok()?
                .find_map(Result::ok)?;
            Some(entry.file_name().to_string_lossy().into_owned())
        })?;
        Space::make(NAME)?;
        SPACE.take(&interface)?;
        let bench = Self {
            debugfs: Path::new("/sys/kernel/debug/compsc").join(&function.address),
            address: function.address.clone(),
            device,
            interface,
            pf: adapter.interface.clone(),
        };
        bench.inside(
            "ip",
            &[
                "addr",
                "add",
                &format!("{VF_ADDRESS}/24"),
                "dev",
                &bench.interface,
            ],
        )?;
        bench.up()?;
        adapter.set_address(&format!("{PF_ADDRESS}/24"))?;
        bench.ping(3)?;
        Ok(bench)
    }

    /// Runs a program in the function's namespace.
    fn inside(&self, program: &str, arguments: &[&str]) -> Result<String> {
        SPACE.run(program, arguments)
    }

    fn up(&self) -> Result<()> {
        self.inside("ip", &["link", "set", &self.interface, "up"])?;
        wait_for(Duration::from_secs(10), "the function's link", || {
            let text = self.inside(
                "cat",
                &[&format!("/sys/class/net/{}/carrier", self.interface)],
            );
            (text.ok()?.trim() == "1").then_some(())
        })
    }

    fn ethtool(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec![arguments[0], &self.interface];
        all.extend_from_slice(&arguments[1..]);
        self.inside("ethtool", &all)
    }

    /// All of `count` echo requests are answered.
    fn ping(&self, count: u32) -> Result<()> {
        let count = count.to_string();
        self.inside(
            "ping",
            &["-q", "-c", &count, "-i", "0.05", "-W", "2", PF_ADDRESS],
        )
        .map(|_| ())
    }

    /// A TCP stream of `megabytes` MB from the function, or to it.
    fn stream(&self, megabytes: u32, to_function: bool) -> Result<()> {
        SPACE.stream(Space(None), PF_ADDRESS, megabytes, 1, to_function)
    }

    fn stats(&self) -> Result<BTreeMap<String, u64>> {
        SPACE.statistics(&self.interface)
    }

    fn stat(&self, name: &str) -> Result<u64> {
        self.stats()?
            .get(name)
            .copied()
            .ok_or_else(|| anyhow!("no statistic {name}"))
    }

    fn carrier_changes(&self) -> Result<String> {
        let path = format!("/sys/class/net/{}/carrier_changes", self.interface);
        Ok(self.inside("cat", &[&path])?.trim().to_owned())
    }

    fn tear_down(&self) -> Result<()> {
        write_sysfs(&self.device.join("driver/unbind"), &self.address)?;
        if self.device.join("compsc").exists() {
            bail!("the attributes outlive the driver");
        }
        run("rmmod", &["igbvf_compsc"])?;
        // The PF's driver may use the other one still.
        if !Path::new("/sys/module/igb_compsc").exists() {
            run("rmmod", &["compsc"])?;
        }
        run("ip", &["netns", "del", NAME])?;
        run("ip", &["addr", "flush", "dev", &self.pf]).map(|_| ())
    }
}

/// Restores `count` times by `restore` under traffic; nothing above the driver may notice.
fn restored(bench: &Bench, count: u32, restore: impl Fn() -> Result<()>) -> Result<()> {
    let (before, carrier) = (bench.stats()?, bench.carrier_changes()?);
    let flow = Flow::start(SPACE, PF_ADDRESS)?;
    for i in 0..count {
        restore().with_context(|| format!("restore {}", i + 1))?;
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    let (sent, received, duplicates) = flow.stop()?;
    let after = bench.stats()?;
    monotonic(&before, &after)?;
    same(
        "the number of carrier changes",
        &carrier,
        &bench.carrier_changes()?,
    )?;
    let restores = after["compsc_restores"] - before["compsc_restores"];
    if restores < u64::from(count) {
        bail!("{count} restores were asked for, {restores} made");
    }
    if duplicates != 0 {
        bail!("{duplicates} answers came twice");
    }
    // A restore may lose what arrives while the function is in reset, and no more.
    if sent == 0 || received + 3 * u64::from(count) < sent {
        bail!("{received} of {sent} requests answered over {count} restores");
    }
    bench.ping(3).context("after the restores")
}

/// A recovery succeeds, or fails while the physical function is silent and is made up for as soon as it answers.
fn recovers(bench: &Bench) -> Result<()> {
    let handle = format!("pci/{}", bench.address);
    let health = |what: &[&str]| {
        let (command, more) = what.split_at(1);
        run(
            "devlink",
            &[
                &["-j", "health"],
                command,
                &[&handle, "reporter", "tx"],
                more,
            ]
            .concat(),
        )
    };
    let reporter = || -> Result<(String, u64, u64)> {
        let all: Value = serde_json::from_str(&health(&["show"])?)?;
        let tx = &all["health"][&handle][0];
        let count = |name: &str| {
            tx[name]
                .as_u64()
                .with_context(|| format!("no {name} in {tx}"))
        };
        let state = tx["state"].as_str().unwrap_or_default().to_owned();
        Ok((state, count("error")?, count("recover")?))
    };
    let becomes = |state: &str, errors: u64, recoveries: u64| {
        let wanted = (state.to_owned(), errors, recoveries);
        wait_for(
            Duration::from_secs(15),
            &format!("the reporter to show {wanted:?}"),
            || (reporter().ok()? == wanted).then_some(()),
        )
    };
    same("the reporter", &("healthy".to_owned(), 0, 0), &reporter()?)?;
    // Errors that follow each other within the grace period are not recovered from.
    health(&["set", "grace_period", "0"])?;
    health(&["test"])?;
    becomes("healthy", 1, 1)?;
    bench.ping(10)?;

    let carrier = |wanted: &str| {
        wait_for(
            Duration::from_secs(15),
            &format!("the carrier to be {wanted}"),
            || {
                let path = format!("/sys/class/net/{}/carrier", bench.interface);
                (bench.inside("cat", &[&path]).ok()?.trim() == wanted).then_some(())
            },
        )
    };
    run("ip", &["link", "set", &bench.pf, "down"])?;
    let silent = health(&["test"])
        .and_then(|_| becomes("error", 2, 1))
        .and_then(|()| carrier("0"));
    run("ip", &["link", "set", &bench.pf, "up"])?;
    silent?;
    becomes("healthy", 2, 1)?;
    carrier("1")?;
    bench.ping(10)
}

/// The registers that a replay may write, in the order of the register map: what the tracepoint shows.
fn replay_order(bench: &Bench) -> Result<()> {
    let tracing = Path::new("/sys/kernel/tracing");
    let set = |file: &str, value: &str| write_sysfs(&tracing.join(file), value);
    let log = fs::read_to_string(bench.debugfs.join("log"))?;
    set("trace", "")?;
    set("events/compsc/enable", "1")?;
    let result = write_sysfs(&bench.debugfs.join("replay"), "1");
    set("events/compsc/enable", "0")?;
    result?;
    let trace = fs::read_to_string(tracing.join("trace"))?;
    // `… compsc_replay: <function> NAME[index] @offset = value`.
    let replayed: Vec<&str> = trace
        .lines()
        .filter_map(|line| {
            line.split_once("compsc_replay: ")?
                .1
                .split_whitespace()
                .nth(1)
        })
        .collect();
    let recorded: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    if replayed.is_empty() {
        bail!("no register was replayed");
    }
    let plain = |name: &str| name.trim_end_matches("[0]").to_owned();
    for name in &replayed {
        if ["RDH", "TDH", "RDT", "TDT"]
            .iter()
            .any(|r| name.starts_with(r))
        {
            bail!("{name} was replayed");
        }
        if !recorded.iter().any(|r| plain(r) == plain(name)) {
            bail!("{name} was replayed and had not been written");
        }
    }
    // The log lists the phases' registers in map order; replay goes phase by phase.
    let phases = ["setup", "rings", "interrupts", "enable", "unmask"];
    let expected: Vec<String> = phases
        .iter()
        .flat_map(|phase| {
            log.lines()
                .filter(move |line| line.split_whitespace().next() == Some(phase))
                .filter_map(|line| line.split_whitespace().nth(1))
                .map(plain)
        })
        .collect();
    let replayed: Vec<String> = replayed.into_iter().map(plain).collect();
    same("the order of replay", &expected, &replayed)
}

/// All objects of the function's interface that a command of the kernel's netdev family dumps.
fn dump(bench: &Bench, command: u8, ifindex: u16, more: &[(u16, u32)]) -> Result<Vec<Object>> {
    let path = format!("/sys/class/net/{}/ifindex", bench.interface);
    let number = bench.inside("cat", &[&path])?.trim().parse()?;
    let mut request = vec![(ifindex, number)];
    request.extend_from_slice(more);
    in_namespace(NAME, || netdev_genl::dump(command, &request))
}

/// Each queue has its NAPI instance, which has the interrupt that is named after the queue.
fn queues_are_linked(bench: &Bench) -> Result<()> {
    use netdev_genl::command;
    use netdev_genl::napi;
    use netdev_genl::queue;
    let queues = dump(bench, command::QUEUE_GET, queue::IFINDEX, &[])?;
    let mut kinds: Vec<_> = queues
        .iter()
        .map(|q| (q.get(&queue::TYPE), q.get(&queue::ID)))
        .collect();
    kinds.sort_unstable();
    let expected = vec![(Some(&0), Some(&0)), (Some(&1), Some(&0))];
    same("type and number of the queues", &expected, &kinds)?;
    let instances = dump(bench, command::NAPI_GET, napi::IFINDEX, &[])?;
    let interrupts = fs::read_to_string("/proc/interrupts")?;
    for q in &queues {
        let id = q.get(&queue::NAPI_ID).context("a queue without NAPI")?;
        let instance = instances
            .iter()
            .find(|instance| instance.get(&napi::ID) == Some(id))
            .with_context(|| format!("NAPI instance {id} is not known"))?;
        let irq = instance.get(&napi::IRQ).context("NAPI without interrupt")?;
        let line = interrupts
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{irq}:")))
            .with_context(|| format!("there is no interrupt {irq}"))?;
        let name = format!("{}-TxRx-{}", bench.address, q[&queue::ID]);
        if !line.ends_with(&name) {
            bail!("the interrupt of a queue is not {name} but {line}");
        }
    }
    Ok(())
}

/// The queues' statistics make up those of the interface.
fn queue_statistics(bench: &Bench) -> Result<()> {
    use netdev_genl::command::QSTATS_GET;
    use netdev_genl::qstats;
    let interface = || -> Result<Vec<u64>> {
        let number = |(name, _): &(&str, u16)| -> Result<u64> {
            let path = format!("/sys/class/net/{}/statistics/{name}", bench.interface);
            Ok(bench.inside("cat", &[&path])?.trim().parse()?)
        };
        qstats::COUNTERS.iter().map(number).collect()
    };
    let before = interface()?;
    let scope = [(qstats::SCOPE, qstats::SCOPE_QUEUE)];
    let queues = dump(bench, QSTATS_GET, qstats::IFINDEX, &scope)?;
    let whole = dump(bench, QSTATS_GET, qstats::IFINDEX, &[])?;
    let after = interface()?;
    if queues.len() != 2 || whole.len() != 1 {
        bail!("{} queues of {} devices", queues.len(), whole.len());
    }
    for (i, (name, attribute)) in qstats::COUNTERS.iter().enumerate() {
        let sum = |objects: &[Object]| objects.iter().filter_map(|o| o.get(attribute)).sum::<u64>();
        for value in [sum(&queues), sum(&whole)] {
            if value == 0 || !(before[i]..=after[i]).contains(&value) {
                let (before, after) = (before[i], after[i]);
                bail!("{name} is {value} by its queues, {before} to {after} by the interface");
            }
        }
        // A queue has what belongs to its direction.
        for q in &queues {
            let receives = q.get(&qstats::QUEUE_TYPE) == Some(&0);
            same(
                name,
                &q.contains_key(attribute),
                &(receives == name.starts_with("rx")),
            )?;
        }
    }
    Ok(())
}

/// A line of the `counters` file.
struct Counter {
    name: String,
    hardware: u64,
    shown: u64,
}

fn counters(bench: &Bench) -> Result<Vec<Counter>> {
    let text = fs::read_to_string(bench.debugfs.join("counters"))?;
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, "hardware", hardware, "base", base, "shown", shown] = words[..] else {
                bail!("odd line \"{line}\"");
            };
            let (hardware, shown): (u64, u64) = (hardware.parse()?, shown.parse()?);
            if hardware.wrapping_add_signed(base.parse()?) != shown {
                bail!("the sum is wrong: {line}");
            }
            Ok(Counter {
                name: name.to_owned(),
                hardware,
                shown,
            })
        })
        .collect()
}

/// The `counters` file agrees with `ethtool -S`, and what is shown follows the registers, whichever they are.
fn made_up_counters(bench: &Bench) -> Result<()> {
    let before = bench.stats()?;
    let first = counters(bench)?;
    let after = bench.stats()?;
    if first.is_empty() {
        bail!("there are no counters");
    }
    for counter in &first {
        let at = |stats: &BTreeMap<String, u64>| {
            let value = stats.get(&counter.name).copied();
            value.ok_or_else(|| anyhow!("ethtool knows no {}", counter.name))
        };
        if !(at(&before)?..=at(&after)?).contains(&counter.shown) {
            bail!("{} is not what ethtool shows", counter.name);
        }
    }
    bench.ping(10)?;
    let second = counters(bench)?;
    write_sysfs(&bench.debugfs.join("replay"), "1")?;
    bench.ping(10)?;
    let third = counters(bench)?;
    for ((one, two), three) in first.iter().zip(&second).zip(&third) {
        let registered = two.hardware.wrapping_sub(one.hardware) & u64::from(u32::MAX);
        same(&two.name, &registered, &(two.shown - one.shown))?;
        let least = if one.name == "rx_packets" { 10 } else { 0 };
        for (old, new) in [(one, two), (two, three)] {
            if new.shown < old.shown + least {
                bail!("{} was {} and is {}", new.name, old.shown, new.shown);
            }
        }
    }
    Ok(())
}

/// The function's attributes in sysfs.
fn attributes(bench: &Bench) -> Result<()> {
    let folder = bench.device.join("compsc");
    let mut values = BTreeMap::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        let value = text.strip_suffix('\n').unwrap_or("\n");
        values.insert(
            entry.file_name().to_string_lossy().into_owned(),
            value.to_owned(),
        );
    }
    let names: Vec<&str> = values.keys().map(String::as_str).collect();
    let known = vec!["last_restore_us", "migratable", "restores", "state"];
    same("the attributes", &known, &names)?;
    same("the state", &"up", &values["state"].as_str())?;
    // This machine is no guest.
    same("migratable", &"0", &values["migratable"].as_str())?;
    let number = |name: &str| -> Result<u64> {
        let text = fs::read_to_string(folder.join(name))?;
        text.trim()
            .parse()
            .with_context(|| format!("{name} is {text}"))
    };
    same(
        "restores",
        &bench.stat("compsc_restores")?,
        &number("restores")?,
    )?;
    let restores = number("restores")?;
    write_sysfs(&bench.debugfs.join("replay"), "1")?;
    same("restores", &(restores + 1), &number("restores")?)?;
    if number("last_restore_us")? == 0 {
        bail!("the restore took no time");
    }
    bench.inside("ip", &["link", "set", &bench.interface, "down"])?;
    let state = fs::read_to_string(folder.join("state"))?;
    bench.up()?;
    same("the state", &"down\n", &state.as_str())?;

    // Whoever may not read debugfs is shown these.
    let status = compscctl(&[
        "--debugfs",
        "/nonexistent",
        "status",
        "--json",
        &bench.address,
    ])?;
    let function = &status["functions"][0];
    same("the shown state", &Some("up"), &function["state"].as_str())?;
    let shown = function["figures"]["restores"].as_u64();
    same("the shown restores", &Some(restores + 1), &shown)?;
    same(
        "the driver",
        &Some("igbvf_compsc"),
        &function["driver"].as_str(),
    )
}

/// `compscctl` shows the function as it is, and decodes its log as the driver does.
fn shown_by_tool(bench: &Bench) -> Result<()> {
    let status = compscctl(&["status", "--json", &bench.address])?;
    let function = &status["functions"][0];
    for (name, value) in [
        ("interface", bench.interface.as_str()),
        ("driver", "igbvf_compsc"),
        ("side", "guest"),
        ("state", "up"),
        ("device_state", "up"),
    ] {
        same(name, &Some(value), &function[name].as_str())?;
    }
    let restores = bench.stat("compsc_restores")?;
    let shown = function["figures"]["restores"].as_u64();
    same("the number of restores", &Some(restores), &shown)?;

    let log = compscctl(&["log", "--json", &bench.interface])?;
    let mut registers = Vec::new();
    for phase in log["phases"].as_array().into_iter().flatten() {
        for register in phase["registers"].as_array().into_iter().flatten() {
            let name = register["name"].as_str().unwrap_or("?");
            let name = match register["index"].as_u64() {
                Some(index) => format!("{name}[{index}]"),
                None => name.to_owned(),
            };
            let value = register["value"].as_u64().unwrap_or(0);
            let phase = phase["phase"].as_str().unwrap_or("?");
            registers.push(format!("{phase} {name} = {value:#010x}"));
            if name.contains("DCTL[0]") && register["fields"]["ENABLE"] != 1 {
                bail!("{register} does not enable a queue that runs");
            }
        }
    }
    // The driver prints the registers in the order of the map, and fields behind the value.
    let text = fs::read_to_string(bench.debugfs.join("log"))?;
    let mut expected: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().take(4).collect::<Vec<_>>())
        .map(|words| words.join(" "))
        .collect();
    registers.sort();
    expected.sort();
    same("the log", &expected, &registers)
}

/// Runs the test program.
pub fn run_all(args: &DriverArgs) -> ExitCode {
    let mut ktap = Ktap::start(args.only.as_deref());
    let mut bench = None;
    ktap.case("binds to a virtual function and has a link", || {
        bench = Some(Bench::set_up(args)?);
        Ok(())
    });
    let Some(bench) = bench else {
        return ktap.finish();
    };
    let marks = dmesg().map(|text| text.len()).unwrap_or(0);
    let b = &bench;
    ktap.case("answers 50 of 50 echo requests", || b.ping(50));
    ktap.case("sends a TCP stream", || b.stream(40, false));
    ktap.case("receives a TCP stream", || b.stream(40, true));
    ktap.case("counts what it sends and receives", || {
        let stats = b.stats()?;
        for name in [
            "rx_packets",
            "rx_bytes",
            "tx_bytes",
            "queue_0_tx_tso",
            "queue_0_rx_csum_offload_good",
        ] {
            if stats.get(name).copied().unwrap_or(0) == 0 {
                bail!("{name} is 0 after two streams");
            }
        }
        Ok(())
    });
    ktap.case("names itself and the function (ethtool -i)", || {
        let text = b.ethtool(&["-i"])?;
        if !text.contains("driver: igbvf_compsc") || !text.contains(&b.address) {
            bail!("{text}");
        }
        Ok(())
    });
    ktap.case("shows its channels (ethtool -l)", || {
        let text = b.ethtool(&["-l"])?;
        // The same before and after "Current hardware settings".
        for (name, count) in [("Combined", 1), ("Other", 1)] {
            let line = format!("{name}:\t{count}");
            let lines = text
                .lines()
                .map(|l| l.split_whitespace().collect::<Vec<_>>());
            let found = lines.filter(|words| words.join("\t") == line).count();
            same(&line, &2, &found).context(text.clone())?;
        }
        Ok(())
    });
    ktap.case("links queues, NAPI and interrupts (netdev-genl)", || {
        queues_are_linked(b)
    });
    ktap.case("has statistics per queue (netdev-genl)", || {
        queue_statistics(b)
    });
    ktap.case("dumps registers without changing them (ethtool -d)", || {
        b.ethtool(&["-d"])?;
        b.ping(3)
    });
    ktap.case("changes ring sizes (ethtool -G) and keeps the link", || {
        let carrier = || -> Result<()> {
            let path = format!("/sys/class/net/{}/carrier", b.interface);
            same("the carrier", &"1", &b.inside("cat", &[&path])?.trim())
        };
        for size in ["1024", "4096", "128", "256"] {
            b.ethtool(&["-G", "rx", size, "tx", size])?;
            let text = b.ethtool(&["-g"])?;
            let current = text
                .rsplit("Current hardware settings:")
                .next()
                .unwrap_or("");
            if current.matches(&format!("\t{size}\n")).count() != 2 {
                bail!("{size} was asked for: {current}");
            }
            carrier()?;
            b.ping(3).with_context(|| format!("with rings of {size}"))?;
        }
        b.stream(10, true)
    });
    ktap.case("changes moderation (ethtool -C)", || {
        b.ethtool(&["-C", "adaptive-rx", "off", "rx-usecs", "100"])?;
        let text = b.ethtool(&["-c"])?;
        if !text.contains("rx-usecs:\t100") {
            bail!("{text}");
        }
        b.ping(3)?;
        b.ethtool(&["-C", "adaptive-rx", "on", "adaptive-tx", "on"])?;
        if b.ethtool(&["-C", "rx-usecs", "100000"]).is_ok() {
            bail!("an interval of 100 ms was accepted");
        }
        Ok(())
    });
    ktap.case("works without offloads (ethtool -K)", || {
        let off = [
            "-K", "tx", "off", "rx", "off", "tso", "off", "sg", "off", "gso", "off",
        ];
        b.ethtool(&off)?;
        let result = b.stream(5, false).and_then(|()| b.stream(5, true));
        let on = [
            "-K", "tx", "on", "rx", "on", "sg", "on", "tso", "on", "gso", "on",
        ];
        b.ethtool(&on)?;
        result
    });
    ktap.case("passes its self-test (ethtool -t)", || {
        b.ethtool(&["-t", "online"])?;
        b.ethtool(&["-t", "offline"]).map(|_| ())
    });
    ktap.case("replays what was written, in order, and no head", || {
        replay_order(b)
    });
    ktap.case("is shown by compscctl, and its log decoded", || {
        shown_by_tool(b)
    });
    ktap.case("shows its state in sysfs", || attributes(b));
    ktap.case("shows how counters are made up (debugfs)", || {
        made_up_counters(b)
    });
    ktap.case("restores by the debugfs trigger under traffic", || {
        restored(b, args.restores, || {
            write_sysfs(&b.debugfs.join("replay"), "1")
        })
    });
    ktap.case("restores after function-level resets under traffic", || {
        restored(b, args.restores, || {
            let before = b.stat("compsc_restores")?;
            write_sysfs(&b.device.join("reset"), "1")?;
            wait_for(Duration::from_secs(5), "the restore", || {
                (b.stat("compsc_restores").ok()? > before).then_some(())
            })
        })
    });
    ktap.case("keeps a TCP stream over restores", || {
        let before = b.stat("compsc_restores")?;
        thread::scope(|scope| {
            let stream = scope.spawn(|| b.stream(60, true));
            while !stream.is_finished() {
                write_sysfs(&b.debugfs.join("replay"), "1")?;
                thread::sleep(Duration::from_millis(200));
            }
            stream
                .join()
                .map_err(|_| anyhow!("the stream's thread died"))?
        })?;
        if b.stat("compsc_restores")? == before {
            bail!("the stream ended before the first restore");
        }
        Ok(())
    });
    ktap.case("runs XDP programs over restores", || {
        Subject {
            space: SPACE,
            interface: &b.interface,
            address: VF_ADDRESS,
            peer: Space(None),
            restores: args.restores,
            restore: &|| write_sysfs(&b.debugfs.join("replay"), "1"),
            lost: 3,
        }
        .test()
    });
    ktap.case("keeps VLANs over restores", || {
        let vlan = format!("{}.77", b.interface);
        let pf_vlan = format!("{}.77", b.pf);
        b.inside(
            "ip",
            &[
                "link",
                "add",
                "link",
                &b.interface,
                "name",
                &vlan,
                "type",
                "vlan",
                "id",
                "77",
            ],
        )?;
        b.inside("ip", &["addr", "add", "10.79.0.2/24", "dev", &vlan])?;
        b.inside("ip", &["link", "set", &vlan, "up"])?;
        run(
            "ip",
            &[
                "link", "add", "link", &b.pf, "name", &pf_vlan, "type", "vlan", "id", "77",
            ],
        )?;
        run("ip", &["addr", "add", "10.79.0.1/24", "dev", &pf_vlan])?;
        run("ip", &["link", "set", &pf_vlan, "up"])?;
        // The longest frames, with the tag on top.
        let ping = || {
            b.inside(
                "ping",
                &[
                    "-q",
                    "-c",
                    "5",
                    "-i",
                    "0.1",
                    "-s",
                    "1472",
                    "-M",
                    "do",
                    "-W",
                    "2",
                    "10.79.0.1",
                ],
            )
        };
        ping().context("before")?;
        write_sysfs(&b.debugfs.join("replay"), "1")?;
        ping().context("after")?;
        b.inside("ip", &["link", "del", &vlan])?;
        run("ip", &["link", "del", &pf_vlan]).map(|_| ())
    });
    ktap.case("takes frames of 9000 bytes", || {
        run("ip", &["link", "set", &b.pf, "mtu", "9000"])?;
        b.inside("ip", &["link", "set", &b.interface, "mtu", "9000"])?;
        thread::sleep(Duration::from_secs(1));
        wait_for(
            Duration::from_secs(10),
            "the link after the PF's reset",
            || b.ping(1).ok(),
        )?;
        b.inside(
            "ping",
            &[
                "-q", "-c", "5", "-i", "0.1", "-s", "8900", "-M", "do", "-W", "2", PF_ADDRESS,
            ],
        )?;
        b.stream(20, true)?;
        b.stream(20, false)?;
        write_sysfs(&b.debugfs.join("replay"), "1")?;
        b.inside(
            "ping",
            &[
                "-q", "-c", "5", "-i", "0.1", "-s", "8900", "-M", "do", "-W", "2", PF_ADDRESS,
            ],
        )?;
        b.inside("ip", &["link", "set", &b.interface, "mtu", "1500"])?;
        run("ip", &["link", "set", &b.pf, "mtu", "1500"]).map(|_| ())
    });
    ktap.case("restores after a reset of the physical function", || {
        run("ip", &["link", "set", &b.pf, "down"])?;
        thread::sleep(Duration::from_millis(500));
        run("ip", &["link", "set", &b.pf, "up"])?;
        wait_for(Duration::from_secs(15), "an answer", || b.ping(1).ok())?;
        b.ping(10)
    });
    ktap.case("recovers by devlink health, late as well", || recovers(b));
    ktap.case("goes down and up 10 times", || {
        for _ in 0..10 {
            b.inside("ip", &["link", "set", &b.interface, "down"])?;
            b.inside("ip", &["link", "set", &b.interface, "up"])?;
        }
        b.up()?;
        wait_for(Duration::from_secs(5), "an answer", || b.ping(1).ok())?;
        b.ping(10)
    });
    ktap.case("unbinds and unloads", || b.tear_down());
    ktap.case("leaves no warning in the kernel log", || {
        clean_log(&dmesg()?, marks)
    });
    ktap.leaks();
    ktap.finish()
}
