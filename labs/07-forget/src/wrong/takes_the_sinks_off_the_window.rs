//! WRONG: the sinks are taken off the newest, so that fewer of these stay than were asked for. Caught by `sinks_and_the_newest_stay`.

pub use crate::solution::{bytes_after, compact, evict, heavy_hitters, peak_bytes, receive, sees};

#[must_use]
pub fn window(n_slots: usize, sinks: usize, recent: usize) -> Vec<usize> {
    let recent = recent.saturating_sub(sinks);
    (0..n_slots).filter(|slot| *slot < sinks || slot + recent >= n_slots).collect()
}
