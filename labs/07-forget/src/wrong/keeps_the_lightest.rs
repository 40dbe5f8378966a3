//! WRONG: sorts upwards and keeps the front, which are the tokens that nobody looked at. Caught by `the_heaviest_and_the_newest_stay`.

pub use crate::solution::{bytes_after, compact, evict, peak_bytes, receive, sees, window};

#[must_use]
pub fn heavy_hitters(scores: &[f64], heavy: usize, recent: usize) -> Vec<usize> {
    let old = scores.len().saturating_sub(recent);
    let mut keep: Vec<usize> = (0..old).collect();
    keep.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)));
    keep.truncate(heavy);
    keep.sort_unstable();
    keep.extend(old..scores.len());
    keep
}
