// SPDX-License-Identifier: GPL-2.0

//! The 82576s of the host, and their virtual functions.

use super::run;
use super::write_sysfs;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// Where the kernel lists PCI functions.
pub const PCI: &str = "/sys/bus/pci/devices";

/// Loads a module of the running kernel with what it depends on.
///
/// # Errors
///
/// If `modprobe` fails.
pub fn modprobe(module: &str, parameters: &[&str]) -> Result<()> {
    let mut arguments = vec![module];
    arguments.extend_from_slice(parameters);
    run("modprobe", &arguments).map(|_| ())
}

/// Inserts a module file unless a module of that name is there.
///
/// # Errors
///
/// If `insmod` fails.
pub fn insmod(path: &Path) -> Result<()> {
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .replace('-', "_");
    if Path::new("/sys/module").join(&name).exists() {
        return Ok(());
    }
    run("insmod", &[&path.to_string_lossy()]).map(|_| ())
}

/// Driver of the physical function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum HostDriver {
    /// The distribution's.
    Igb,
    /// This project's, igb_compsc.
    Compsc,
}

impl HostDriver {
    /// Name of the module, and of the driver on the PCI bus.
    pub const fn module(self) -> &'static str {
        match self {
            Self::Igb => "igb",
            Self::Compsc => "igb_compsc",
        }
    }

    /// Loads the module; `modules` is the folder of the project's own.
    ///
    /// # Errors
    ///
    /// If it cannot be loaded.
    pub fn load(self, modules: &Path) -> Result<()> {
        match self {
            Self::Igb => modprobe("igb", &[]),
            Self::Compsc => {
                insmod(&modules.join("compsc.ko"))?;
                insmod(&modules.join("igb_compsc.ko"))
            }
        }
    }
}

/// What a guest owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Virtual functions.
    Vf,
    /// Physical functions.
    Pf,
}

impl Kind {
    /// Name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vf => "vf",
            Self::Pf => "pf",
        }
    }

    /// The distribution's driver in the guest.
    pub const fn stock_driver(self) -> &'static str {
        match self {
            Self::Vf => "igbvf",
            Self::Pf => "igb",
        }
    }

    /// The module of a driver that goes by "compsc" (ours), "virtio", "failover" (the distribution's igbvf, with virtio in its
    /// stead while it is unplugged) or by the module's name.
    pub fn module(self, driver: &str) -> &str {
        match (self, driver) {
            (Self::Vf, "compsc") => "igbvf_compsc",
            (Self::Pf, "compsc") => "igb_compsc",
            (_, "virtio") => "virtio_net",
            (Self::Vf, "failover") => "igbvf",
            _ => driver,
        }
    }
}

