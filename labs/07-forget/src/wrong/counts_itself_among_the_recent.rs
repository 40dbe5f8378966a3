//! WRONG: the query's own token takes a place in the window, which binds only when the pass is over. Caught by
//! `the_mask_is_what_eviction_leaves`.

pub use crate::solution::{bytes_after, compact, evict, heavy_hitters, peak_bytes, receive, window};

#[must_use]
pub fn sees(query: usize, key: usize, prompt: usize, sinks: usize, recent: usize) -> bool {
    key <= query && (key == query || query < prompt || key < sinks || key + recent > query)
}
