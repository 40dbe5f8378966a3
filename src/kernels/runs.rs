//! What is computed with the rows of a run: scores, weighted sums of values, plain f32. In every format, on every processor.
//!
//! A score is one chain of multiply-adds in each lane, over the groups of a row, and a sum of lanes in a fixed order; a weighted sum is one
//! chain in each lane, over the tokens. So neither depends on where a run begins or ends.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use std::ops::Range;

use super::{
    codec::{GROUP, Packed, WithRows},
    simd::{LANES, Simd},
    tiles::HeadRows,
};

/// Rows that are multiplied with a query at once: as many sums as AVX2 has registers for, and AVX-512 twice.
const ROWS: usize = 8;

/// 32 values as two vectors' worth.
type Pair = [[f32; LANES]; 2];

fn pairs(x: &[f32]) -> &[Pair] {
    bytemuck::cast_slice(x.as_chunks::<GROUP>().0)
}

fn pairs_mut(x: &mut [f32]) -> &mut [Pair] {
    bytemuck::cast_slice_mut(x.as_chunks_mut::<GROUP>().0)
}

/// Who reads the rows of a run: `n` readers of each head, a query head of a query each. Of what they have, one lies behind the other:
/// `[kv_head][reader]`.
#[derive(Clone, Copy)]
pub struct Readers<'a> {
    /// Tokens of the chunk that each may see, `[reader]`; the same for all heads.
    pub visible: &'a [usize],
    /// Tokens before the run, in the chunk.
    pub position: usize,
    /// Tokens of a chunk.
    pub chunk_len: usize,
}

/// Scores: products of queries and keys.
pub struct Scores<'a> {
    pub keys: HeadRows<'a>,
    pub kv_heads: Range<usize>,
    pub readers: Readers<'a>,
    /// `[kv_head][reader][head_dim]`, with whatever scale scores are to have.
    pub queries: &'a [f32],
    /// `[kv_head][reader][chunk_len]`
    pub scores: &'a mut [f32],
    /// What is read next.
    pub ahead: Option<HeadRows<'a>>,
}

impl WithRows for Scores<'_> {
    #[inline(always)]
    fn run<F: Packed, S: Simd>(self, simd: S) {
        let Self { keys, kv_heads, readers: Readers { visible, position, chunk_len }, .. } = self;
        let head_dim = keys.rows.shape.head_dim;
        let mut readers = self.queries.chunks_exact(head_dim).zip(self.scores.chunks_exact_mut(chunk_len));
        for (index, kv_head) in kv_heads.enumerate() {
            if let Some(ahead) = self.ahead {
                ahead.prefetch(simd, kv_head, index == 0);
            }
            for ((query, scores), visible) in readers.by_ref().take(visible.len()).zip(visible) {
                if *visible > position {
                    let sixteen = dots::<F, S>(simd, &keys, kv_head, pairs(query));
                    scores[position..][..keys.len].copy_from_slice(&sixteen[..keys.len]);
                }
            }
        }
    }
}

/// The products of `query` and one head of each row of the run.
#[inline(always)]
fn dots<F: Packed, S: Simd>(simd: S, keys: &HeadRows<'_>, kv_head: usize, query: &[Pair]) -> [f32; LANES] {
    let mut all = [simd.splat(0.0); LANES];
    for first in (0..keys.len).step_by(ROWS) {
        let rows: [(&[u8], &[u8]); ROWS] = std::array::from_fn(|i| keys.row::<F>(first + i, kv_head));
        let mut sums = [simd.splat(0.0); ROWS];
        for (group, [low, high]) in query.iter().enumerate() {
            let (query_low, query_high) = (simd.load(low), simd.load(high));
            for (sum, (codes, scales)) in sums.iter_mut().zip(rows) {
                let [low, high] = F::read(simd, codes, scales, group);
                *sum = simd.mul_add(query_high, high, simd.mul_add(query_low, low, *sum));
            }
        }
        all[first..first + ROWS].copy_from_slice(&sums);
    }
    simd.store(simd.sums(all))
}

/// Sums of values, weighted.
pub struct WeightedSums<'a> {
    pub values: HeadRows<'a>,
    pub kv_heads: Range<usize>,
    pub readers: Readers<'a>,
    /// `[kv_head][reader][chunk_len]`
    pub weights: &'a [f32],
    /// `[kv_head][reader][head_dim]`, added to.
    pub sums: &'a mut [f32],
    /// What is read next.
    pub ahead: Option<HeadRows<'a>>,
}

impl WithRows for WeightedSums<'_> {
    #[inline(always)]
    fn run<F: Packed, S: Simd>(self, simd: S) {
        let Self { values, kv_heads, readers: Readers { visible, position, chunk_len }, .. } = self;
        let head_dim = values.rows.shape.head_dim;
        let mut readers = self.sums.chunks_exact_mut(head_dim).zip(self.weights.chunks_exact(chunk_len));
        for (index, kv_head) in kv_heads.enumerate() {
            if let Some(ahead) = self.ahead {
                ahead.prefetch(simd, kv_head, index == 0);
            }
            for ((sums, weights), visible) in readers.by_ref().take(visible.len()).zip(visible) {
                let weights = &weights[position..][..values.len.min(visible.saturating_sub(position))];
                // A few vectors at a time stay in registers while the rows are added to them.
                let (twos, one) = pairs_mut(sums).as_chunks_mut::<2>();
                for (two, sums) in twos.iter_mut().enumerate() {
                    add::<F, S, 2>(simd, &values, kv_head, 2 * two, weights, sums);
                }
                let first = 2 * twos.len();
                for sums in one.as_chunks_mut::<1>().0 {
                    add::<F, S, 1>(simd, &values, kv_head, first, weights, sums);
                }
            }
        }
    }
}

/// `sums += weights[token] * row`, for `N` groups of one head's rows.
#[inline(always)]
fn add<F: Packed, S: Simd, const N: usize>(
    simd: S,
    values: &HeadRows<'_>,
    kv_head: usize,
    first: usize,
    weights: &[f32],
    sums: &mut [Pair; N],
) {
    let mut in_registers = [[simd.splat(0.0); 2]; N];
    for (x, stored) in in_registers.iter_mut().zip(&*sums) {
        *x = [simd.load(&stored[0]), simd.load(&stored[1])];
    }
    for (token, weight) in weights.iter().enumerate() {
        let ((codes, scales), weight) = (values.row::<F>(token, kv_head), simd.splat(*weight));
        for (group, x) in in_registers.iter_mut().enumerate() {
            let [low, high] = F::read(simd, codes, scales, first + group);
            *x = [simd.mul_add(weight, low, x[0]), simd.mul_add(weight, high, x[1])];
        }
    }
    for (stored, x) in sums.iter_mut().zip(in_registers) {
        *stored = [simd.store(x[0]), simd.store(x[1])];
    }
}

/// Plain f32: one head of the rows, `[token][head_dim]`.
pub struct Decode<'a> {
    pub rows: HeadRows<'a>,
    pub kv_head: usize,
    pub out: &'a mut [f32],
}

impl WithRows for Decode<'_> {
    #[inline(always)]
    fn run<F: Packed, S: Simd>(self, simd: S) {
        let head_dim = self.rows.rows.shape.head_dim;
        for (token, out) in self.out.chunks_exact_mut(head_dim).take(self.rows.len).enumerate() {
            let (codes, scales) = self.rows.row::<F>(token, self.kv_head);
            for (group, out) in pairs_mut(out).iter_mut().enumerate() {
                let [low, high] = F::read(simd, codes, scales, group);
                *out = [simd.store(low), simd.store(high)];
            }
        }
    }
}
