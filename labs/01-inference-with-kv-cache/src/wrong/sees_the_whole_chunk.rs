//! WRONG: no mask at all, "the cache holds nothing but the past". True for one new token; in a chunk each query also sees
//! the tokens after it.
//! Caught by `chunked_attention_equals_whole`.

use anyhow::Result;
use candle_core::Tensor;

use crate::given;
pub use crate::solution::{Cache, attention, forward_cached, generate_cached, generate_uncached, positions};

pub fn attention_over_cache(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let head_dim = q.dim(2)?;
    let scores = (q.matmul(&k.t()?)? / (head_dim as f64).sqrt())?;
    Ok(given::softmax(&scores)?.matmul(v)?) // here
}
