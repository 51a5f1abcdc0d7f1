// SPDX-License-Identifier: GPL-2.0

//! Output in the kernel's test format (Documentation/dev-tools/ktap.rst).

use std::fmt::Display;
use std::panic::catch_unwind;
use std::panic::UnwindSafe;
use std::process::ExitCode;

/// Result of one test.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Exit status of a test that cannot run here.
const SKIP: u8 = 4;

/// A test: name and function.
pub(crate) type Test<C> = (&'static str, fn(&C) -> Result);

/// Ends the program: nothing can be tested here.
pub(crate) fn skip_all(why: impl Display) -> ExitCode {
    println!("TAP version 13\n1..0 # SKIP {why}");
    ExitCode::from(SKIP)
}

/// Runs the tests whose names contain one of `filters` (all, if there are none).
pub(crate) fn run<C>(tests: &[Test<C>], context: &C, filters: &[String]) -> ExitCode
where
    for<'a> &'a C: UnwindSafe,
{
    let chosen: Vec<_> = tests
        .iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str())))
        .collect();
    println!("TAP version 13\n1..{}", chosen.len());
    let mut failed = 0;
    for (i, (name, test)) in chosen.iter().enumerate() {
        let start = std::time::Instant::now();
        let result = match catch_unwind(|| test(context)) {
            Ok(Ok(())) => "ok",
            Ok(Err(e)) => {
                for line in e.to_string().lines() {
                    println!("# {line}");
                }
                failed += 1;
                "not ok"
            }
            Err(_) => {
                println!("# panicked");
                failed += 1;
                "not ok"
            }
        };
        println!("# {name} took {} ms", start.elapsed().as_millis());
        println!("{result} {} {name}", i + 1);
    }
    println!(
        "# Totals: pass:{} fail:{failed} skip:0",
        chosen.len() - failed
    );
    ExitCode::from(u8::from(failed != 0))
}

/// Fails the test with a message unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+).into());
        }
    };
}

/// Fails the test unless both values are equal.
#[macro_export]
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($message:tt)+) => {
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err(format!("{}: {left:?} is not {right:?}", format_args!($($message)+)).into());
        }
    };
}
