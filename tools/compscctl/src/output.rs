// SPDX-License-Identifier: GPL-2.0

//! What goes to standard output.

use anyhow::Context;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::io;
use std::io::Write;

/// For people or for programs.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Print JSON, whose format Documentation/compscctl.rst describes.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Writes `document` to standard output as JSON.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_json(document: &impl Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(document)? + "\n"))
}

/// Writes `text` to standard output.
///
/// # Errors
///
/// If it cannot be written. A reader that has seen enough (`compscctl … | head`) is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(e).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
