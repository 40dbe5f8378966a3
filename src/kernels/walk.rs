//! The attention walk: queries read a cache as a sequence of tiles.
//!
//! The tokens of a sequence are cut into chunks of 128, wherever tiles begin and end. Of each chunk a query head learns three things
//! (`softmax.rs`): keys are read for the scores, then values for their weighted sum; chunks are brought together in the order of their
//! positions. That is an online softmax with a fixed cut (`FlashAttention`, arXiv 2205.14135; Flash-Decoding, 2023), so that a result depends
//! neither on where tiles begin and end, nor on how many threads work, nor on which queries share a piece of work: lossless
//! layouts agree to the last bit, and nothing as long as the sequence ever exists but the scores that a probe asks for.
//!
//! Work is cut into pieces for threads: chunks of a long sequence that has one query, heads of a short one, queries of a prompt.

mod task;

use std::{ops::Range, sync::Mutex};

use super::{
    HeadShape,
    codec::GROUP,
    simd::{Path, with_path},
    softmax::{Merge, Partial},
    thread_pool,
    tiles::Chunks,
};
use task::{Scratch, Task};

pub use super::tiles::{Rows, Tile};

/// Tokens of a chunk, a multiple of the lanes. Fewer are more merging, more are fewer pieces for threads.
const CHUNK: usize = 128;

/// Queries of a prompt that share a piece: enough to make the decoding of a row cheap.
const QUERIES: usize = 16;

/// Chunks from which one query's work is shared out by chunks, not by heads: whoever reads some heads of a row leaves the rest of it.
const BY_CHUNKS_FROM: usize = 4;

/// Pieces for each thread that the chunks of all sequences are cut into at least, so that one with less time than others can do less.
const PIECES: usize = 4;

/// Below this many multiply-adds for the scores one thread does the work. GPT-2 small has as many over 85 tokens; over 128 a second thread
/// saves 5 of 14 microseconds where it has a core of its own, and costs nothing where it has not (`ARCHITECTURE.md`, Threads).
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
    let n_chunks: usize = walks.iter().filter(|walk| walk.queries.len == 1).map(|walk| walk.chunks.len()).sum();
    let share = Share {
        n_threads,
        threads_each: n_threads.div_ceil(walks.len().max(1)),
        chunks_each: (n_chunks / (n_threads * PIECES)).max(1),
    };
    let mut pieces = vec![];
    for (walk, sequence) in walks.iter().zip(sequences) {
        let (out, probe) = (&mut *sequence.out, sequence.probe.as_deref_mut());
        walk.cut(share, out, probe, &mut pieces);
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

/// How the work of all sequences is shared out.
#[derive(Clone, Copy)]
struct Share {
    n_threads: usize,
    /// Threads for each sequence, where there are more threads than sequences.
    threads_each: usize,
    /// Chunks of a piece.
    chunks_each: usize,
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
    fn cut(&'a self, share: Share, out: &'a mut [f32], mut probe: Option<&'a mut [f32]>, pieces: &mut Vec<Piece<'a>>) {
        let HeadShape { n_head, n_kv_head, head_dim } = self.shape;
        let (n_queries, n_tokens) = (self.queries.len, self.chunks.n_tokens());
        let Share { n_threads, threads_each, chunks_each } = share;
        let n_chunks = self.chunks.len();
        if n_queries == 1 && n_threads > 1 && probe.is_none() && n_chunks >= BY_CHUNKS_FROM.max(chunks_each + 1) {
            let mut out = Some(out);
            pieces.extend((0..n_chunks).step_by(chunks_each).map(|first| {
                let task = Task { walk: self, queries: 0..1, kv_heads: 0..n_kv_head };
                let chunks = first..(first + chunks_each).min(n_chunks);
                Piece::Chunks { task, chunks, known: vec![], out: out.take() }
            }));
            return;
        }
        let (queries_each, kv_heads_each) = match n_queries {
            1 => (1, n_kv_head.div_ceil(threads_each)),
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

#[cfg(test)]
mod tests;
