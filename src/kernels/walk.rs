//! The attention walk: queries read a cache as a sequence of tiles.
//!
//! A task is some queries and some heads: one query and a share of the heads in decode, a chunk of queries and all
//! heads in prefill. It walks the tiles twice, once for the scores and once for the weighted sum of values, and
//! takes a few tokens at a time for all of its heads, so that it reads memory in the order in which it lies and
//! finds it in the first-level cache when the next head or query asks. Every query meets the tokens one by one in
//! the order of their positions, so a result depends neither on where tiles begin and end, nor on how many threads
//! work, nor on which queries share a task: lossless layouts agree to the last bit.
//!
//! Rows of f32 and of int8 are read in place, eight values at a time. Rows of other formats are decoded a run at a time, one head of
//! them, into a buffer that stays in the first-level cache, and read there by all queries of the task; no more of a cache than that
//! ever exists as f32. Tiles of one walk may have different formats.

#![expect(clippy::inline_always, reason = "inlined into a function for AVX2, or compiled without it")]

use rayon::prelude::*;

use super::{
    HeadShape,
    codec::{Codec, RowShape},
    rows::{F32Rows, InPlace, Int8Rows},
    simd8::{LANES, Portable, Simd},
    softmax::softmax,
    tiles::{REGISTERS, Run},
};

#[cfg(target_arch = "x86_64")]
use super::simd8::Avx2;
pub use super::tiles::{Rows, Tile};

/// Queries that read a row while it is in the first-level cache.
const QUERY_CHUNK: usize = 8;

/// Bytes of rows that all heads and queries read before the next ones: about what a first-level cache holds. Rows of
/// large models are longer, and a run is at least eight of them.
const RUN_BYTES: usize = 24 << 10;

/// Bytes of decoded rows, one head of a run.
const DECODED_BYTES: usize = 16 << 10;

/// Below this many multiply-adds for the scores (GPT-2 small over 1,365 tokens) decode stays on one thread. On the two
/// cores this was measured on a second thread brought nothing to shorter ones, and one core alone reads memory as fast
/// as both (`ARCHITECTURE.md`, Threads).
const PARALLEL_FROM: usize = 1 << 20;

/// The queries of the newest tokens: `data[token * token_stride + head * head_dim..]`.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    pub data: &'a [f32],
    pub token_stride: usize,
    /// Tokens that ask; the last of them is the newest token of the tiles.
    pub len: usize,
}

/// Causal attention of `queries` over all tokens of `tiles`.
///
/// `out` is `[T, n_head, head_dim]`. A `probe`, when given, receives the attention weights,
/// `[T, n_head, n]` over the `n` tokens of the tiles (0 where a key is newer than the query).
///
/// # Panics
/// If a slice is shorter than its shape says; the store builds both, so that is a bug in it.
pub fn walk(shape: HeadShape, queries: Queries<'_>, tiles: &[Tile<'_>], out: &mut [f32], probe: Option<&mut [f32]>) {
    let HeadShape { n_head, head_dim, .. } = shape;
    let n_tokens: usize = tiles.iter().map(|tile| tile.len).sum();
    let parallel = queries.len * n_tokens * n_head * head_dim >= PARALLEL_FROM;
    walk_with(shape, queries, tiles, out, probe, parallel);
}

/// [`walk`], on one thread or on all.
fn walk_with(
    shape: HeadShape,
    queries: Queries<'_>,
    tiles: &[Tile<'_>],
    out: &mut [f32],
    probe: Option<&mut [f32]>,
    parallel: bool,
) {
    let HeadShape { n_head, head_dim, .. } = shape;
    assert!(head_dim % LANES == 0 && head_dim > 0, "head_dim {head_dim} is no multiple of {LANES}");
    let n_tokens: usize = tiles.iter().map(|tile| tile.len).sum();
    assert!(queries.len <= n_tokens, "{} queries over {n_tokens} tokens", queries.len);
    assert_eq!(out.len(), queries.len * n_head * head_dim);
    let walk = Walk { shape, queries, tiles, n_tokens };

    // One query: a task is a share of the heads. Several: a task is a chunk of queries with all their heads.
    // Both cut `out` and the probe into neighbouring pieces.
    let decode = queries.len == 1;
    let (queries_each, heads_each) = match (decode, parallel) {
        (true, true) => (1, n_head.div_ceil(rayon::current_num_threads())),
        (true, false) => (1, n_head),
        (false, _) => (QUERY_CHUNK, n_head),
    };
    let out_chunk = queries_each * heads_each * head_dim;
    let probe_chunk = queries_each * heads_each * n_tokens;
    let task = |index: usize, out: &mut [f32], probe: Option<&mut [f32]>| {
        let (first_query, first_head) = if decode { (0, index * heads_each) } else { (index * QUERY_CHUNK, 0) };
        let n_heads = heads_each.min(n_head - first_head);
        let n_queries = out.len() / (n_heads * head_dim);
        let chunk = Chunk { first_query, n_queries, heads: first_head..first_head + n_heads };
        // A length known to the compiler keeps a query, or a sum, in registers.
        match head_dim {
            32 => walk.dispatch::<32>(&chunk, out, probe),
            64 => walk.dispatch::<64>(&chunk, out, probe),
            128 => walk.dispatch::<128>(&chunk, out, probe),
            _ => walk.dispatch::<0>(&chunk, out, probe),
        }
    };

    match probe {
        None if parallel => {
            out.par_chunks_mut(out_chunk).enumerate().for_each(|(i, out)| task(i, out, None));
        }
        None => out.chunks_mut(out_chunk).enumerate().for_each(|(i, out)| task(i, out, None)),
        Some(probe) => {
            assert_eq!(probe.len(), queries.len * n_head * n_tokens);
            out.par_chunks_mut(out_chunk)
                .zip(probe.par_chunks_mut(probe_chunk))
                .enumerate()
                .for_each(|(i, (out, probe))| task(i, out, Some(probe)));
        }
    }
}

struct Walk<'a> {
    shape: HeadShape,
    queries: Queries<'a>,
    tiles: &'a [Tile<'a>],
    n_tokens: usize,
}

