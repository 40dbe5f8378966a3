//! WRONG: the newest take part in the ranking, and may take the places of old heavy tokens though they stay anyhow. Caught by
//! `the_heaviest_and_the_newest_stay`.

pub use crate::solution::{bytes_after, compact, evict, peak_bytes, receive, sees, window};

#[must_use]
pub fn heavy_hitters(scores: &[f64], heavy: usize, recent: usize) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..scores.len()).collect();
    ranked.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(b.cmp(a)));
    ranked.truncate(heavy);
    (0..scores.len()).filter(|slot| ranked.contains(slot) || slot + recent >= scores.len()).collect()
}
