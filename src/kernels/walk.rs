//! The attention walk: queries read a cache as a sequence of tiles.
//!
//! A task walks the tiles twice: once for the scores, once for the weighted sum of values. A single query
//! (decode) is split over threads by heads, and a task takes all its heads token by token, so that it reads
//! memory in the order in which it lies. Several queries (prefill) are split into chunks that read a row while
//! it is in the first-level cache. Every query meets the tokens one by one in the order of
//! their positions, so a result depends neither on where tiles begin and end, nor on how many threads
//! work, nor on which queries share a task: lossless layouts agree to the last bit.
//!
//! Stored rows are read in place in their own format; nothing is gathered or dequantized beforehand.

use rayon::prelude::*;

use super::{HeadShape, rows::RowFormat};

/// Queries that read a row while it is in the first-level cache.
const QUERY_CHUNK: usize = 8;

/// Below this many multiply-adds a second thread costs more than it brings (a few microseconds).
const PARALLEL_FROM: usize = 1 << 16;

/// Rows of several tokens: `codes[token * token_stride + kv_head * F::code_bytes(head_dim)..]`, and the
/// scales `[token][kv_head]` of formats that have them.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub codes: &'a [u8],
    /// Bytes from one token's rows to the next token's.
    pub token_stride: usize,
    pub scales: &'a [f32],
}

/// A run of tokens whose rows lie at one place: a block, or the filled part of one.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    pub keys: Rows<'a>,
    pub values: Rows<'a>,
    /// Tokens in the tile.
    pub len: usize,
}

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
pub fn walk<F: RowFormat>(
    shape: HeadShape,
    queries: Queries<'_>,
    tiles: &[Tile<'_>],
    out: &mut [f32],
    probe: Option<&mut [f32]>,
) {
    let HeadShape { n_head, head_dim, .. } = shape;
    let n_tokens: usize = tiles.iter().map(|tile| tile.len).sum();
    assert!(queries.len <= n_tokens, "{} queries over {n_tokens} tokens", queries.len);
    assert_eq!(out.len(), queries.len * n_head * head_dim);
    let walk = Walk::<F> { shape, queries, tiles, n_tokens, format: std::marker::PhantomData };

    // One query: a task is a share of the heads. Several: a task is a chunk of queries with all their heads.
    // Both cut `out` and the probe into neighbouring pieces.
    let decode = queries.len == 1;
    let (queries_each, heads_each) =
        if decode { (1, n_head.div_ceil(rayon::current_num_threads())) } else { (QUERY_CHUNK, n_head) };
    let out_chunk = queries_each * heads_each * head_dim;
    let probe_chunk = queries_each * heads_each * n_tokens;
    let task = |index: usize, out: &mut [f32], probe: Option<&mut [f32]>| {
        if decode {
            let heads = index * heads_each..n_head.min((index + 1) * heads_each);
            walk.task(0, &[heads], out, probe);
        } else {
            // Head by head: all of a chunk's scores for all heads would not fit into the cache.
            let heads: Vec<_> = (0..n_head).map(|head| head..head + 1).collect();
            walk.task(index * QUERY_CHUNK, &heads, out, probe);
        }
    };

    let parallel = queries.len * n_tokens * n_head * head_dim >= PARALLEL_FROM;
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

struct Walk<'a, F> {
    shape: HeadShape,
    queries: Queries<'a>,
    tiles: &'a [Tile<'a>],
    n_tokens: usize,
    format: std::marker::PhantomData<F>,
}

