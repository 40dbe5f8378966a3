//! Your file. Each `todo!` says what belongs there; `README.md` explains the tasks in this order.
//!
//! The one layout: q, k, v and what attention returns are `[H, T, D]` (heads, tokens, `head_dim`).

use anyhow::{Context, Result};
use candle_core::Tensor;

use crate::given::{self, Model, Sampler};

/// Task 1: causal attention without a cache. `q`, `k`, `v` are `[H, T, D]`, so is the result.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    todo!("task 1, attention: softmax(q x k^T / sqrt(D) + mask) x v, the query in row i sees the keys 0..=i")
}

/// Task 2: `n_new` tokens (at least 1) after `prompt`, without a cache: every token runs everything before it again.
pub fn generate_uncached(model: &Model, prompt: &[u32], n_new: usize, sampler: &mut Sampler) -> Result<Vec<u32>> {
    todo!("task 2, generate_uncached: n_new times: run the text so far at positions 0, 1, 2, ..., then pick")
}

/// Task 3: the keys and values of every layer.
pub struct Cache {
    /// Per layer its keys and values, `[H, N, D]` each, N tokens so far; `None` before the first.
    layers: Vec<Option<(Tensor, Tensor)>>,
}

impl Cache {
    /// An empty cache.
    pub fn new(n_layer: usize) -> Self {
        Self { layers: vec![None; n_layer] }
    }

    /// Puts `k`, `v` `[H, T, D]` of new tokens behind those of `layer`, and returns all of that layer's keys and values.
    pub fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        todo!("task 3, append: old keys [H, N, D], then the new [H, T, D]: keep and return all; values too")
    }

    /// How many tokens the cache holds.
    pub fn n_tokens(&self) -> usize {
        todo!("task 3, n_tokens: the N of the first layer; 0 before the first append")
    }
}

/// Task 4: the positions of `n_new` tokens that come after `past` others.
pub fn positions(past: usize, n_new: usize) -> Vec<u32> {
    todo!("task 4, positions: past, past + 1, ..., n_new of them")
}

/// Task 5: attention of new queries `q` `[H, T, D]` over all `k`, `v` `[H, past + T, D]`, the cached ones and the new ones.
pub fn attention_over_cache(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    todo!("task 5, attention_over_cache: as task 1, mask [T, past + T]: query row i stands at position past + i")
}

/// Task 6: a forward pass over new `tokens` only; the cache knows those before them. Returns the last one's logits `[V]`.
pub fn forward_cached(model: &Model, tokens: &[u32], cache: &mut Cache) -> Result<Tensor> {
    todo!("task 6, forward_cached: positions go on after the cache; in each layer append k and v, attend over all")
}

/// Task 7: `n_new` tokens (at least 1) after `prompt`, with a cache: the prompt runs once, `chunk` tokens a pass, then each
/// new token once.
pub fn generate_cached(
    model: &Model,
    prompt: &[u32],
    n_new: usize,
    chunk: usize,
    sampler: &mut Sampler,
) -> Result<Vec<u32>> {
    todo!("task 7, generate_cached: prompt in chunks, pick; then run only the picked token, pick, and so on")
}
