// SPDX-License-Identifier: GPL-2.0

//! Drives one live migration of a virtual machine between two stock QEMU processes and observes it.
//!
//! `compscctl migrate` and the test bed use the same code. Both QEMU processes have a QMP socket;
//! the destination was started with `-incoming defer`, so that the channel is opened at a moment
//! of our choice and a refusal can be reported.
//!
//! # Stages
//!
//! The six stages are those of the paper (and of Clark et al.'s live migration); QEMU's own states
//! map to them as follows.
//!
//! | stage | begins when |
//! |---|---|
//! | pre-migration | the engine is called: both monitors are greeted and the parameters set |
//! | reservation | the destination is told to listen (`migrate-incoming`) |
//! | iterative pre-copy | the source accepts `migrate`; its status is `setup`, then `active` |
//! | stop-and-copy | the source's event `STOP`: processors stopped, the device leaves `PRE_COPY` |
//! | commitment | the source's status is `completed`: the destination has everything |
//! | activation | the destination's event `RESUME`: its processors run |

pub mod qmp;
pub mod show;

use qmp::Event;
use qmp::Qmp;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens at a monitor socket.
    #[error(
        "cannot connect to QEMU's monitor {}: {source}; is that QEMU running, with -qmp unix:PATH,server=on,wait=off?", path.display()
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A monitor connection broke, or says what QMP does not.
    #[error("the connection to QEMU's monitor {} failed: {reason}", path.display())]
    Monitor {
        /// The socket.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// QEMU refused a command.
    #[error("QEMU at {} refused {command}: {reason}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// The command.
        command: String,
        /// QEMU's words.
        reason: String,
    },
    /// The virtual machine is not in a state to be migrated.
    #[error("QEMU at {} cannot take part: {reason}", path.display())]
    NotReady {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The migration failed; the guest was left on the source.
    #[error("the migration failed during {stage}: {reason}; {after}")]
    Failed {
        /// In which stage.
        stage: Stage,
        /// QEMU's words, from both sides if both gave one.
        reason: String,
        /// What became of the guest.
        after: String,
    },
    /// The observer asked to cancel, or it took too long, and QEMU cancelled.
    #[error("the migration was cancelled during {stage} {why}; {after}")]
    Cancelled {
        /// In which stage.
        stage: Stage,
        /// On whose behalf, in words.
        why: String,
        /// What became of the guest.
        after: String,
    },
}

/// The six stages of a live migration, in order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Both sides are checked and given their parameters.
    PreMigration,
    /// The destination holds memory and a device and listens.
    Reservation,
    /// Memory is copied round by round while the guest runs.
    PreCopy,
    /// The guest is stopped; the rest of its memory and the device states are copied.
    StopAndCopy,
    /// The destination has confirmed that it has everything.
    Commitment,
    /// The guest runs on the destination.
    Activation,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::PreMigration,
        Self::Reservation,
        Self::PreCopy,
        Self::StopAndCopy,
        Self::Commitment,
        Self::Activation,
    ];

    /// Its number among the six, from 1.
    pub const fn number(self) -> usize {
        // CAST: a variant without payload; they are declared in order.
        self as usize + 1
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PreMigration => "pre-migration",
            Self::Reservation => "reservation",
            Self::PreCopy => "iterative pre-copy",
            Self::StopAndCopy => "stop-and-copy",
            Self::Commitment => "commitment",
            Self::Activation => "activation",
        })
    }
}

/// What to migrate and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// QMP socket of the QEMU that runs the guest.
    pub source: PathBuf,
    /// QMP socket of the QEMU that waits with `-incoming defer`.
    pub destination: PathBuf,
    /// The channel, as QEMU spells it: `unix:/path` or `tcp:host:port`.
    pub channel: String,
    /// Where the destination listens, if that is not `channel` (a relay or a port forwarding between
    /// the hosts).
    pub listen: Option<String>,
    /// QEMU stops the guest as soon as it expects the rest to take no longer than this.
    pub downtime_limit: Duration,
    /// Bandwidth limit in bytes per second; 0 is none.
    pub max_bandwidth: u64,
    /// After this time the migration is cancelled.
    pub timeout: Duration,
    /// How long the monitors may take to answer at all: a QEMU that was just started needs a moment.
    pub patience: Duration,
}

