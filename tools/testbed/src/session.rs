// SPDX-License-Identifier: GPL-2.0

//! A guest under traffic that is migrated from place to place.

use crate::host::bridge::Bridge;
use crate::host::nic;
use crate::host::qemu::Spec;
use crate::host::qemu::Vm;
use crate::host::relay;
use crate::lab;
use crate::lab::Lab;
use crate::lab::Shape;
use crate::proto::Health;
use crate::traffic;
use crate::traffic::Exchange;
use crate::traffic::Side;
use crate::traffic::StackCounters;
use crate::traffic::timeline::now_ns;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use compsc_migrate::Error;
use compsc_migrate::Observer;
use compsc_migrate::Outcome;
use compsc_migrate::Plan;
use compsc_report::figures::Figures;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// One migration with everything that was measured right after it.
#[derive(Clone, Debug, Serialize)]
pub struct Migration {
    /// Number of the place (a function, or several) that the guest left, and of the one it went to.
    pub from: usize,
    /// See `from`.
    pub to: usize,
    /// The engine's figures.
    pub outcome: Outcome,
    /// When the time to recover was over, by the host's monotonic clock in nanoseconds; 0 if it was not
    /// granted.
    pub settled_ns: u64,
    /// TCP segments sent again by both sides from the start of this migration to the next.
    pub retransmits: u64,
    /// Time the guest's driver took to restore its function, in microseconds, if it tells.
    pub restore_us: Option<u64>,
    /// What the host's VFIO driver reports of the source function.
    pub source: Figures,
    /// What the host's VFIO driver reports of the destination function.
    pub destination: Figures,
    /// Before and after.
    pub health: (Health, Health),
}

/// A guest, its traffic and its present place.
///
/// Dropping it ends the guest.
pub struct Session<'a> {
    lab: &'a Lab,
    spec: Spec,
    /// The QEMU process that runs the guest now.
    pub vm: Vm,
    shape: Shape,
    /// Where the guest is: its functions are the `place`th group of as many as it owns.
    pub place: usize,
    /// Migrations so far; names the files of QEMU processes.
    generation: usize,
    /// The process that the guest has left last. Its end (functions reset, memory unpinned) costs this
    /// machine's few processors time that a guest elsewhere would not miss, so it waits.
    retired: Option<Vm>,
    traffic: Option<Side>,
    /// Host's monotonic clock minus its wall clock, in nanoseconds.
    clock_offset: i128,
    /// Retransmitted segments at the last look.
    retransmits: u64,
    /// Behind the guest's paravirtual interface, if it has one. Outlives the guest.
    bridge: Option<Bridge>,
}

/// QEMU's downtime limit for streams that are cut.
const CUT_LIMIT: Duration = Duration::from_millis(300);

/// How long the machine rests between the preparation of a destination and the migration.
const CALM: Duration = Duration::from_millis(500);

/// What remains when a session's traffic has ended.
#[derive(Debug)]
pub struct Seen {
    /// By the guest.
    pub guest: traffic::Report,
    /// By the host.
    pub host: traffic::Report,
    /// Request/response exchanges.
    pub exchanges: Vec<Exchange>,
    /// Counters of the guest's network stack.
    pub guest_stack: StackCounters,
    /// Counters of the host's.
    pub host_stack: StackCounters,
}

impl<'a> Session<'a> {
    /// Boots a guest at place 0.
    ///
    /// # Errors
    ///
    /// If it does not boot or its driver does not work.
    pub fn boot(lab: &'a Lab, driver: &str, shape: Shape) -> Result<Self> {
        let mut spec = lab.guest(driver, shape)?;
        let bridge = lab.bridge(&mut spec)?;
        let shape = match driver {
            "virtio" => Shape {
                functions: 0,
                ..shape
            },
            _ => shape,
        };
        let vm = spec.boot("0", &lab.functions(0, shape))?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        Ok(Self {
            lab,
            spec,
            vm,
            shape,
            place: 0,
            generation: 0,
            retired: None,
            traffic: None,
            clock_offset: i128::from(now_ns()) - i128::try_from(wall)?,
            retransmits: 0,
            bridge,
        })
    }

