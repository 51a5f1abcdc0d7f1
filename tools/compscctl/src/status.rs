// SPDX-License-Identifier: GPL-2.0

//! `compscctl status`: what the drivers of this machine say of their functions.

use crate::debugfs;
use crate::debugfs::Function;
use crate::debugfs::Side;
use crate::log::Gate;
use crate::log::Log;
use crate::output::Format;
use crate::output::print;
use crate::output::print_json;
use crate::sysfs;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use clap::Args;
use compsc_report::figures::Figures;
use compsc_report::tables::table;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Options of `compscctl status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// PCI address or network interface of one function, to be shown in full; all functions otherwise.
    function: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// What a driver says of one function.
#[derive(Debug, Serialize)]
struct State {
    function: String,
    side: Side,
    driver: String,
    /// Of a guest's function.
    interface: Option<String>,
    /// Guest: up, down, restoring, detached. Host: VFIO's migration state.
    state: String,
    /// Guest: whether the host can migrate the function.
    migratable: Option<bool>,
    /// Guest: the region that the driver has. Host: the one that is announced.
    region: Option<Region>,
    /// Host: whether the guest's driver has announced its region.
    guest_driver: Option<bool>,
    /// Unknown where debugfs cannot be read.
    gate: Option<Gate>,
    /// Everything else that the driver counts.
    figures: BTreeMap<String, u64>,
    /// Guest: state of the device as the last op set left it.
    device_state: Option<String>,
    /// Guest: what is wrong with the region.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Region {
    /// Bus address, in hexadecimal.
    address: String,
    /// Length in bytes.
    length: u64,
}

impl State {
    fn read(function: &Function) -> Result<Self> {
        let mut state = Self::parse(function.address.clone(), function.side, function.status()?)
            .with_context(|| format!("the status of {} cannot be understood", function.address))?;
        if function.side == Side::Guest {
            let log = function
                .region()
                .map_err(anyhow::Error::from)
                .and_then(|bytes| Ok(Log::read(&bytes)?));
            match log {
                Ok(log) => state.add(&log),
                Err(e) => state.problem = Some(e.to_string()),
            }
        }
        Ok(state)
    }

    fn parse(function: String, side: Side, mut lines: Figures) -> Result<Self> {
        let mut optional = |name: &str| lines.remove(name);
        let driver = match side {
            Side::Guest => optional("driver"),
            Side::Host => Some("compsc_vfio_pci".to_owned()),
        };
        let interface = optional("interface");
        let migratable = optional("migratable").map(|value| value == "1");
        let mut wanted = |name: &str| {
            lines.remove(name).ok_or_else(|| {
                anyhow!("{name} is missing: the driver is of another version than this compscctl")
            })
        };
        let state = wanted("state")?;
        let address = wanted("region_address")?;
        let mut number = |name: &str| wanted(name).and_then(|value| parse_number(name, &value));
        let length = number("region_length")?;
        let gate = Gate {
            version: u32::try_from(number("gate_version")?)?,
            locked: number("gate_locked")? != 0,
            dummy_writes: number("gate_dummy_writes")? != 0,
        };
        Ok(Self {
            function,
            side,
            driver: driver.unwrap_or_else(|| "unknown".to_owned()),
            interface,
            state,
            migratable,
            region: (length != 0).then_some(Region { address, length }),
            guest_driver: (side == Side::Host).then_some(length != 0),
            gate: Some(gate),
            // A later driver may add a line that is no number.
            figures: lines
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
                .collect(),
            device_state: None,
            problem: None,
        })
    }

    /// What sysfs tells of a function.
    fn from_attributes(function: sysfs::Function) -> Self {
        let mut attributes = function.attributes;
        let state = attributes.remove("state").unwrap_or_default();
        let mut flag = |name: &str| attributes.remove(name).map(|value| value == "1");
        let (migratable, guest_driver) = (flag("migratable"), flag("guest_driver"));
        // By the names and units that they have in debugfs.
        let figures = attributes.into_iter().filter_map(|(name, value)| {
            let value: u64 = value.parse().ok()?;
            Some(match name.strip_suffix("_us") {
                Some(name) => (
                    format!("{}_ns", name.replace("restart", "kick")),
                    value * 1000,
                ),
                None => (name.replace("restarts", "kicks"), value),
            })
        });
        Self {
            function: function.address,
            side: function.side,
            driver: function.driver,
            interface: function.interface,
            state,
            migratable,
            region: None,
            guest_driver,
            gate: None,
            figures: figures.collect(),
            device_state: None,
            problem: None,
        }
    }

    /// Adds what only the region tells.
    fn add(&mut self, log: &Log) {
        let (device_state, figures) = log.figures();
        self.device_state = Some(device_state.to_owned());
        for (name, value) in figures {
            self.figures.entry((*name).to_owned()).or_insert(*value);
        }
    }

    fn figure(&self, name: &str) -> String {
        self.figures
            .get(name)
            .map_or_else(|| "-".to_owned(), u64::to_string)
    }

    /// A time in microseconds.
    fn time(&self, name: &str) -> String {
        self.figures
            .get(name)
            .map_or_else(|| "-".to_owned(), |ns| (ns / 1000).to_string())
    }

    /// Everything, one line per value.
    fn all(&self) -> Vec<Vec<String>> {
        let yes_no = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let gate = self.gate.as_ref();
        let region = match &self.region {
            Some(r) => Some(format!("{} bytes at {}", r.length, r.address)),
            None => gate.is_some().then(|| "none".to_owned()),
        };
        let known = [
            ("function", Some(self.function.clone())),
            ("side", Some(self.side.to_string())),
            ("driver", Some(self.driver.clone())),
            ("interface", self.interface.clone()),
            ("state", Some(self.state.clone())),
            ("device state", self.device_state.clone()),
            ("migratable", self.migratable.map(yes_no)),
            ("region", region),
            ("problem", self.problem.clone()),
            ("guest's driver", self.guest_driver.map(yes_no)),
            ("gate version", gate.map(|g| g.version.to_string())),
            ("gate locked", gate.map(|g| yes_no(g.locked))),
            ("dummy writes", gate.map(|g| yes_no(g.dummy_writes))),
        ];
        let known = known
            .into_iter()
            .filter_map(|(name, value)| Some(vec![name.to_owned(), value?]));
        let figures = self
            .figures
            .iter()
            .map(|(name, value)| vec![name.replace('_', " "), value.to_string()]);
        known.chain(figures).collect()
    }

    fn guest_row(&self) -> Vec<String> {
        vec![
            self.function.clone(),
            self.interface.clone().unwrap_or_else(|| "-".to_owned()),
            self.driver.clone(),
            self.state.clone(),
            match self.migratable {
                Some(true) => "yes",
                _ => "no",
            }
            .to_owned(),
            self.gate(),
            self.figure("restores"),
            self.time("last_restore_ns"),
            self.time("last_reset_ns"),
            self.time("last_mailbox_ns"),
            self.time("last_replay_ns"),
            self.time("last_rings_ns"),
            self.figure("resent"),
            self.figure("dummy_pages"),
        ]
    }

    fn host_row(&self) -> Vec<String> {
        vec![
            self.function.clone(),
            self.state.clone(),
            match self.guest_driver {
                Some(true) => "yes",
                _ => "no",
            }
            .to_owned(),
            self.gate(),
            self.figure("stops"),
            self.figure("kicks"),
            self.figure("resets"),
            self.figure("refused"),
            self.time("last_drain_ns"),
            self.time("last_bus_ns"),
            self.time("last_freeze_ns"),
            self.figure("last_unsent"),
            self.figure("last_pages"),
            self.figure("last_stream_bytes"),
            self.time("last_kick_ns"),
        ]
    }

    /// Version and flags of the gate in short.
    fn gate(&self) -> String {
        let Some(gate) = &self.gate else {
            return "-".to_owned();
        };
        format!(
            "{}{}{}",
            gate.version,
            if gate.locked { " locked" } else { "" },
            if gate.dummy_writes { " dummy" } else { "" }
        )
    }
}

fn parse_number(name: &str, value: &str) -> Result<u64> {
    value
        .parse()
        .map_err(|_| anyhow!("{name} is \"{value}\", which is no number"))
}

const GUEST: [&str; 14] = [
    "guest\nfunction",
    "interface",
    "driver",
    "state",
    "migratable",
    "gate",
    "restores",
    "restore\nus",
    "reset\nus",
    "mailbox\nus",
    "replay\nus",
    "rings\nus",
    "resent\npackets",
    "dummy\npages",
];

const HOST: [&str; 15] = [
    "host\nfunction",
    "state",
    "region",
    "gate",
    "stops",
    "kicks",
    "resets",
    "refused",
    "drain\nus",
    "bus\nus",
    "freeze\nus",
    "unsent",
    "dirty\npages",
    "stream\nbytes",
    "kick\nus",
];

/// One table per side that has functions.
fn tables(states: &[State]) -> String {
    let mut out = String::new();
    let rows = |side| states.iter().filter(move |s| s.side == side);
    let guests: Vec<_> = rows(Side::Guest).map(State::guest_row).collect();
    if !guests.is_empty() {
        out.push_str(&format!("{}\n", table(GUEST, 6, guests)));
    }
    let hosts: Vec<_> = rows(Side::Host).map(State::host_row).collect();
    if !hosts.is_empty() {
        out.push_str(&format!("{}\n", table(HOST, 4, hosts)));
    }
    for (function, problem) in states
        .iter()
        .filter_map(|s| Some((&s.function, s.problem.as_ref()?)))
    {
        out.push_str(&format!("{function}: {problem}\n"));
    }
    out
}

/// The JSON document.
#[derive(Serialize)]
struct Document {
    schema: u32,
    functions: Vec<State>,
}

/// What debugfs tells.
fn from_debugfs(name: Option<&str>, root: &Path) -> Result<Vec<State>> {
    let functions = match name {
        Some(name) => vec![debugfs::function(root, name)?],
        None => debugfs::functions(root)?,
    };
    functions.iter().map(State::read).collect()
}

/// What debugfs tells; or sysfs, which says less, where debugfs cannot be read.
fn states(name: Option<&str>, debugfs: &Path, sysfs: &Path) -> Result<Vec<State>> {
    let error = match from_debugfs(name, debugfs) {
        Err(e) if e.downcast_ref().is_some_and(debugfs::Error::is_unreadable) => e,
        result => return result,
    };
    let states: Vec<State> = sysfs::functions(sysfs)
        .into_iter()
        .filter(|function| name.is_none_or(|name| function.is_called(name)))
        .map(State::from_attributes)
        .collect();
    if states.is_empty() {
        return Err(error);
    }
    eprintln!("note: this is what sysfs shows; {error:#}");
    Ok(states)
}

/// Runs the command.
///
/// # Errors
///
/// If neither debugfs nor sysfs tells of a function, no driver is loaded, or the function is not known.
pub(crate) fn run(args: &StatusArgs, debugfs: &Path, sysfs: &Path) -> Result<()> {
    let states = states(args.function.as_deref(), debugfs, sysfs)?;
    if args.format.json {
        return print_json(&Document {
            schema: 1,
            functions: states,
        });
    }
    if states.is_empty() {
        return print("no function is bound to a CompSC driver\n");
    }
    match &args.function {
        Some(_) => {
            let rows = states.iter().flat_map(State::all);
            print(&format!("{}\n", table(["what", "value"], 2, rows)))
        }
        None => print(&tables(&states)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compsc_report::figures::parse_figures;

    const HOST_STATUS: &str = "state running\nregion_address 0x0\nregion_length 0\ngate_version 0\n\
        gate_locked 0\ngate_dummy_writes 1\nstops 2\nlast_kick_ns 1999\nnew_line words\n";

    #[test]
    fn a_host_status_is_understood() {
        let state = State::parse("f".to_owned(), Side::Host, parse_figures(HOST_STATUS)).unwrap();
        assert_eq!(state.driver, "compsc_vfio_pci");
        assert!(state.region.is_none() && state.migratable.is_none());
        let gate = state.gate.as_ref().unwrap();
        assert!(gate.dummy_writes && !gate.locked && state.guest_driver == Some(false));
        assert_eq!(state.figures["stops"], 2);
        assert_eq!(state.time("last_kick_ns"), "1");
        assert_eq!(state.figure("kicks"), "-");
        assert_eq!(state.gate(), "0 dummy");
        assert!(!state.figures.contains_key("new_line"));
    }

    #[test]
    fn a_status_without_a_line_is_refused() {
        for line in ["state", "gate_version", "region_length"] {
            let mut lines = parse_figures(HOST_STATUS);
            lines.remove(line);
            let error = State::parse("f".to_owned(), Side::Host, lines).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{line} is missing")));
        }
        let text = HOST_STATUS.replace("gate_version 0", "gate_version x");
        let error = State::parse("f".to_owned(), Side::Host, parse_figures(&text)).unwrap_err();
        assert!(error.to_string().contains("no number"));
    }
}
