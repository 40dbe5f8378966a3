//! A forward pass over a store: write, attend, commit, or leave no trace.

mod append;

use std::borrow::Cow;

use candle_core::{Device, Tensor};

use crate::kernels::{
    HeadShape,
    hadamard::rotate,
    walk::{Queries, Sequence, Tile, walk},
};

use super::{
    CacheError, KvAccess, KvStore, Probe, Span,
    blocks::{Reservation, RowRun},
    host::HostRows,
    live::{LiveTokens, Positions},
    planes::LayerPlanes,
};

/// Queries of one walk where weights are summed into scores: a longer prompt would hold all of its weights at once.
const SCORED_QUERIES: usize = 64;

/// A reserved forward pass. Dropped without [`Step::commit`], it undoes its reservation.
pub struct Step<'a> {
    store: &'a mut KvStore,
    reservation: Reservation,
    committed: bool,
    copied_bytes_before: u64,
    /// For each span, in which its queries are worked off; see [`Step::parts`].
    parts: Vec<Vec<Positions>>,
    /// For each span, the attention that each token got in this step; only where a policy asks for it.
    scores: Vec<Vec<f64>>,
    /// For each span, the ring as it was, layer by layer; only where the step may overwrite tokens of earlier steps.
    rings: Vec<Vec<LayerPlanes>>,
}

impl<'a> Step<'a> {
    pub(super) fn new(store: &'a mut KvStore, reservation: Reservation) -> Self {
        let copied_bytes_before = store.copied_bytes;
        let spans = &reservation.spans;
        let parts: Vec<_> = spans.iter().map(|span| parts(store, span)).collect();
        let scored = store.spec.retention.needs_scores();
        let scores = spans.iter().map(|span| vec![0.0; if scored { span.past + span.new } else { 0 }]).collect();
        let mut rings = vec![];
        rings.resize_with(spans.len(), Vec::new);
        for ((span, parts), saved) in spans.iter().zip(&parts).zip(&mut rings) {
            let ring = store.tables.slot(span.seq).ok().and_then(|slot| store.rings.get(slot));
            // A group that is sealed in the middle of a step makes room in the ring for the step's own tokens.
            if let Some(ring) = ring.filter(|_| span.past > 0 && parts.len() > 1) {
                let rows = store.ring_rows();
                saved.reserve_exact(ring.len());
                saved.extend(ring.iter().map(|layer| layer.with(&[RowRun { row: 0, len: rows }], rows)));
                store.copied_bytes += rows as u64 * store.exact_token_bytes();
            }
        }
        Self { store, reservation, committed: false, copied_bytes_before, parts, scores, rings }
    }

    /// The new tokens are now part of their sequences, and groups of tokens that are old enough are sealed. Nothing is evicted before
    /// the `end_of_prompt`, so that a prompt attends to all of itself, in chunks or not; every decoded token is the end of one. It is said
    /// for all sequences of the step.
    pub fn commit(mut self, end_of_prompt: bool) {
        self.committed = true;
        self.store.tables.commit(&self.reservation);
        for (index, span) in self.reservation.spans.iter().enumerate() {
            let Ok(slot) = self.store.tables.slot(span.seq) else { continue };
            if let Some(total) = self.store.scores.get_mut(slot) {
                total.resize(span.past + span.new, 0.0);
                for (total, new) in total.iter_mut().zip(&self.scores[index]) {
                    *total += new;
                }
            }
            let last = self.parts[index].last().map_or(span.past, |part| part.start);
            for layer in 0..self.store.shape.n_layer {
                self.store.seal(span.seq, layer, last, span.past + span.new);
            }
            if end_of_prompt {
                self.store.evict(span.seq);
            }
        }
    }

    /// Undoes the step as dropping it does, and takes its copies out of the count as well: for a rehearsal, which no figure
    /// is to show.
    pub fn forget(self) {
        self.store.copied_bytes = self.copied_bytes_before;
    }

