// SPDX-License-Identifier: GPL-2.0

//! Command line of the test bed; see the library of the same name.

use clap::Parser;
use clap::Subcommand;
use std::process::ExitCode;
use testbed::bench;
use testbed::demo;
use testbed::guest;
use testbed::lab;
use testbed::netdev;
use testbed::selftest;
use testbed::selftest::driver;
use testbed::selftest::migrate;
use testbed::selftest::pf;

/// Test bed for live migration of guests with passed-through network functions.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// First process of the nested guest.
    GuestInit,
    /// Migrate a guest under traffic, with our driver and with the distribution's, and report.
    Demo(demo::DemoArgs),
    /// Measure what a packet costs in guest instructions, beside the distribution's driver.
    Bench(bench::BenchArgs),
    /// Kernel selftest: the VF driver on this machine (KTAP).
    SelftestDriver(driver::DriverArgs),
    /// Kernel selftest: the PF driver on this machine (KTAP).
    SelftestPf(pf::PfArgs),
    /// Kernel selftest: live migrations of a nested guest (KTAP).
    SelftestMigrate(migrate::MigrateArgs),
    /// Print a look at an interface's clock, between two at the system's.
    Clock(selftest::ClockArgs),
    /// The kernel's selftests of network drivers, with one driver.
    Netdev(netdev::NetdevArgs),
    /// Forget what they said of one driver.
    NetdevForget(netdev::ForgetArgs),
    /// Compare what they said of each driver.
    NetdevReport(netdev::report::ReportArgs),
    /// Boot a guest, run traffic for some seconds, print what was seen.
    Traffic(lab::TrafficArgs),
}

fn main() -> ExitCode {
    // The kernel starts the guest's first process without arguments.
    let result = if std::process::id() == 1 {
        guest::run()
    } else {
        match Cli::parse().command {
            Command::GuestInit => guest::run(),
            Command::Demo(args) => demo::run(&args),
            Command::Bench(args) => bench::bench(&args),
            Command::SelftestDriver(args) => return driver::run_all(&args),
            Command::SelftestPf(args) => return pf::run_all(&args),
            Command::SelftestMigrate(args) => return migrate::run_all(&args),
            Command::Clock(args) => selftest::show_clock(&args),
            Command::Netdev(args) => netdev::netdev(&args),
            Command::NetdevForget(args) => netdev::forget(&args),
            Command::NetdevReport(args) => netdev::report::report(&args),
            Command::Traffic(args) => lab::traffic(&args),
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
