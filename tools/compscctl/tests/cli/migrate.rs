// SPDX-License-Identifier: GPL-2.0

//! `migrate` with two processes that answer as QEMU does.

use crate::Folder;
use crate::command;
use serde_json::Value;
use serde_json::json;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

/// What becomes of the migration at the source.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Completes,
    Fails,
    /// Goes on until it is cancelled.
    Lasts,
}

/// One monitor.
struct Monitor {
    stream: UnixStream,
    state: &'static str,
    status: &'static str,
    fate: Fate,
    commands: Sender<String>,
}

impl Monitor {
    /// Serves one client at `path` and reports the commands that it gives.
    fn serve(path: &Path, state: &'static str, fate: Fate) -> Receiver<String> {
        let listener = UnixListener::bind(path).unwrap();
        let (commands, received) = mpsc::channel();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut monitor = Self {
                stream,
                state,
                status: "none",
                fate,
                commands,
            };
            monitor.say(&json!({ "QMP": {} }));
            let lines = BufReader::new(monitor.stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                monitor.obey(&serde_json::from_str(&line).unwrap());
            }
        });
        received
    }

    fn say(&mut self, message: &Value) {
        // The client may have gone.
        let _ = writeln!(self.stream, "{message}");
    }

    fn event(&mut self, name: &str) {
        let time = json!({ "seconds": 1, "microseconds": 500 });
        self.say(&json!({ "event": name, "timestamp": time }));
    }

    fn obey(&mut self, request: &Value) {
        let command = request["execute"].as_str().unwrap();
        let _ = self.commands.send(command.to_owned());
        let answer = match command {
            "query-status" => json!({ "status": self.state, "running": self.state == "running" }),
            "query-migrate" => {
                if self.status == "active" && self.fate == Fate::Completes {
                    self.event("STOP");
                    self.status = "completed";
                }
                if self.status == "active" && self.fate == Fate::Fails {
                    self.status = "failed";
                }
                json!({
                    "status": self.status, "total-time": 900, "downtime": 100, "error-desc": "no such luck",
                    "ram": { "transferred": 5000, "precopy-bytes": 4000, "dirty-sync-count": 3 },
                    "vfio": { "transferred": 1234 },
                })
            }
            "migrate" => {
                self.status = "active";
                json!({})
            }
            "migrate_cancel" => {
                self.status = "cancelled";
                json!({})
            }
            "migrate-incoming" => {
                self.event("RESUME");
                json!({})
            }
            _ => json!({}),
        };
        self.say(&json!({ "return": answer }));
    }
}

/// Both monitors, and what they were told.
fn qemus(folder: &Folder, fate: Fate) -> (Receiver<String>, Receiver<String>) {
    (
        Monitor::serve(&folder.0.join("source"), "running", fate),
        Monitor::serve(&folder.0.join("destination"), "inmigrate", fate),
    )
}

fn migrate(folder: &Folder, more: &[&str]) -> Command {
    let mut command = command(&folder.0);
    command
        .arg("migrate")
        .arg("--source")
        .arg(folder.0.join("source"))
        .arg("--destination")
        .arg(folder.0.join("destination"))
        .args(more);
    command
}

#[test]
fn a_migration_is_shown_and_reported() {
    let folder = Folder::new("completes");
    let (source, destination) = qemus(&folder, Fate::Completes);
    let out = migrate(&folder, &[]).output().unwrap();
    let shown = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{shown}");
    // Not a terminal: a line per stage.
    for stage in [
        "1/6 pre-migration",
        "2/6 reservation",
        "3/6 iterative pre-copy",
        "4/6 stop-and-copy",
        "5/6 commitment",
        "6/6 activation",
    ] {
        assert!(shown.contains(stage), "{stage}: {shown}");
    }
    let table = String::from_utf8(out.stdout).unwrap();
    for words in ["stop-and-copy", "downtime by QEMU, ms", "1234"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    assert!(source.iter().any(|c| c == "migrate"));
    assert!(destination.iter().any(|c| c == "migrate-incoming"));
}

#[test]
fn the_outcome_is_json() {
    let folder = Folder::new("json");
    let _qemus = qemus(&folder, Fate::Completes);
    let out = migrate(&folder, &["--json"]).output().unwrap();
    assert!(out.status.success());
    let json: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["result"], "completed");
    assert!(json["error"].is_null());
    assert_eq!(json["outcome"]["downtime_ms"], 100);
    assert_eq!(json["outcome"]["device_bytes"], 1234);
    assert_eq!(json["outcome"]["stages"][2]["stage"], "pre-copy");
}

#[test]
fn a_failure_has_its_reason() {
    let folder = Folder::new("fails");
    let _qemus = qemus(&folder, Fate::Fails);
    let out = migrate(&folder, &["--json"]).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["result"], "failed");
    assert!(json["outcome"].is_null());
    let error = json["error"].as_str().unwrap();
    assert!(
        error.contains("no such luck") && error.contains("runs on the source"),
        "{error}"
    );
    assert!(String::from_utf8_lossy(&out.stderr).contains(error));
}

#[test]
fn an_interrupt_cancels() {
    let folder = Folder::new("interrupt");
    let (source, destination) = qemus(&folder, Fate::Lasts);
    let child = migrate(&folder, &["--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Duration::from_secs(30);
    while source.recv_timeout(patience).unwrap() != "migrate" {}
    let kill = format!("kill -INT {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["result"], "cancelled");
    assert!(
        json["error"]
            .as_str()
            .unwrap()
            .contains("as asked; the guest runs on the source")
    );
    assert!(source.iter().any(|c| c == "migrate_cancel"));
    assert!(String::from_utf8_lossy(&out.stderr).contains("migration: cancelling"));
    // It must not run the guest as well.
    assert!(destination.iter().any(|c| c == "stop"));
}

#[test]
fn a_migration_that_takes_too_long_is_cancelled() {
    let folder = Folder::new("timeout");
    let _qemus = qemus(&folder, Fate::Lasts);
    let out = migrate(&folder, &["--timeout", "0"]).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let message = String::from_utf8_lossy(&out.stderr);
    assert!(message.contains("it took longer than"), "{message}");
}

#[test]
fn a_missing_qemu_is_named() {
    let folder = Folder::new("nobody");
    let out = migrate(&folder, &[]).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let message = String::from_utf8_lossy(&out.stderr);
    assert!(
        message.contains("source: ") && message.contains("is that QEMU running"),
        "{message}"
    );
}
