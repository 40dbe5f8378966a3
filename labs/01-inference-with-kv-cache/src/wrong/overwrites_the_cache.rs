//! WRONG: the cache keeps the newest keys and values only; `append` overwrites.
//! Caught by `cache_appends_in_order`.

use anyhow::Result;
use candle_core::Tensor;

use crate::given::Model;
pub use crate::solution::{attention, attention_over_cache, generate_cached, generate_uncached, positions};

pub struct Cache {
    layers: Vec<Option<(Tensor, Tensor)>>,
}

impl Cache {
    #[must_use]
    pub fn new(n_layer: usize) -> Self {
        Self { layers: vec![None; n_layer] }
    }

    pub fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let all = (k.clone(), v.clone()); // here
        self.layers[layer] = Some(all.clone());
        Ok(all)
    }

    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.layers[0].as_ref().map_or(0, |(keys, _)| keys.dims()[1])
    }
}

pub fn forward_cached(model: &Model, tokens: &[u32], cache: &mut Cache) -> Result<Tensor> {
    let positions = positions(cache.n_tokens(), tokens.len());
    model.forward(tokens, &positions, |layer, q, k, v| {
        let (keys, values) = cache.append(layer, k, v)?;
        attention_over_cache(q, &keys, &values)
    })
}
