//! WRONG: looks at one lane only, and blames the neighbours for what the cache itself does. Caught by `both_must_be_slow`.

pub use crate::solution::{answers, copied_by_each, fixed_share, left_behind, per_token, rise, warm_up};

use std::ops::Range;

use crate::solution;

#[must_use]
pub fn slow_together(_one: &[f64], other: &[f64]) -> Option<Range<usize>> {
    solution::slow_together(other, other)
}
