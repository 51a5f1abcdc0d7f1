// SPDX-License-Identifier: GPL-2.0

//! What the project's drivers show in sysfs: less than in debugfs, but to everybody and on every kernel
//! (Documentation/ABI/testing/sysfs-bus-pci-devices-compsc).

use crate::debugfs::Side;
use compsc_report::figures::Figures;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// A function of this machine.
#[derive(Debug)]
pub(crate) struct Function {
    /// PCI address, such as 0000:01:10.0.
    pub(crate) address: String,
    /// Which kind of driver owns it.
    pub(crate) side: Side,
    /// Name of the driver.
    pub(crate) driver: String,
    /// Network interface of a guest's function.
    pub(crate) interface: Option<String>,
    /// The attributes by name.
    pub(crate) attributes: Figures,
}

impl Function {
    fn read(device: PathBuf) -> Option<Self> {
        let attributes: Figures = fs::read_dir(device.join("compsc"))
            .ok()?
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let value = fs::read_to_string(entry.path()).ok()?;
                let name = entry.file_name().to_string_lossy().into_owned();
                Some((name, value.trim().to_owned()))
            })
            .collect();
        // Without it the driver was just unbound.
        attributes.get("state")?;
        let side = if attributes.contains_key("guest_driver") {
            Side::Host
        } else {
            Side::Guest
        };
        let last = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
        let driver = fs::read_link(device.join("driver")).ok();
        let interface = fs::read_dir(device.join("net"))
            .ok()
            .and_then(|mut entries| entries.next()?.ok());
        Some(Self {
            address: last(&device)?,
            side,
            driver: driver.and_then(|d| last(&d)).unwrap_or_default(),
            interface: interface.map(|i| i.file_name().to_string_lossy().into_owned()),
            attributes,
        })
    }

    /// Whether `name` is the address, with or without its domain, or the network interface.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let without_domain = self.address.split_once(':').map(|(_, rest)| rest);
        name == self.address
            || Some(name) == without_domain
            || Some(name) == self.interface.as_deref()
    }
}

/// The functions on both sides, the guest's first, by address. None if sysfs cannot be read.
pub(crate) fn functions(root: &Path) -> Vec<Function> {
    let mut found: Vec<Function> = fs::read_dir(root.join("bus/pci/devices"))
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| Function::read(entry.path()))
        .collect();
    found.sort_by(|a, b| {
        let key = |f: &Function| (f.side == Side::Host, f.address.clone());
        key(a).cmp(&key(b))
    });
    found
}
