// SPDX-License-Identifier: GPL-2.0

//! What the project's drivers print in debugfs: one `name value` pair per line.

use std::collections::BTreeMap;

/// Figures of a driver, by name.
pub type Figures = BTreeMap<String, String>;

/// Reads `name value` lines.
pub fn parse_figures(text: &str) -> Figures {
    text.lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace))
        .map(|(name, value)| {
            (
                name.trim_end_matches(':').to_owned(),
                value.trim().to_owned(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_figures() {
        let figures = parse_figures("state running\nlast_restore_ns 1500000\nregion: 0x10 64\n\n");
        assert_eq!(figures["state"], "running");
        assert_eq!(figures["region"], "0x10 64");
        assert_eq!(figures.len(), 3);
    }
}