/// PCI addresses of all 82576 of this machine, in order.
///
/// # Errors
///
/// If sysfs cannot be read.
pub fn adapters() -> Result<Vec<String>> {
    let mut found: Vec<String> = fs::read_dir(PCI)?
        .filter_map(Result::ok)
        .filter(|entry| {
            let id = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            (id("vendor").trim(), id("device").trim()) == ("0x8086", "0x10c9")
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    Ok(found)
}

/// Network interface of the adapter at a PCI address, once its driver has made it.
///
/// # Errors
///
/// If there is none within some seconds.
pub fn interface(address: &str) -> Result<String> {
    let folder = Path::new(PCI).join(address).join("net");
    wait_for(Duration::from_secs(10), "a network interface", || {
        let entry = fs::read_dir(&folder).ok()?.find_map(Result::ok)?;
        Some(entry.file_name().to_string_lossy().into_owned())
    })
    .with_context(|| format!("{address} has no driver"))
}

/// Waits until an interface has a link.
fn wait_link(interface: &str, address: &str) -> Result<()> {
    wait_for(Duration::from_secs(10), "a link", || {
        let path = format!("/sys/class/net/{interface}/carrier");
        (fs::read_to_string(path).ok()?.trim() == "1").then_some(())
    })
    .with_context(|| format!("{interface} ({address}) stays without link"))
}

/// Joins the cables of adapters, which have their drivers, by a switch on this machine.
///
/// # Errors
///
/// If `ip` fails, or an adapter has no link.
pub fn join_cables(switch: &str, interfaces: &[String]) -> Result<()> {
    if Path::new("/sys/class/net").join(switch).exists() {
        run("ip", &["link", "del", switch])?;
    }
    let add = ["link", "add", "name", switch, "type", "bridge"];
    run("ip", &[&add[..], &["mcast_snooping", "0"]].concat())?;
    for interface in interfaces {
        run("ip", &["link", "set", interface, "master", switch, "up"])?;
    }
    run("ip", &["link", "set", switch, "up"])?;
    interfaces.iter().try_for_each(|i| wait_link(i, switch))
}

/// A virtual function.
#[derive(Clone, Debug)]
pub struct Function {
    /// PCI address, such as 0000:01:10.0.
    pub address: String,
    /// Number of the function among those of its adapter.
    pub index: usize,
}

/// An adapter with virtual functions.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// PCI address of the physical function.
    pub address: String,
    /// Its network interface.
    pub interface: String,
    /// Its virtual functions in order.
    pub functions: Vec<Function>,
}

impl Adapter {
    /// Finds the adapter number `index` (in PCI order), hands it to its driver, which has to be loaded, and makes `vfs`
    /// virtual functions that no driver has claimed yet.
    ///
    /// # Errors
    ///
    /// If there is no such adapter, or it does not do what it is told.
    pub fn set_up(index: usize, vfs: usize, driver: HostDriver) -> Result<Self> {
        let address = adapters()?
            .get(index)
            .cloned()
            .ok_or_else(|| anyhow!("no 82576 (8086:10c9) number {index} on this machine"))?;
        let device = Path::new(PCI).join(&address);
        bind(&address, driver.module())?;
        let interface = interface(&address)?;
        run("ip", &["link", "set", &interface, "up"])?;

        let count = fs::read_to_string(device.join("sriov_numvfs"))
            .with_context(|| format!("{address} has no SR-IOV"))?;
        // Made anew each time: the adapter's driver resets everything then, and each function tells its
        // next driver of a reset. The distribution's igbvf notices by that alone that it has been moved.
        if count.trim() != "0" {
            write_sysfs(&device.join("sriov_numvfs"), "0")?;
        }
        write_sysfs(&device.join("sriov_drivers_autoprobe"), "0")?;
        write_sysfs(&device.join("sriov_numvfs"), &vfs.to_string())?;
        let mut functions = Vec::new();
        for index in 0..vfs {
            let link = fs::read_link(device.join(format!("virtfn{index}")))
                .with_context(|| format!("{address} made no virtual function {index}"))?;
            functions.push(Function {
                address: link
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                index,
            });
        }
        wait_link(&interface, &address)?;
        Ok(Self {
            address,
            interface,
            functions,
        })
    }

    /// Gives the adapter's interface an address.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn set_address(&self, address: &str) -> Result<()> {
        run("ip", &["addr", "replace", address, "dev", &self.interface]).map(|_| ())
    }

    /// Gives a function its MAC address for the next driver that resets it.
    ///
    /// Source and destination of a migration get the same: it is the guest's, and management
    /// software (libvirt for one) sets it on both in the same way.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn set_mac(&self, function: &Function, mac: &str) -> Result<()> {
        let index = function.index.to_string();
        run(
            "ip",
            &["link", "set", &self.interface, "vf", &index, "mac", mac],
        )
        .map(|_| ())
    }
}

impl Function {
    /// Hands the function to the driver `driver` (by `driver_override`, so that no other takes it).
    ///
    /// # Errors
    ///
    /// If that driver does not bind.
    pub fn bind(&self, driver: &str) -> Result<()> {
        bind(&self.address, driver)
    }
}

/// Hands the function at a PCI address to a driver (by `driver_override`, so that no other takes it).
///
/// # Errors
///
/// If that driver does not bind.
pub fn bind(address: &str, driver: &str) -> Result<()> {
    let device = Path::new(PCI).join(address);
    let bound = || -> Option<PathBuf> { fs::read_link(device.join("driver")).ok() };
    if let Some(current) = bound() {
        if current.file_name().is_some_and(|name| name == driver) {
            return Ok(());
        }
        write_sysfs(&device.join("driver/unbind"), address)?;
    }
    write_sysfs(&device.join("driver_override"), driver)?;
    write_sysfs(Path::new("/sys/bus/pci/drivers_probe"), address)?;
    if bound().is_none_or(|path| path.file_name().is_none_or(|name| name != driver)) {
        bail!("{driver} did not take {address}; see dmesg");
    }
    Ok(())
}

/// Asks `probe` until it has an answer.
///
/// # Errors
///
/// After `patience`, naming what was waited for.
pub fn wait_for<T>(
    patience: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = probe() {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("waited {} seconds for {what} in vain", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
