//! WRONG: takes the budget for the most that is ever there. A prompt is there whole before anything is forgotten. Caught by
//! `a_pass_holds_its_new_tokens_too`.

pub use crate::solution::{bytes_after, compact, evict, heavy_hitters, receive, sees, window};

#[must_use]
pub fn peak_bytes(prompt: usize, new: usize, budget: usize, token_bytes: usize) -> usize {
    bytes_after(prompt + new, budget, token_bytes)
}
