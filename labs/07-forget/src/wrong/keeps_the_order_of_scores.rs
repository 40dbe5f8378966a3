//! WRONG: the heavy slots come in the order of their scores, so that compaction shuffles the text. Caught by
//! `slots_stay_in_the_order_of_the_text`.

pub use crate::solution::{bytes_after, compact, evict, peak_bytes, receive, sees, window};

#[must_use]
pub fn heavy_hitters(scores: &[f64], heavy: usize, recent: usize) -> Vec<usize> {
    let old = scores.len().saturating_sub(recent);
    let mut keep: Vec<usize> = (0..old).collect();
    keep.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(b.cmp(a)));
    keep.truncate(heavy);
    keep.extend(old..scores.len());
    keep
}
