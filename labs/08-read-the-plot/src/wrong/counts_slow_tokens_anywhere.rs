//! WRONG: counts every slow token of the run, and so takes a hiccup in the middle for warm-up. Caught by
//! `warm_up_ends_with_five_in_a_row`.

pub use crate::solution::{answers, copied_by_each, fixed_share, left_behind, rise, slow_together};

use crate::given::median;

#[must_use]
pub fn warm_up(secs: &[f64]) -> usize {
    let level = median(&secs[secs.len() / 2..]);
    secs.iter().filter(|secs| **secs > 2.0 * level).count()
}

#[must_use]
pub fn per_token(secs: &[f64]) -> f64 {
    median(&secs[warm_up(secs)..])
}
