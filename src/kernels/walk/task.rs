//! What some queries learn of some heads, chunk by chunk.
//!
//! A chunk is read in runs of at most sixteen tokens of a tile, all heads of them before the next, which is the order in which they lie; while
//! a run is read, the next one is asked for. Rows are decoded in registers (`codec/packed.rs`). Where several readers want the same row (a
//! prompt's queries, grouped heads) it is decoded once, sixteen tokens of one head, into a buffer that stays in the first-level cache.

use std::ops::Range;

use super::{CHUNK, Walk};
use crate::kernels::{
    HeadShape,
    codec::{Codec, RowShape},
    runs::{KeyProducts, Readers, WeightedSums},
    simd::{LANES, with_path},
    softmax::{Merge, Normalize, Partial, Weigh},
    tiles::{Rows, Run, RunRows},
};

/// Runs between the one that is read and the one that is asked for meanwhile. Two or four brought no more.
const AHEAD: usize = 1;

/// Some queries and the heads that they look through. A reader of a key and value head is a query of one of the query heads that share it:
/// `[query][query head of the group]`. A row of a task is `[kv_head][reader]`.
pub(super) struct Task<'a> {
    pub walk: &'a Walk<'a>,
    pub queries: Range<usize>,
    pub kv_heads: Range<usize>,
}

/// What a thread needs of memory for a task.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[row][width]`, scaled by `1 / sqrt(head_dim)`.
    queries: Vec<f32>,
    /// `[row][CHUNK]`
    scores: Vec<f32>,
    /// `[reader]`
    visible: Vec<usize>,
    /// Of the chunk.
    runs: Vec<Run>,
    /// Of the chunk that comes after it.
    next_runs: Vec<Run>,
    /// `[token][width]`
    decoded: Vec<f32>,
}

impl Scratch {
    pub fn new(task: &Task<'_>) -> Self {
        let (walk, head_dim) = (task.walk, task.walk.shape.head_dim);
        #[expect(clippy::cast_precision_loss, reason = "head_dim is small")]
        let scale = 1.0 / (head_dim as f32).sqrt();
        let mut queries = vec![0.0; task.n_rows() * walk.width()];
        for (row, scaled) in queries.chunks_exact_mut(walk.width()).enumerate() {
            let (query, head) = task.query_and_head(row);
            let query = &walk.queries.data[query * walk.queries.token_stride + head * head_dim..][..head_dim];
            for (scaled, x) in scaled.iter_mut().zip(query) {
                *scaled = x * scale;
            }
        }
        Self { queries, scores: vec![0.0; task.n_rows() * CHUNK], ..Self::default() }
    }
}

