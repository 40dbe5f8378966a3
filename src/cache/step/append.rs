//! Writing without asking.
//!
//! A child of the step. No model does this. It is what measures writing by itself, and what fills a cache of 32,768 tokens, over
//! which causal attention is 1.6 TFLOP a layer (12 heads of 64).

use candle_core::Tensor;

use crate::{cache::KvShape, kernels::HeadShape};

use super::{CacheError, HeadRows, HostRows, Step, check_finite};

impl Step<'_> {
    /// Stores `k` and `v` of one layer, `[T, n_kv_head, head_dim]`, as [`crate::cache::KvAccess::attend`] does before it looks for an answer. To
    /// be called instead of it, once for a layer of a step. No token gets any attention, which policies with scores will hold against it.
    ///
    /// # Errors
    /// Those of `attend`.
    pub fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(), CacheError> {
        let KvShape { n_layer, heads: HeadShape { n_kv_head, head_dim, .. }, .. } = self.store.shape;
        if layer >= n_layer {
            return Err(CacheError::NoLayer { layer, n_layer });
        }
        let (n_new, rotated) = (self.n_new(), self.store.spec.rotate);
        let shape = [n_new, n_kv_head, head_dim];
        let (k_rows, v_rows) = (HostRows::new("k", k, shape)?, HostRows::new("v", v, shape)?);
        let of = |rows| HeadRows::new((rows, n_kv_head), n_new, head_dim, rotated);
        let (keys, values) = (of(&k_rows)?, of(&v_rows)?);
        check_finite(layer, n_new, [("k", &keys), ("v", &values)])?;

        self.copy_shared(layer);
        let mut first = 0;
        for index in 0..self.reservation.spans.len() {
            let span = self.reservation.spans[index];
            let mut sealed_for = span.past;
            for part in self.parts[index].clone() {
                self.store.seal(span.seq, layer, sealed_for, part.start);
                sealed_for = part.start;
                self.write(layer, span, part, &keys.from(first), &values.from(first))?;
            }
            first += span.new;
        }
        Ok(())
    }
}
