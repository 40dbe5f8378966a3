//! WRONG: positions of a cached pass begin at 0 again, so every decoded token believes to stand at the start.
//! Caught by `positions_continue_after_prefill`.

use anyhow::Result;
use candle_core::Tensor;

use crate::given::Model;
pub use crate::solution::{Cache, attention, attention_over_cache, generate_cached, generate_uncached, positions};

pub fn forward_cached(model: &Model, tokens: &[u32], cache: &mut Cache) -> Result<Tensor> {
    let positions = positions(0, tokens.len()); // here
    model.forward(tokens, &positions, |layer, q, k, v| {
        let (keys, values) = cache.append(layer, k, v)?;
        attention_over_cache(q, &keys, &values)
    })
}
