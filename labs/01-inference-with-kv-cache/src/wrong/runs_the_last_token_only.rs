//! WRONG: the uncached loop runs only the newest token, as if a cache remembered the others.
//! Caught by `uncached_loop_runs_everything_again`.

use anyhow::Result;

use crate::given::{Model, Sampler};
pub use crate::solution::{Cache, attention, attention_over_cache, forward_cached, generate_cached, positions};

pub fn generate_uncached(model: &Model, prompt: &[u32], n_new: usize, sampler: &mut Sampler) -> Result<Vec<u32>> {
    let mut tokens = prompt.to_vec();
    let mut ran = 0;
    while tokens.len() < prompt.len() + n_new {
        let positions: Vec<u32> = (0..).take(tokens.len()).skip(ran).collect();
        let logits = model.forward(&tokens[ran..], &positions, |_layer, q, k, v| attention(q, k, v))?; // here
        ran = tokens.len();
        tokens.push(sampler.pick(&logits)?);
    }
    Ok(tokens.split_off(prompt.len()))
}