    /// Copy-on-write of one layer: the filled rows of blocks that a fork holds too.
    fn copy_shared(&mut self, layer: usize) {
        let store = &mut *self.store;
        let block_len = store.tables.block_len();
        let Some(planes) = store.pool.get_mut(layer) else { return };
        for copy in &self.reservation.copies {
            // Tokens that are not sealed yet lie in a ring, not here.
            let sealed = store.residual.map_or(usize::MAX, |residual| residual.sealed(copy.first + copy.rows));
            let rows = copy.rows.min(sealed.saturating_sub(copy.first));
            planes.copy_within(copy.from as usize * block_len, copy.to as usize * block_len, rows);
            store.copied_bytes += (rows * store.rows.bytes()) as u64;
        }
    }

    /// Stores the new tokens `part` of a span in one layer. `k` and `v` are the rows of all tokens of the span.
    fn write(
        &mut self,
        layer: usize,
        span: Span,
        part: Positions,
        k: &HeadRows,
        v: &HeadRows,
    ) -> Result<(), CacheError> {
        let store = &mut *self.store;
        let slot = store.tables.slot(span.seq)?;
        if let Some(layers) = store.grown.get_mut(slot).filter(|_| part.start == span.past) {
            let old = store.tables.live(span.seq)?.count();
            let n_rows = old + span.new;
            layers[layer] = layers[layer].with(&[RowRun { row: 0, len: old }], n_rows);
            store.copied_bytes += (n_rows * store.rows.bytes()) as u64;
        }
        for position in part.start..part.end {
            let (k, v) = (k.token(position - span.past), v.token(position - span.past));
            if let (Some(residual), Some(ring)) = (store.residual, store.rings.get_mut(slot)) {
                ring[layer].write(residual.row(position), k, v);
            } else if let Some(row) = store.tables.row(span.seq, position)? {
                let planes = match store.grown.get_mut(slot) {
                    Some(layers) => &mut layers[layer],
                    None => &mut store.pool[layer],
                };
                planes.write(row, k, v);
            }
        }
        Ok(())
    }

    fn n_new(&self) -> usize {
        self.reservation.spans.iter().map(|span| span.new).sum()
    }
}

/// The new tokens of a span in the parts that are written and attended one after the other: all at once, unless groups of tokens are
/// sealed on the way or weights are summed.
fn parts(store: &KvStore, span: &Span) -> Vec<Positions> {
    let all = Positions { start: span.past, end: span.past + span.new };
    let parts = match store.residual {
        Some(residual) => residual.parts(all.start, all.end).collect(),
        None => vec![all],
    };
    let most = if store.spec.retention.needs_scores() { SCORED_QUERIES } else { usize::MAX };
    parts
        .into_iter()
        .flat_map(|part| {
            let starts = (part.start..part.end).step_by(most);
            starts.map(move |start| Positions { start, end: start.saturating_add(most).min(part.end) })
        })
        .collect()
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
        mut probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        let (n_new, rotated) = (self.n_new(), self.store.spec.rotate);
        let HeadShape { n_head, head_dim, .. } = self.store.shape.heads;
        let out_shape = [n_new, n_head, head_dim];
        let (k_rows, v_rows) = (self.host_rows("k", k, layer)?, self.host_rows("v", v, layer)?);
        let q_rows = HostRows::new("q", q, out_shape)?;
        let queries = HeadRows::new((&q_rows, n_head), n_new, head_dim, rotated)?;
        let (keys, values) = (self.head_rows("k", &k_rows, layer)?, self.head_rows("v", &v_rows, layer)?);

        self.copy_shared(layer);
        let mut out = vec![0.0_f32; n_new * n_head * head_dim];
        if let Some(probe) = probe.as_deref_mut() {
            let weights = |span: &Span| vec![0.0; n_head * span.new * (span.past + span.new)]; // [H, T, past + T]
            probe.spans = self.reservation.spans.iter().map(weights).collect();
        }
        let most = self.parts.iter().map(Vec::len).max().unwrap_or(0);
        for round in 0..most {
            self.write_part(layer, round, &keys, &values)?;
            self.attend_part(layer, round, &queries, &mut out, probe.as_deref_mut())?;
        }
        if rotated {
            // Weighted sums of rotated values are rotated sums.
            rotate(&mut out, head_dim);
        }
        Ok(Tensor::from_vec(out, &out_shape, &Device::Cpu)?.to_device(q.device())?)
    }
}

