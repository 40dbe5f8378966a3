//! WRONG: takes the budget for what is used, also while the text is shorter. Caught by `a_short_text_takes_what_it_has`.

pub use crate::solution::{compact, evict, heavy_hitters, peak_bytes, receive, sees, window};

#[must_use]
pub fn bytes_after(_n_tokens: usize, budget: usize, token_bytes: usize) -> usize {
    budget * token_bytes
}