    /// A wall-clock time in microseconds (as QEMU's events have it) by the monotonic clock, in
    /// nanoseconds.
    pub fn monotonic(&self, wall_us: u64) -> u64 {
        u64::try_from(i128::from(wall_us) * 1000 + self.clock_offset).unwrap_or(0)
    }

    /// Starts all streams.
    ///
    /// # Errors
    ///
    /// If the guest cannot be reached.
    pub fn start_traffic(&mut self, config: &traffic::Config) -> Result<()> {
        let side = lab::start_traffic(&mut self.vm, config).map_err(|e| self.vm.explain(e))?;
        self.traffic = Some(side);
        self.retransmits = self.count_retransmits()?;
        Ok(())
    }

    /// Ends all streams.
    ///
    /// # Errors
    ///
    /// If the guest does not answer.
    pub fn finish_traffic(&mut self) -> Result<Seen> {
        let mut side = self
            .traffic
            .take()
            .ok_or_else(|| anyhow!("no traffic runs"))?;
        let (guest, host) =
            lab::finish_traffic(&mut self.vm, &mut side).map_err(|e| self.vm.explain(e))?;
        Ok(Seen {
            guest,
            host,
            exchanges: side.exchanges(),
            guest_stack: self.vm.agent.counters()?,
            host_stack: StackCounters::read()?,
        })
    }

    /// Errors of traffic on the host's side so far.
    pub fn traffic_errors(&self) -> Vec<String> {
        self.traffic.as_ref().map(Side::errors).unwrap_or_default()
    }

    fn count_retransmits(&mut self) -> Result<u64> {
        let guest = self.vm.agent.counters()?.tcp_retransmits;
        Ok(guest + StackCounters::read()?.tcp_retransmits)
    }

    /// Segments sent again since this was last asked.
    ///
    /// # Errors
    ///
    /// If the guest does not answer.
    pub fn new_retransmits(&mut self) -> Result<u64> {
        let now = self.count_retransmits()?;
        let new = now.saturating_sub(self.retransmits);
        self.retransmits = now;
        Ok(new)
    }

    /// Migrates the guest to the place `to`. The old QEMU process ends with [`Session::settle`].
    ///
    /// # Errors
    ///
    /// If it fails: the guest then runs where it was.
    pub fn migrate(
        &mut self,
        to: usize,
        downtime_limit: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Migration> {
        let destination = self.destination(to)?;
        let before = self.vm.agent.health()?;
        let outcome = self
            .engine(&destination, downtime_limit, observer)
            .map_err(|e| {
                let log = std::fs::read_to_string(&destination.log).unwrap_or_default();
                anyhow!(e).context(format!("the destination's QEMU said: {}", log.trim()))
            })?;
        let from = self.arrive(to, destination);
        // The agent's first answer also says that the guest runs.
        self.vm
            .agent
            .hello(Duration::from_secs(60))
            .map_err(|e| self.vm.explain(e))
            .context("the guest does not answer after its migration")?;
        Ok(Migration {
            from,
            to,
            outcome,
            settled_ns: 0,
            retransmits: 0,
            restore_us: None,
            source: self.lab.figures(from * self.shape.functions),
            destination: self.lab.figures(to * self.shape.functions),
            health: (before, Health::default()),
        })
    }

    /// Completes the figures of a migration once the guest has had time to recover.
    ///
    /// # Errors
    ///
    /// If the guest does not answer.
    pub fn settle(&mut self, migration: &mut Migration) -> Result<()> {
        migration.settled_ns = now_ns();
        self.retired = None;
        migration.retransmits = self.new_retransmits()?;
        migration.health.1 = self.vm.agent.health()?;
        migration.restore_us = restore_us(&migration.health.1.figures);
        Ok(())
    }

    /// A QEMU process that is ready for the guest at the place `to`.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn destination(&mut self, to: usize) -> Result<Vm> {
        self.retired = None;
        self.generation += 1;
        let tag = self.generation.to_string();
        if let (Some(paravirtual), Some(bridge)) = (&mut self.spec.paravirtual, &self.bridge) {
            bridge.tap(self.generation).clone_into(&mut paravirtual.tap);
        }
        let functions = self.lab.functions(to, self.shape);
        let vm = self.spec.start(&tag, &functions, true)?;
        // Pinning the guest's future memory has kept a processor busy for seconds; the traffic needs a
        // moment to find its pace again.
        std::thread::sleep(CALM);
        Ok(vm)
    }

