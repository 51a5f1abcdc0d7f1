// SPDX-License-Identifier: GPL-2.0

//! First process of the nested guest: sets up what is needed, loads the driver that the kernel
//! command line names and then obeys the agent's port.
//!
//! Kernel command line: `tb.driver=MODULE|none`, `tb.addr=ADDRESS/PREFIX`, `tb.mtu=N`.

use crate::hostile::Hostile;
use crate::proto::Answer;
use crate::proto::Health;
use crate::proto::Hello;
use crate::proto::Order;
use crate::proto::Output;
use crate::proto::PORT;
use crate::proto::Request;
use crate::traffic::Side;
use crate::traffic::StackCounters;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use compsc_report::figures::parse_figures;
use nix::kmod::ModuleInitFlags;
use nix::mount::MsFlags;
use serde_json::Value;
use serde_json::to_value;
use std::ffi::CString;
use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

/// Where the test bed puts our modules in the guest's initramfs.
pub const OUR_MODULES: &str = "/compsc";

/// Runs as process 1; never returns in the good case.
///
/// # Errors
///
/// If the guest cannot be made usable at all.
pub fn run() -> Result<()> {
    mount_all()?;
    let words = fs::read_to_string("/proc/cmdline")?;
    let word = |name: &str| {
        words
            .split_whitespace()
            .find_map(|w| w.strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
    };
    // The applets that stand beside the full programs of /usr/bin.
    Command::new("/bin/busybox")
        .args(["--install", "-s", "/bin"])
        .status()?;
    command("ip link set lo up")?;
    let driver = word("tb.driver").unwrap_or_else(|| "none".to_owned());
    let mut problem = None;
    let mut interface = None;
    if let Err(e) = load_driver(&driver) {
        problem = Some(format!("{e:#}"));
    } else if driver != "none" {
        match bring_up(word("tb.addr").as_deref(), word("tb.mtu").as_deref()) {
            Ok(name) => interface = Some(name),
            Err(e) => problem = Some(format!("{e:#}")),
        }
    }
    serve(interface, problem)
}

fn mount_all() -> Result<()> {
    let table = [
        ("proc", "/proc", "proc"),
        ("sysfs", "/sys", "sysfs"),
        ("devtmpfs", "/dev", "devtmpfs"),
        ("tmpfs", "/run", "tmpfs"),
        ("debugfs", "/sys/kernel/debug", "debugfs"),
        ("tracefs", "/sys/kernel/tracing", "tracefs"),
    ];
    for (source, target, kind) in table {
        fs::create_dir_all(target).ok();
        let done = nix::mount::mount(
            Some(source),
            target,
            Some(kind),
            MsFlags::empty(),
            None::<&str>,
        );
        match done {
            // The kernel may have mounted devtmpfs itself.
            Ok(()) | Err(nix::errno::Errno::EBUSY) => {}
            Err(e) => return Err(e).with_context(|| format!("cannot mount {target}")),
        }
    }
    Ok(())
}

fn load_module(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("no module {}", path.display()))?;
    match nix::kmod::finit_module(&file, &CString::default(), ModuleInitFlags::empty()) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        Err(e) => {
            Err(e).with_context(|| format!("{} could not be inserted; see dmesg", path.display()))
        }
    }
}

/// Loads a driver, ours or the distribution's, with what it needs.
fn load_driver(driver: &str) -> Result<()> {
    let paths: Vec<PathBuf> = match driver {
        "none" => Vec::new(),
        ours if ours.ends_with("_compsc") => ["compsc", ours]
            .map(|name| Path::new(OUR_MODULES).join(format!("{name}.ko")))
            .to_vec(),
        other => distribution_modules(other)?,
    };
    paths.iter().try_for_each(|path| load_module(path))
}

/// The modules of the distribution's kernel that stand before one in the order of insertion, and that one.
fn distribution_modules(driver: &str) -> Result<Vec<PathBuf>> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let folder = Path::new("/lib/modules").join(kernel.trim());
    let order = fs::read_to_string(folder.join("order"))?;
    let name = format!("{driver}.ko");
    let last = order
        .lines()
        .position(|line| line == name)
        .ok_or_else(|| anyhow!("the guest has no module {name}"))?;
    Ok(order
        .lines()
        .take(last + 1)
        .map(|line| folder.join(line))
        .collect())
}

