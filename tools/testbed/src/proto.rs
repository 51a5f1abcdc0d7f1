// SPDX-License-Identifier: GPL-2.0

//! What the host says to the agent in the guest, one JSON object per line, over a virtio-serial port.
//!
//! The port's other end is a socket of the QEMU process that runs the guest, so the connection
//! changes with each migration; the guest's end stays open. A request carries a number, and the
//! answer repeats it: an answer that was lost with a connection is not taken for a later one.

use crate::traffic;
use compsc_report::figures::Figures;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Name of the port in the guest.
pub const PORT: &str = "compsc.agent";

/// A numbered request.
#[derive(Debug, Deserialize, Serialize)]
pub struct Request {
    /// Repeated in the answer.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub order: Order,
}

/// What the agent can do.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Answer with [`Hello`].
    Hello,
    /// Run a shell command; answer with [`Output`].
    Exec {
        /// Passed to `sh -c`.
        command: String,
    },
    /// Start the guest's side of the traffic.
    TrafficStart(traffic::Config),
    /// Ask the senders to finish.
    TrafficStop,
    /// Wait for all threads and answer with a [`traffic::Report`]; the traffic is over then.
    TrafficFinish,
    /// Errors of traffic threads so far.
    TrafficErrors,
    /// Answer with [`traffic::StackCounters`].
    Counters,
    /// Answer with [`Health`].
    Health,
    /// Announce forged regions and write random bytes to the capability, from user space, until
    /// [`Order::HostileStop`].
    HostileStart {
        /// Seed of everything that is written.
        seed: u64,
    },
    /// Behave again; answer with the number of regions that were announced.
    HostileStop,
}

/// Answer to [`Order::Hello`].
#[derive(Debug, Deserialize, Serialize)]
pub struct Hello {
    /// Kernel release.
    pub kernel: String,
    /// Name of the passed-through network interface, if the driver made one.
    pub interface: Option<String>,
    /// Why the driver could not be loaded, if so.
    pub problem: Option<String>,
}

/// Answer to [`Order::Health`]: what the guest's user can see of the interface and has to stay.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Health {
    /// How often the carrier came or went since the interface was made.
    pub carrier_changes: u64,
    /// Counters that only ever grow: the standard ones (`ip:…`) and the driver's own (`nic:…`, from
    /// `ethtool -S`).
    pub counters: BTreeMap<String, u64>,
    /// What the driver prints in debugfs, if it is ours.
    pub figures: Figures,
}

impl Health {
    /// Counters that went back since `earlier`, as (name, before, after).
    pub fn went_back(&self, earlier: &Self) -> Vec<(String, u64, u64)> {
        earlier
            .counters
            .iter()
            .filter_map(|(name, &before)| {
                let after = *self.counters.get(name)?;
                (after < before).then(|| (name.clone(), before, after))
            })
            .collect()
    }
}

/// Answer to [`Order::Exec`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Output {
    /// Exit status; -1 if a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A numbered answer.
#[derive(Debug, Deserialize, Serialize)]
pub struct Answer {
    /// The request's number.
    pub id: u64,
    /// What came out, or a message.
    pub result: Result<Value, String>,
}
