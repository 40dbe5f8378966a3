//! What the lab gives you: GPT-2 around its attention, a mask, a softmax and the sampler. Read it once from top to bottom;
//! nothing here needs a change.
//!
//! Letters: `T` new tokens of a pass, `H` heads, `D` `head_dim`, `E` = H x D embedding, `V` vocabulary.
//! The one layout of this lab: q, k, v and what attention returns are `[H, T, D]`, f32.

use std::{
    cell::RefCell,
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use candle_nn::ops;
use kvlab::model::{Config, ModelSource, story_tensors};

/// The story model: a GPT-2 of 5 layers, 6 heads of 32 and 1,024 positions.
pub struct Model {
    config: Config,
    weights: HashMap<String, Tensor>,
    passes: RefCell<Vec<Pass>>,
}

/// What one forward pass was given; the checks look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    pub tokens: Vec<u32>,
    pub positions: Vec<u32>,
}

impl Model {
    /// The model that is inside kvlab: no download.
    pub fn story() -> Result<Self> {
        let (config, weights) = (ModelSource::Story.config()?, story_tensors(&Device::Cpu)?);
        Ok(Self { config, weights, passes: RefCell::default() })
    }

    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    #[must_use]
    pub fn n_layer(&self) -> usize {
        self.config.n_layer
    }

    /// One forward pass over `tokens`, which stand at `positions` of the text. Returns the logits `[V]` of the last one.
    ///
    /// In each layer it calls `attend(layer, q, k, v)` with the queries, keys and values of these tokens, `[H, T, D]` each,
    /// and goes on with what comes back, `[H, T, D]` too.
    pub fn forward(
        &self,
        tokens: &[u32],
        positions: &[u32],
        mut attend: impl FnMut(usize, &Tensor, &Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Config { n_embd, n_head, n_positions, layer_norm_epsilon, .. } = self.config;
        let (n_tokens, head_dim) = (tokens.len(), self.config.head_dim());
        ensure!(n_tokens > 0, "a forward pass needs at least one token");
        ensure!(
            positions.len() == n_tokens,
            "a forward pass got {n_tokens} tokens and {} positions; each token needs its own",
            positions.len()
        );
        if let Some(past_the_end) = positions.iter().find(|p| **p as usize >= n_positions) {
            bail!("position {past_the_end} is past the model's context of {n_positions}");
        }
        self.passes.borrow_mut().push(Pass { tokens: tokens.to_vec(), positions: positions.to_vec() });

        let norm = |name: &str, x: &Tensor| -> Result<Tensor> {
            let [weight, bias] = [self.weight(name, "weight")?, self.weight(name, "bias")?];
            #[expect(clippy::cast_possible_truncation, reason = "1e-5")]
            let epsilon = layer_norm_epsilon as f32;
            Ok(ops::layer_norm(x, weight, bias, epsilon)?)
        };
        // [T, in] -> [T, out]; GPT-2 keeps its linear weights as [in, out].
        let linear = |name: &str, x: &Tensor| -> Result<Tensor> {
            Ok(x.matmul(self.weight(name, "weight")?)?.broadcast_add(self.weight(name, "bias")?)?)
        };

        let (wte, wpe) = (self.weight("wte", "weight")?, self.weight("wpe", "weight")?);
        let tokens = Tensor::new(tokens, &Device::Cpu)?;
        let positions = Tensor::new(positions, &Device::Cpu)?;
        let mut x = (wte.index_select(&tokens, 0)? + wpe.index_select(&positions, 0)?)?; // [T, E]

        for layer in 0..self.config.n_layer {
            let name = |part: &str| format!("h.{layer}.{part}");

            let qkv = linear(&name("attn.c_attn"), &norm(&name("ln_1"), &x)?)?; // [T, 3E]
            let qkv = qkv.reshape((n_tokens, 3, n_head, head_dim))?; // [T, 3E] -> [T, 3, H, D], a view
            let qkv = qkv.permute((1, 2, 0, 3))?.contiguous()?; // [T, 3, H, D] -> [3, H, T, D], a copy
            let attended = attend(layer, &qkv.get(0)?, &qkv.get(1)?, &qkv.get(2)?)?;
            ensure!(
                attended.dims() == [n_head, n_tokens, head_dim],
                "attention returned {:?}; [H, T, D] = [{n_head}, {n_tokens}, {head_dim}] was expected",
                attended.dims()
            );
            let attended = attended.transpose(0, 1)?.reshape((n_tokens, n_embd))?; // [H, T, D] -> [T, E], a copy
            x = (x + linear(&name("attn.c_proj"), &attended)?)?;

            let hidden = linear(&name("mlp.c_fc"), &norm(&name("ln_2"), &x)?)?.gelu()?; // [T, 4E]
            x = (x + linear(&name("mlp.c_proj"), &hidden)?)?;
        }

        let last = norm("ln_f", &x.narrow(0, n_tokens - 1, 1)?)?; // [1, E]
        Ok(last.matmul(&wte.t()?)?.get(0)?) // [1, E] x [E, V] -> [V]
    }

    /// The passes since this was last called.
    pub fn take_passes(&self) -> Vec<Pass> {
        self.passes.take()
    }

    fn weight(&self, name: &str, kind: &str) -> Result<&Tensor> {
        self.weights.get(&format!("{name}.{kind}")).with_context(|| format!("no weights of the name {name}.{kind}"))
    }
}

/// A mask `[n_queries, n_keys]` to add to scores: 0 where `sees(query, key)`, minus infinity elsewhere. Both count from 0,
/// as rows and columns do.
pub fn mask(n_queries: usize, n_keys: usize, sees: impl Fn(usize, usize) -> bool) -> Result<Tensor> {
    let mut values = Vec::with_capacity(n_queries * n_keys);
    for query in 0..n_queries {
        values.extend((0..n_keys).map(|key| if sees(query, key) { 0.0 } else { f32::NEG_INFINITY }));
    }
    Ok(Tensor::from_vec(values, (n_queries, n_keys), &Device::Cpu)?)
}

/// Softmax over the last dimension.
pub fn softmax(scores: &Tensor) -> Result<Tensor> {
    Ok(ops::softmax_last_dim(scores)?)
}

/// Picks the most likely token, and remembers for the checks and the bench what it saw and when.
pub struct Sampler {
    limit: usize,
    started: Instant,
    pub picked: Vec<u32>,
    /// The logits `[V]` of each pick.
    pub logits: Vec<Tensor>,
    /// The time since the pick before; for the first since [`Sampler::new`].
    pub times: Vec<Duration>,
}

impl Sampler {
    /// A sampler that refuses more than `limit` picks, so that a loop without an end has one.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, started: Instant::now(), picked: vec![], logits: vec![], times: vec![] }
    }

    /// The token with the largest of `logits` `[V]`.
    pub fn pick(&mut self, logits: &Tensor) -> Result<u32> {
        ensure!(
            self.picked.len() < self.limit,
            "{} tokens were asked for and the loop picks one more: when does it stop, and does it pick before the whole prompt was \
             run?",
            self.limit
        );
        let token = logits.argmax(0)?.to_scalar::<u32>()?;
        self.picked.push(token);
        self.logits.push(logits.clone());
        let now = Instant::now();
        self.times.push(now - self.started);
        self.started = now;
        Ok(token)
    }
}
