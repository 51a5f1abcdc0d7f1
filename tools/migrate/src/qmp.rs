// SPDX-License-Identifier: GPL-2.0

//! A small client for QMP, QEMU's control protocol.
//!
//! Replies are kept as JSON values: generated bindings refuse a reply in which a newer QEMU has one
//! more state or field, and this project has to work with the QEMU that is there.

use crate::Error;
use serde_json::Value;
use serde_json::json;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// How long a command may take. QEMU answers at once; its main loop may be busy saving a device.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Something that QEMU announced by itself.
#[derive(Clone, Debug)]
pub struct Event {
    /// Name as in QEMU's documentation, for example `STOP`.
    pub name: String,
    /// Event-specific fields; null if there are none.
    pub data: Value,
    /// When QEMU emitted it: microseconds since the Unix epoch by the host's clock.
    pub time_us: u64,
}

/// A connection to one QEMU's monitor socket.
///
/// Not shared between threads. Dropping it closes the connection and leaves QEMU as it is.
#[derive(Debug)]
pub struct Qmp {
    path: PathBuf,
    stream: UnixStream,
    buffer: Vec<u8>,
    events: VecDeque<Event>,
}

impl Qmp {
    /// Connects to the socket at `path` and leaves negotiation mode.
    ///
    /// Retries until `patience` is over, because a QEMU that has just been started makes its socket
    /// a moment later.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] if nobody listens there in time.
    pub fn connect(path: &Path, patience: Duration) -> Result<Self, Error> {
        let deadline = Instant::now() + patience;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(source) if Instant::now() >= deadline => {
                    return Err(Error::Connect {
                        path: path.to_owned(),
                        source,
                    });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let mut qmp = Self {
            path: path.to_owned(),
            stream,
            buffer: Vec::new(),
            events: VecDeque::new(),
        };
        let deadline = Instant::now() + COMMAND_TIMEOUT.max(patience);
        let greeting = qmp
            .message(deadline)?
            .ok_or_else(|| qmp.broken("no greeting: another client may hold the socket"))?;
        if greeting.get("QMP").is_none() {
            return Err(qmp.broken(&format!("this is no QMP greeting: {greeting}")));
        }
        // A QEMU that is still being made, which pins all of the guest's memory, greets and answers no command yet.
        qmp.execute_by("qmp_capabilities", Value::Null, deadline)?;
        Ok(qmp)
    }

    /// Path of the socket, which names this QEMU in messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `command` and returns what it returns. `arguments` is an object, or null for none.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with QEMU's own words if it says no, [`Error::Monitor`] if the connection
    /// is gone.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, Error> {
        self.execute_by(command, arguments, Instant::now() + COMMAND_TIMEOUT)
    }

    fn execute_by(
        &mut self,
        command: &str,
        arguments: Value,
        deadline: Instant,
    ) -> Result<Value, Error> {
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let mut line = request.to_string();
        line.push('\n');
        self.stream
            .write_all(line.as_bytes())
            .map_err(|e| self.broken(&e.to_string()))?;
        loop {
            let message = self
                .message(deadline)?
                .ok_or_else(|| self.broken(&format!("no answer to {command}")))?;
            if let Some(value) = message.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = message.get("error") {
                let reason = error["desc"].as_str().unwrap_or("no reason given");
                return Err(Error::Refused {
                    path: self.path.clone(),
                    command: command.to_owned(),
                    reason: reason.to_owned(),
                });
            }
            self.note_event(&message);
        }
    }

    /// Waits up to `timeout` for the next event.
    ///
    /// # Errors
    ///
    /// [`Error::Monitor`] if the connection is gone.
    pub fn event(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        let deadline = Instant::now() + timeout;
        while self.events.is_empty() {
            match self.message(deadline)? {
                Some(message) => self.note_event(&message),
                None => return Ok(None),
            }
        }
        Ok(self.events.pop_front())
    }

    /// Forgets the events that have arrived so far.
    ///
    /// # Errors
    ///
    /// [`Error::Monitor`] if the connection is gone.
    pub fn drop_events(&mut self) -> Result<(), Error> {
        while self.event(Duration::from_millis(1))?.is_some() {}
        Ok(())
    }

    fn note_event(&mut self, message: &Value) {
        let Some(name) = message["event"].as_str() else {
            return;
        };
        let time = &message["timestamp"];
        let part = |name: &str| time[name].as_u64().unwrap_or(0);
        self.events.push_back(Event {
            name: name.to_owned(),
            data: message["data"].clone(),
            time_us: part("seconds") * 1_000_000 + part("microseconds"),
        });
    }

    /// The next JSON line, or `None` at the deadline.
    fn message(&mut self, deadline: Instant) -> Result<Option<Value>, Error> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|e| self.broken(&format!("unreadable message: {e}")));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let mut chunk = [0; 16384];
            // A zero timeout would mean none at all; `left` is not zero here.
            let read = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.stream.read(&mut chunk));
            match read {
                Ok(0) => return Err(self.broken("QEMU closed the connection")),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.broken(&e.to_string())),
            }
        }
    }

    fn broken(&self, reason: &str) -> Error {
        Error::Monitor {
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }
}
