//! Progress on standard error, only where a person looks.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    model::{Calibrating, Progress},
    report::units,
};

const COUNT: &str = "{prefix:>11} [{bar:32}] {pos}/{len} {elapsed} (left {eta}) {msg}";
const BYTES: &str = "{prefix:>11} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} (left {eta}) {msg}";

/// A bar with time left; hidden when standard error is no terminal.
pub fn bar(what: &'static str, len: u64) -> ProgressBar {
    styled(COUNT, what, len)
}

fn styled(template: &str, what: &'static str, len: u64) -> ProgressBar {
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what);
    bar
}

/// The bars of a model that is downloaded, file by file, loaded, and maybe calibrated.
#[derive(Default)]
pub struct ModelBars {
    /// What the bar is for, and the bar.
    current: Option<(&'static str, ProgressBar)>,
}

impl ModelBars {
    /// Shows where it stands. Where no bar can be seen, a download is at least announced.
    pub fn show(&mut self, progress: Progress) {
        let (what, done, all) = match progress {
            Progress::Downloading { file, done_bytes, all_bytes } => (file, done_bytes, all_bytes),
            Progress::Loading { done, all } => (LOADING, done as u64, all as u64),
        };
        if self.current.as_ref().is_none_or(|(current, _)| *current != what) {
            self.clear();
            let bar = if what == LOADING { bar(what, all) } else { styled(BYTES, "downloading", all) };
            if what != LOADING {
                bar.set_message(what);
                if bar.is_hidden() {
                    let _ = writeln!(io::stderr(), "downloading {what}, {}", units::bytes(all));
                }
            }
            self.current = Some((what, bar));
        }
        if let Some((_, bar)) = &self.current {
            bar.set_position(done);
        }
    }

    /// Shows how far a calibration is; where no bar can be seen, what is done.
    pub fn show_calibration(&mut self, progress: Calibrating) {
        let Calibrating { levels, n_tokens, text, done, all } = progress;
        if done == 0 {
            self.clear();
            let (bar, what) = (bar(CALIBRATING, all as u64), format!("{levels} on {n_tokens} tokens of {text}"));
            if bar.is_hidden() {
                let _ = writeln!(io::stderr(), "{CALIBRATING} {what}");
            }
            bar.set_message(what);
            self.current = Some((CALIBRATING, bar));
        }
        if let Some((_, bar)) = &self.current {
            bar.set_position(done as u64);
        }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.finish_and_clear();
        }
    }
}

const LOADING: &str = "loading";
const CALIBRATING: &str = "calibrating";
