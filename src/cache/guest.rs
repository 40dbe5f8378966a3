//! A cache that is not ours: one that a learner writes in a lab. The model runs over it as over any other.

use candle_core::Tensor;

use super::{CacheError, HeadShape, KvAccess, Probe, SeqId, Span, host::HostRows};

/// Keys and values of one sequence, kept in whatever way. Rows are dense f32, token after token: `[T, heads, head_dim]`.
pub trait GuestCache: Send {
    /// Puts the keys and values `[T, n_kv_head, head_dim]` of new tokens behind those of `layer`.
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]);

    /// Attention of the newest tokens, those of the last [`GuestCache::append`] to `layer`, over all that the cache has of it: `q` and
    /// the result are `[T, n_head, head_dim]`. A query sees no token behind its own.
    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32>;

    fn bytes(&self) -> GuestBytes;
}

/// What a guest says that it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestBytes {
    /// Allocated.
    pub reserved_bytes: u64,
    /// Of those, with a token's keys and values in them.
    pub used_bytes: u64,
    /// Moved from one place to another since the cache was made.
    pub copied_bytes: u64,
}

/// One step of a model over a guest's cache: `new` tokens behind `past`.
pub struct GuestStep<'a> {
    cache: &'a mut dyn GuestCache,
    heads: HeadShape,
    spans: [Span; 1],
}

impl<'a> GuestStep<'a> {
    pub fn new(cache: &'a mut dyn GuestCache, heads: HeadShape, past: usize, new: usize) -> Self {
        Self { cache, heads, spans: [Span { seq: SeqId::ALONE, past, new }] }
    }
}

impl KvAccess for GuestStep<'_> {
    fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// A guest tells no weights: a `probe` stays empty.
    fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        let HeadShape { n_head, n_kv_head, head_dim } = self.heads;
        let new = self.spans[0].new;
        let k = dense("k", k, [new, n_kv_head, head_dim])?;
        let v = dense("v", v, [new, n_kv_head, head_dim])?;
        let rows = dense("q", q, [new, n_head, head_dim])?;
        self.cache.append(layer, &k, &v);
        let attended = self.cache.attend(layer, &rows);
        if attended.len() != rows.len() {
            return Err(CacheError::Guest { layer, expected: rows.len(), actual: attended.len() });
        }
        Ok(Tensor::from_vec(attended, (new, n_head, head_dim), q.device())?)
    }
}

/// The rows of a tensor, one directly behind the other.
fn dense(name: &'static str, tensor: &Tensor, shape: [usize; 3]) -> Result<Vec<f32>, CacheError> {
    let rows = HostRows::new(name, tensor, shape)?;
    let (data, stride, width) = (rows.data()?, rows.token_stride(), shape[1] * shape[2]);
    Ok((0..shape[0]).flat_map(|token| &data[token * stride..][..width]).copied().collect())
}
