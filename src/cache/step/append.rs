//! New rows: checked, and written with or without asking.
//!
//! A child of the step. No model writes without asking. It is what measures writing by itself, and what fills a cache of 32,768 tokens, over
//! which causal attention is 1.6 TFLOP a layer (12 heads of 64).

use candle_core::Tensor;

use crate::cache::KvShape;

use crate::cache::{CacheError, host::HostRows, memory::Memory};

use super::{Step, host::HeadRows};

impl Step<'_> {
    /// Stores `k` and `v` of one layer, `[T, n_kv_head, head_dim]`, as [`crate::cache::KvAccess::attend`] does before it looks for an answer. To
    /// be called instead of it, once for a layer of a step. No token gets any attention, which policies with scores will hold against it.
    ///
    /// # Errors
    /// Those of `attend`.
    pub fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(), CacheError> {
        if matches!(self.store.memory, Memory::Device(_)) {
            return self.append_on_device(layer, k, v);
        }
        let (k_rows, v_rows) = (self.host_rows("k", k, layer)?, self.host_rows("v", v, layer)?);
        let (keys, values) = (self.head_rows("k", &k_rows, layer)?, self.head_rows("v", &v_rows, layer)?);

        self.copy_shared(layer)?;
        let mut first = 0;
        for index in 0..self.reservation.spans.len() {
            let span = self.reservation.spans[index];
            let mut sealed_for = span.past;
            for part in self.parts[index].clone() {
                let due = self.store.due(span.seq, sealed_for, part.start);
                self.store.seal(span.seq, layer..layer + 1, &due)?;
                sealed_for = part.start;
                self.write(layer, span, part, &keys.from(first), &values.from(first))?;
            }
            first += span.new;
        }
        Ok(())
    }

    /// New keys or values on the host; checks their shape, and that there is such a layer.
    pub(super) fn host_rows<'t>(
        &self,
        name: &'static str,
        rows: &'t Tensor,
        layer: usize,
    ) -> Result<HostRows<'t>, CacheError> {
        let KvShape { n_layer, heads, .. } = self.store.shape;
        if layer >= n_layer {
            return Err(CacheError::NoLayer { layer, n_layer });
        }
        HostRows::new(name, rows, [self.n_new(), heads.n_kv_head, heads.head_dim])
    }

    /// New keys or values as they are to be stored; refuses what is no finite number.
    pub(super) fn head_rows<'r>(
        &self,
        tensor: &'static str,
        rows: &'r HostRows<'_>,
        layer: usize,
    ) -> Result<HeadRows<'r>, CacheError> {
        let (heads, n_new) = (self.store.shape.heads, self.n_new());
        let rows = HeadRows::new((rows, heads.n_kv_head), n_new, heads.head_dim, self.store.spec.rotate)?;
        match (0..n_new).find(|token| !rows.token(*token).iter().all(|x| x.is_finite())) {
            Some(token) => Err(CacheError::NotFinite { tensor, layer, token }),
            None => Ok(rows),
        }
    }
}
