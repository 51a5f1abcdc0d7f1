// SPDX-License-Identifier: GPL-2.0

//! Functions that the project's drivers know, as they show themselves in debugfs.
//!
//! Documentation/ABI/testing has the files. A machine may be guest and host at once.

use compsc_core::region::MAX_REGION;
use compsc_report::figures::Figures;
use compsc_report::figures::parse_figures;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("debugfs is not mounted at {0}; mount it with: mount -t debugfs none {0}", root.display())]
    NotMounted { root: PathBuf },
    #[error(
        "no CompSC driver is loaded: {0} has neither compsc nor compsc_vfio_pci; \
         load compsc.ko and igbvf_compsc.ko in a guest, compsc.ko and compsc_vfio_pci.ko on a host",
        root.display()
    )]
    NoDriver { root: PathBuf },
    #[error("cannot read {}: {source}{}", path.display(), hint(source))]
    Read { path: PathBuf, source: io::Error },
    #[error("there is no function {name}; {}", known(all))]
    Unknown { name: String, all: Vec<String> },
    #[error(
        "{address} belongs to compsc_vfio_pci, which keeps no log; the log is in the guest that owns the function: \
         run compscctl there"
    )]
    NoLog { address: String },
}

impl Error {
    /// Whether debugfs is out of reach, whatever the drivers have there.
    pub(crate) fn is_unreadable(&self) -> bool {
        match self {
            Self::NotMounted { .. } => true,
            Self::Read { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; run compscctl as root (a kernel in lockdown refuses even that)"
        }
        io::ErrorKind::NotFound => "; the function's driver may just have been unbound",
        _ => "",
    }
}

fn known(all: &[String]) -> String {
    if all.is_empty() {
        "no function is bound to a CompSC driver, bind one first (driver_override)".to_owned()
    } else {
        format!("known are {}", all.join(", "))
    }
}

/// The two kinds of drivers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// A network driver, which records and replays.
    Guest,
    /// The VFIO driver, which stops and wakes.
    Host,
}

impl Side {
    /// Name of the folder in debugfs.
    const fn folder(self) -> &'static str {
        match self {
            Self::Guest => "compsc",
            Self::Host => "compsc_vfio_pci",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guest => "guest",
            Self::Host => "host",
        })
    }
}

/// A function of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// PCI address, such as 0000:01:10.0.
    pub(crate) address: String,
    /// Which driver owns it.
    pub(crate) side: Side,
    folder: PathBuf,
}

impl Function {
    /// What the driver says of it.
    pub(crate) fn status(&self) -> Result<Figures, Error> {
        let path = self.folder.join("status");
        fs::read_to_string(&path)
            .map(|text| parse_figures(&text))
            .map_err(|source| Error::Read { path, source })
    }

    /// A copy of the shared region. The host has none to show.
    pub(crate) fn region(&self) -> Result<Vec<u8>, Error> {
        if self.side == Side::Host {
            return Err(Error::NoLog {
                address: self.address.clone(),
            });
        }
        read_region(&self.folder.join("region"))
    }

    /// Whether `name` is the address, with or without its domain.
    fn has_address(&self, name: &str) -> bool {
        let without_domain = self.address.split_once(':').map(|(_, rest)| rest);
        name == self.address || Some(name) == without_domain
    }

    /// Whether `name` is the network interface.
    fn has_interface(&self, name: &str) -> bool {
        self.status()
            .is_ok_and(|figures| figures.get("interface").is_some_and(|i| i == name))
    }
}

/// Reads a shared region from a file. What no region can be is cut off just behind the longest.
pub(crate) fn read_region(path: &Path) -> Result<Vec<u8>, Error> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        // The driver copies its region anew for each read, so a small one would mix two moments.
        let mut bytes = vec![0; MAX_REGION as usize + 1];
        let mut length = 0;
        loop {
            match file.read(&mut bytes[length..])? {
                0 => break,
                n => length += n,
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    };
    read().map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// The functions on both sides, the guest's first, by address.
///
/// # Errors
///
/// If debugfs cannot be read or neither driver is loaded.
pub(crate) fn functions(root: &Path) -> Result<Vec<Function>, Error> {
    let mut entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotMounted {
                root: root.to_owned(),
            });
        }
        Err(source) => {
            return Err(Error::Read {
                path: root.to_owned(),
                source,
            });
        }
    };
    // The mount point is an empty folder of sysfs.
    if entries.next().is_none() {
        return Err(Error::NotMounted {
            root: root.to_owned(),
        });
    }
    let mut found = Vec::new();
    let mut loaded = false;
    for side in [Side::Guest, Side::Host] {
        let folder = root.join(side.folder());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                return Err(Error::Read {
                    path: folder,
                    source,
                });
            }
        };
        loaded = true;
        let mut here: Vec<Function> = entries
            .filter_map(Result::ok)
            .map(|entry| Function {
                address: entry.file_name().to_string_lossy().into_owned(),
                side,
                folder: entry.path(),
            })
            .collect();
        here.sort_by(|a, b| a.address.cmp(&b.address));
        found.append(&mut here);
    }
    if !loaded {
        return Err(Error::NoDriver {
            root: root.to_owned(),
        });
    }
    Ok(found)
}

/// The function that a user calls `name`.
///
/// # Errors
///
/// As [`functions`], and if there is none of that name.
pub(crate) fn function(root: &Path, name: &str) -> Result<Function, Error> {
    let all = functions(root)?;
    let found = all
        .iter()
        .find(|f| f.has_address(name))
        .or_else(|| all.iter().find(|f| f.has_interface(name)));
    match found {
        Some(function) => Ok(function.clone()),
        None => Err(Error::Unknown {
            name: name.to_owned(),
            all: all
                .iter()
                .map(|f| format!("{} ({})", f.address, f.side))
                .collect(),
        }),
    }
}
