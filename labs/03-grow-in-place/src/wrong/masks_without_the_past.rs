//! WRONG: a query sees the first `i + 1` keys, as if its pass were the first. One prompt in one pass is right, everything behind it is not.
//! Caught by `a_query_sees_the_past_and_itself`.

pub use crate::solution::{Cache, concat_copied_bytes, prefill};

use crate::given::attention;

#[must_use]
pub fn visible(_past: usize, i: usize) -> usize {
    i + 1
}

#[must_use]
pub fn attend(cache: &Cache, layer: usize, q: &[f32]) -> Vec<f32> {
    let (keys, values) = cache.rows(layer);
    let past = cache.filled[layer] - q.len() / cache.shape.row();
    attention(&cache.shape, q, keys, values, |i| visible(past, i))
}
