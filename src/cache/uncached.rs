//! Attention without a cache: the keys and values of the whole sequence are computed in every step, read
//! where the projection left them, and forgotten.

use candle_core::Tensor;

use crate::gpu::{self, Asking, Gpu, Kernels, LayerView, Lists, Queries, Uploaded};
use crate::kernels::{
    HeadShape,
    codec::{Codec, RowShape},
    walk::{Rows, Tile},
};

use super::{
    CacheError, KvAccess, Probe, SeqId, Span,
    host::HostRows,
    step::{attend_whole, check_shape},
};

/// One sequence, computed whole.
pub struct Uncached {
    heads: HeadShape,
    spans: [Span; 1],
    device: Option<OnDevice>,
}

/// What every layer's attention needs on a GPU.
struct OnDevice {
    kernels: Kernels,
    /// Rows that lie between two tokens of a projection, for which the lists are made.
    stride: usize,
    lists: Uploaded,
    queries: Queries,
    scratch: Option<gpu::Memory>,
}

impl Uncached {
    /// `seq_len` tokens, the prompt and everything generated so far.
    #[must_use]
    pub fn new(heads: HeadShape, seq_len: usize) -> Self {
        Self { heads, spans: [Span { seq: SeqId::ALONE, past: 0, new: seq_len }], device: None }
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
        if let Some(gpu) = Gpu::of(q.device())? {
            return self.attend_on_device(&gpu, q, (k, v), probe);
        }
        let (k, v) = (HostRows::new("k", k, expected)?, HostRows::new("v", v, expected)?);
        let keys = Rows::f32(shape, k.data()?, k.token_stride());
        let values = Rows::f32(shape, v.data()?, v.token_stride());
        attend_whole(self.heads, len, Tile { keys, values, first: 0, len }, q, probe)
    }
}

impl Uncached {
    /// Keys and values are read where the projection left them: a plane in which a token is every so many rows.
    fn attend_on_device(
        &mut self,
        gpu: &Gpu,
        q: &Tensor,
        (k, v): (&Tensor, &Tensor),
        probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        let (HeadShape { n_head, n_kv_head, head_dim }, len) = (self.heads, self.spans[0].new);
        check_shape("q", q, [len, n_head, head_dim])?;
        check_shape("k", k, [len, n_kv_head, head_dim])?;
        check_shape("v", v, [len, n_kv_head, head_dim])?;
        let (mut k, mut v) = (gpu.rows(k, false)?, gpu.rows(v, false)?);
        if k.plane_stride().is_none() || k.plane_stride() != v.plane_stride() {
            let alone = |rows: gpu::TensorRows| gpu.rows(&rows.into_tensor().contiguous()?, false);
            (k, v) = (alone(k)?, alone(v)?);
        }
        let (Some(stride), Some(keys), Some(values)) = (k.plane_stride(), k.as_plane(), v.as_plane()) else {
            return Err(CacheError::Shape("keys and values do not lie as a plane".into()));
        };
        if self.device.as_ref().is_none_or(|device| device.stride != stride) {
            let kernels = Kernels::new(gpu.clone(), (Codec::F32, Codec::F32), self.heads).map_err(CacheError::Shape)?;
            let mut lists = Lists::default();
            let rows = lists.rows((0..len).map(|token| u32::try_from(token * stride).unwrap_or(u32::MAX)));
            let queries = lists.queries((1..=len).map(|n_visible| (rows, n_visible)));
            let lists = Uploaded::new(gpu, &lists)?;
            self.device = Some(OnDevice { kernels, stride, lists, queries, scratch: None });
        }
        let Some(OnDevice { kernels, lists, queries, scratch, .. }) = &mut self.device else {
            return Err(CacheError::Shape("no GPU".into()));
        };
        let (q, out) = (gpu.rows(q, false)?, kernels.results(len)?);
        let layer = LayerView { keys, values, exact: None };
        let asking = Asking { q: &q, out: &out, first_token: 0, lists, queries: *queries };
        let Some(probe) = probe else {
            kernels.attend(&layer, &asking, None, scratch)?;
            return Ok(out.into_tensor());
        };
        let mut weights = kernels.weights(len, len)?;
        kernels.attend(&layer, &asking, Some(&mut weights), scratch)?;
        let weights = weights.download()?;
        // [T, H, T] -> [H, T, T], a copy: pictures are drawn per head.
        let by_head = |head| weights.chunks_exact(len).skip(head).step_by(n_head).flatten().copied();
        probe.spans = vec![(0..n_head).flat_map(by_head).collect()];
        Ok(out.into_tensor())
    }
}
