//! WRONG: divides by all tokens, though the middles of the two quarters are only three quarters of them apart. Caught by
//! `a_straight_line_rises_by_its_slope`.

pub use crate::solution::{answers, copied_by_each, fixed_share, left_behind, per_token, slow_together, warm_up};

use crate::given::median;

#[must_use]
#[expect(clippy::cast_precision_loss, reason = "some hundred tokens")]
pub fn rise(secs: &[f64]) -> f64 {
    let quarter = secs.len() / 4;
    if quarter == 0 {
        return 0.0;
    }
    (median(&secs[secs.len() - quarter..]) - median(&secs[..quarter])) / secs.len() as f64
}
