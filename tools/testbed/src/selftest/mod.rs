// SPDX-License-Identifier: GPL-2.0

//! Kernel selftests: each runs as root on a machine with an 82576, prints KTAP and exits with 0 (passed),
//! 1 (failed) or 4 (skipped). The files in tools/testing/selftests are their entry points.

pub mod driver;
pub mod migrate;
pub mod net;
pub mod pf;

use anyhow::Result;
use anyhow::bail;
use compsc_kernel_log::kmemleak;
use compsc_kernel_log::kmemleak::Leak;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit status of a test that cannot run here.
pub const SKIP: u8 = 4;

/// Prints the results of one test program in KTAP (Documentation/dev-tools/ktap.rst of the kernel).
#[derive(Debug, Default)]
pub struct Ktap {
    count: usize,
    failed: usize,
    only: Option<String>,
    progress: Option<PathBuf>,
}

impl Ktap {
    /// Prints the header. `only`: cases run if their name contains it; the first one always does.
    pub fn start(only: Option<&str>) -> Self {
        println!("KTAP version 1");
        Self {
            only: only.map(str::to_owned),
            ..Self::default()
        }
    }

    /// Notes each result in a file, and takes from it those that were seen before the machine was lost. For programs
    /// whose cases do not build on each other; the first one always runs.
    #[must_use]
    pub fn resume(mut self, progress: Option<&Path>) -> Self {
        self.progress = progress.map(Path::to_owned);
        self
    }

    /// The result that the file has for a case.
    fn seen(&self, name: &str) -> Option<bool> {
        let text = std::fs::read_to_string(self.progress.as_ref()?).ok()?;
        text.lines().find_map(|line| match line.split_once(' ')? {
            ("ok", seen) if seen == name => Some(true),
            ("failed", seen) if seen == name => Some(false),
            _ => None,
        })
    }

    /// Notes a result. What cannot be noted is seen again.
    fn note(&self, name: &str, passed: bool) {
        let file = self.progress.as_ref().and_then(|path| {
            std::fs::File::options()
                .create(true)
                .append(true)
                .open(path)
                .ok()
        });
        if let Some(mut file) = file {
            let word = if passed { "ok" } else { "failed" };
            let _ = writeln!(file, "{word} {name}").and_then(|()| file.sync_all());
        }
    }

    /// Runs one case: it passes unless it returns an error, which is printed.
    pub fn case(&mut self, name: &str, run: impl FnOnce() -> Result<()>) {
        self.count += 1;
        if self.count > 1 && self.only.as_ref().is_some_and(|only| !name.contains(only)) {
            println!("ok {} {name} # SKIP not asked for", self.count);
            return;
        }
        if let Some(passed) = self.seen(name).filter(|_| self.count > 1) {
            println!("# seen before the emulated machine was lost:");
            println!(
                "{}ok {} {name}",
                if passed { "" } else { "not " },
                self.count
            );
            self.failed += usize::from(!passed);
            return;
        }
        let result = run();
        self.note(name, result.is_ok());
        match result {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_survive_the_machine() {
        let path = std::env::temp_dir().join(format!("ktap-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let run = |last: bool| {
            let mut ktap = Ktap::default().resume(Some(&path));
            let mut ran = Vec::new();
            ktap.case("first", || {
                ran.push("first");
                Ok(())
            });
            ktap.case("good", || {
                ran.push("good");
                Ok(())
            });
            ktap.case("bad", || {
                ran.push("bad");
                bail!("a defect")
            });
            if last {
                ktap.case("last", || {
                    ran.push("last");
                    Ok(())
                });
            }
            (ran, ktap.failed)
        };
        assert_eq!(run(false), (vec!["first", "good", "bad"], 1));
        // A failure stays one.
        assert_eq!(run(true), (vec!["first", "last"], 1));
        let _ = std::fs::remove_file(&path);
    }
}