/// How far a running migration is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Progress {
    /// QEMU's own word for the state.
    pub status: String,
    /// Bytes of guest memory sent so far.
    pub transferred: u64,
    /// Bytes of guest memory not yet sent in this round.
    pub remaining: u64,
    /// Bytes of guest memory in total.
    pub total: u64,
    /// Dirty-log synchronisations so far: the rounds of pre-copy.
    pub rounds: u64,
    /// Bytes of VFIO device state sent so far.
    pub device_bytes: u64,
}

/// Whether a migration shall go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Cancel it: the guest goes on on the source.
    Cancel,
}

/// Is told what happens while [`migrate`] runs.
pub trait Observer {
    /// A stage begins.
    fn stage(&mut self, stage: Stage);
    /// Called every few milliseconds, with the latest figures.
    fn progress(&mut self, stage: Stage, progress: &Progress) -> Verdict;
}

/// An observer that only lets it happen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn stage(&mut self, _: Stage) {}
    fn progress(&mut self, _: Stage, _: &Progress) -> Verdict {
        Verdict::Continue
    }
}

/// When a stage began.
#[derive(Clone, Debug, Serialize)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// Microseconds since the Unix epoch by the host's clock.
    pub begin_us: u64,
}

/// Figures of a completed migration. Times in milliseconds are QEMU's own, which has no finer ones.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// From `migrate` to its completion, in milliseconds.
    pub total_ms: u64,
    /// How long the guest's processors stood still, by QEMU's account, in milliseconds.
    pub downtime_ms: u64,
    /// Time spent setting up, in milliseconds.
    pub setup_ms: u64,
    /// From the source's `STOP` to the destination's `RESUME`, in microseconds.
    pub stop_to_resume_us: u64,
    /// Dirty-log synchronisations: the rounds of pre-copy.
    pub precopy_rounds: u64,
    /// Bytes of guest memory sent while the guest ran.
    pub precopy_bytes: u64,
    /// Bytes sent while the guest was stopped.
    pub downtime_bytes: u64,
    /// Bytes of guest memory sent in all.
    pub ram_bytes: u64,
    /// Bytes of VFIO device state.
    pub device_bytes: u64,
    /// Memory pages that were still dirty at the last synchronisation before the stop.
    pub dirty_rate_pages: u64,
    /// The stages with their beginnings.
    pub stages: Vec<StageTime>,
}

impl Outcome {
    /// When `stage` began, in microseconds since the Unix epoch; `None` if it did not.
    pub fn begin_us(&self, stage: Stage) -> Option<u64> {
        self.stages
            .iter()
            .find(|s| s.stage == stage)
            .map(|s| s.begin_us)
    }
}

/// How often figures are asked for. Each query takes QEMU's main lock for a moment.
const QUERY_INTERVAL: Duration = Duration::from_millis(50);
/// How long one wait for an event lasts.
const EVENT_WAIT: Duration = Duration::from_millis(2);
/// How long the destination may take from completion to running.
const ACTIVATION_TIMEOUT: Duration = Duration::from_secs(20);

fn now_us() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// State of one call of [`migrate`].
struct Run<'a> {
    plan: &'a Plan,
    observer: &'a mut dyn Observer,
    source: Qmp,
    destination: Qmp,
    stage: Stage,
    outcome: Outcome,
    /// Last thing an event of the source said about the migration.
    status: String,
    /// Set once, when QEMU was told to cancel: on whose behalf, in words.
    cancelling: Option<String>,
    /// The guest was stopped and has not been resumed on the source.
    stopped: bool,
}

/// Migrates the guest and returns the figures. The source QEMU is left stopped (`postmigrate`).
///
/// # Errors
///
/// See [`Error`]. In every case but a lost monitor the guest then runs on the source.
pub fn migrate(plan: &Plan, observer: &mut dyn Observer) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    observer.stage(Stage::PreMigration);
    outcome.stages.push(StageTime {
        stage: Stage::PreMigration,
        begin_us: now_us(),
    });
    let run = Run {
        plan,
        observer,
        source: Qmp::connect(&plan.source, plan.patience)?,
        destination: Qmp::connect(&plan.destination, plan.patience)?,
        stage: Stage::PreMigration,
        outcome,
        status: String::new(),
        cancelling: None,
        stopped: false,
    };
    run.run()
}

