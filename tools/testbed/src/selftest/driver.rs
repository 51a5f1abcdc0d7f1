// SPDX-License-Identifier: GPL-2.0

//! The VF driver on a function of this machine, against a PF driver: traffic, settings, and the
//! restore by all causes that need no migration.

use super::Ktap;
use super::net::Flow;
use super::net::Space;
use super::net::clean_log;
use super::net::monotonic;
use super::net::same;
use crate::host::compscctl;
use crate::host::dmesg;
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
    ktap.finish()
}
