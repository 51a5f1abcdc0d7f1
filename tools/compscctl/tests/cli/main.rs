// SPDX-License-Identifier: GPL-2.0

//! The program itself, on folders and sockets that look like a machine's.

mod migrate;
mod region;
mod report;
mod status;

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

/// A folder for one test, removed with its content.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("compscctl-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file of that path within the folder, and the folders that it needs.
    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn command(debugfs: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compscctl"));
    command.env("COMPSC_DEBUGFS", debugfs);
    // Not this machine's.
    command.env("COMPSC_SYSFS", debugfs.join("sysfs"));
    command
}

fn compscctl(debugfs: &Path, arguments: &[&str]) -> Output {
    command(debugfs).args(arguments).output().unwrap()
}

/// Standard output of a call that succeeds.
fn good(debugfs: &Path, arguments: &[&str]) -> String {
    let out = compscctl(debugfs, arguments);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(out.stdout).unwrap()
}

fn good_json(debugfs: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&good(debugfs, arguments)).unwrap()
}

/// The message of a call that fails with `status`.
fn bad(debugfs: &Path, arguments: &[&str], status: i32) -> String {
    let out = compscctl(debugfs, arguments);
    assert_eq!(out.status.code(), Some(status), "{arguments:?}");
    String::from_utf8(out.stderr).unwrap()
}

#[test]
fn wrong_command_lines_are_status_2() {
    let folder = Folder::new("usage");
    for arguments in [
        &[][..],
        &["status", "--nonsense"],
        &["log"],
        &["log", "eth0", "--file", "x"],
        &["migrate", "--source", "x"],
        &[
            "migrate",
            "--source",
            "x",
            "--destination",
            "y",
            "--max-bandwidth",
            "fast",
        ],
        &["report"],
    ] {
        bad(&folder.0, arguments, 2);
    }
}

#[test]
fn manual_pages_are_written() {
    let folder = Folder::new("man");
    let to = folder.0.join("man");
    good(&folder.0, &["man", to.to_str().unwrap()]);
    for page in [
        "compscctl",
        "compscctl-status",
        "compscctl-log",
        "compscctl-migrate",
        "compscctl-report",
    ] {
        let text = fs::read_to_string(to.join(format!("{page}.1"))).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
}