impl Run<'_> {
    fn enter(&mut self, stage: Stage, begin_us: u64) {
        if stage > self.stage {
            self.stage = stage;
            self.outcome.stages.push(StageTime { stage, begin_us });
            self.observer.stage(stage);
        }
    }

    fn run(mut self) -> Result<Outcome, Error> {
        self.prepare()?;

        self.enter(Stage::Reservation, now_us());
        // Without exit-on-error=false a destination that refuses would die with its reason.
        let listen = self.plan.listen.as_ref().unwrap_or(&self.plan.channel);
        let mut incoming = json!({ "uri": listen, "exit-on-error": false });
        if self
            .destination
            .execute("migrate-incoming", incoming.clone())
            .is_err()
        {
            incoming = json!({ "uri": listen });
            self.destination.execute("migrate-incoming", incoming)?;
        }

        let begin = now_us();
        self.source
            .execute("migrate", json!({ "uri": self.plan.channel }))?;
        self.enter(Stage::PreCopy, begin);
        self.follow()?;
        self.activate()?;
        self.figures()?;
        Ok(self.outcome)
    }

    /// Checks both sides and sets the parameters.
    fn prepare(&mut self) -> Result<(), Error> {
        for (qmp, wanted) in [
            (&mut self.source, "running"),
            (&mut self.destination, "inmigrate"),
        ] {
            let state = qmp.execute("query-status", Value::Null)?;
            let state = state["status"].as_str().unwrap_or("unknown").to_owned();
            if state != wanted {
                let hint = if wanted == "running" {
                    "only a running guest can be live-migrated"
                } else {
                    "start it with -incoming defer"
                };
                return Err(Error::NotReady {
                    path: qmp.path().to_owned(),
                    reason: format!("its state is {state}, not {wanted}: {hint}"),
                });
            }
            qmp.execute(
                "migrate-set-capabilities",
                json!({ "capabilities": [{ "capability": "events", "state": true }] }),
            )?;
            qmp.drop_events()?;
        }
        let limit = u64::try_from(self.plan.downtime_limit.as_millis()).unwrap_or(u64::MAX);
        self.source.execute(
            "migrate-set-parameters",
            json!({ "downtime-limit": limit, "max-bandwidth": self.plan.max_bandwidth }),
        )?;
        Ok(())
    }

    /// Follows the source until it has completed, failed or been cancelled.
    fn follow(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + self.plan.timeout;
        let mut next_query = Instant::now();
        let mut progress = Progress::default();
        loop {
            while let Some(event) = self.source.event(EVENT_WAIT)? {
                self.source_event(&event);
            }
            if Instant::now() >= next_query {
                let info = self.source.execute("query-migrate", Value::Null)?;
                progress = read_progress(&info);
                self.status = progress.status.clone();
                next_query = Instant::now() + QUERY_INTERVAL;
                // What led to that status was announced before, with the exact times.
                while let Some(event) = self.source.event(Duration::ZERO)? {
                    self.source_event(&event);
                }
            }
            match self.status.as_str() {
                "completed" => {
                    self.enter(Stage::Commitment, now_us());
                    return Ok(());
                }
                "failed" => return Err(self.failure()),
                "cancelled" => {
                    let after = self.guest_after();
                    return Err(Error::Cancelled {
                        stage: self.stage,
                        why: self
                            .cancelling
                            .take()
                            .unwrap_or_else(|| "by another client of QEMU's monitor".to_owned()),
                        after,
                    });
                }
                _ => {}
            }
            let verdict = self.observer.progress(self.stage, &progress);
            let late = Instant::now() >= deadline;
            if (late || verdict == Verdict::Cancel) && self.cancelling.is_none() {
                self.cancelling = Some(if late {
                    format!("because it took longer than {:?}", self.plan.timeout)
                } else {
                    "as asked".to_owned()
                });
                // A destination that happens to have everything must not run the guest as well. One that
                // does not answer will not.
                let _ = self.destination.execute("stop", Value::Null);
                self.source.execute("migrate_cancel", Value::Null)?;
            }
        }
    }

    fn source_event(&mut self, event: &Event) {
        match event.name.as_str() {
            "STOP" => {
                self.stopped = true;
                self.enter(Stage::StopAndCopy, event.time_us);
            }
            "RESUME" => self.stopped = false,
            "MIGRATION" => {
                self.status = event.data["status"].as_str().unwrap_or("").to_owned();
                if self.status == "completed" {
                    self.enter(Stage::Commitment, event.time_us);
                }
            }
            _ => {}
        }
    }

    fn failure(&mut self) -> Error {
        let mut reasons = Vec::new();
        for (who, qmp) in [
            ("source", &mut self.source),
            ("destination", &mut self.destination),
        ] {
            match qmp.execute("query-migrate", Value::Null) {
                Ok(info) => {
                    if let Some(text) = info["error-desc"].as_str() {
                        reasons.push(format!("{who}: {text}"));
                    }
                }
                Err(e) => reasons.push(format!("{who}: {e}")),
            }
        }
        if reasons.is_empty() {
            reasons.push("QEMU gave no reason; see its log".to_owned());
        }
        Error::Failed {
            stage: self.stage,
            reason: reasons.join("; "),
            after: self.guest_after(),
        }
    }

    /// What became of the guest after a failure, in words.
    fn guest_after(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match self.source.execute("query-status", Value::Null) {
                Ok(state) if state["running"].as_bool() == Some(true) => {
                    return "the guest runs on the source".to_owned();
                }
                Ok(state) if Instant::now() >= deadline => {
                    return format!(
                        "the guest is {} on the source",
                        state["status"].as_str().unwrap_or("in an unknown state")
                    );
                }
                Ok(_) => std::thread::sleep(Duration::from_millis(5)),
                Err(e) => return format!("the source does not answer: {e}"),
            }
        }
    }

    /// Waits until the guest runs on the destination.
    fn activate(&mut self) -> Result<(), Error> {
        if self.cancelling.is_some() {
            // It was too late for that; the destination was told not to start.
            self.destination.execute("cont", Value::Null)?;
        }
        let deadline = Instant::now() + ACTIVATION_TIMEOUT;
        loop {
            while let Some(event) = self.destination.event(EVENT_WAIT)? {
                if event.name == "RESUME" {
                    self.enter(Stage::Activation, event.time_us);
                    return Ok(());
                }
            }
            if Instant::now() >= deadline {
                let state = self.destination.execute("query-status", Value::Null)?;
                if state["running"].as_bool() == Some(true) {
                    self.enter(Stage::Activation, now_us());
                    return Ok(());
                }
                return Err(Error::NotReady {
                    path: self.destination.path().to_owned(),
                    reason: format!("it has everything but did not start the guest: {state}"),
                });
            }
        }
    }

    fn figures(&mut self) -> Result<(), Error> {
        let info = self.source.execute("query-migrate", Value::Null)?;
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let ram = &info["ram"];
        let out = &mut self.outcome;
        out.total_ms = number(&info["total-time"]);
        out.downtime_ms = number(&info["downtime"]);
        out.setup_ms = number(&info["setup-time"]);
        out.precopy_rounds = number(&ram["dirty-sync-count"]);
        out.precopy_bytes = number(&ram["precopy-bytes"]);
        out.downtime_bytes = number(&ram["downtime-bytes"]);
        out.ram_bytes = number(&ram["transferred"]);
        out.dirty_rate_pages = number(&ram["dirty-pages-rate"]);
        out.device_bytes = number(&info["vfio"]["transferred"]);
        if let (Some(stop), Some(resume)) = (
            out.begin_us(Stage::StopAndCopy),
            out.begin_us(Stage::Activation),
        ) {
            out.stop_to_resume_us = resume.saturating_sub(stop);
        }
        Ok(())
    }
}

fn read_progress(info: &Value) -> Progress {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    Progress {
        status: info["status"].as_str().unwrap_or("none").to_owned(),
        transferred: number(&info["ram"]["transferred"]),
        remaining: number(&info["ram"]["remaining"]),
        total: number(&info["ram"]["total"]),
        rounds: number(&info["ram"]["dirty-sync-count"]),
        device_bytes: number(&info["vfio"]["transferred"]),
    }
}
