//! A step over planes in this process.
//!
//! A child of the step.

use std::borrow::Cow;

use candle_core::{Device, Tensor};

use crate::kernels::{
    HeadShape,
    hadamard::rotate,
    walk::{Queries, Sequence, Tile, walk},
};

use crate::cache::{CacheError, KvStore, Probe, Span, host::HostRows, live::Positions, memory::Memory};

use super::Step;

impl Step<'_> {
    /// [`crate::cache::KvAccess::attend`]
    pub(super) fn attend_on_host(
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

        self.copy_shared(layer)?;
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

    /// Writes the `round`th part of each span that has so many, and quantizes what is due before.
    fn write_part(&mut self, layer: usize, round: usize, keys: &HeadRows, values: &HeadRows) -> Result<(), CacheError> {
        let mut first = 0;
        for index in 0..self.parts.len() {
            let (span, part) = (self.reservation.spans[index], self.parts[index].get(round).copied());
            if let Some(part) = part {
                let before = round.checked_sub(1).map_or(span.past, |before| self.parts[index][before].start);
                let due = self.store.due(span.seq, before, part.start);
                self.store.seal(span.seq, layer..layer + 1, &due)?;
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
                tiles: tiles(self.store, *span, layer, part)?,
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

    /// Stores the new tokens `part` of a span in one layer. `k` and `v` are the rows of all tokens of the span.
    pub(super) fn write(
        &mut self,
        layer: usize,
        span: Span,
        part: Positions,
        k: &HeadRows,
        v: &HeadRows,
    ) -> Result<(), CacheError> {
        if part.start == span.past {
            self.grow(layer, span)?;
        }
        let store = &mut *self.store;
        let slot = store.tables.slot(span.seq)?;
        let Memory::Host(memory) = &mut store.memory else { return Ok(()) };
        for position in part.start..part.end {
            let (k, v) = (k.token(position - span.past), v.token(position - span.past));
            if let Some(residual) = store.residual {
                memory.write_exact(slot, layer, residual.row(position), k, v);
            } else if let Some(row) = store.tables.row(span.seq, position)? {
                memory.write(slot, layer, row, k, v);
            }
        }
        Ok(())
    }
}

/// What the tokens `part` of a span see in one layer.
fn tiles(store: &KvStore, span: Span, layer: usize, part: Positions) -> Result<Vec<Tile<'_>>, CacheError> {
    let Memory::Host(memory) = &store.memory else { return Ok(vec![]) };
    let (rows, ring) = store.visible(span, part)?;
    Ok(memory.tiles(store.tables.slot(span.seq)?, layer, &rows, &ring))
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

/// The rows of several tokens on the host, rotated if the store wants it.
pub(super) struct HeadRows<'a> {
    rows: Cow<'a, [f32]>,
    token_stride: usize,
    width: usize,
}

impl<'a> HeadRows<'a> {
    pub(super) fn new(
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
    pub(super) fn token(&self, token: usize) -> &[f32] {
        &self.rows[token * self.token_stride..][..self.width]
    }

    /// The same rows from a token on.
    pub(super) fn from(&self, token: usize) -> HeadRows<'_> {
        let rows = self.rows.get(token * self.token_stride..).unwrap_or_default();
        HeadRows { rows: Cow::Borrowed(rows), token_stride: self.token_stride, width: self.width }
    }
}

/// The walk over one sequence that is computed whole: `q` `[T, n_head, head_dim]` in, the same shape out.
pub(in crate::cache) fn attend_whole(
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