impl Walk<'_> {
    /// [`Self::task`] compiled for this processor. `D` is the `head_dim`, or 0 where it is only known at run time.
    fn dispatch<const D: usize>(&self, chunk: &Chunk, out: &mut [f32], probe: Option<&mut [f32]>) {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            #[expect(unsafe_code, reason = "a function for a processor feature can only be called so")]
            // SAFETY: an `Avx2` exists, so the processor has both features; the function is safe in every other way.
            unsafe {
                self.task_avx2::<D>(avx2, chunk, out, probe);
            };
            return;
        }
        self.task::<D, _>(Portable, chunk, out, probe);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn task_avx2<const D: usize>(&self, simd: Avx2, chunk: &Chunk, out: &mut [f32], probe: Option<&mut [f32]>) {
        self.task::<D, _>(simd, chunk, out, probe);
    }

    /// `out` `[queries, heads, head_dim]`, `probe` `[queries, heads, n]` of the chunk.
    #[inline(always)]
    fn task<const D: usize, S: Simd>(&self, simd: S, chunk: &Chunk, out: &mut [f32], probe: Option<&mut [f32]>) {
        let mut weights = vec![0.0_f32; chunk.n_queries * chunk.heads.len() * self.n_tokens];
        self.scores::<D, S>(simd, chunk, &mut weights);
        for (row, weights) in weights.chunks_exact_mut(self.n_tokens).enumerate() {
            softmax(&mut weights[..self.visible(chunk.first_query + row / chunk.heads.len())]);
        }
        out.fill(0.0);
        self.add_values::<D, S>(simd, chunk, &weights, out);
        if let Some(probe) = probe {
            // Weights of keys newer than the query were never touched: they are 0.
            probe.copy_from_slice(&weights);
        }
    }

    /// Tokens that query `query` may see: all up to and including its own.
    #[inline(always)]
    fn visible(&self, query: usize) -> usize {
        self.n_tokens - self.queries.len + query + 1
    }

    /// `D`, or what it is at run time.
    #[inline(always)]
    fn head_dim<const D: usize>(&self) -> usize {
        if D > 0 { D } else { self.shape.head_dim }
    }

    /// Calls `f(position, head, query, format, rows)` for runs of a few tokens ([`RUN_BYTES`]), oldest first, each head and
    /// query of the chunk; `rows` are those the query may see.
    #[inline(always)]
    fn for_each_run<'a>(
        &'a self,
        chunk: &Chunk,
        rows_of: impl Fn(&Tile<'a>) -> Rows<'a>,
        mut f: impl FnMut(usize, usize, usize, Format, Run<'_>),
    ) {
        let (mut tile_start, mut decoded) = (0, vec![]);
        // Found once: a division in each run would take as long as some of its tokens.
        let kv_heads: Vec<usize> = chunk.heads.clone().map(|head| self.shape.kv_head(head)).collect();
        for (index, tile) in self.tiles.iter().enumerate() {
            let rows = rows_of(tile);
            let run_len = self.run_len(rows.codec);
            for start in (0..tile.len).step_by(run_len) {
                let (position, len, first) = (tile_start + start, run_len.min(tile.len - start), tile.first + start);
                let next = match self.tiles.get(index + 1) {
                    Some(next) if start + len == tile.len => {
                        let rows = rows_of(next);
                        rows.codes.as_ptr().addr() + next.first * rows.token_stride
                    }
                    _ => rows.codes.as_ptr().addr() + (first + len) * rows.token_stride,
                };
                let ahead = next.wrapping_sub(rows.codes.as_ptr().addr() + first * rows.token_stride);
                let mut decoded_head = None;
                for (head, &kv_head) in chunk.heads.clone().zip(&kv_heads) {
                    if !rows.codec.is_in_place() && decoded_head != Some(kv_head) {
                        decoded.resize(len * self.shape.head_dim, 0.0);
                        rows.decode(first, len, kv_head, &mut decoded);
                        decoded_head = Some(kv_head);
                    }
                    for query in 0..chunk.n_queries {
                        // Once for all queries.
                        let bytes_ahead = (query == 0 && decoded_head.is_none()).then_some(ahead);
                        let visible = self.visible(chunk.first_query + query).saturating_sub(position);
                        let (format, run) = in_place(&rows, first, kv_head, &decoded);
                        f(position, head, query, format, Run { len: len.min(visible), bytes_ahead, ..run });
                    }
                }
            }
            tile_start += tile.len;
        }
    }

    /// Tokens of a run: at least eight, a multiple of that.
    #[inline(always)]
    fn run_len(&self, codec: Codec) -> usize {
        let HeadShape { n_kv_head, head_dim, .. } = self.shape;
        let of_rows = RUN_BYTES / (n_kv_head * codec.head_bytes(head_dim));
        let most =
            if codec.is_in_place() { of_rows } else { of_rows.min(DECODED_BYTES / (head_dim * size_of::<f32>())) };
        (most / LANES).max(1) * LANES
    }

    /// `scores` `[queries, heads, n]`, scaled by `1 / sqrt(head_dim)`.
    #[inline(always)]
    fn scores<const D: usize, S: Simd>(&self, simd: S, chunk: &Chunk, scores: &mut [f32]) {
        let head_dim = self.head_dim::<D>();
        #[expect(clippy::cast_precision_loss, reason = "head_dim is small")]
        let scale = 1.0 / (head_dim as f32).sqrt();
        self.for_each_run(
            chunk,
            |tile| tile.keys,
            |position, head, query, format, run| {
                let start = (chunk.first_query + query) * self.queries.token_stride + head * head_dim;
                let (query_chunks, _) = self.queries.data[start..][..head_dim].as_chunks();
                let scores = &mut scores[chunk.row(query, head) * self.n_tokens + position..][..run.len];
                match format {
                    Format::F32 => scaled_dots::<F32Rows, S>(simd, &run, query_chunks, scale, scores),
                    Format::Int8 => scaled_dots::<Int8Rows, S>(simd, &run, query_chunks, scale, scores),
                }
            },
        );
    }

    /// Adds the values, weighted, to `out` `[queries, heads, head_dim]`.
    #[inline(always)]
    fn add_values<const D: usize, S: Simd>(&self, simd: S, chunk: &Chunk, weights: &[f32], out: &mut [f32]) {
        let head_dim = self.head_dim::<D>();
        self.for_each_run(
            chunk,
            |tile| tile.values,
            |position, head, query, format, run| {
                let row = chunk.row(query, head);
                let weights = &weights[row * self.n_tokens + position..][..run.len];
                let (out, _) = out[row * head_dim..][..head_dim].as_chunks_mut();
                // A few vectors at a time stay in registers while the run's rows are added to them.
                for (part, out) in out.chunks_mut(REGISTERS).enumerate() {
                    let first = part * REGISTERS;
                    match format {
                        Format::F32 => run.add_scaled::<F32Rows, S>(simd, weights, head_dim, first, out),
                        Format::Int8 => run.add_scaled::<Int8Rows, S>(simd, weights, head_dim, first, out),
                    }
                }
            },
        );
    }
}

