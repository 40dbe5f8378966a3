//! Reference arms: candle-nn's own caches, and attention of candle's own operations, in the place of a store.
//!
//! `candle:concat` is `candle_nn::kv_cache::ConcatKvCache`, a new tensor every token; `candle:kv` is `KvCache`, one buffer that is written in
//! place. Both hold `[B, H, T, D]`, and attention is what a plain candle model has: scores, softmax, weighted sum. They settle an open dispute
//! (`docs/benchmarks.md`) and are not lanes of the lab: all sequences of a batch have the same length, and nothing can be forked.

use std::{fmt, str::FromStr};

use candle_core::{D, DType, Device, Tensor};
use candle_nn::kv_cache::{ConcatKvCache, KvCache};

use crate::cache::{CacheError, Format, KvAccess, KvShape, Probe, SeqId, Span};

/// Which of candle-nn's caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CandleCache {
    Concat,
    Preallocated,
}

impl fmt::Display for CandleCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Concat => "candle:concat",
            Self::Preallocated => "candle:kv",
        })
    }
}

impl FromStr for CandleCache {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Concat, Self::Preallocated].into_iter().find(|cache| cache.to_string() == text).ok_or(())
    }
}

#[derive(Clone, Debug)]
enum Layer {
    Concat(ConcatKvCache),
    Preallocated(KvCache),
}

impl Layer {
    /// Appends `[B, H, T, D]` and returns everything.
    fn append(&mut self, k: &Tensor, v: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        match self {
            Self::Concat(cache) => cache.append(k, v),
            Self::Preallocated(cache) => cache.append(k, v),
        }
    }
}

/// The place where attention runs along in `[B, H, T, D]`.
const TOKENS: usize = 2;

/// A batch of equally long sequences in candle's caches, one per layer.
#[derive(Clone, Debug)]
pub struct CandleKv {
    shape: KvShape,
    layers: Vec<Layer>,
    spans: Vec<Span>,
    /// `[T, past + T]` of the current step, made by its first layer.
    mask: Option<Tensor>,
}

impl CandleKv {
    #[must_use]
    pub fn new(cache: CandleCache, shape: KvShape, batch: usize) -> Self {
        let layer = match cache {
            CandleCache::Concat => Layer::Concat(ConcatKvCache::new(TOKENS)),
            CandleCache::Preallocated => Layer::Preallocated(KvCache::new(TOKENS, shape.max_seq_len)),
        };
        let span = Span { seq: SeqId::ALONE, past: 0, new: 0 };
        Self { shape, layers: vec![layer; shape.n_layer], spans: vec![span; batch], mask: None }
    }

    /// The next step adds `new` tokens to each sequence.
    pub fn begin(&mut self, new: usize) {
        for span in &mut self.spans {
            (span.past, span.new) = (span.past + span.new, new);
        }
        self.mask = None;
    }

    /// Stores `[B * T, H, D]` without attending.
    ///
    /// # Errors
    /// candle's.
    pub fn fill(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(), CacheError> {
        let (k, v) = (self.by_head(k)?, self.by_head(v)?);
        let n_layer = self.layers.len();
        self.layers.get_mut(layer).ok_or(CacheError::NoLayer { layer, n_layer })?.append(&k, &v)?;
        Ok(())
    }

    /// `[B * T, H, D]` -> `[B, H, T, D]`, a copy where T is not 1.
    fn by_head(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        let (n_rows, heads, head_dim) = rows.dims3()?;
        let batch = self.spans.len();
        rows.reshape((batch, n_rows / batch, heads, head_dim))?.transpose(1, 2)?.contiguous()
    }

    /// Keys and values of the tokens that are cached, f32.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        let tokens: usize = self.spans.iter().map(|span| span.past + span.new).sum();
        tokens as u64 * self.shape.formula_bytes_per_token(Format::F32)
    }

    /// What the buffers take: all of the context where they are preallocated.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        let row_bytes = self.shape.formula_bytes_per_token(Format::F32);
        match self.layers.first() {
            Some(Layer::Preallocated(_)) => (self.spans.len() * self.shape.max_seq_len) as u64 * row_bytes,
            _ => self.used_bytes(),
        }
    }
}

impl KvAccess for CandleKv {
    fn spans(&self) -> &[Span] {
        &self.spans
    }

    fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        let (n_rows, heads, head_dim) = q.dims3()?;
        let (q, k, v) = (self.by_head(q)?, self.by_head(k)?, self.by_head(v)?);
        let n_layer = self.layers.len();
        let (k, v) = self.layers.get_mut(layer).ok_or(CacheError::NoLayer { layer, n_layer })?.append(&k, &v)?;
        #[expect(clippy::cast_precision_loss, reason = "a head has a few hundred elements")]
        let scale = 1.0 / (self.shape.heads.head_dim as f64).sqrt();
        let mut scores = (q.matmul(&k.transpose(TOKENS, 3)?)? * scale)?; // [B, H, T, D] x [B, H, D, past + T]
        if self.spans[0].new > 1 {
            let mask = match self.mask.take() {
                Some(mask) => mask,
                None => causal(self.spans[0], q.device())?,
            };
            scores = scores.broadcast_add(&mask)?;
            self.mask = Some(mask);
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        let attended = weights.matmul(&v)?; // [B, H, T, past + T] x [B, H, past + T, D]
        // [B, H, T, D] -> [B * T, H, D], a copy where T is not 1
        Ok(attended.transpose(1, 2)?.contiguous()?.reshape((n_rows, heads, head_dim))?)
    }
}

/// What a query must not see gets minus infinity, `[T, past + T]`.
fn causal(span: Span, device: &Device) -> candle_core::Result<Tensor> {
    let Span { past, new, .. } = span;
    let visible = |query: usize| move |key: usize| if key <= past + query { 0.0_f32 } else { f32::NEG_INFINITY };
    let mask: Vec<f32> = (0..new).flat_map(|query| (0..past + new).map(visible(query))).collect();
    Tensor::from_vec(mask, (new, past + new), device)?.to_dtype(DType::F32)
}

/// The likeliest token of each row of logits.
///
/// # Errors
/// candle's.
pub fn likeliest(logits: &Tensor) -> candle_core::Result<Vec<u32>> {
    logits.argmax(D::Minus1)?.to_vec1()
}