impl<F: RowFormat> Walk<'_, F> {
    /// `out` `[queries, heads, head_dim]` for the queries from `first_query` that fit into it, and all heads of
    /// `groups`, which follow each other. The heads of a group are walked together.
    fn task(
        &self,
        first_query: usize,
        groups: &[std::ops::Range<usize>],
        out: &mut [f32],
        mut probe: Option<&mut [f32]>,
    ) {
        let head_dim = self.shape.head_dim;
        let n_heads: usize = groups.iter().map(ExactSizeIterator::len).sum();
        let first_head = groups.first().map_or(0, |group| group.start);
        let n_queries = out.len() / (n_heads * head_dim);
        let group_len = groups.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        let mut weights = vec![0.0_f32; group_len * n_queries * self.n_tokens];
        out.fill(0.0);
        for group in groups {
            let chunk = Chunk { first_query, n_queries, heads: group.clone() };
            let weights = &mut weights[..group.len() * n_queries * self.n_tokens];
            self.scores(&chunk, weights);
            for (row, weights) in weights.chunks_exact_mut(self.n_tokens).enumerate() {
                softmax(&mut weights[..self.visible(first_query + row % n_queries)]);
            }
            let out_row = |head: usize, i: usize| i * n_heads + head - first_head;
            self.add_values(&chunk, weights, |head, i| out_row(head, i) * head_dim, out);
            if let Some(probe) = probe.as_deref_mut() {
                for (row, weights) in weights.chunks_exact(self.n_tokens).enumerate() {
                    let (head, i) = (group.start + row / n_queries, row % n_queries);
                    let visible = self.visible(first_query + i);
                    let row = &mut probe[out_row(head, i) * self.n_tokens..][..self.n_tokens];
                    row[..visible].copy_from_slice(&weights[..visible]);
                    row[visible..].fill(0.0);
                }
            }
        }
    }

    /// Tokens that query `query` may see: all up to and including its own.
    fn visible(&self, query: usize) -> usize {
        self.n_tokens - self.queries.len + query + 1
    }

    fn query(&self, query: usize, head: usize) -> &[f32] {
        let head_dim = self.shape.head_dim;
        &self.queries.data[query * self.queries.token_stride + head * head_dim..][..head_dim]
    }

    /// Calls `f(position, head, codes, scale)` for every token of the tiles, oldest first, and every head of a
    /// group.
    fn for_each_row<'a>(
        &'a self,
        heads: &std::ops::Range<usize>,
        rows_of: impl Fn(&Tile<'a>) -> Rows<'a>,
        mut f: impl FnMut(usize, usize, &'a [u8], f32),
    ) {
        let code_bytes = F::code_bytes(self.shape.head_dim);
        let mut position = 0;
        for tile in self.tiles {
            let rows = rows_of(tile);
            for token in 0..tile.len {
                for head in heads.clone() {
                    let kv_head = self.shape.kv_head(head);
                    let codes = &rows.codes[token * rows.token_stride + kv_head * code_bytes..][..code_bytes];
                    let scale = if F::SCALES == 0 { 1.0 } else { rows.scales[token * self.shape.n_kv_head + kv_head] };
                    f(position, head, codes, scale);
                }
                position += 1;
            }
        }
    }

    /// `scores` `[heads, queries, n]`, scaled by `1 / sqrt(head_dim)`.
    fn scores(&self, chunk: &Chunk, scores: &mut [f32]) {
        #[expect(clippy::cast_precision_loss, reason = "head_dim is small")]
        let scale = 1.0 / (self.shape.head_dim as f32).sqrt();
        self.for_each_row(
            &chunk.heads,
            |tile| tile.keys,
            |position, head, codes, row_scale| {
                for i in 0..chunk.n_queries {
                    let query = chunk.first_query + i;
                    if position < self.visible(query) {
                        let score = F::dot(self.query(query, head), codes, row_scale);
                        scores[chunk.row(head, i) * self.n_tokens + position] = score * scale;
                    }
                }
            },
        );
    }

    fn add_values(&self, chunk: &Chunk, weights: &[f32], out_at: impl Fn(usize, usize) -> usize, out: &mut [f32]) {
        let head_dim = self.shape.head_dim;
        self.for_each_row(
            &chunk.heads,
            |tile| tile.values,
            |position, head, codes, row_scale| {
                for i in 0..chunk.n_queries {
                    if position < self.visible(chunk.first_query + i) {
                        let weight = weights[chunk.row(head, i) * self.n_tokens + position];
                        F::add_scaled(weight, codes, row_scale, &mut out[out_at(head, i)..][..head_dim]);
                    }
                }
            },
        );
    }
}

/// Some queries and the heads that are walked together.
struct Chunk {
    first_query: usize,
    n_queries: usize,
    heads: std::ops::Range<usize>,
}

impl Chunk {
    /// Row of `[heads, queries]`.
    fn row(&self, head: usize, query: usize) -> usize {
        (head - self.heads.start) * self.n_queries + query
    }
}

/// `exp(x - max)` over its sum; the order is that of the positions.
fn softmax(scores: &mut [f32]) {
    let max = scores.iter().fold(f32::NEG_INFINITY, |max, x| max.max(*x));
    let mut sum = 0.0;
    for x in scores.iter_mut() {
        *x = (*x - max).exp();
        sum += *x;
    }
    let inverse = 1.0 / sum;
    for x in scores {
        *x *= inverse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{reference, rows::F32Rows};
    use proptest::prelude::*;

    /// f32 sums of at most 90 tokens and 24 elements against f64: an order of magnitude of room.
    const F32_ATTENTION: f32 = 2e-5;

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
            group in 1_usize..4, n_kv_head in 1_usize..3, head_dim in prop::sample::select(vec![8_usize, 16, 24]),
            past in 0_usize..70, new in 1_usize..20, tile_len in 1_usize..40, seed: u32,
        ) {
            let shape = HeadShape { n_head: group * n_kv_head, n_kv_head, head_dim };
            let (n, q_width, kv_width) = (past + new, shape.n_head * head_dim, n_kv_head * head_dim);
            let (q, k, v) = (noise(new * q_width, seed), noise(n * kv_width, seed ^ 1), noise(n * kv_width, seed ^ 2));
            let queries = Queries { data: &q, token_stride: q_width, len: new };
            let tiles_of = |tile_len: usize| -> Vec<Tile> {
                let rows = |x| Rows { codes: bytemuck::cast_slice(x), token_stride: kv_width * 4, scales: &[] };
                k.chunks(tile_len * kv_width).zip(v.chunks(tile_len * kv_width))
                    .map(|(k, v)| Tile { keys: rows(k), values: rows(v), len: k.len() / kv_width })
                    .collect()
            };
            let mut out = vec![f32::NAN; new * q_width];
            let mut weights = vec![f32::NAN; new * shape.n_head * n];
            walk::<F32Rows>(shape, queries, &tiles_of(tile_len), &mut out, Some(&mut weights));

            let expected = reference::attention(shape, &q, &k, &v);
            for (a, b) in out.iter().zip(&expected.out).chain(weights.iter().zip(&expected.weights)) {
                prop_assert!((a - b).abs() <= F32_ATTENTION, "{a} is not {b}");
            }

            let mut whole = vec![f32::NAN; new * q_width];
            walk::<F32Rows>(shape, queries, &tiles_of(n), &mut whole, None);
            prop_assert_eq!(&out, &whole, "the cut into tiles changed a bit");

            let last = Queries { data: &q[(new - 1) * q_width..], token_stride: q_width, len: 1 };
            let mut alone = vec![f32::NAN; q_width];
            walk::<F32Rows>(shape, last, &tiles_of(tile_len), &mut alone, None);
            prop_assert_eq!(&out[(new - 1) * q_width..], &alone[..], "a query alone differs from the same in a chunk");
        }
    }
}
