// SPDX-License-Identifier: GPL-2.0

//! `compscctl log`: what a replay would write, decoded from the shared region.
//!
//! The bytes may come from anywhere: compsc_core's reader checks them as the host's driver does.

use crate::debugfs;
use crate::output::Format;
use crate::output::print;
use crate::output::print_json;
use anyhow::Context;
use anyhow::Result;
use clap::Args;
use compsc_core::class::Phase;
use compsc_core::class::Replay;
use compsc_core::gate;
use compsc_core::log::slot_value;
use compsc_core::region::ReadAt;
use compsc_core::region::ReadError;
use compsc_core::region::Reader;
use compsc_core::region::role;
use compsc_core::regs::Decoded;
use compsc_core::regs::RegisterDesc;
use compsc_core::regs::decode;
use compsc_core::regs::slot_count;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;

/// Options of `compscctl log`.
#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// PCI address or network interface of a function of this guest.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    function: Option<String>,
    /// Decode a saved copy of a function's `region` file instead.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// Why bytes cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Region(ReadError<Outside>),
    #[error(
        "there is no register map for chip {chip}, role {role}: the driver is newer than this compscctl, or the region is damaged"
    )]
    Map { chip: u16, role: u16 },
    #[error(
        "the log has {slots} slots, the register map of the {chip} has {wanted}: the driver is of another version than this compscctl"
    )]
    Slots {
        chip: &'static str,
        slots: u32,
        wanted: usize,
    },
}

impl From<ReadError<Outside>> for Error {
    fn from(error: ReadError<Outside>) -> Self {
        Self::Region(error)
    }
}

/// Bytes that a region's header promises and that are not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outside;

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it ends too early")
    }
}

/// A region in memory.
struct Bytes<'a>(&'a [u8]);

impl ReadAt for Bytes<'_> {
    type Error = Outside;

    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), Outside> {
        let from = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.0.get(offset..)?.get(..buf.len()))
            .ok_or(Outside)?;
        buf.copy_from_slice(from);
        Ok(())
    }
}

/// A decoded region. Its JSON is documented in Documentation/compscctl.rst.
#[derive(Debug, Serialize)]
pub(crate) struct Log {
    chip: &'static str,
    role: &'static str,
    /// State of the device as the last op set left it.
    device_state: String,
    gate: Gate,
    /// What the guest's driver counts in the region.
    figures: BTreeMap<&'static str, u64>,
    /// All phases in the order of replay.
    phases: Vec<PhaseLog>,
}

/// The gate word in parts.
#[derive(Debug, Serialize)]
pub(crate) struct Gate {
    pub(crate) version: u32,
    pub(crate) locked: bool,
    pub(crate) dummy_writes: bool,
}

impl Gate {
    fn new(word: u32) -> Self {
        Self {
            version: gate::version(word),
            locked: word & gate::LOCKED != 0,
            dummy_writes: word & gate::DUMMY_WRITES != 0,
        }
    }
}

#[derive(Debug, Serialize)]
struct PhaseLog {
    phase: &'static str,
    registers: Vec<Register>,
}

/// A recorded register.
#[derive(Debug, Serialize)]
struct Register {
    name: &'static str,
    /// Element of a register array.
    index: Option<usize>,
    /// Byte offset in the register window.
    offset: usize,
    /// Slot in the log.
    slot: usize,
    value: u32,
    fields: BTreeMap<&'static str, u32>,
    #[serde(skip)]
    decoded: Decoded,
}

impl Log {
    /// Checks and decodes a region.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        // A length beyond 32 bits is refused like any that is too long.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let reader = Reader::open(Bytes(bytes), length)?;
        let region = reader.region();
        let (chip, kind) = (region.chip, region.role);
        let (Some(table), Some(name)) = (
            compsc_regs::table(chip, kind),
            compsc_regs::chip::name(chip),
        ) else {
            return Err(Error::Map { chip, role: kind });
        };
        let wanted = slot_count(table);
        if usize::try_from(region.log.count) != Ok(wanted) {
            return Err(Error::Slots {
                chip: name,
                slots: region.log.count,
                wanted,
            });
        }
        let phases = Phase::ALL
            .iter()
            .map(|&phase| {
                Ok(PhaseLog {
                    phase: phase.name(),
                    registers: recorded(&reader, table, phase)?,
                })
            })
            .collect::<Result<_, Error>>()?;
        let [reset, mailbox, replay, rings] = region.restore_parts_ns;
        Ok(Self {
            chip: name,
            role: match kind {
                role::PF => "pf",
                _ => "vf",
            },
            device_state: region.device_state.to_string(),
            gate: Gate::new(region.gate_word),
            figures: BTreeMap::from([
                ("host_restarts", region.host_restarts.into()),
                ("restores", region.restores.into()),
                ("last_restore_ns", region.last_restore_ns),
                ("last_reset_ns", reset),
                ("last_mailbox_ns", mailbox),
                ("last_replay_ns", replay),
                ("last_rings_ns", rings),
                ("dummy_descriptors", region.dummy_descriptors),
                ("dummy_pages", region.dummy_pages),
                ("resent", region.resent),
            ]),
            phases,
        })
    }

    /// What the guest's driver counts in the region, and the state of the device.
    pub(crate) fn figures(&self) -> (&str, &BTreeMap<&'static str, u64>) {
        (&self.device_state, &self.figures)
    }
}