    /// Runs the migration engine towards `destination` and no more.
    ///
    /// # Errors
    ///
    /// Those of the engine.
    pub fn engine(
        &self,
        destination: &Vm,
        downtime_limit: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, Error> {
        let channel = self.spec.folder.join("channel");
        let _ = std::fs::remove_file(&channel);
        self.engine_over(&channel, &channel, destination, downtime_limit, observer)
    }

    /// As [`Session::engine`], with a stream that is cut after `bytes`.
    ///
    /// # Errors
    ///
    /// Those of the engine, or of the relay.
    pub fn engine_cut(
        &self,
        destination: &Vm,
        bytes: u64,
        observer: &mut dyn Observer,
    ) -> Result<Result<Outcome, Error>> {
        let folder = &self.spec.folder;
        let (near, far) = (folder.join("channel-near"), folder.join("channel-far"));
        let _ = std::fs::remove_file(&far);
        relay::start(&near, &far, bytes)?;
        Ok(self.engine_over(&near, &far, destination, CUT_LIMIT, observer))
    }

    fn engine_over(
        &self,
        near: &Path,
        far: &Path,
        destination: &Vm,
        downtime_limit: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, Error> {
        let plan = Plan {
            source: self.vm.qmp.clone(),
            destination: destination.qmp.clone(),
            channel: format!("unix:{}", near.display()),
            listen: (near != far).then(|| format!("unix:{}", far.display())),
            downtime_limit,
            max_bandwidth: 0,
            timeout: Duration::from_secs(120),
            patience: Duration::from_secs(10),
        };
        compsc_migrate::migrate(&plan, observer)
    }

    /// The guest has arrived at `destination`, the place `to`. Returns the place that it left.
    pub fn arrive(&mut self, to: usize, destination: Vm) -> usize {
        self.retired = Some(std::mem::replace(&mut self.vm, destination));
        std::mem::replace(&mut self.place, to)
    }

    /// What the guest knows about its interface, for an error message.
    pub fn diagnosis(&mut self) -> String {
        let command = "ip -s link show dev eth0; ip neigh; ethtool -S eth0; dmesg | tail -n 15";
        match self.vm.agent.exec(command) {
            Ok(out) => format!("{}{}", out.stdout, out.stderr),
            Err(e) => format!("{e:#}"),
        }
    }

    /// Waits until the guest's interface answers a ping from the host.
    ///
    /// # Errors
    ///
    /// If it does not within `patience`.
    pub fn wait_ping(&self, patience: Duration) -> Result<()> {
        let guest = std::net::IpAddr::from(lab::GUEST).to_string();
        nic::wait_for(patience, "the guest to answer a ping", || {
            crate::host::run("ping", &["-c", "1", "-W", "1", &guest]).ok()
        })
        .map(|_| ())
    }
}

/// Time of the last restore in microseconds.
fn restore_us(figures: &Figures) -> Option<u64> {
    figures
        .get("last_restore_ns")?
        .parse::<u64>()
        .ok()
        .map(|ns| ns / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn figures_and_counters() {
        let figures = Figures::from([("last_restore_ns".to_owned(), "1500000".to_owned())]);
        assert_eq!(restore_us(&figures), Some(1500));
        let health = |value| Health {
            carrier_changes: 1,
            counters: BTreeMap::from([("ip:rx_packets".to_owned(), value)]),
            ..Health::default()
        };
        assert!(health(5).went_back(&health(5)).is_empty());
        assert_eq!(
            health(4).went_back(&health(5)),
            [("ip:rx_packets".to_owned(), 5, 4)]
        );
    }
}
