//! Your file. Each `todo!` says what belongs there; `README.md` explains the tasks in this order.
//!
//! The one layout: q, k, v and what attention returns are `[H, T, D]` (heads, tokens, `head_dim`).

use anyhow::{Context, Result};
use candle_core::Tensor;

use crate::given::{self, Model, Sampler};

/// Task 1: causal attention without a cache. `q`, `k`, `v` are `[H, T, D]`, so is the result.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    todo!("task 1: softmax(q x k^T / sqrt(D) + mask) x v, where the query in row i sees the keys 0..=i")
}

/// Task 2: `n_new` tokens after `prompt`, without a cache: every token runs everything before it again.
pub fn generate_uncached(model: &Model, prompt: &[u32], n_new: usize, sampler: &mut Sampler) -> Result<Vec<u32>> {
    todo!("task 2: n_new times: run prompt and new tokens at positions 0, 1, 2, ..., pick; return the new tokens only")
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
        todo!("task 3: old keys [H, N, D] and new ones [H, T, D] -> [H, N + T, D], kept and returned; values alike")
    }

    /// How many tokens the cache holds.
    pub fn n_tokens(&self) -> usize {
        todo!("task 3: the N of the first layer; 0 before the first append")
    }
}

/// Task 4: the positions of `n_new` tokens that come after `past` others.
pub fn positions(past: usize, n_new: usize) -> Vec<u32> {
    todo!("task 4: past, past + 1, ..., n_new of them")
}

/// Task 5: attention of new queries `q` `[H, T, D]` over all `k`, `v` `[H, past + T, D]`, the cached ones and the new ones.
pub fn attention_over_cache(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    todo!("task 5: as task 1, with a mask [T, past + T]: the query in row i stands at position past + i")
}

/// Task 6: a forward pass over new `tokens` only; the cache knows those before them. Returns the last one's logits `[V]`.
pub fn forward_cached(model: &Model, tokens: &[u32], cache: &mut Cache) -> Result<Tensor> {
    todo!("task 6: positions after those in the cache; in each layer append k and v, then attend over all of them")
}

/// Task 7: `n_new` tokens after `prompt`, with a cache: the prompt runs once, `chunk` tokens a pass, then each new token once.
pub fn generate_cached(
    model: &Model,
    prompt: &[u32],
    n_new: usize,
    chunk: usize,
    sampler: &mut Sampler,
) -> Result<Vec<u32>> {
    todo!(
        "task 7: prefill the prompt in chunks, pick; then run only the token just picked, pick; return the new tokens"
    )
}
