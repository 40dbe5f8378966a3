//! The two loops' own words: what a number of a check looks like in a text.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;

use crate::{
    checks::{Caught, Reference, caught},
    contract::Lab,
    given::{Model, Sampler},
};

/// What to generate.
#[derive(Clone, Debug)]
pub struct Options {
    pub prompt: String,
    pub tokens: usize,
    /// Tokens of the prompt per pass of the cached loop.
    pub chunk: usize,
    /// The task that a planted mistake gets wrong; `None` for a variant that is whole.
    pub mistake_in: Option<usize>,
}

/// Continues the prompt with both of `L`'s loops. A loop that is not written yet says so.
pub fn generate<L: Lab>(reference: &Reference, model: &Model, options: &Options, out: &mut dyn Write) -> Result<()> {
    let Options { prompt, tokens, chunk, mistake_in } = options;
    let tokenizer = reference.kvlab.tokenizer.as_ref().context("the story model has a tokenizer")?;
    let ids = tokenizer.encode(prompt)?;
    ensure!(!ids.is_empty(), "the prompt is empty; write at least a word");
    let most = model.config().n_positions.saturating_sub(ids.len());
    ensure!((1..=most).contains(tokens), "--tokens is {tokens}; from 1 to {most} fit after a prompt of {}", ids.len());
    ensure!(*chunk > 0, "--chunk 0 would never get through the prompt");

    let uncached = || match mistake_in {
        Some(1) => uncached_of_parts::<L>(model, &ids, *tokens),
        _ => L::generate_uncached(model, &ids, *tokens, &mut Sampler::new(*tokens)),
    };
    let cached = || match mistake_in {
        Some(3..=5) => cached_of_parts::<L>(model, &ids, *tokens, *chunk, forward_of_parts::<L>),
        Some(6) => cached_of_parts::<L>(model, &ids, *tokens, *chunk, L::forward_cached),
        _ => L::generate_cached(model, &ids, *tokens, *chunk, &mut Sampler::new(*tokens)),
    };
    writeln!(out, "{prompt} ...\n")?;
    for (name, new) in [("without cache", caught(uncached)), ("with cache", caught(cached))] {
        let text = match new {
            Ok(new) => tokenizer.decode(&new)?,
            Err(Caught::Todo(todo)) => format!("(not written yet: {todo})"),
            Err(Caught::Panic(text)) => format!("(the code panicked: {text})"),
            Err(Caught::Error(error)) => format!("(an error: {})", error.root_cause()),
        };
        writeln!(out, "{name:<14} {}", text.trim())?;
    }
    Ok(())
}

// A planted mistake changes one task and takes the rest from the solution, whose loops know nothing of it. So what stands
// above the mistake is put together from its parts here.

fn uncached_of_parts<L: Lab>(model: &Model, prompt: &[u32], n_new: usize) -> Result<Vec<u32>> {
    let (mut tokens, mut sampler) = (prompt.to_vec(), Sampler::new(n_new));
    while tokens.len() < prompt.len() + n_new {
        let logits = model.forward(&tokens, &L::positions(0, tokens.len()), |_, q, k, v| L::attention(q, k, v))?;
        tokens.push(sampler.pick(&logits)?);
    }
    Ok(tokens.split_off(prompt.len()))
}

fn forward_of_parts<L: Lab>(model: &Model, tokens: &[u32], cache: &mut L::Cache) -> Result<Tensor> {
    let positions = L::positions(L::n_tokens(cache), tokens.len());
    model.forward(tokens, &positions, |layer, q, k, v| {
        let (keys, values) = L::append(cache, layer, k, v)?;
        L::attention_over_cache(q, &keys, &values)
    })
}

fn cached_of_parts<L: Lab>(
    model: &Model,
    prompt: &[u32],
    n_new: usize,
    chunk: usize,
    forward: impl Fn(&Model, &[u32], &mut L::Cache) -> Result<Tensor>,
) -> Result<Vec<u32>> {
    let (mut cache, mut sampler) = (L::new_cache(model.n_layer()), Sampler::new(n_new));
    let mut logits = None;
    for tokens in prompt.chunks(chunk) {
        logits = Some(forward(model, tokens, &mut cache)?);
    }
    let mut new = vec![sampler.pick(&logits.context("the prompt is empty")?)?];
    while new.len() < n_new {
        let logits = forward(model, &new[new.len() - 1..], &mut cache)?;
        new.push(sampler.pick(&logits)?);
    }
    Ok(new)
}