/// How the rows of a run lie before the arithmetic: stored so, or decoded.
#[derive(Clone, Copy)]
enum Format {
    F32,
    Int8,
}

/// One head of `rows` from the token `first` on, in place or decoded; its length and what comes after it are the caller's to say.
#[inline(always)]
fn in_place<'a>(rows: &'a Rows<'a>, first: usize, kv_head: usize, decoded: &'a [f32]) -> (Format, Run<'a>) {
    let RowShape { n_kv_head, head_dim } = rows.shape;
    let stored = |bytes: usize| &rows.codes[first * rows.token_stride + kv_head * head_dim * bytes..];
    let run =
        Run { codes: &[], stride: rows.token_stride, scales: &[], scale_stride: n_kv_head, len: 0, bytes_ahead: None };
    match rows.codec {
        Codec::F32 => (Format::F32, Run { codes: stored(F32Rows::BYTES), ..run }),
        Codec::Int8 => {
            let scales = &rows.int8_scales()[first * n_kv_head + kv_head..];
            (Format::Int8, Run { codes: stored(Int8Rows::BYTES), scales, ..run })
        }
        _ => (Format::F32, Run { codes: bytemuck::cast_slice(decoded), stride: head_dim * F32Rows::BYTES, ..run }),
    }
}

#[inline(always)]
fn scaled_dots<F: InPlace, S: Simd>(simd: S, run: &Run, query: &[[f32; LANES]], scale: f32, scores: &mut [f32]) {
    run.dots::<F, S>(simd, query, scores);
    for (token, score) in scores.iter_mut().enumerate() {
        *score *= run.scale::<F>(token) * scale;
    }
}

