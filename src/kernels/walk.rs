//! The attention walk: queries read a cache as a sequence of tiles.
//!
//! The tokens of a sequence are cut into chunks of [`CHUNK`], wherever tiles begin and end. Of each chunk a query head learns three things
//! (`softmax.rs`): keys are read for the scores, then values for their weighted sum; chunks are brought together in the order of their
//! positions. That is an online softmax with a fixed cut (`FlashAttention`, arXiv 2205.14135; Flash-Decoding, 2023), so that a result depends
//! neither on where tiles begin and end, nor on how many threads work, nor on which queries share a piece of work: lossless
//! layouts agree to the last bit, and nothing as long as the sequence ever exists but the scores that a probe asks for.
//!
//! A chunk is read in runs of at most sixteen tokens of a tile, all heads of them before the next, which is the order in which they lie;
//! while a run is read, the next one is asked for. Rows are decoded in registers (`codec/packed.rs`). Where several readers want the same row (a prompt's
//! queries, grouped heads) it is decoded once, sixteen tokens of one head, into a buffer that stays in the first-level cache.
//!
//! Work is cut into pieces for threads: chunks of a long sequence that has one query, heads of a short one, queries of a prompt.

use std::{ops::Range, sync::Mutex};

use super::{
    HeadShape,
    codec::{Codec, GROUP, RowShape},
    runs::{KeyProducts, Readers, WeightedSums},
    simd::{LANES, Path, with_path},
    softmax::{Merge, Normalize, Partial, Weigh},
    thread_pool,
    tiles::{Chunks, Run, RunRows},
};

pub use super::tiles::{Rows, Tile};

/// Tokens of a chunk. Fewer are more merging, more are fewer pieces for threads.
const CHUNK: usize = 128;

/// Queries of a prompt that share a piece: enough to make the decoding of a row cheap.
const QUERIES: usize = 16;

/// Chunks from which one query's work is shared out by chunks, not by heads.
const BY_CHUNKS_FROM: usize = 8;

/// Runs between the one that is read and the one that is asked for meanwhile. Two or four brought no more.
const AHEAD: usize = 1;

/// Pieces for each thread that such work is cut into at least, so that one with less time than others can do less.
const PIECES: usize = 4;

/// Below this many multiply-adds for the scores one thread does the work. GPT-2 small has as many over 85 tokens: 9 microseconds, of which
/// another thread saves three while it is awake, and nothing while it is not.
const PARALLEL_FROM: usize = 1 << 16;

/// The queries of the newest tokens: `data[token * token_stride + head * head_dim..]`.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    pub data: &'a [f32],
    pub token_stride: usize,
    /// Tokens that ask; the last of them is the newest token of the tiles.
    pub len: usize,
}

/// Queries of one sequence, and what they read and write.
#[derive(Debug)]
pub struct Sequence<'a> {
    pub queries: Queries<'a>,
    /// All tokens that the newest query sees.
    pub tiles: &'a [Tile<'a>],
    /// `[T, n_head, head_dim]`
    pub out: &'a mut [f32],
    /// Where attention weights are wanted: `[T, n_head, n]` over the `n` tokens of the tiles, 0 where a key is newer than the query.
    pub probe: Option<&'a mut [f32]>,
}

/// Causal attention of the queries of each sequence over all tokens of its tiles.
///
/// # Panics
/// If a slice is shorter than its shape says; the store builds both, so that is a bug in it.
pub fn walk(shape: HeadShape, sequences: &mut [Sequence<'_>]) {
    walk_with(Path::current(), PARALLEL_FROM, shape, sequences);
}

/// [`walk`] on a path, on several threads from so many multiply-adds on.
fn walk_with(path: Path, parallel_from: usize, shape: HeadShape, sequences: &mut [Sequence<'_>]) {
    let HeadShape { n_head, head_dim, .. } = shape;
    assert!(head_dim % 8 == 0 && head_dim > 0, "head_dim {head_dim} is no multiple of 8");
    let walks: Vec<Walk<'_>> = sequences
        .iter()
        .map(|sequence| {
            let Sequence { queries, tiles, .. } = *sequence;
            Walk { path, shape, queries, tiles, chunks: Chunks::new(tiles, CHUNK) }
        })
        .collect();
    let mut n_products = 0;
    for (walk, sequence) in walks.iter().zip(&*sequences) {
        let (n_queries, n_tokens) = (walk.queries.len, walk.chunks.n_tokens());
        assert!(n_queries <= n_tokens, "{n_queries} queries over {n_tokens} tokens");
        assert_eq!(sequence.out.len(), n_queries * n_head * head_dim);
        assert!(sequence.probe.as_ref().is_none_or(|probe| probe.len() == n_queries * n_head * n_tokens));
        n_products += n_queries * n_tokens * n_head * head_dim;
    }
    let n_threads = if n_products < parallel_from { 1 } else { thread_pool::n_threads() };
    let mut pieces = vec![];
    for (walk, sequence) in walks.iter().zip(sequences) {
        let (out, probe) = (&mut *sequence.out, sequence.probe.as_deref_mut());
        walk.cut(n_threads, out, probe, &mut pieces);
    }
    let pieces: Vec<Mutex<Piece<'_>>> = pieces.into_iter().map(Mutex::new).collect();
    let work = |index: usize| {
        // Each is locked once; nobody waits, and nothing is poisoned before a panic has ended all of it.
        if let Ok(mut piece) = pieces[index].lock() {
            piece.work();
        }
    };
    if n_threads > 1 {
        thread_pool::for_each(pieces.len(), work);
    } else {
        (0..pieces.len()).for_each(work);
    }
    bring_together(pieces.into_iter().filter_map(|piece| piece.into_inner().ok()));
}

/// What one thread does at a time.
enum Piece<'a> {
    /// Some queries of a sequence, some heads of one query, from the first chunk to the last.
    Whole { task: Task<'a>, out: &'a mut [f32], probe: Option<&'a mut [f32]> },
    /// Some chunks, for the one query of a sequence; the piece of the first ones has where the result belongs.
    Chunks { task: Task<'a>, chunks: Range<usize>, known: Vec<Partial>, out: Option<&'a mut [f32]> },
}

impl Piece<'_> {
    fn work(&mut self) {
        match self {
            Self::Whole { task, out, probe } => task.whole(out, probe.as_deref_mut()),
            Self::Chunks { task, chunks, known, .. } => {
                let mut scratch = Scratch::new(task);
                for chunk in chunks.clone() {
                    let mut partial = task.partial();
                    task.chunk(chunk, chunks.end, &mut scratch, &mut partial, None);
                    known.push(partial);
                }
            }
        }
    }
}

/// Merges the chunks of each sequence in their order.
fn bring_together<'a>(pieces: impl Iterator<Item = Piece<'a>>) {
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let Piece::Chunks { task, known, out: Some(out), .. } = piece else { continue };
        let mut all = task.partial();
        let mut merge = |chunks: &[Partial]| {
            for later in chunks {
                with_path(task.walk.path, Merge { known: &mut all, later, width: task.walk.width() });
            }
        };
        merge(&known);
        while let Some(Piece::Chunks { known, out: None, .. }) = pieces.peek() {
            merge(known);
            pieces.next();
        }
        task.write(&task, &all, out);
    }
}

