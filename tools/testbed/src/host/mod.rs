// SPDX-License-Identifier: GPL-2.0

//! The host's side: adapters, QEMU processes and the connection to the guest's agent.

pub mod agent;
pub mod initramfs;
pub mod nic;
pub mod qemu;
pub mod relay;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::path::Path;
use std::process::Command;

/// Runs a program and returns what it printed.
///
/// # Errors
///
/// If it cannot be started or fails; the message holds its standard error.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let out = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !out.status.success() {
        bail!(
            "`{program} {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Writes a sysfs file.
///
/// # Errors
///
/// With the path and value in the message.
pub fn write_sysfs(path: &Path, value: &str) -> Result<()> {
    std::fs::write(path, value)
        .with_context(|| format!("cannot write \"{value}\" to {}", path.display()))
}

/// Kernel messages of this machine since boot.
///
/// # Errors
///
/// If `dmesg` cannot be run.
pub fn dmesg() -> Result<String> {
    run("dmesg", &[])
}
