// SPDX-License-Identifier: GPL-2.0

//! The host's end of the agent's port.

use crate::proto::Answer;
use crate::proto::Health;
use crate::proto::Hello;
use crate::proto::Order;
use crate::proto::Output;
use crate::proto::Request;
use crate::traffic;
use crate::traffic::StackCounters;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// Numbers are never used twice, not even over different connections.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A connection to the agent in the guest, over the socket of one QEMU process.
#[derive(Debug)]
pub struct Agent {
    stream: UnixStream,
    pending: Vec<u8>,
}

impl Agent {
    /// Connects to the socket of a QEMU process. The guest need not have booted yet.
    ///
    /// # Errors
    ///
    /// If QEMU does not make the socket within a minute.
    pub fn connect(path: &Path) -> Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => {
                    return Ok(Self {
                        stream,
                        pending: Vec::new(),
                    });
                }
                Err(e) if Instant::now() >= deadline => {
                    return Err(e).with_context(|| format!("cannot connect to {}", path.display()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Gives an order and waits for the answer.
    ///
    /// # Errors
    ///
    /// If the agent reports a failure or does not answer in time.
    pub fn ask<T: DeserializeOwned>(&mut self, order: Order, patience: Duration) -> Result<T> {
        let what = match &order {
            Order::Exec { command } => format!("`{command}`"),
            other => format!("{other:?}"),
        };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let mut line = serde_json::to_vec(&Request { id, order })?;
        line.push(b'\n');
        let deadline = Instant::now() + patience;
        self.stream
            .write_all(&line)
            .context("the guest's agent port is closed")?;
        loop {
            let Some(line) = self.line(deadline)? else {
                bail!(
                    "the guest's agent did not answer {what} within {} s",
                    patience.as_secs()
                );
            };
            let Ok(answer) = serde_json::from_slice::<Answer>(&line) else {
                continue;
            };
            if answer.id != id {
                continue;
            }
            let value: Value = answer
                .result
                .map_err(|e| anyhow!("in the guest, {what}: {e}"))?;
            return serde_json::from_value(value).with_context(|| format!("odd answer to {what}"));
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.pending[searched..].iter().position(|&b| b == b'\n') {
                return Ok(Some(self.pending.drain(..=searched + end).collect()));
            }
            searched = self.pending.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("QEMU closed the guest's agent port"),
                Ok(n) => self.pending.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("the guest's agent port failed"),
            }
        }
    }

    /// Asks for a sign of life until it comes: the guest boots, or has just arrived.
    ///
    /// # Errors
    ///
    /// If none comes within `patience`.
    pub fn hello(&mut self, patience: Duration) -> Result<Hello> {
        self.ask(Order::Hello, patience)
    }

    /// Runs a shell command in the guest, whatever its status.
    ///
    /// # Errors
    ///
    /// If it does not end within a minute.
    pub fn exec(&mut self, command: &str) -> Result<Output> {
        let order = Order::Exec {
            command: command.to_owned(),
        };
        self.ask(order, Duration::from_secs(60))
    }

    /// Runs a shell command in the guest that must succeed, and returns what it printed.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn check(&mut self, command: &str) -> Result<String> {
        let out = self.exec(command)?;
        if out.status != 0 {
            bail!(
                "in the guest, `{command}` failed: {}{}",
                out.stdout,
                out.stderr
            );
        }
        Ok(out.stdout)
    }

    /// Counters of the guest's network stack.
    ///
    /// # Errors
    ///
    /// If the agent does not answer.
    pub fn counters(&mut self) -> Result<StackCounters> {
        self.ask(Order::Counters, Duration::from_secs(20))
    }

    /// What the guest's user sees of the interface.
    ///
    /// # Errors
    ///
    /// If the agent does not answer.
    pub fn health(&mut self) -> Result<Health> {
        self.ask(Order::Health, Duration::from_secs(60))
    }

    /// Ends the guest's side of the traffic and returns what it saw.
    ///
    /// # Errors
    ///
    /// If the threads do not end within two minutes.
    pub fn finish_traffic(&mut self) -> Result<traffic::Report> {
        self.ask(Order::TrafficFinish, Duration::from_secs(120))
    }
}
