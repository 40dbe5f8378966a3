//! WRONG: decode runs the token before the newest one, so the last token of the prompt enters the cache twice.
//! Caught by `cached_tokens_equal_uncached`.

use anyhow::{Context, Result};

use crate::given::{Model, Sampler};
pub use crate::solution::{Cache, attention, attention_over_cache, forward_cached, generate_uncached, positions};

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
        logits = forward_cached(model, tokens, &mut cache)?;
    }
    let mut tokens = prompt.to_vec();
    tokens.push(sampler.pick(&logits)?);
    while tokens.len() < prompt.len() + n_new {
        let before = tokens[tokens.len() - 2]; // here
        logits = forward_cached(model, &[before], &mut cache)?;
        tokens.push(sampler.pick(&logits)?);
    }
    Ok(tokens.split_off(prompt.len()))
}