/// The registers of one phase that the driver has written since the last reset, in the order of replay.
fn recorded(
    reader: &Reader<Bytes<'_>>,
    table: &'static [RegisterDesc],
    phase: Phase,
) -> Result<Vec<Register>, Error> {
    let mut registers = Vec::new();
    for register in table {
        if register.replay != Replay::LastWrite(phase) {
            continue;
        }
        for index in 0..register.count {
            let slot = register.slot + index;
            // CAST: the table has as many slots as the log, which has few.
            let Some(value) = slot_value(reader.log_slot(slot as u32)?) else {
                continue;
            };
            let offset = register.offset_of(index);
            let decoded = decode(table, offset, value);
            registers.push(Register {
                name: register.name,
                index: (register.count > 1).then_some(index),
                offset,
                slot,
                value,
                fields: decoded.fields().map(|(f, v)| (f.name, v)).collect(),
                decoded,
            });
        }
    }
    Ok(registers)
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gate = &self.gate;
        writeln!(
            f,
            "{} {}, {}; gate version {}, {}{}; {} restores",
            self.chip,
            self.role,
            self.device_state,
            gate.version,
            if gate.locked { "locked" } else { "open" },
            if gate.dummy_writes {
                ", dummy writes"
            } else {
                ""
            },
            self.figures.get("restores").unwrap_or(&0)
        )?;
        if self.phases.iter().all(|p| p.registers.is_empty()) {
            return writeln!(f, "no register was written since the last reset");
        }
        for phase in self.phases.iter().filter(|p| !p.registers.is_empty()) {
            writeln!(f, "{}", phase.phase)?;
            for register in &phase.registers {
                writeln!(f, "  {}", register.decoded)?;
            }
        }
        Ok(())
    }
}

/// The JSON document: a log and where it is from.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    function: Option<&'a str>,
    #[serde(flatten)]
    log: &'a Log,
}

/// Runs the command.
///
/// # Errors
///
/// If the function or file cannot be read, or holds no region that this tool knows.
pub(crate) fn run(args: &LogArgs, root: &Path) -> Result<()> {
    let (function, bytes) = match (&args.file, &args.function) {
        (Some(path), _) => (None, debugfs::read_region(path)?),
        (None, name) => {
            let function = debugfs::function(root, name.as_deref().unwrap_or_default())?;
            let bytes = function.region()?;
            (Some(function.address), bytes)
        }
    };
    let log = Log::read(&bytes).with_context(|| match (&args.file, &function) {
        (Some(path), _) => format!("{} cannot be decoded", path.display()),
        (None, address) => format!(
            "the log of {} cannot be decoded",
            address.as_deref().unwrap_or_default()
        ),
    })?;
    if args.format.json {
        return print_json(&Document {
            schema: 1,
            function: function.as_deref(),
            log: &log,
        });
    }
    let title = function.map_or_else(String::new, |address| format!("{address}: "));
    print(&format!("{title}{log}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::region;
    use compsc_core::regs::Map;
    use compsc_regs::vf82576::Vf82576;
    use proptest::prelude::*;

    #[test]
    fn registers_are_decoded_in_the_order_of_replay() {
        let log = Log::read(&region()).unwrap();
        assert_eq!(
            log.to_string(),
            "82576 vf, up; gate version 3, open, dummy writes; 5 restores\n\
             enable\n  RXDCTL[1] = 0x02000008 PTHRESH=8 ENABLE=1\n\
             unmask\n  EIMS = 0x00000007 VECTORS=7\n"
        );
        let json = serde_json::to_value(&log).unwrap();
        let enable = &json["phases"][3];
        assert_eq!(enable["phase"], "enable");
        assert_eq!(enable["registers"][0]["index"], 1);
        assert_eq!(enable["registers"][0]["offset"], 0x2928);
        assert_eq!(enable["registers"][0]["fields"]["ENABLE"], 1);
        assert_eq!(enable["registers"][0]["fields"]["WTHRESH"], 0);
        assert!(json["phases"][4]["registers"][0]["index"].is_null());
        assert_eq!(json["gate"]["dummy_writes"], true);
    }

    #[test]
    fn an_empty_log_says_so() {
        let mut bytes = region();
        bytes[256..256 + Vf82576::SLOTS * 8].fill(0);
        let text = Log::read(&bytes).unwrap().to_string();
        assert!(text.ends_with("no register was written since the last reset\n"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let whole = region();
        let message = |bytes: &[u8]| Log::read(bytes).unwrap_err().to_string();
        assert!(message(&[]).contains("announced length"));
        assert!(message(&whole[..whole.len() - 1]).contains("region_len"));
        let changed = |at: usize, value: u8| {
            let mut bytes = whole.clone();
            bytes[at] = value;
            message(&bytes)
        };
        assert!(changed(0, b'X').contains("magic"));
        assert!(changed(0x0c, 9).contains("chip 9, role 1"));
        assert!(changed(0x0e, 3).contains("role"));
        assert!(changed(0x1c, 1).contains("the log has 1 slots"));
        assert!(changed(0x18, 0x81).contains("multiple"));
    }

    fn check(bytes: &[u8]) {
        if let Ok(log) = Log::read(bytes) {
            let _ = log.to_string();
            serde_json::to_string(&log).unwrap();
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            check(&bytes);
        }

        #[test]
        fn forged_regions_never_panic(
            changes in proptest::collection::vec((0..1024_usize, any::<u8>()), 1..16),
            cut in 0..4096_usize,
        ) {
            let mut bytes = region();
            for (at, value) in changes {
                bytes[at] = value;
            }
            let end = bytes.len().saturating_sub(cut);
            check(&bytes);
            check(&bytes[..end]);
        }
    }
}
