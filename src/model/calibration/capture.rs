//! The keys and values of every layer, as a forward pass without a cache computes them.

use std::sync::atomic::AtomicBool;

use candle_core::Tensor;

use crate::{
    cache::{CacheError, KvAccess, Probe, Span, Uncached, host::HostRows},
    kernels::{HeadShape, hadamard::rotate},
    model::{Gpt2, ModelError},
};

/// Keys and values of one layer, `[tokens, n_kv_head, head_dim]` each.
pub type LayerRows = (Vec<f32>, Vec<f32>);

/// Runs `ids` in pieces as long as the context and keeps the rows of every layer, rotated as a cache with `+rot` stores them. `progress` is
/// told how many layers have run, over all pieces.
///
/// # Errors
/// Those of a forward pass; [`CacheError::NotFinite`] for rows that a cache would refuse as well.
pub fn capture(
    model: &Gpt2,
    ids: &[u32],
    rotated: bool,
    progress: &mut dyn FnMut(usize),
    cancel: &AtomicBool,
) -> Result<Vec<LayerRows>, ModelError> {
    let (config, heads) = (model.config(), model.config().heads());
    let n_values = ids.len() * heads.n_kv_head * heads.head_dim;
    let rows = || Vec::with_capacity(n_values);
    let layers = (0..config.n_layer).map(|_| (rows(), rows())).collect();
    let mut capture = Capture { uncached: Uncached::new(heads, 0), heads, rotated, layers, done: 0, progress };
    for piece in ids.chunks(config.n_positions) {
        capture.uncached = Uncached::new(heads, piece.len());
        model.hidden(piece, &mut capture, None, cancel)?;
    }
    Ok(capture.layers)
}

/// [`Uncached`], and what went through it.
struct Capture<'a> {
    uncached: Uncached,
    heads: HeadShape,
    rotated: bool,
    layers: Vec<LayerRows>,
    done: usize,
    progress: &'a mut dyn FnMut(usize),
}

impl KvAccess for Capture<'_> {
    fn spans(&self) -> &[Span] {
        self.uncached.spans()
    }

    fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        let (n_tokens, HeadShape { n_kv_head, head_dim, .. }) = (self.uncached.spans()[0].new, self.heads);
        let width = n_kv_head * head_dim;
        let (keys, values) = &mut self.layers[layer];
        for (name, tensor, kept) in [("k", k, keys), ("v", v, values)] {
            let rows = HostRows::new(name, tensor, [n_tokens, n_kv_head, head_dim])?;
            let (data, start) = (rows.data()?, kept.len());
            for token in 0..n_tokens {
                kept.extend_from_slice(&data[token * rows.token_stride()..][..width]);
            }
            if self.rotated {
                rotate(&mut kept[start..], head_dim);
            }
            let broken = kept[start..].chunks_exact(width).position(|row| !row.iter().all(|x| x.is_finite()));
            if let Some(token) = broken {
                return Err(CacheError::NotFinite { tensor: name, layer, token });
            }
        }
        self.done += 1;
        (self.progress)(self.done);
        self.uncached.attend(layer, q, k, v, probe)
    }
}
