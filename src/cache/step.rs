//! A forward pass over a store: write, attend, commit, or leave no trace.

use candle_core::{Device, Tensor};

use crate::kernels::{
    HeadShape,
    rows::{F32Rows, Int8Rows},
    walk::{Queries, Tile, walk},
};

use super::{CacheError, Format, KvAccess, KvStore, Probe, Span, blocks::Reservation, host::HostRows};

/// A reserved forward pass. Dropped without [`Step::commit`], it undoes its reservation.
pub struct Step<'a> {
    store: &'a mut KvStore,
    reservation: Reservation,
    committed: bool,
    copied_bytes_before: u64,
}

impl<'a> Step<'a> {
    pub(super) fn new(store: &'a mut KvStore, reservation: Reservation) -> Self {
        let copied_bytes_before = store.copied_bytes;
        Self { store, reservation, committed: false, copied_bytes_before }
    }

    /// The new tokens are now part of their sequences. Nothing is evicted before the `end_of_prompt`, so that a prompt
    /// attends to all of itself, in chunks or not; every decoded token is the end of one.
    pub fn commit(mut self, _end_of_prompt: bool) {
        self.store.tables.commit(&self.reservation);
        self.committed = true;
    }

    /// Undoes the step as dropping it does, and takes its copies out of the count as well: for a rehearsal, which no figure
    /// is to show.
    pub fn forget(self) {
        self.store.copied_bytes = self.copied_bytes_before;
    }

    /// Stores the new tokens of one layer: `k`, `v` are `[T, n_kv_head, head_dim]`, `T` the tokens of all
    /// spans, possibly views with a token stride.
    fn write(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(), CacheError> {
        let HeadShape { n_kv_head, head_dim, .. } = self.store.shape.heads;
        let expected = [self.n_new(), n_kv_head, head_dim];
        let (k, v) = (HostRows::new("k", k, expected)?, HostRows::new("v", v, expected)?);
        let (k_data, v_data, width) = (k.data()?, v.data()?, n_kv_head * head_dim);
        let store = &mut *self.store;
        let row = store.row;
        let block_len = store.tables.block_len();
        if let Some(planes) = store.pool.get_mut(layer) {
            for copy in &self.reservation.copies {
                let (from, to) = (copy.from as usize * block_len, copy.to as usize * block_len);
                store.copied_bytes += planes.copy(row, from, to, copy.rows);
            }
        }
        let mut token = 0;
        for span in &self.reservation.spans {
            let slot = store.tables.slot(span.seq)?;
            if let Some(layers) = store.grown.get_mut(slot) {
                let n_rows = span.past + span.new;
                layers[layer] = layers[layer].regrown(row, span.past, n_rows);
                store.copied_bytes += 2 * (n_rows * row.total()) as u64;
            }
            for position in span.past..span.past + span.new {
                let k = &k_data[token * k.token_stride()..][..width];
                let v = &v_data[token * v.token_stride()..][..width];
                if let Some(layers) = store.grown.get_mut(slot) {
                    layers[layer].write(row, position, k, v);
                } else {
                    let block = store.tables.table(span.seq)?[position / block_len] as usize;
                    store.pool[layer].write(row, block * block_len + position % block_len, k, v);
                }
                token += 1;
            }
        }
        Ok(())
    }

    fn n_new(&self) -> usize {
        self.reservation.spans.iter().map(|span| span.new).sum()
    }
}

impl KvAccess for Step<'_> {
    fn spans(&self) -> &[Span] {
        &self.reservation.spans
    }

    fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        self.write(layer, k, v)?;
        let (heads, format) = (self.store.shape.heads, self.store.spec.format);
        let tiles = self
            .reservation
            .spans
            .iter()
            .map(|span| self.store.tiles(span.seq, layer, span.past + span.new))
            .collect::<Result<Vec<_>, _>>()?;
        attend_spans(heads, format, &self.reservation.spans, &tiles, q, probe)
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        self.store.tables.roll_back(&self.reservation);
        // A concat buffer that already grew goes back to what the sequence holds.
        for span in &self.reservation.spans {
            let Ok(slot) = self.store.tables.slot(span.seq) else { continue };
            for planes in self.store.grown.get_mut(slot).into_iter().flatten() {
                *planes = planes.regrown(self.store.row, span.past, span.past);
            }
        }
    }
}

/// The walk over every span of a step: `q` `[T, n_head, head_dim]` in, the same shape out.
pub(super) fn attend_spans(
    heads: HeadShape,
    format: Format,
    spans: &[Span],
    tiles: &[Vec<Tile<'_>>],
    q: &Tensor,
    mut probe: Option<&mut Probe>,
) -> Result<Tensor, CacheError> {
    let HeadShape { n_head, head_dim, .. } = heads;
    let n_new: usize = spans.iter().map(|span| span.new).sum();
    let shape = [n_new, n_head, head_dim];
    let rows = HostRows::new("q", q, shape)?;
    let mut out = vec![0.0_f32; n_new * n_head * head_dim];
    let (mut data, mut rest) = (rows.data()?, out.as_mut_slice());
    if let Some(probe) = probe.as_deref_mut() {
        probe.spans.clear();
    }
    for (span, tiles) in spans.iter().zip(tiles) {
        let queries = Queries { data, token_stride: rows.token_stride(), len: span.new };
        let (out, tail) = rest.split_at_mut(span.new * n_head * head_dim);
        let mut weights = probe.is_some().then(|| vec![0.0; span.new * n_head * (span.past + span.new)]);
        match format {
            Format::Int8 => walk::<Int8Rows>(heads, queries, tiles, out, weights.as_deref_mut()),
            _ => walk::<F32Rows>(heads, queries, tiles, out, weights.as_deref_mut()),
        }
        if let (Some(probe), Some(weights)) = (probe.as_deref_mut(), weights) {
            probe.spans.push(by_head(&weights, span.new, n_head));
        }
        rest = tail;
        data = data.get(span.new * rows.token_stride()..).unwrap_or_default();
    }
    Ok(Tensor::from_vec(out, &shape, &Device::Cpu)?.to_device(q.device())?)
}

/// `[T, n_head, n]` -> `[n_head, T, n]`, a copy: pictures are drawn per head.
fn by_head(weights: &[f32], n_queries: usize, n_head: usize) -> Vec<f32> {
    let n = weights.len() / (n_queries * n_head);
    let mut out = Vec::with_capacity(weights.len());
    for head in 0..n_head {
        for query in 0..n_queries {
            out.extend_from_slice(&weights[(query * n_head + head) * n..][..n]);
        }
    }
    out
}
