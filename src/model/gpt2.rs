//! GPT-2 in one file (Radford et al. 2019), on candle.
//!
//! Conventions: `T` new tokens of all sequences of the step, flattened; `E` `n_embd`; `H` heads; `D`
//! `head_dim`; `V` vocabulary. Weights keep Hugging Face's names and layout: linear weights are `[in, out]`
//! (`Conv1D`), the head is the token embedding. The model does not know which cache it runs with: it hands
//! q, k and v of each layer to a [`KvAccess`] and gets the attended values back.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};

use crate::cache::{KvAccess, Probe};

use super::{
    Config, ModelError, WeightType,
    layers::{Linear, Norm, Then, Vocabulary},
    matrix::Memory,
    weights::Weights,
};

/// Which rows of logits a forward pass computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// One row per sequence, of its newest token.
    Last,
    /// One row per token. Large: 1,000 tokens of GPT-2 are 201 MB.
    All,
}

/// Asks a forward pass for the attention weights of some layers.
#[derive(Debug, Default)]
pub struct AttentionProbe {
    /// Layers to watch, and what was seen there in the last forward pass.
    pub layers: Vec<(usize, Probe)>,
}

struct Block {
    ln_1: Norm,
    attn_c_attn: Linear,
    attn_c_proj: Linear,
    ln_2: Norm,
    mlp_c_fc: Linear,
    mlp_c_proj: Linear,
}

impl Block {
    /// Where its weights are; `None` if that is not in host memory.
    fn memory(&self) -> Option<Vec<Memory<'_>>> {
        let linears = [&self.attn_c_attn, &self.attn_c_proj, &self.mlp_c_fc, &self.mlp_c_proj];
        let all = linears.map(Linear::memory).into_iter().chain([self.ln_1.memory(), self.ln_2.memory()]);
        Some(all.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

/// A loaded model. It holds no state of a generation; many lanes share one.
pub struct Gpt2 {
    config: Config,
    device: Device,
    weights: WeightType,
    /// The head is `wte`, turned.
    wte: Vocabulary,
    wpe: Tensor,
    blocks: Vec<Block>,
    ln_f: Norm,
}

/// The weights that a decoded token multiplies, in host memory, as long as this lives.
pub struct WeightMemory<'a>(Vec<Memory<'a>>);

impl WeightMemory<'_> {
    /// Each once.
    #[must_use]
    pub fn buffers(&self) -> Vec<&[u8]> {
        self.0.iter().map(Memory::bytes).collect()
    }
}

impl Gpt2 {
    /// Reads the weights one by one and keeps the matrices as `types`; `progress(done, all)` after each tensor, before which
    /// `cancel` is looked at.
    ///
    /// # Errors
    /// [`ModelError`] of the weights, or candle's.
    pub fn load(
        config: Config,
        weights: &mut Weights,
        device: &Device,
        types: WeightType,
        progress: &mut dyn FnMut(usize, usize),
        cancel: &AtomicBool,
    ) -> Result<Self, ModelError> {
        let all = config.tensors();
        let n_all = all.len();
        let mut tensors = all.into_iter().enumerate();
        // In the order of `Config::tensors`, which is the order below.
        let mut next = || -> Result<Tensor, ModelError> {
            let (i, (name, shape)) = tensors.next().ok_or(ModelError::NoTokens)?;
            if cancel.load(Ordering::Relaxed) {
                return Err(ModelError::Cancelled);
            }
            let tensor = weights.tensor(&name, &shape, device)?;
            progress(i + 1, n_all);
            Ok(tensor)
        };
        let (embeddings, wpe) = (next()?, next()?);
        let wte = Vocabulary::new(&embeddings, types)?;
        drop(embeddings);
        let eps = config.layer_norm_epsilon;
        let mut blocks = Vec::with_capacity(config.n_layer);
        for _ in 0..config.n_layer {
            blocks.push(Block {
                ln_1: Norm::new(next()?, next()?, eps)?,
                attn_c_attn: Linear::new(&next()?, next()?, types)?,
                attn_c_proj: Linear::new(&next()?, next()?, types)?,
                ln_2: Norm::new(next()?, next()?, eps)?,
                mlp_c_fc: Linear::new(&next()?, next()?, types)?,
                mlp_c_proj: Linear::new(&next()?, next()?, types)?,
            });
        }
        let ln_f = Norm::new(next()?, next()?, eps)?;
        Ok(Self { config, device: device.clone(), weights: types, wte, wpe, blocks, ln_f })
    }

    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How its matrices are kept.
    #[must_use]
    pub fn weights(&self) -> WeightType {
        self.weights
    }

