//! Attention without a cache: the keys and values of the whole sequence are computed in every step, read
//! where the projection left them, and forgotten.

use candle_core::Tensor;

use crate::kernels::{
    HeadShape,
    codec::RowShape,
    walk::{Rows, Tile},
};

use super::{CacheError, KvAccess, Probe, SeqId, Span, host::HostRows, step::attend_whole};

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
        let (shape, len) = (RowShape { n_kv_head, head_dim }, self.spans[0].new);
        let expected = [len, n_kv_head, head_dim];
        let (k, v) = (HostRows::new("k", k, expected)?, HostRows::new("v", v, expected)?);
        let keys = Rows::f32(shape, k.data()?, k.token_stride());
        let values = Rows::f32(shape, v.data()?, v.token_stride());
        attend_whole(self.heads, len, Tile { keys, values, first: 0, len }, q, probe)
    }
}
