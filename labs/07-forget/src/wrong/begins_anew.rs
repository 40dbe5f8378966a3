//! WRONG: the scores are those of this head and this pass, and all that was before is lost. Caught by
//! `scores_go_on_from_pass_to_pass`.

pub use crate::solution::{bytes_after, compact, evict, heavy_hitters, peak_bytes, sees, window};

use crate::solution;

pub fn receive(scores: &mut [f64], weights: &[f32]) {
    scores.fill(0.0);
    solution::receive(scores, weights);
}
