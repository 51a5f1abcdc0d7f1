// SPDX-License-Identifier: GPL-2.0

//! One QEMU process that runs the nested guest, or waits for it.

use super::agent::Agent;
use super::initramfs;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use compsc_migrate::qmp::Qmp;
use serde_json::Value;
use serde_json::json;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

/// How much nicer QEMU is than the test bed itself; a guest's processors are in between. The few
/// processors here stand in for the many of a real host, where the endpoint of the traffic, a guest and
/// the copying of its memory do not wait for each other.
const OURS: i32 = 16;

/// Puts this process before everything that it starts.
///
/// # Errors
///
/// If `renice` fails.
pub fn prioritise() -> Result<()> {
    let process = std::process::id().to_string();
    super::run("renice", &["-n", &(-OURS).to_string(), "-p", &process]).map(|_| ())
}

/// What a guest consists of. Source and destination are made from the same.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Name of the files in the working folder.
    pub name: String,
    /// Kernel image.
    pub kernel: PathBuf,
    /// Initial RAM file system without the test bed's files.
    pub initrd: PathBuf,
    /// Folder of our modules; may hold none.
    pub modules: PathBuf,
    /// Module of the guest's driver, or "none".
    pub driver: String,
    /// Address and prefix of the guest's interface.
    pub address: String,
    /// MTU of the guest's interface.
    pub mtu: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub cpus: u32,
    /// Working folder: sockets, logs.
    pub folder: PathBuf,
    /// Whether QEMU shall insist that the host's VFIO driver can migrate the functions.
    pub migratable: bool,
    /// A paravirtual interface, beside the functions or instead of them.
    pub paravirtual: Option<Paravirtual>,
    /// Further arguments of QEMU.
    pub extra: Vec<String>,
}

/// A virtio interface of the guest.
#[derive(Clone, Debug)]
pub struct Paravirtual {
    /// The host's end.
    pub tap: String,
    /// Its MAC address.
    pub mac: String,
    /// Whether it stands in for the function while that is unplugged: QEMU unplugs it from the source when a
    /// migration begins and plugs in the destination's at the end.
    pub standby: bool,
}

/// A running QEMU process. Dropping it kills the process.
#[derive(Debug)]
pub struct Vm {
    child: Child,
    /// Monitor socket.
    pub qmp: PathBuf,
    /// Connection to the guest's agent over this process.
    pub agent: Agent,
    /// What the guest's kernel printed while this process ran it.
    pub console: PathBuf,
    /// What QEMU printed.
    pub log: PathBuf,
}

impl Spec {
    /// Makes the guest's initramfs; once, before the first [`Spec::start`].
    ///
    /// # Errors
    ///
    /// If a part is missing.
    pub fn prepare(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let program = std::env::current_exe()?;
        let modules =
            ["compsc.ko", "igbvf_compsc.ko", "igb_compsc.ko"].map(|name| self.modules.join(name));
        let mut files = vec![("init".to_owned(), program.as_path())];
        for path in &modules {
            if path.exists() {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                files.push((format!("{}/{name}", &crate::guest::OUR_MODULES[1..]), path));
            } else if self.driver.ends_with("_compsc") {
                bail!(
                    "{} does not exist: build the modules first (make)",
                    path.display()
                );
            }
        }
        initramfs::extend(&self.initrd, &files, &self.image())
    }

    fn image(&self) -> PathBuf {
        self.folder.join(format!("{}.cpio", self.name))
    }

