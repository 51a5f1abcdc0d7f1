// SPDX-License-Identifier: GPL-2.0

//! Compares a register map with its table in the documentation.

use compsc_core::regs::Map;

const DOCUMENTATION: &str = include_str!("../../../../Documentation/design/register-classes.rst");

/// Fails unless the table of this title is the declaration.
pub(crate) fn check<M: Map>(title: &str) {
    let documented: Vec<&str> = DOCUMENTATION
        .lines()
        .skip_while(|line| !line.contains(&format!("csv-table:: {title}")))
        .skip(1)
        .take_while(|line| !line.contains("csv-table::"))
        .filter_map(|line| line.strip_prefix("   "))
        .filter(|line| line.split(", ").count() == 4 && !line.starts_with(':'))
        .collect();
    let declared: Vec<String> = M::TABLE
        .iter()
        .map(|r| {
            let array = if r.count > 1 {
                format!(" + {:#x} n (n = 0 to {})", r.stride, r.count - 1)
            } else {
                String::new()
            };
            format!(
                "{}, {:#06x}{array}, {}, {}",
                r.name, r.offset, r.class, r.replay
            )
        })
        .collect();
    assert!(
        documented == declared,
        "Documentation/design/register-classes.rst differs from the declaration; the table should be:\n   {}\n",
        declared.join("\n   ")
    );
}