impl Task<'_> {
    /// Query heads that share a key and value head.
    fn group(&self) -> usize {
        self.walk.shape.n_head / self.walk.shape.n_kv_head
    }

    fn n_readers(&self) -> usize {
        self.queries.len() * self.group()
    }

    fn n_rows(&self) -> usize {
        self.kv_heads.len() * self.n_readers()
    }

    fn query_and_head(&self, row: usize) -> (usize, usize) {
        let (kv_head, reader) = (self.kv_heads.start + row / self.n_readers(), row % self.n_readers());
        (self.queries.start + reader / self.group(), kv_head * self.group() + reader % self.group())
    }

    pub fn partial(&self) -> Partial {
        Partial::new(self.n_rows(), self.walk.width())
    }

    /// All chunks. With many queries one key and value head after the other, so that what belongs to it stays in the first-level cache.
    pub fn whole(&self, out: &mut [f32], mut probe: Option<&mut [f32]>) {
        let heads_each = if self.queries.len() == 1 { self.kv_heads.len() } else { 1 };
        for first in self.kv_heads.clone().step_by(heads_each) {
            let part = Task { walk: self.walk, queries: self.queries.clone(), kv_heads: first..first + heads_each };
            let mut scratch = Scratch::new(&part);
            let n_chunks = self.walk.visible(self.queries.end - 1).div_ceil(CHUNK);
            let (mut known, mut later) = (part.partial(), part.partial());
            for chunk in 0..n_chunks {
                let probe = probe.as_deref_mut().map(|probe| (probe, self));
                if chunk == 0 {
                    part.chunk(chunk, n_chunks, &mut scratch, &mut known, probe);
                } else {
                    later.clear();
                    part.chunk(chunk, n_chunks, &mut scratch, &mut later, probe);
                    let merge = Merge { known: &mut known, later: &later, width: self.walk.width() };
                    with_path(self.walk.path, merge);
                }
            }
            self.write(&part, &known, out);
            if let Some(probe) = probe.as_deref_mut() {
                for row in 0..part.n_rows() {
                    let (query, head) = part.query_and_head(row);
                    let weights = &mut self.probed(probe, query, head);
                    let (seen, unseen) = weights.split_at_mut(self.walk.visible(query));
                    let (largest, total) = (known.largest[row], known.totals[row]);
                    with_path(self.walk.path, Normalize { scores: seen, largest, total });
                    unseen.fill(0.0);
                }
            }
        }
    }

    /// Number of a query's head in what belongs to this task, `[query][head]`.
    fn place(&self, query: usize, head: usize) -> usize {
        (query - self.queries.start) * self.kv_heads.len() * self.group() + head - self.kv_heads.start * self.group()
    }

    /// Weights of a query's head, `[n]`.
    fn probed<'p>(&self, probe: &'p mut [f32], query: usize, head: usize) -> &'p mut [f32] {
        let n_tokens = self.walk.chunks.n_tokens();
        &mut probe[self.place(query, head) * n_tokens..][..n_tokens]
    }

    /// The result of a part of the heads.
    pub fn write(&self, part: &Task<'_>, known: &Partial, out: &mut [f32]) {
        let head_dim = self.walk.shape.head_dim;
        for (row, sums) in known.sums.chunks_exact(self.walk.width()).enumerate() {
            let (query, head) = part.query_and_head(row);
            let inverse = 1.0 / known.totals[row];
            for (out, sum) in out[self.place(query, head) * head_dim..][..head_dim].iter_mut().zip(sums) {
                *out = sum * inverse;
            }
        }
    }

    /// One chunk, after which those up to `end` are read: `partial`, which is empty, learns of it. The probe is that of a task that this
    /// one is part of, and gets scores.
    pub fn chunk(
        &self,
        chunk: usize,
        end: usize,
        scratch: &mut Scratch,
        partial: &mut Partial,
        probe: Option<(&mut [f32], &Task<'_>)>,
    ) {
        let (walk, first) = (self.walk, chunk * CHUNK);
        let Scratch { queries, scores, visible, runs, next_runs, decoded } = scratch;
        visible.clear();
        for query in self.queries.clone() {
            let of_query = walk.visible(query).saturating_sub(first).min(CHUNK);
            visible.extend(std::iter::repeat_n(of_query, self.group()));
        }
        let readers = |position| Readers { visible, position, chunk_len: CHUNK };
        walk.chunks.runs(chunk, visible.last().copied().unwrap_or(0), runs);
        next_runs.clear();
        if chunk + 1 < end {
            walk.chunks.runs(chunk + 1, AHEAD * LANES, next_runs);
        }
        let keys_of = |run: &Run| RunRows { rows: &walk.tiles[run.tile].keys, first: run.first, len: run.len };
        let values_of = |run: &Run| RunRows { rows: &walk.tiles[run.tile].values, first: run.first, len: run.len };

        for (index, run) in runs.iter().enumerate() {
            let index = index + AHEAD;
            let ahead = runs.get(index).map(keys_of).or_else(|| runs.get(index - runs.len()).map(values_of));
            let readers = readers(run.position);
            self.read(keys_of(run), decoded, |keys, kv_heads, rows, ahead_wanted| {
                let queries = &queries[rows.start * walk.width()..rows.end * walk.width()];
                let scores = &mut scores[rows.start * CHUNK..rows.end * CHUNK];
                let ahead = ahead.filter(|_| ahead_wanted);
                keys.rows.codec.with_rows(walk.path, KeyProducts { keys, kv_heads, readers, queries, scores, ahead });
            });
        }
        if let Some((probe, whole)) = probe {
            for (row, scores) in scores.chunks_exact(CHUNK).take(self.n_rows()).enumerate() {
                let (query, head) = self.query_and_head(row);
                let seen = visible[row % visible.len()];
                whole.probed(probe, query, head)[first..][..seen].copy_from_slice(&scores[..seen]);
            }
        }
        with_path(walk.path, Weigh { scores, chunk_len: CHUNK, visible, partial });
        for (index, run) in runs.iter().enumerate() {
            let index = index + AHEAD;
            let ahead = runs.get(index).map(values_of).or_else(|| next_runs.get(index - runs.len()).map(keys_of));
            let readers = readers(run.position);
            self.read(values_of(run), decoded, |values, kv_heads, rows, ahead_wanted| {
                let weights = &scores[rows.start * CHUNK..rows.end * CHUNK];
                let sums = &mut partial.sums[rows.start * walk.width()..rows.end * walk.width()];
                let ahead = ahead.filter(|_| ahead_wanted);
                values
                    .rows
                    .codec
                    .with_rows(walk.path, WeightedSums { values, kv_heads, readers, weights, sums, ahead });
            });
        }
    }

    /// Calls `f(rows, kv_heads, rows of the task, whether to look ahead)` for what can be read in registers: all heads of a run, as they are
    /// stored, or one after the other, decoded for several readers.
    fn read(
        &self,
        stored: RunRows<'_>,
        decoded: &mut Vec<f32>,
        mut f: impl FnMut(RunRows<'_>, Range<usize>, Range<usize>, bool),
    ) {
        let (HeadShape { head_dim, .. }, width, codec) = (self.walk.shape, self.walk.width(), stored.rows.codec);
        if codec.is_packed(head_dim) && (codec == Codec::F32 || self.n_readers() == 1) {
            return f(stored, self.kv_heads.clone(), 0..self.n_rows(), self.queries.len() == 1);
        }
        decoded.resize(LANES * width, 0.0);
        for (index, kv_head) in self.kv_heads.clone().enumerate() {
            let rows = index * self.n_readers()..(index + 1) * self.n_readers();
            let out = &mut decoded[..stored.len * width];
            stored.rows.decode(stored.first, stored.len, kv_head, &mut out[..stored.len * head_dim]);
            // From behind, so that nothing is written over before it was moved.
            for token in (1..stored.len).rev().filter(|_| width > head_dim) {
                out.copy_within(token * head_dim..(token + 1) * head_dim, token * width);
            }
            if width > head_dim {
                out.chunks_exact_mut(width).for_each(|row| row[head_dim..].fill(0.0));
            }
            let shape = RowShape { n_kv_head: 1, head_dim: width };
            let plain = Rows::f32(shape, &decoded[..stored.len * width], width);
            f(RunRows { rows: &plain, first: 0, len: stored.len }, 0..1, rows, false);
        }
    }
}
