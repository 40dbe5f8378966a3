//! WRONG: compares the most that chats reserved, and so takes a longer chat for a leak. Caught by `chats_are_compared_at_their_starts`.

pub use crate::solution::{answers, copied_by_each, fixed_share, per_token, rise, slow_together, warm_up};

#[must_use]
pub fn left_behind(reserved: &[u64], starts: &[usize]) -> Vec<u64> {
    let ends = starts.iter().skip(1).copied().chain([reserved.len()]);
    let peaks: Vec<u64> =
        starts.iter().zip(ends).map(|(start, end)| reserved[*start..end].iter().copied().max().unwrap_or(0)).collect();
    peaks.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()
}
