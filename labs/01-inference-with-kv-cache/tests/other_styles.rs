//! A right solution in another style passes every check, and the same with a wrong mask does not.
#![allow(clippy::cast_precision_loss, reason = "a head has 32 elements")]

use anyhow::Result;
use candle_core::{D, Device, Tensor};
use lab01::{
    checks::{Checks, Report, Verdict},
    contract::{Lab, Solution},
    given::{self, Model, Sampler},
    solution,
};

/// Masks after softmax: softmax over all keys, times a mask of 0 and 1, then every row divided by its sum. Right, and
/// rounded in another way; unless its mask is 1 everywhere. The rest is the solution's, but for what calls attention.
struct MasksAfterSoftmax<const SEES_LATER: bool>;

impl<const SEES_LATER: bool> Lab for MasksAfterSoftmax<SEES_LATER> {
    type Cache = solution::Cache;

    fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        Self::attention_over_cache(q, k, v)
    }
    fn generate_uncached(model: &Model, prompt: &[u32], n_new: usize, sampler: &mut Sampler) -> Result<Vec<u32>> {
        let mut tokens = prompt.to_vec();
        while tokens.len() < prompt.len() + n_new {
            let positions = solution::positions(0, tokens.len());
            let logits = model.forward(&tokens, &positions, |_, q, k, v| Self::attention(q, k, v))?;
            tokens.push(sampler.pick(&logits)?);
        }
        Ok(tokens.split_off(prompt.len()))
    }
    fn new_cache(n_layer: usize) -> Self::Cache {
        Solution::new_cache(n_layer)
    }
    fn append(cache: &mut Self::Cache, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        Solution::append(cache, layer, k, v)
    }
    fn n_tokens(cache: &Self::Cache) -> usize {
        Solution::n_tokens(cache)
    }
    fn positions(past: usize, n_new: usize) -> Vec<u32> {
        Solution::positions(past, n_new)
    }
    fn attention_over_cache(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (_, n_new, head_dim) = q.dims3()?;
        let n_keys = k.dim(1)?;
        let past = n_keys - n_new;
        let sees = |i: usize| (0..n_keys).map(move |j| if SEES_LATER || j <= past + i { 1f32 } else { 0.0 });
        let mask = Tensor::from_vec((0..n_new).flat_map(sees).collect::<Vec<_>>(), (n_new, n_keys), &Device::Cpu)?;
        let scores = (q.matmul(&k.t()?)? / (head_dim as f64).sqrt())?; // [H, T, D] x [H, D, past + T]
        let weights = given::softmax(&scores)?.broadcast_mul(&mask)?;
        Ok(weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?.matmul(v)?)
    }
    fn forward_cached(model: &Model, tokens: &[u32], cache: &mut Self::Cache) -> Result<Tensor> {
        model.forward(tokens, &solution::positions(cache.n_tokens(), tokens.len()), |layer, q, k, v| {
            let (keys, values) = cache.append(layer, k, v)?;
            Self::attention_over_cache(q, &keys, &values)
        })
    }
    fn generate_cached(
        model: &Model,
        prompt: &[u32],
        n_new: usize,
        chunk: usize,
        sampler: &mut Sampler,
    ) -> Result<Vec<u32>> {
        let mut cache = Self::new_cache(model.n_layer());
        let mut new = vec![];
        for tokens in prompt.chunks(chunk) {
            let logits = Self::forward_cached(model, tokens, &mut cache)?;
            if cache.n_tokens() == prompt.len() {
                new.push(sampler.pick(&logits)?);
            }
        }
        while new.len() < n_new {
            let logits = Self::forward_cached(model, &new[new.len() - 1..], &mut cache)?;
            new.push(sampler.pick(&logits)?);
        }
        Ok(new)
    }
}

fn check<L: Lab>() -> Report {
    labkit::run(Checks::<L>::ALL)
}

#[test]
fn masking_after_softmax_is_right() {
    let report = check::<MasksAfterSoftmax<false>>();
    for found in &report.results {
        assert_eq!(found.verdict, Verdict::Passed, "{}", found.name);
    }
    assert!(report.passed());
}

#[test]
fn looking_ahead_is_not_causal() {
    let report = check::<MasksAfterSoftmax<true>>();
    let found = report.results.iter().find(|found| found.name == "attention_is_causal").expect("it was run");
    assert!(
        matches!(&found.verdict, Verdict::Failed(why) if why.contains("a query must see no later key")),
        "{found:?}"
    );
}
