//! WRONG: scores are not divided by sqrt(D). Facts still come out right, and stories wander: hard to see.
//! Caught by `attention_matches_the_definition`.

use anyhow::Result;
use candle_core::Tensor;

use crate::given;
pub use crate::solution::{Cache, attention_over_cache, forward_cached, generate_cached, generate_uncached, positions};

pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let n_tokens = q.dim(1)?;
    let scores = q.matmul(&k.t()?)?; // here
    let mask = given::mask(n_tokens, n_tokens, |query, key| key <= query)?;
    let weights = given::softmax(&scores.broadcast_add(&mask)?)?;
    Ok(weights.matmul(v)?)
}
