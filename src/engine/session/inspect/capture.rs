//! Queries, keys and values of one head of one layer, on their way through a forward pass.

use candle_core::Tensor;

use crate::cache::{CacheError, HeadShape, KvAccess, Probe, Span, host::HostRows};

/// Hands everything on to another access, and keeps what goes through it in one place.
pub struct Capture<'a> {
    inner: &'a mut dyn KvAccess,
    heads: HeadShape,
    layer: usize,
    head: usize,
    /// The newest token's query, `[head_dim]`.
    pub query: Vec<f32>,
    /// Of every token of the pass, `[T, head_dim]`.
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

impl<'a> Capture<'a> {
    /// `head` is a query head; keys and values are those that it reads.
    pub fn new(inner: &'a mut dyn KvAccess, heads: HeadShape, layer: usize, head: usize) -> Self {
        Self { inner, heads, layer, head, query: vec![], keys: vec![], values: vec![] }
    }

    fn keep(&mut self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<(), CacheError> {
        let HeadShape { n_head, n_kv_head, head_dim } = self.heads;
        let kv_head = self.heads.kv_head(self.head);
        let queries = head_rows("q", q, (n_head, self.head), head_dim)?;
        self.query = queries[queries.len().saturating_sub(head_dim)..].to_vec();
        self.keys = head_rows("k", k, (n_kv_head, kv_head), head_dim)?;
        self.values = head_rows("v", v, (n_kv_head, kv_head), head_dim)?;
        Ok(())
    }
}

/// One of `n` heads of every token: `[T, n, head_dim]` -> `[T, head_dim]`.
fn head_rows(
    name: &'static str,
    tensor: &Tensor,
    (n, head): (usize, usize),
    head_dim: usize,
) -> Result<Vec<f32>, CacheError> {
    let n_tokens = tensor.dims().first().copied().unwrap_or(0);
    let rows = HostRows::new(name, tensor, [n_tokens, n, head_dim])?;
    let (data, stride) = (rows.data()?, rows.token_stride());
    Ok((0..n_tokens).flat_map(|token| &data[token * stride + head * head_dim..][..head_dim]).copied().collect())
}

impl KvAccess for Capture<'_> {
    fn spans(&self) -> &[Span] {
        self.inner.spans()
    }

    fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        if layer == self.layer {
            self.keep(q, k, v)?;
        }
        self.inner.attend(layer, q, k, v, probe)
    }
}
