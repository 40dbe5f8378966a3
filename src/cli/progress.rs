//! Progress on standard error, only where a person looks.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with time left; hidden when standard error is no terminal.
pub fn bar(what: &'static str, len: u64) -> ProgressBar {
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template("{prefix:>10} [{bar:32}] {pos}/{len} {elapsed} (left {eta}) {msg}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what);
    bar
}