/// Some queries and the heads that are walked together.
struct Chunk {
    first_query: usize,
    n_queries: usize,
    heads: std::ops::Range<usize>,
}

impl Chunk {
    /// Row of `[queries, heads]`.
    #[inline(always)]
    fn row(&self, query: usize, head: usize) -> usize {
        query * self.heads.len() + head - self.heads.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// f32 sums of at most 90 tokens and 128 elements up to 2 against f64: an order of magnitude of room.
    const F32_ATTENTION: f32 = 2e-5;

    static POOLS: LazyLock<[rayon::ThreadPool; 2]> =
        LazyLock::new(|| [1, 3].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads")));

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 16_384.0 - 2.0
            })
            .collect()
    }

    proptest! {
        /// Cut anywhere, with grouped queries or not: the walk is the plain reference, and the cut
        /// changes no bit.
        #[test]
        fn agrees_with_the_plain_reference(
            group in 1_usize..4, n_kv_head in 1_usize..3, head_dim in prop::sample::select(vec![8_usize, 24, 32, 64, 128]),
            past in 0_usize..70, new in 1_usize..20, tile_len in 1_usize..40, seed: u32,
        ) {
            let shape = HeadShape { n_head: group * n_kv_head, n_kv_head, head_dim };
            let (n, q_width, kv_width) = (past + new, shape.n_head * head_dim, n_kv_head * head_dim);
            let (q, k, v) = (noise(new * q_width, seed), noise(n * kv_width, seed ^ 1), noise(n * kv_width, seed ^ 2));
            let queries = Queries { data: &q, token_stride: q_width, len: new };
            let tiles_of = |tile_len: usize| -> Vec<Tile> {
                let rows = |x| Rows::f32(RowShape { n_kv_head, head_dim }, x, kv_width);
                k.chunks(tile_len * kv_width).zip(v.chunks(tile_len * kv_width))
                    .map(|(k, v)| Tile { keys: rows(k), values: rows(v), first: 0, len: k.len() / kv_width })
                    .collect()
            };
            let mut out = vec![f32::NAN; new * q_width];
            let mut weights = vec![f32::NAN; new * shape.n_head * n];
            walk(shape, queries, &tiles_of(tile_len), &mut out, Some(&mut weights));

            let expected = reference::attention(shape, &q, &k, &v);
            for (a, b) in out.iter().zip(&expected.out).chain(weights.iter().zip(&expected.weights)) {
                prop_assert!((a - b).abs() <= F32_ATTENTION, "{a} is not {b}");
            }

            // The path of processors without AVX2.
            let tiles = tiles_of(tile_len);
            let portable = Walk { shape, queries, tiles: &tiles, n_tokens: n };
            let chunk = Chunk { first_query: 0, n_queries: new, heads: 0..shape.n_head };
            let mut plain = vec![f32::NAN; new * q_width];
            portable.task::<0, _>(Portable, &chunk, &mut plain, None);
            for (a, b) in plain.iter().zip(&expected.out) {
                prop_assert!((a - b).abs() <= F32_ATTENTION, "{a} is not {b}");
            }

            let mut whole = vec![f32::NAN; new * q_width];
            walk(shape, queries, &tiles_of(n), &mut whole, None);
            prop_assert_eq!(&out, &whole, "the cut into tiles changed a bit");

            for pool in &*POOLS {
                let mut split = vec![f32::NAN; new * q_width];
                pool.install(|| walk_with(shape, queries, &tiles_of(tile_len), &mut split, None, true));
                prop_assert_eq!(&out, &split, "{} threads changed a bit", pool.current_num_threads());
            }

            let last = Queries { data: &q[(new - 1) * q_width..], token_stride: q_width, len: 1 };
            let mut alone = vec![f32::NAN; q_width];
            walk(shape, last, &tiles_of(tile_len), &mut alone, None);
            prop_assert_eq!(&out[(new - 1) * q_width..], &alone[..], "a query alone differs from the same in a chunk");
            for pool in &*POOLS {
                let mut split = vec![f32::NAN; q_width];
                pool.install(|| walk_with(shape, last, &tiles_of(tile_len), &mut split, None, true));
                prop_assert_eq!(&alone, &split, "{} threads changed a bit of decode", pool.current_num_threads());
            }
        }
    }
}
