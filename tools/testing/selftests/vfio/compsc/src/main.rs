// SPDX-License-Identifier: GPL-2.0

//! Selftest of the VFIO variant driver without a guest: this program is guest and VMM in one.
//!
//! Needs one or two functions bound to compsc_vfio_pci and nothing else that uses them; with two, streams go from
//! the first to the second. Arguments are parts of test names: only those tests run. `VFIO_STATES_SECONDS` is how
//! long each of the random tests goes on (default 5).

mod hostile;
mod kernel_log;
mod ktap;
mod states;
mod streams;
mod vfio;

use std::process::ExitCode;

/// What all tests are given.
#[derive(Debug)]
pub(crate) struct Context {
    /// PCI address of the function that is migrated.
    source: String,
    /// PCI address of the function that takes its place; perhaps the same.
    target: String,
    /// How long random tests go on.
    time: std::time::Duration,
    /// What the kernel says from the start of the tests on.
    log: kernel_log::KernelLog,
}

fn main() -> ExitCode {
    let functions = vfio::functions();
    let Some(source) = functions.first() else {
        return ktap::skip_all("no function is bound to compsc_vfio_pci (use driver_override)");
    };
    let seconds = std::env::var("VFIO_STATES_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(5);
    let context = Context {
        source: source.clone(),
        target: functions.get(1).unwrap_or(source).clone(),
        time: std::time::Duration::from_secs(seconds),
        log: kernel_log::KernelLog::new(),
    };
    let filters: Vec<String> = std::env::args().skip(1).collect();
    let tests = [
        states::TESTS,
        streams::TESTS,
        hostile::TESTS,
        kernel_log::TESTS,
    ]
    .concat();
    ktap::run(&tests, &context, &filters)
}