    /// What a decoded token reads of the model, each buffer once; `None` where that is not in host memory.
    #[must_use]
    pub fn weight_memory(&self) -> Option<WeightMemory<'_>> {
        let all = self.blocks.iter().map(Block::memory).chain([self.ln_f.memory(), self.wte.memory()]);
        Some(WeightMemory(all.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect()))
    }

    /// One forward pass over the new tokens of the step behind `kv`: `tokens` `[T]`, the spans one after the
    /// other. Returns logits, `[spans, V]` or `[T, V]`. `cancel` is looked at between layers.
    ///
    /// # Errors
    /// [`ModelError::Cancelled`], [`ModelError::TokenPastVocabulary`], [`ModelError::Cache`]. The step is
    /// then simply dropped.
    pub fn forward(
        &self,
        tokens: &[u32],
        kv: &mut dyn KvAccess,
        probe: Option<&mut AttentionProbe>,
        logits: Logits,
        cancel: &AtomicBool,
    ) -> Result<Tensor, ModelError> {
        let x = self.hidden(tokens, kv, probe, cancel)?;
        let x = match logits {
            Logits::All => x,
            Logits::Last => x.index_select(&self.last_rows(kv)?, 0)?, // [T, E] -> [spans, E]
        };
        self.head(&x)
    }

    /// Logits `[rows, V]` of hidden states `[rows, E]`: the final norm, and the product with the token embeddings. Of the states
    /// between two layers it gives what the model would say if it ended there (the "logit lens": nostalgebraist, 2020).
    ///
    /// # Errors
    /// candle's
    pub fn head(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.wte.logits(&self.ln_f.forward(x)?)?) // [rows, E] x [E, V] -> [rows, V]
    }

    /// [`Gpt2::forward`] without its head: what the chunks of a prefill before the last are run for, their keys and
    /// values. Returns the last hidden state `[T, E]`.
    ///
    /// # Errors
    /// Those of [`Gpt2::forward`].
    pub fn hidden(
        &self,
        tokens: &[u32],
        kv: &mut dyn KvAccess,
        probe: Option<&mut AttentionProbe>,
        cancel: &AtomicBool,
    ) -> Result<Tensor, ModelError> {
        self.layers(tokens, kv, probe, self.blocks.len(), &mut |_, _| Ok(()), cancel)
    }

    /// The first `n_layers` layers of [`Gpt2::hidden`]; `seen` is told of each the hidden states that leave it, `[T, E]`.
    ///
    /// # Errors
    /// Those of [`Gpt2::forward`] and of `seen`.
    pub fn layers(
        &self,
        tokens: &[u32],
        kv: &mut dyn KvAccess,
        mut probe: Option<&mut AttentionProbe>,
        n_layers: usize,
        seen: &mut dyn FnMut(usize, &Tensor) -> Result<(), ModelError>,
        cancel: &AtomicBool,
    ) -> Result<Tensor, ModelError> {
        let positions = self.positions(tokens, kv)?;
        let positions = Tensor::new(positions, &self.device)?; // [T]

        let embedded = self.wte.embed(tokens, &self.device)?;
        let mut x = (embedded + self.wpe.index_select(&positions, 0)?)?; // [T, E]
        for (layer, block) in self.blocks.iter().enumerate().take(n_layers) {
            if cancel.load(Ordering::Relaxed) {
                return Err(ModelError::Cancelled);
            }
            let wanted = probe.as_deref_mut().and_then(|p| p.layers.iter_mut().find(|(l, _)| *l == layer));
            x = self.block(block, layer, &x, kv, wanted.map(|(_, probe)| probe))?;
            seen(layer, &x)?;
        }
        Ok(x)
    }

    fn block(
        &self,
        block: &Block,
        layer: usize,
        x: &Tensor,
        kv: &mut dyn KvAccess,
        probe: Option<&mut Probe>,
    ) -> Result<Tensor, ModelError> {
        let (n_tokens, n_embd) = x.dims2()?;
        let (n_head, head_dim) = (self.config.n_head, self.config.head_dim());

        let qkv = block.attn_c_attn.forward(&block.ln_1.forward(x)?, None)?; // [T, 3E]
        let qkv = qkv.reshape((n_tokens, 3, n_head, head_dim))?; // [T, 3E] -> [T, 3, H, D], a view
        let [q, k, v] = [0, 1, 2].map(|part| qkv.narrow(1, part, 1).and_then(|part| part.squeeze(1))); // views [T, H, D]
        let attended = kv.attend(layer, &q?, &k?, &v?, probe)?; // [T, H, D]
        let attended = attended.reshape((n_tokens, n_embd))?; // [T, H, D] -> [T, E], a view
        let x = block.attn_c_proj.forward(&attended, Some(Then::Add(x)))?;

        let hidden = block.mlp_c_fc.forward(&block.ln_2.forward(&x)?, Some(Then::Gelu))?; // [T, 4E]
        Ok(block.mlp_c_proj.forward(&hidden, Some(Then::Add(&x)))?)
    }

    /// The position of every token of the step: a cached token's position is where it stands in its
    /// sequence, not in the step.
    fn positions(&self, tokens: &[u32], kv: &dyn KvAccess) -> Result<Vec<u32>, ModelError> {
        let vocab_size = self.config.vocab_size;
        if let Some(&id) = tokens.iter().find(|id| **id as usize >= vocab_size) {
            return Err(ModelError::TokenPastVocabulary { id, vocab_size });
        }
        let mut positions = Vec::with_capacity(tokens.len());
        for span in kv.spans() {
            let end = span.past + span.new;
            if end > self.config.n_positions {
                return Err(crate::cache::CacheError::ContextFull {
                    tokens: end,
                    max_seq_len: self.config.n_positions,
                }
                .into());
            }
            positions.extend((span.past..end).map(|p| u32::try_from(p).unwrap_or(u32::MAX)));
        }
        if positions.is_empty() || positions.len() != tokens.len() {
            return Err(ModelError::NoTokens);
        }
        Ok(positions)
    }

    /// Row of the last token of each span.
    fn last_rows(&self, kv: &dyn KvAccess) -> Result<Tensor, ModelError> {
        let mut end = 0;
        let rows: Vec<u32> = kv
            .spans()
            .iter()
            .map(|span| {
                end += span.new;
                u32::try_from(end - 1).unwrap_or(u32::MAX)
            })
            .collect();
        Ok(Tensor::new(rows, &self.device)?)
    }
}
