// SPDX-License-Identifier: GPL-2.0

//! The host's side: adapters, QEMU processes and the connection to the guest's agent.

pub mod agent;
pub mod bpf;
pub mod bridge;
pub mod initramfs;
pub mod kvm;
pub mod netdev_genl;
pub mod nic;
pub mod qemu;
pub mod relay;

use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use nix::sched::CloneFlags;
use nix::sched::setns;
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::thread;

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

/// Runs the command-line tool, which lies beside this program, and returns its JSON.
///
/// # Errors
///
/// As [`run`], and if it prints something else.
pub fn compscctl(arguments: &[&str]) -> Result<Value> {
    let program = std::env::current_exe()?.with_file_name("compscctl");
    let text = run(&program.to_string_lossy(), arguments)?;
    serde_json::from_str(&text).with_context(|| format!("compscctl printed {text}"))
}

/// Runs `work` on a thread inside the network namespace that `ip netns` calls `name`.
///
/// # Errors
///
/// Those of `work`, or if there is no such namespace.
pub fn in_namespace<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                enter_namespace(name)?;
                work()
            })
            .join()
            .map_err(|_| anyhow!("the thread in namespace {name} died"))?
    })
}

/// Moves the calling thread to the network namespace that `ip netns` calls `name`.
///
/// # Errors
///
/// If there is no such namespace.
pub fn enter_namespace(name: &str) -> Result<()> {
    File::open(Path::new("/run/netns").join(name))
        .map_err(anyhow::Error::from)
        .and_then(|namespace| Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?))
        .with_context(|| format!("cannot enter the namespace {name}"))
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