    /// Starts a QEMU process that owns the functions at PCI addresses `functions`. With
    /// `incoming`, it waits for the guest instead of booting it. `tag` names its files.
    ///
    /// # Errors
    ///
    /// If QEMU does not start; the message holds what it printed.
    pub fn start(&self, tag: &str, functions: &[&str], incoming: bool) -> Result<Vm> {
        let file = |suffix: &str| self.folder.join(format!("{}-{tag}{suffix}", self.name));
        let (qmp, port) = (file(".qmp"), file(".agent"));
        let (console, log) = (file(".console"), file(".log"));
        for path in [&qmp, &port] {
            let _ = std::fs::remove_file(path);
        }
        let words = format!(
            "console=hvc0 panic=-1 tb.driver={} tb.addr={} tb.mtu={}",
            self.driver, self.address, self.mtu
        );
        let mut command = Command::new("nice");
        command
            .args(["-n", &OURS.to_string(), "qemu-system-x86_64"])
            .args([
                "-no-user-config",
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
            ])
            .args(["-M", "q35", "-accel", "kvm", "-cpu", "host", "-nic", "none"])
            .args(["-smp", &self.cpus.to_string()])
            .args(["-m", &format!("{}M", self.memory)])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(self.image())
            .args(["-append", &words])
            .args([
                "-qmp",
                &format!("unix:{},server=on,wait=off", qmp.display()),
            ])
            // Keeps its state while the guest is suspended, so that the agent can be reached afterwards; only a PCI
            // Express device has that.
            .args(["-device", "pcie-root-port,id=agent,chassis=64,slot=64"])
            .args([
                "-device",
                "virtio-serial-pci,bus=agent,x-pcie-pm-no-soft-reset=on",
            ])
            .args([
                "-chardev",
                &format!("file,id=console,path={}", console.display()),
            ])
            .args(["-device", "virtconsole,chardev=console"])
            .args([
                "-chardev",
                &format!("socket,id=agent,path={},server=on,wait=off", port.display()),
            ])
            .args([
                "-device",
                &format!("virtserialport,chardev=agent,name={}", crate::proto::PORT),
            ]);
        let mut pair = "";
        if let Some(Paravirtual { tap, mac, standby }) = &self.paravirtual {
            let failover = if *standby { "on" } else { "off" };
            command
                .args([
                    "-netdev",
                    &format!("tap,id=net0,ifname={tap},script=no,downscript=no,vhost=on"),
                ])
                .args([
                    "-device",
                    &format!("virtio-net-pci,netdev=net0,id=virtio0,mac={mac},failover={failover}"),
                ]);
            if *standby {
                pair = ",failover_pair_id=virtio0";
            }
        }
        let migration = if self.migratable { "on" } else { "auto" };
        for (i, function) in functions.iter().enumerate() {
            // The root port's secondary bus: PCI Express capabilities need a real slot.
            command
                .args([
                    "-device",
                    &format!("pcie-root-port,id=port{i},chassis={0},slot={0}", i + 1),
                ])
                .args([
                    "-device",
                    &format!(
                        "vfio-pci,host={function},bus=port{i},id=vf{i},enable-migration={migration}{pair}"
                    ),
                ]);
        }
        if incoming {
            command.args(["-incoming", "defer"]);
        }
        command.args(&self.extra);
        let output =
            File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut child = command.spawn().context("cannot start qemu-system-x86_64")?;
        let agent = match Agent::connect(&port) {
            Ok(agent) => agent,
            Err(e) => {
                let _ = child.kill();
                let _ = child.wait();
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(e).with_context(|| format!("QEMU did not start: {}", text.trim()));
            }
        };
        let mut vm = Vm {
            child,
            qmp,
            agent,
            console,
            log,
        };
        vm.prioritise().map_err(|e| vm.explain(e))?;
        Ok(vm)
    }

    /// Starts a guest and waits until its agent answers.
    ///
    /// # Errors
    ///
    /// If it does not boot within five minutes (instrumented kernels are slow), or its driver cannot be loaded.
    pub fn boot(&self, tag: &str, functions: &[&str]) -> Result<Vm> {
        let mut vm = self.start(tag, functions, false)?;
        let hello = vm.agent.hello(Duration::from_secs(300));
        let hello = hello.map_err(|e| vm.explain(e))?;
        if let Some(problem) = hello.problem {
            let text = vm
                .agent
                .exec("dmesg | tail -n 30")
                .map(|o| o.stdout)
                .unwrap_or_default();
            bail!(
                "the guest's driver {} does not work: {problem}\n{text}",
                self.driver
            );
        }
        Ok(vm)
    }
}

impl Vm {
    /// Waits until QEMU is ready (it has pinned the guest's memory then) and puts the guest's processors
    /// before its other threads.
    fn prioritise(&mut self) -> Result<()> {
        let mut monitor = Qmp::connect(&self.qmp, Duration::from_secs(180))?;
        let cpus = monitor.execute("query-cpus-fast", Value::Null)?;
        for cpu in cpus.as_array().into_iter().flatten() {
            let thread = cpu["thread-id"].to_string();
            super::run("renice", &["-n", &(-OURS / 2).to_string(), "-p", &thread])?;
        }
        Ok(())
    }

    /// Adds to an error what the guest's console and QEMU said last.
    pub fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        let tail = |path: &Path| {
            let text = std::fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            // A processor's registers alone are 20 lines.
            lines[lines.len().saturating_sub(24)..].join("\n")
        };
        // A process that ends closes its sockets a moment before it can be waited for.
        std::thread::sleep(Duration::from_millis(500));
        let state = match self.child.try_wait() {
            Ok(Some(status)) => format!("QEMU has ended ({status})"),
            _ => format!("QEMU runs; its processors: {}", self.processors()),
        };
        error.context(format!(
            "{state}; it said:\n{}\nand the guest's kernel:\n{}",
            tail(&self.log),
            tail(&self.console)
        ))
    }

    /// Where the guest's processors are.
    fn processors(&self) -> String {
        std::thread::sleep(Duration::from_millis(300));
        let look = || -> Result<String> {
            let mut monitor = Qmp::connect(&self.qmp, Duration::from_secs(5))?;
            let command = json!({ "command-line": "info registers -a" });
            let text = monitor.execute("human-monitor-command", command)?;
            let lines = text.as_str().unwrap_or_default().lines();
            let wanted = lines.filter(|l| l.starts_with("RIP") || l.starts_with("CR0"));
            Ok(wanted.collect::<Vec<_>>().join("\n"))
        };
        look().unwrap_or_else(|e| format!("{e:#}"))
    }

    /// Process id of QEMU.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.kill();
    }
}
