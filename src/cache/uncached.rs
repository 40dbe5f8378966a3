//! Attention without a cache: the keys and values of the whole sequence are computed in every step, read
//! where the projection left them, and forgotten.

use candle_core::Tensor;

use crate::kernels::{
    HeadShape,
    walk::{Rows, Tile},
};

use super::{CacheError, Format, KvAccess, Probe, SeqId, Span, host::HostRows, step::attend_spans};

/// One sequence, computed whole.
pub struct Uncached {
    heads: HeadShape,
    spans: [Span; 1],
}

impl Uncached {
    /// `seq_len` tokens, the prompt and everything generated so far.
    #[must_use]
    pub fn new(heads: HeadShape, seq_len: usize) -> Self {
        Self { heads, spans: [Span { seq: SeqId::ALONE, past: 0, new: seq_len }] }
    }
}

impl KvAccess for Uncached {
    fn spans(&self) -> &[Span] {
        &self.spans
    }

    fn attend(
        &mut self,
        _layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        let HeadShape { n_kv_head, head_dim, .. } = self.heads;
        let expected = [self.spans[0].new, n_kv_head, head_dim];
        let (k, v) = (HostRows::new("k", k, expected)?, HostRows::new("v", v, expected)?);
        let tile = Tile { keys: rows(&k)?, values: rows(&v)?, len: self.spans[0].new };
        attend_spans(self.heads, Format::F32, &self.spans, &[vec![tile]], q, probe)
    }
}

fn rows<'a>(rows: &'a HostRows<'_>) -> Result<Rows<'a>, CacheError> {
    Ok(Rows {
        codes: bytemuck::cast_slice(rows.data()?),
        token_stride: rows.token_stride() * size_of::<f32>(),
        scales: &[],
    })
}
