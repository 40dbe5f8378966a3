//! WRONG: means of the quarters, which one token that met something else moves at will. Caught by `one_slow_token_changes_nothing`.

pub use crate::solution::{answers, copied_by_each, fixed_share, left_behind, per_token, slow_together, warm_up};

#[must_use]
#[expect(clippy::cast_precision_loss, reason = "some hundred tokens")]
pub fn rise(secs: &[f64]) -> f64 {
    let quarter = secs.len() / 4;
    if quarter == 0 {
        return 0.0;
    }
    let mean = |secs: &[f64]| secs.iter().sum::<f64>() / secs.len() as f64;
    let between = secs.len() - quarter;
    (mean(&secs[between..]) - mean(&secs[..quarter])) / between as f64
}
