// SPDX-License-Identifier: GPL-2.0

//! What the demo found out: the format of `demo.json`, its tables and its picture.
//!
//! The test bed writes reports, `compscctl report` reads them; both show them with this code.

pub mod figures;
pub mod picture;
pub mod run;
pub mod tables;

use run::Run;
use serde::Deserialize;
use serde::Serialize;
use std::path::PathBuf;

/// Names of the test bed's streams, in the order of tables.
pub const STREAMS: [&str; 5] = ["rr", "udp_in", "udp_out", "tcp_in", "tcp_out"];

/// Version of the format. A reader of version 1 ignores fields that it does not know.
pub const SCHEMA: u32 = 1;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a report.
    #[error("this is not a report of the demo: {0}")]
    Format(#[from] serde_json::Error),
    /// The report is of another version.
    #[error("this is a report of schema {0}; only schema {SCHEMA} can be read")]
    Schema(u32),
    /// The picture could not be drawn.
    #[error("cannot draw {}: {reason}", path.display())]
    Draw {
        /// The picture's file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// A report: one run per driver, the product's first.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The runs.
    pub runs: Vec<Run>,
}

impl Report {
    /// A report of these runs.
    pub fn new(runs: Vec<Run>) -> Self {
        Self {
            schema: SCHEMA,
            runs,
        }
    }

    /// Reads a report.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] or [`Error::Schema`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        /// The part that no version changes.
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } = serde_json::from_str(text)?;
        if schema != SCHEMA {
            return Err(Error::Schema(schema));
        }
        Ok(serde_json::from_str(text)?)
    }
}
