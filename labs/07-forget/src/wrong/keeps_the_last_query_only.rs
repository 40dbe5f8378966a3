//! WRONG: only the newest query's weights are added, and what the others of the pass looked at is lost. Caught by `every_query_counts`.

pub use crate::solution::{bytes_after, compact, evict, heavy_hitters, peak_bytes, sees, window};

pub fn receive(scores: &mut [f64], weights: &[f32]) {
    let last = weights.len() - scores.len();
    scores.iter_mut().zip(&weights[last..]).for_each(|(score, weight)| *score += f64::from(*weight));
}
