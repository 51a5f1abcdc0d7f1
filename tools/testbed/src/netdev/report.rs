// SPDX-License-Identifier: GPL-2.0

//! The drivers' results side by side.

use super::Driver;
use super::Outcome;
use super::Results;
use super::results_file;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// Options of `testbed netdev-report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Folder with the results of each driver.
    #[arg(long, value_name = "DIR")]
    results: PathBuf,
    /// The report without its ending: .json and .md are written.
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
}

/// What each driver, in the order of [`Driver::ALL`], made of one case; `None` if it did not get so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    program: String,
    case: String,
    outcomes: [Option<Outcome>; 4],
    comments: [String; 4],
}

impl Row {
    /// A driver of ours that has `ran` does worse than the distribution's for the same function.
    fn regressed(&self, ran: [bool; 4]) -> bool {
        let pass = Some(Outcome::Pass);
        [(0, 1), (2, 3)].into_iter().any(|(upstream, ours)| {
            ran[ours] && self.outcomes[upstream] == pass && self.outcomes[ours] != pass
        })
    }
}

/// Joins the results by program and case, in the order in which they came.
fn rows(all: &[Option<Results>; 4]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (column, results) in all.iter().enumerate() {
        let programs = results.iter().flat_map(|results| &results.programs);
        for program in programs {
            for case in &program.cases {
                let same = |row: &&mut Row| row.program == program.name && row.case == case.name;
                if let Some(row) = rows.iter_mut().find(same) {
                    row.outcomes[column] = Some(case.outcome);
                    row.comments[column].clone_from(&case.comment);
                    continue;
                }
                let mut row = Row {
                    program: program.name.clone(),
                    case: case.name.clone(),
                    outcomes: [None; 4],
                    comments: Default::default(),
                };
                row.outcomes[column] = Some(case.outcome);
                row.comments[column].clone_from(&case.comment);
                // Cases that only a later driver has stand with their program's others.
                let last = rows.iter().rposition(|row| row.program == program.name);
                rows.insert(last.map_or(rows.len(), |at| at + 1), row);
            }
        }
    }
    rows
}

/// The table, in Markdown.
fn table(kernel: &str, rows: &[Row], ran: [bool; 4]) -> String {
    let mut text = format!(
        "# The kernel's selftests of network drivers, Linux {kernel}\n\n\
         Each program ran with each driver, in a virtual machine with an emulated 82576. What fails with one of ours and \
         passes with the distribution's is marked.\n\n| program | case | {} | |\n|---|---|---|---|---|---|---|\n",
        Driver::ALL.map(Driver::module).join(" | ")
    );
    let word = |outcome: &Option<Outcome>| match outcome {
        Some(Outcome::Pass) => "pass",
        Some(Outcome::Fail) => "**fail**",
        Some(Outcome::Skip) => "skip",
        None => "-",
    };
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.program,
            row.case,
            row.outcomes.each_ref().map(word).join(" | "),
            if row.regressed(ran) { "worse" } else { "" }
        );
    }
    let count = |outcome: Outcome| {
        (0..Driver::ALL.len())
            .map(|column| {
                let same = |row: &&Row| row.outcomes[column] == Some(outcome);
                rows.iter().filter(same).count().to_string()
            })
            .collect::<Vec<_>>()
            .join(" | ")
    };
    for (name, outcome) in [
        ("passed", Outcome::Pass),
        ("failed", Outcome::Fail),
        ("skipped", Outcome::Skip),
    ] {
        let _ = writeln!(text, "| all | {name} | {} | |", count(outcome));
    }
    text.push_str("\nWhy not:\n\n");
    for row in rows {
        for (driver, (outcome, comment)) in Driver::ALL
            .iter()
            .zip(row.outcomes.iter().zip(&row.comments))
        {
            if *outcome == Some(Outcome::Fail) {
                let _ = writeln!(
                    text,
                    "* `{} {}`, {}: {comment}",
                    row.program,
                    row.case,
                    driver.module()
                );
            }
        }
    }
    text
}

/// Writes the comparison.
///
/// # Errors
///
/// If there are no results, or one of our drivers does worse than the distribution's in a case.
pub fn report(args: &ReportArgs) -> Result<()> {
    let mut all = [None, None, None, None];
    for (driver, results) in Driver::ALL.into_iter().zip(&mut all) {
        let path = results_file(&args.results, driver);
        if let Ok(text) = fs::read_to_string(&path) {
            *results =
                Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?);
        }
    }
    let Some(kernel) = all
        .iter()
        .flatten()
        .map(|r: &Results| r.kernel.clone())
        .next()
    else {
        bail!("no results in {}", args.results.display());
    };
    let rows = rows(&all);
    let ran = all.each_ref().map(Option::is_some);
    let text = table(&kernel, &rows, ran);
    print!("{text}");
    let write = |ending: &str, text: &str| {
        let path = args.report.with_extension(ending);
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    write("md", &text)?;
    let json = serde_json::json!({
        "schema": 1,
        "kernel": kernel,
        "drivers": Driver::ALL.map(Driver::module),
        "cases": rows,
    });
    write("json", &(serde_json::to_string_pretty(&json)? + "\n"))?;
    let worse: Vec<String> = rows
        .iter()
        .filter(|row| row.regressed(ran))
        .map(|row| format!("{} {}", row.program, row.case))
        .collect();
    if !worse.is_empty() {
        bail!("worse than the distribution's driver: {}", worse.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Case;
    use super::super::Program;
    use super::*;

    fn results(cases: &[(&str, &str, Outcome)]) -> Option<Results> {
        let mut programs: Vec<Program> = Vec::new();
        for (program, name, outcome) in cases {
            let case = Case {
                name: (*name).to_owned(),
                outcome: *outcome,
                comment: String::new(),
            };
            match programs.iter_mut().find(|p| p.name == *program) {
                Some(p) => p.cases.push(case),
                None => programs.push(Program {
                    name: (*program).to_owned(),
                    seconds: 0,
                    cases: vec![case],
                }),
            }
        }
        Some(Results {
            driver: String::new(),
            kernel: String::new(),
            programs,
        })
    }

    #[test]
    fn cases_are_joined_and_compared() {
        let (pass, fail, skip) = (Outcome::Pass, Outcome::Fail, Outcome::Skip);
        let rows = rows(&[
            results(&[("a", "x", pass), ("b", "x", fail)]),
            results(&[("a", "x", pass), ("a", "y", fail), ("b", "x", pass)]),
            results(&[("a", "x", pass)]),
            None,
        ]);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.program.as_str(), row.case.as_str(), row.outcomes))
            .collect();
        assert_eq!(
            seen,
            [
                ("a", "x", [Some(pass), Some(pass), Some(pass), None]),
                ("a", "y", [None, Some(fail), None, None]),
                ("b", "x", [Some(fail), Some(pass), None, None]),
            ]
        );
        // What our driver never got to is worse, what the distribution's does not pass is not.
        let regressed = |ran| -> Vec<_> { rows.iter().map(|row| row.regressed(ran)).collect() };
        assert_eq!(regressed([true; 4]), [true, false, false]);
        assert_eq!(regressed([true, true, true, false]), [false; 3]);
        assert!(
            Row {
                outcomes: [Some(pass), Some(skip), None, None],
                ..rows[2].clone()
            }
            .regressed([true; 4])
        );
    }
}
