// SPDX-License-Identifier: GPL-2.0

//! Kernel selftests: each runs as root on a machine with an 82576, prints KTAP and exits with 0 (passed),
//! 1 (failed) or 4 (skipped). The files in tools/testing/selftests are their entry points.

pub mod driver;
pub mod migrate;
pub mod net;
pub mod pf;
mod ptp;
pub mod xdp;

pub use ptp::ClockArgs;
pub use ptp::show_clock;

use anyhow::Result;
use anyhow::bail;
use compsc_kernel_log::kmemleak;
use compsc_kernel_log::kmemleak::Leak;
use std::path::Path;
use std::process::ExitCode;

/// Exit status of a test that cannot run here.
pub const SKIP: u8 = 4;

/// Prints the results of one test program in KTAP (Documentation/dev-tools/ktap.rst of the kernel).
#[derive(Debug, Default)]
pub struct Ktap {
    count: usize,
    failed: usize,
    only: Option<String>,
}

impl Ktap {
    /// Prints the header. `only`: cases run if their name contains it, or one of several between bars; the first one always does.
    pub fn start(only: Option<&str>) -> Self {
        println!("KTAP version 1");
        Self {
            only: only.map(str::to_owned),
            ..Self::default()
        }
    }

    /// Whether a case is asked for: several words stand between bars.
    fn asked_for(&self, name: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.split('|').any(|words| name.contains(words)))
    }

    /// Runs one case: it passes unless it returns an error, which is printed.
    pub fn case(&mut self, name: &str, run: impl FnOnce() -> Result<()>) {
        self.count += 1;
        if self.count > 1 && !self.asked_for(name) {
            println!("ok {} {name} # SKIP not asked for", self.count);
            return;
        }
        match run() {
            Ok(()) => println!("ok {} {name}", self.count),
            Err(e) => {
                self.failed += 1;
                for line in format!("{e:#}").lines() {
                    println!("# {line}");
                }
                println!("not ok {} {name}", self.count);
            }
        }
    }

    /// A case that cannot run here.
    pub fn skip(&mut self, name: &str, why: &str) {
        self.count += 1;
        println!("ok {} {name} # SKIP {why}", self.count);
    }

    /// On a kernel that looks for leaked memory: none is our drivers'.
    pub fn leaks(&mut self) {
        if Path::new(kmemleak::FILE).exists() {
            self.case("leaks no memory", || {
                no_leaks_of_ours(kmemleak::scan()?.unwrap_or_default())
            });
        }
    }

    /// Prints the plan and gives the exit status.
    pub fn finish(self) -> ExitCode {
        println!("1..{}", self.count);
        ExitCode::from(u8::from(self.failed != 0))
    }
}

/// Fails for what our drivers have leaked; other leaks are printed.
fn no_leaks_of_ours(leaks: Vec<Leak>) -> Result<()> {
    let (ours, others): (Vec<_>, Vec<_>) = leaks.into_iter().partition(|leak| leak.ours);
    println!("# {} leaks of others", others.len());
    for line in others.iter().flat_map(|leak| leak.text.lines()) {
        println!("# {line}");
    }
    match ours.first() {
        Some(leak) => bail!("{} leaks, first\n{leak}", ours.len()),
        None => Ok(()),
    }
}

/// Reports that the program cannot run here.
pub fn skip(why: &str) -> ExitCode {
    println!("KTAP version 1\n1..0 # SKIP {why}");
    ExitCode::from(SKIP)
}
