//! WRONG: leaves the first token out, whatever comes behind it, as many benchmarks do. Caught by `warm_up_ends_with_five_in_a_row`.

pub use crate::solution::{answers, copied_by_each, fixed_share, left_behind, rise, slow_together};

use crate::given::median;

#[must_use]
pub fn warm_up(secs: &[f64]) -> usize {
    1.min(secs.len())
}

#[must_use]
pub fn per_token(secs: &[f64]) -> f64 {
    median(&secs[warm_up(secs)..])
}
