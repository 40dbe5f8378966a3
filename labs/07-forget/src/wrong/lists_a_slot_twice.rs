//! WRONG: two lists, one behind the other, which overlap as long as the text is short. Caught by `a_short_text_stays_whole`.

pub use crate::solution::{bytes_after, compact, evict, heavy_hitters, peak_bytes, receive, sees};

#[must_use]
pub fn window(n_slots: usize, sinks: usize, recent: usize) -> Vec<usize> {
    (0..sinks.min(n_slots)).chain(n_slots.saturating_sub(recent)..n_slots).collect()
}