impl Step<'_> {
    /// Writes the `round`th part of each span that has so many, and quantizes what is due before.
    fn write_part(&mut self, layer: usize, round: usize, keys: &HeadRows, values: &HeadRows) -> Result<(), CacheError> {
        let mut first = 0;
        for index in 0..self.parts.len() {
            let (span, part) = (self.reservation.spans[index], self.parts[index].get(round).copied());
            if let Some(part) = part {
                let before = round.checked_sub(1).map_or(span.past, |before| self.parts[index][before].start);
                self.store.seal(span.seq, layer, before, part.start);
                self.write(layer, span, part, &keys.from(first), &values.from(first))?;
            }
            first += span.new;
        }
        Ok(())
    }

    /// What the queries of these parts see, in one walk: `out` is `[T, n_head, head_dim]` of all spans. The probe holds room for its weights.
    fn attend_part(
        &mut self,
        layer: usize,
        round: usize,
        queries: &HeadRows,
        out: &mut [f32],
        mut probe: Option<&mut Probe>,
    ) -> Result<(), CacheError> {
        let HeadShape { n_head, head_dim, .. } = self.store.shape.heads;
        let mut asking = vec![];
        let (mut first, mut rest) = (0, out);
        for (index, span) in self.reservation.spans.iter().enumerate() {
            let (of_span, tail) = rest.split_at_mut(span.new * n_head * head_dim);
            (rest, first) = (tail, first + span.new);
            let Some(part) = self.parts[index].get(round).copied() else { continue };
            let is_scored = !self.scores[index].is_empty();
            // Only where weights are asked for.
            let positions = if probe.is_some() || is_scored { self.store.positions(*span, part.end)? } else { vec![] };
            let weights = vec![0.0; part.len() * n_head * positions.len()]; // [T, H, live]
            let before = part.start - span.past;
            let token = first - span.new + before;
            let out = &mut of_span[before * n_head * head_dim..][..part.len() * n_head * head_dim];
            asking.push(Asking {
                index,
                part,
                token,
                tiles: self.store.tiles(*span, layer, part)?,
                positions,
                weights,
                out,
            });
        }
        let mut sequences: Vec<Sequence<'_>> = asking
            .iter_mut()
            .map(|Asking { part, token, tiles, weights, out, .. }| Sequence {
                queries: Queries {
                    data: queries.rows.get(*token * queries.token_stride..).unwrap_or_default(),
                    token_stride: queries.token_stride,
                    len: part.len(),
                },
                tiles,
                out,
                probe: (!weights.is_empty()).then_some(weights),
            })
            .collect();
        walk(self.store.shape.heads, &mut sequences);
        for Asking { index, part, positions, weights, .. } in asking {
            let (span, scores) = (self.reservation.spans[index], &mut self.scores[index]);
            let (n_tokens, before) = (span.past + span.new, part.start - span.past);
            for (row, weights) in weights.chunks_exact(positions.len().max(1)).enumerate() {
                let (query, head) = (before + row / n_head, row % n_head);
                if !scores.is_empty() {
                    for (position, weight) in positions.iter().zip(weights) {
                        scores[*position] += f64::from(*weight);
                    }
                }
                if let Some(seen) = probe.as_deref_mut().and_then(|probe| probe.spans.get_mut(index)) {
                    let seen = &mut seen[(head * span.new + query) * n_tokens..][..n_tokens];
                    for (position, weight) in positions.iter().zip(weights) {
                        seen[*position] = *weight;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A part of a span, and what its queries read and write.
struct Asking<'a> {
    /// Of the span.
    index: usize,
    part: Positions,
    /// The first of the part among the tokens of all spans.
    token: usize,
    tiles: Vec<Tile<'a>>,
    /// Of the tokens in the tiles.
    positions: Vec<usize>,
    /// `[T, n_head, live]`, or nothing.
    weights: Vec<f32>,
    out: &'a mut [f32],
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let store = &mut *self.store;
        store.tables.roll_back(&self.reservation);
        for (span, saved) in self.reservation.spans.iter().zip(&mut self.rings) {
            let Ok(slot) = store.tables.slot(span.seq) else { continue };
            // A concat buffer that already grew goes back to what the sequence holds.
            let len = store.tables.live(span.seq).map_or(0, LiveTokens::count);
            for planes in store.grown.get_mut(slot).into_iter().flatten() {
                *planes = planes.with(&[RowRun { row: 0, len }], len);
            }
            if let Some(ring) = store.rings.get_mut(slot).filter(|_| !saved.is_empty()) {
                *ring = std::mem::take(saved);
            }
        }
    }
}

/// The rows of several tokens on the host, rotated if the store wants it.
struct HeadRows<'a> {
    rows: Cow<'a, [f32]>,
    token_stride: usize,
    width: usize,
}

impl<'a> HeadRows<'a> {
    fn new(
        (rows, n_heads): (&'a HostRows<'_>, usize),
        n_tokens: usize,
        head_dim: usize,
        rotated: bool,
    ) -> Result<Self, CacheError> {
        let (data, stride, width) = (rows.data()?, rows.token_stride(), n_heads * head_dim);
        if !rotated {
            return Ok(Self { rows: Cow::Borrowed(data), token_stride: stride, width });
        }
        let mut copy: Vec<f32> = (0..n_tokens).flat_map(|token| &data[token * stride..][..width]).copied().collect();
        rotate(&mut copy, head_dim);
        Ok(Self { rows: Cow::Owned(copy), token_stride: width, width })
    }

    /// `[heads, head_dim]` of one token.
    fn token(&self, token: usize) -> &[f32] {
        &self.rows[token * self.token_stride..][..self.width]
    }

    /// The same rows from a token on.
    fn from(&self, token: usize) -> HeadRows<'_> {
        let rows = self.rows.get(token * self.token_stride..).unwrap_or_default();
        HeadRows { rows: Cow::Borrowed(rows), token_stride: self.token_stride, width: self.width }
    }
}

/// The walk over one sequence that is computed whole: `q` `[T, n_head, head_dim]` in, the same shape out.
pub(super) fn attend_whole(
    heads: HeadShape,
    n_tokens: usize,
    tile: Tile<'_>,
    q: &Tensor,
    probe: Option<&mut Probe>,
) -> Result<Tensor, CacheError> {
    let HeadShape { n_head, head_dim, .. } = heads;
    let shape = [n_tokens, n_head, head_dim];
    let rows = HostRows::new("q", q, shape)?;
    let queries = Queries { data: rows.data()?, token_stride: rows.token_stride(), len: n_tokens };
    let mut out = vec![0.0_f32; n_tokens * n_head * head_dim];
    let mut weights = probe.is_some().then(|| vec![0.0; n_tokens * n_head * n_tokens]); // [T, H, T]
    walk(heads, &mut [Sequence { queries, tiles: &[tile], out: &mut out, probe: weights.as_deref_mut() }]);
    if let (Some(probe), Some(weights)) = (probe, weights) {
        // [T, H, T] -> [H, T, T], a copy: pictures are drawn per head.
        let by_head = |head| weights.chunks_exact(n_tokens).skip(head).step_by(n_head).flatten().copied();
        probe.spans = vec![(0..n_head).flat_map(by_head).collect()];
    }
    Ok(Tensor::from_vec(out, &shape, &Device::Cpu)?.to_device(q.device())?)
}