/// One sequence.
struct Walk<'a> {
    path: Path,
    shape: HeadShape,
    queries: Queries<'a>,
    tiles: &'a [Tile<'a>],
    chunks: Chunks<'a>,
}

impl<'a> Walk<'a> {
    /// The pieces of a sequence: neighbouring parts of `out` and the probe, or chunks.
    fn cut(
        &'a self,
        n_threads: usize,
        out: &'a mut [f32],
        mut probe: Option<&'a mut [f32]>,
        pieces: &mut Vec<Piece<'a>>,
    ) {
        let HeadShape { n_head, n_kv_head, head_dim } = self.shape;
        let (n_queries, n_tokens) = (self.queries.len, self.chunks.n_tokens());
        if n_queries == 1 && n_threads > 1 && probe.is_none() && self.chunks.len() >= BY_CHUNKS_FROM {
            let (mut out, n_chunks) = (Some(out), self.chunks.len());
            let chunks_each = (n_chunks / (n_threads * PIECES)).max(1);
            pieces.extend((0..n_chunks).step_by(chunks_each).map(|first| {
                let task = Task { walk: self, queries: 0..1, kv_heads: 0..n_kv_head };
                let chunks = first..(first + chunks_each).min(n_chunks);
                Piece::Chunks { task, chunks, known: vec![], out: out.take() }
            }));
            return;
        }
        let (queries_each, kv_heads_each) = match n_queries {
            1 => (1, n_kv_head.div_ceil(n_threads)),
            _ => ((n_queries / n_threads).clamp(1, QUERIES), n_kv_head),
        };
        let rows_each = queries_each * kv_heads_each * (n_head / n_kv_head);
        for (index, out) in out.chunks_mut(rows_each * head_dim).enumerate() {
            let n_rows = out.len() / head_dim;
            let (queries, kv_heads) = if n_queries == 1 {
                let first = index * kv_heads_each;
                (0..1, first..(first + kv_heads_each).min(n_kv_head))
            } else {
                let first = index * queries_each;
                (first..(first + queries_each).min(n_queries), 0..n_kv_head)
            };
            let probe_of_piece = probe.take().map(|all| all.split_at_mut(n_rows * n_tokens)).map(|(piece, rest)| {
                probe = Some(rest);
                piece
            });
            pieces.push(Piece::Whole { task: Task { walk: self, queries, kv_heads }, out, probe: probe_of_piece });
        }
    }

    /// Values of a row as it is computed with: whole groups, zeros behind the head's.
    fn width(&self) -> usize {
        self.shape.head_dim.next_multiple_of(GROUP)
    }

    /// Tokens that query `query` may see: all up to and including its own.
    fn visible(&self, query: usize) -> usize {
        self.chunks.n_tokens() - self.queries.len + query + 1
    }
}

/// Some queries and the heads that they look through. A reader of a key and value head is a query of one of the query heads that share it:
/// `[query][query head of the group]`. A row of a task is `[kv_head][reader]`.
struct Task<'a> {
    walk: &'a Walk<'a>,
    queries: Range<usize>,
    kv_heads: Range<usize>,
}

/// What a thread needs of memory for a task.
#[derive(Default)]
struct Scratch {
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
    fn new(task: &Task<'_>) -> Self {
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

    fn partial(&self) -> Partial {
        Partial::new(self.n_rows(), self.walk.width())
    }

    /// All chunks. With many queries one key and value head after the other, so that what belongs to it stays in the first-level cache.
    fn whole(&self, out: &mut [f32], mut probe: Option<&mut [f32]>) {
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
    fn write(&self, part: &Task<'_>, known: &Partial, out: &mut [f32]) {
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
    fn chunk(
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

#[cfg(test)]
mod tests;
