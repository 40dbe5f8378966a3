//! One way to do it. Do the lab first; then compare.

use anyhow::{Context, Result};
use candle_core::Tensor;

use crate::given::{self, Model, Sampler};

/// Task 1.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (_, n_tokens, head_dim) = q.dims3()?;
    // Without the division scores grow with D, and softmax would give all its weight to one key.
    let scores = (q.matmul(&k.t()?)? / (head_dim as f64).sqrt())?; // [H, T, D] x [H, D, T] -> [H, T, T]
    let mask = given::mask(n_tokens, n_tokens, |query, key| key <= query)?;
    let weights = given::softmax(&scores.broadcast_add(&mask)?)?; // the same mask for every head
    Ok(weights.matmul(v)?) // [H, T, T] x [H, T, D] -> [H, T, D]
}

/// Task 2.
pub fn generate_uncached(model: &Model, prompt: &[u32], n_new: usize, sampler: &mut Sampler) -> Result<Vec<u32>> {
    let mut tokens = prompt.to_vec();
    while tokens.len() < prompt.len() + n_new {
        let positions: Vec<u32> = (0..).take(tokens.len()).collect();
        let logits = model.forward(&tokens, &positions, |_layer, q, k, v| attention(q, k, v))?;
        tokens.push(sampler.pick(&logits)?);
    }
    Ok(tokens.split_off(prompt.len()))
}

/// Task 3: the keys and values of every layer.
pub struct Cache {
    /// Per layer its keys and values, `[H, N, D]` each; `None` before the first token.
    layers: Vec<Option<(Tensor, Tensor)>>,
}

impl Cache {
    #[must_use]
    pub fn new(n_layer: usize) -> Self {
        Self { layers: vec![None; n_layer] }
    }

    /// `cat` writes old and new rows into a new tensor, so a token copies the whole cache: kvlab's `concat` lane. The
    /// README's last section makes it better.
    pub fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let all = match &self.layers[layer] {
            None => (k.clone(), v.clone()),
            Some((keys, values)) => (Tensor::cat(&[keys, k], 1)?, Tensor::cat(&[values, v], 1)?),
        };
        self.layers[layer] = Some(all.clone()); // a clone of a tensor shares its data
        Ok(all)
    }

    #[must_use]
    pub fn n_tokens(&self) -> usize {
        match self.layers.first() {
            Some(Some((keys, _))) => keys.dims()[1],
            _ => 0,
        }
    }
}

/// Task 4.
#[must_use]
pub fn positions(past: usize, n_new: usize) -> Vec<u32> {
    (0..).skip(past).take(n_new).collect()
}

/// Task 5.
pub fn attention_over_cache(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (_, n_new, head_dim) = q.dims3()?;
    let n_keys = k.dim(1)?;
    let past = n_keys - n_new;
    let scores = (q.matmul(&k.t()?)? / (head_dim as f64).sqrt())?; // [H, T, D] x [H, D, past + T] -> [H, T, past + T]
    // The mask is [T, past + T]: a new query sees every old key, and of the new ones those up to its own.
    let mask = given::mask(n_new, n_keys, |query, key| key <= past + query)?;
    let weights = given::softmax(&scores.broadcast_add(&mask)?)?;
    Ok(weights.matmul(v)?) // [H, T, past + T] x [H, past + T, D] -> [H, T, D]
}

/// Task 6.
pub fn forward_cached(model: &Model, tokens: &[u32], cache: &mut Cache) -> Result<Tensor> {
    // Asked before the pass: once its first layer has appended, the cache counts the new tokens as well.
    let positions = positions(cache.n_tokens(), tokens.len());
    model.forward(tokens, &positions, |layer, q, k, v| {
        let (keys, values) = cache.append(layer, k, v)?;
        attention_over_cache(q, &keys, &values)
    })
}

/// Task 7.
pub fn generate_cached(
    model: &Model,
    prompt: &[u32],
    n_new: usize,
    chunk: usize,
    sampler: &mut Sampler,
) -> Result<Vec<u32>> {
    let mut cache = Cache::new(model.n_layer());
    let mut chunks = prompt.chunks(chunk);
    let mut logits = forward_cached(model, chunks.next().context("the prompt is empty")?, &mut cache)?;
    for tokens in chunks {
        logits = forward_cached(model, tokens, &mut cache)?; // only the last chunk's are used
    }
    let mut token = sampler.pick(&logits)?;
    let mut new = vec![token];
    while new.len() < n_new {
        // The picked token has no keys and values yet: it is the one to run.
        logits = forward_cached(model, &[token], &mut cache)?;
        token = sampler.pick(&logits)?;
        new.push(token);
    }
    Ok(new)
}
