// SPDX-License-Identifier: GPL-2.0

//! Shows, decodes and migrates functions that CompSC's drivers manage; see Documentation/compscctl.rst.

mod debugfs;
mod log;
mod migrate;
mod output;
#[cfg(test)]
#[path = "../tests/cli/region.rs"]
mod region;
mod report;
mod status;
mod sysfs;

use anyhow::Context;
use anyhow::Result;
use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Shows, decodes and live-migrates network functions that are managed by CompSC's drivers.
///
/// Exit status: 0 if it was done, 1 if it failed, 2 if the command line was wrong.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Where debugfs is mounted.
    #[arg(
        long,
        env = "COMPSC_DEBUGFS",
        default_value = "/sys/kernel/debug",
        value_name = "DIR",
        global = true,
        hide = true
    )]
    debugfs: PathBuf,
    /// Where sysfs is mounted.
    #[arg(
        long,
        env = "COMPSC_SYSFS",
        default_value = "/sys",
        value_name = "DIR",
        global = true,
        hide = true
    )]
    sysfs: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the functions of this guest or host, their state and the figures of the last migration.
    Status(status::StatusArgs),
    /// Show the recorded registers of a function, decoded, in the order of replay.
    Log(log::LogArgs),
    /// Live-migrate a guest from one QEMU to another.
    ///
    /// Both must have the same machine options; the destination waits with -incoming defer. Ctrl-C cancels: the
    /// guest then goes on on the source, and the destination is of no further use.
    Migrate(migrate::MigrateArgs),
    /// Show the report of a demo as tables and as a picture.
    Report(report::ReportArgs),
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Man {
        /// The folder; made if it does not exist.
        folder: PathBuf,
    },
}

/// Writes compscctl.1 and a page per subcommand.
fn man(folder: &PathBuf) -> Result<()> {
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("cannot write manual pages to {}", folder.display()))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Status(args) => status::run(args, &cli.debugfs, &cli.sysfs),
        Command::Log(args) => log::run(args, &cli.debugfs),
        Command::Migrate(args) => migrate::run(args),
        Command::Report(args) => report::run(args),
        Command::Man { folder } => man(folder),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
