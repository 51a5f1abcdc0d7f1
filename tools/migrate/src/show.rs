// SPDX-License-Identifier: GPL-2.0

//! An observer that shows people how far a migration is.

use crate::Observer;
use crate::Progress;
use crate::Stage;
use crate::Verdict;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use std::time::Duration;

/// Shows what goes on: a spinner on a terminal, lines elsewhere, both on standard error.
pub struct Show {
    bar: ProgressBar,
    lines: bool,
    label: String,
}

impl Show {
    /// Nothing shown yet. `label` names what is watched first.
    pub fn new(label: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>3} {msg}") {
            bar.set_style(style);
        }
        let lines = bar.is_hidden();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self {
            bar,
            lines,
            label: label.to_owned(),
        }
    }

    /// A new step begins.
    pub fn step(&mut self, words: &str) {
        if self.lines {
            eprintln!("{:6.1} s  {words}", self.bar.elapsed().as_secs_f64());
        } else {
            self.bar.set_message(words.to_owned());
        }
    }

    /// Something to keep on the screen.
    pub fn keep(&mut self, words: &str) {
        if self.lines {
            eprintln!("{:6.1} s  {words}", self.bar.elapsed().as_secs_f64());
        } else {
            self.bar.println(words);
        }
    }

    /// Names the migration that is watched next.
    pub fn label(&mut self, words: String) {
        self.label = words;
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Show {
    fn stage(&mut self, stage: Stage) {
        let words = format!("{}: stage {}/6 {stage}", self.label, stage.number());
        self.step(&words);
    }

    fn progress(&mut self, stage: Stage, progress: &Progress) -> Verdict {
        if !self.lines && stage == Stage::PreCopy {
            self.bar.set_message(format!(
                "{}: stage {}/6 {stage}, round {}, {} MiB sent, {} MiB to go",
                self.label,
                stage.number(),
                progress.rounds,
                progress.transferred >> 20,
                progress.remaining >> 20
            ));
        }
        Verdict::Continue
    }
}