/// Waits for the interface and gives it its address. One that stands in for another belongs to a master, which
/// is the one to use.
fn bring_up(address: Option<&str>, mtu: Option<&str>) -> Result<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let name = loop {
        let found = fs::read_dir("/sys/class/net")?
            .filter_map(Result::ok)
            .find(|entry| {
                entry.path().join("device").exists() && !entry.path().join("master").exists()
            });
        match found {
            Some(entry) => break entry.file_name().to_string_lossy().into_owned(),
            None if Instant::now() >= deadline => bail!("the driver made no network interface"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    if let Some(mtu) = mtu {
        command(&format!("ip link set {name} mtu {mtu}"))?;
    }
    command(&format!("ip link set {name} up"))?;
    if let Some(address) = address {
        command(&format!("ip addr add {address} dev {name}"))?;
    }
    Ok(name)
}

fn command(line: &str) -> Result<String> {
    let out = exec(line)?;
    if out.status != 0 {
        bail!("`{line}` failed: {}", out.stderr.trim());
    }
    Ok(out.stdout)
}

fn exec(line: &str) -> Result<Output> {
    let out = Command::new("/usr/bin/bash")
        .args(["-c", line])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .with_context(|| format!("cannot run `{line}`"))?;
    Ok(Output {
        status: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    })
}

/// The agent's port, once the kernel has it.
fn open_port() -> Result<File> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        for entry in fs::read_dir("/sys/class/virtio-ports")
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
        {
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if name.trim() == PORT {
                let path = Path::new("/dev").join(entry.file_name());
                return File::options()
                    .read(true)
                    .write(true)
                    .open(&path)
                    .with_context(|| format!("cannot open {}", path.display()));
            }
        }
        if Instant::now() >= deadline {
            bail!("the virtual machine has no virtio-serial port {PORT}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Agent {
    port: Mutex<File>,
    traffic: Mutex<Option<Side>>,
    hostile: Mutex<Option<Hostile>>,
    interface: Option<String>,
    problem: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn serve(interface: Option<String>, problem: Option<String>) -> Result<()> {
    let mut port = open_port()?;
    let agent = Arc::new(Agent {
        port: Mutex::new(port.try_clone()?),
        traffic: Mutex::new(None),
        hostile: Mutex::new(None),
        interface,
        problem,
    });
    let mut pending = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = match port.read(&mut chunk) {
            // Nobody at the other end, for example right after a migration.
            Ok(0) | Err(_) => {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            Ok(n) => n,
        };
        pending.extend_from_slice(&chunk[..read]);
        while let Some(end) = pending.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let Ok(request) = serde_json::from_slice::<Request>(&line) else {
                // The rest of a line whose beginning was lost; the host asks again.
                continue;
            };
            let agent = agent.clone();
            // A command that takes long must not make the agent deaf.
            std::thread::spawn(move || agent.obey(request));
        }
    }
}

impl Agent {
    fn obey(&self, request: Request) {
        let result = self.order(request.order).map_err(|e| format!("{e:#}"));
        let answer = Answer {
            id: request.id,
            result,
        };
        let mut line = serde_json::to_vec(&answer).unwrap_or_default();
        line.push(b'\n');
        // An answer that cannot be written is asked for again.
        let _ = lock(&self.port).write_all(&line);
    }

    fn health(&self) -> Result<Health> {
        let mut health = Health::default();
        let Some(name) = &self.interface else {
            return Ok(health);
        };
        let class = Path::new("/sys/class/net").join(name);
        let number =
            |path: PathBuf| -> Option<u64> { fs::read_to_string(path).ok()?.trim().parse().ok() };
        health.carrier_changes = number(class.join("carrier_changes")).unwrap_or(0);
        for entry in fs::read_dir(class.join("statistics"))?.filter_map(Result::ok) {
            if let Some(value) = number(entry.path()) {
                let counter = format!("ip:{}", entry.file_name().to_string_lossy());
                health.counters.insert(counter, value);
            }
        }
        let own = Command::new("/usr/bin/ethtool")
            .args(["-S", name])
            .output()?;
        for line in String::from_utf8_lossy(&own.stdout).lines() {
            if let Some((counter, Ok(value))) =
                line.trim().rsplit_once(": ").map(|(c, v)| (c, v.parse()))
            {
                health.counters.insert(format!("nic:{counter}"), value);
            }
        }
        for driver in ["igbvf_compsc", "compsc"] {
            let folder = Path::new("/sys/kernel/debug").join(driver);
            for entry in fs::read_dir(folder)
                .into_iter()
                .flatten()
                .filter_map(Result::ok)
            {
                if let Ok(text) = fs::read_to_string(entry.path().join("status")) {
                    health.figures.extend(parse_figures(&text));
                }
            }
        }
        Ok(health)
    }

    fn order(&self, order: Order) -> Result<Value> {
        match order {
            Order::Hello => Ok(to_value(Hello {
                kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                    .trim()
                    .to_owned(),
                interface: self.interface.clone(),
                problem: self.problem.clone(),
            })?),
            Order::Exec { command } => Ok(to_value(exec(&command)?)?),
            Order::TrafficStart(config) => {
                // The old side's sockets have to be gone first.
                let mut traffic = lock(&self.traffic);
                *traffic = None;
                *traffic = Some(Side::start_guest(&config)?);
                Ok(Value::Null)
            }
            Order::TrafficStop => {
                lock(&self.traffic)
                    .as_ref()
                    .ok_or_else(|| anyhow!("no traffic was started"))?
                    .stop();
                Ok(Value::Null)
            }
            Order::TrafficFinish => {
                let mut traffic = lock(&self.traffic);
                let mut side = traffic
                    .take()
                    .ok_or_else(|| anyhow!("no traffic was started"))?;
                side.stop();
                side.join(Duration::from_secs(20));
                Ok(to_value(side.report())?)
            }
            Order::TrafficErrors => Ok(to_value(
                lock(&self.traffic)
                    .as_ref()
                    .map(Side::errors)
                    .unwrap_or_default(),
            )?),
            Order::Health => Ok(to_value(self.health()?)?),
            Order::Counters => Ok(to_value(StackCounters::read()?)?),
            Order::HostileStart { seed } => {
                *lock(&self.hostile) = Some(Hostile::start(seed)?);
                Ok(Value::Null)
            }
            Order::HostileStop => {
                let hostile = lock(&self.hostile)
                    .take()
                    .ok_or_else(|| anyhow!("nothing hostile was started"))?;
                Ok(to_value(hostile.stop()?)?)
            }
        }
    }
}
