//! WRONG: takes the time of early tokens for the fixed part, as if the text began there; a prompt stands before them. Caught by
//! `the_line_is_drawn_to_length_0`.

pub use crate::solution::{answers, copied_by_each, left_behind, per_token, rise, slow_together, warm_up};

use crate::given::median;

#[must_use]
pub fn fixed_share(_length: &[usize], secs: &[f64]) -> f64 {
    let quarter = secs.len() / 4;
    if quarter == 0 {
        return 0.0;
    }
    (median(&secs[..quarter]) / median(&secs[secs.len() - quarter..])).clamp(0.0, 1.0)
}
