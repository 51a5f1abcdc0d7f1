// SPDX-License-Identifier: GPL-2.0

//! `compscctl report`: the tables and the picture of a report that the demo wrote.

use crate::output::print;
use anyhow::Context;
use anyhow::Result;
use clap::Args;
use compsc_report::Report;
use compsc_report::picture;
use compsc_report::tables::tables;
use std::fs;
use std::path::PathBuf;

/// Options of `compscctl report`.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// The report, such as build/results/demo.json.
    file: PathBuf,
    /// Draw the picture into this file as well.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
///
/// If the file is no report, or the picture cannot be written.
pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let text = fs::read_to_string(&args.file)
        .with_context(|| format!("cannot read {}", args.file.display()))?;
    let report =
        Report::parse(&text).with_context(|| format!("{} cannot be shown", args.file.display()))?;
    if let Some(path) = &args.svg {
        picture::draw(path, &report.runs)?;
    }
    print(&tables(&report.runs))
}
