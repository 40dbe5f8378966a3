//! WRONG: the window hides tokens from the prompt's own queries, as if something had been forgotten in the middle of a pass. Caught by
//! `a_prompt_sees_all_before`.

pub use crate::solution::{bytes_after, compact, evict, heavy_hitters, peak_bytes, receive, window};

#[must_use]
pub fn sees(query: usize, key: usize, _prompt: usize, sinks: usize, recent: usize) -> bool {
    key == query || key < query && (key < sinks || key + recent >= query)
}
