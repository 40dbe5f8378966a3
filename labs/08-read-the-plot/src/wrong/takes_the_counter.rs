//! WRONG: takes the counter for what a token copied; it grows even where every token copies the same. Caught by
//! `a_counter_becomes_differences`.

pub use crate::solution::{answers, fixed_share, left_behind, per_token, rise, slow_together, warm_up};

#[must_use]
pub fn copied_by_each(copied: &[u64]) -> Vec<u64> {
    copied.to_vec()
}
