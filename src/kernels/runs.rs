//! What is computed with the rows of a run: scores, weighted sums of values, plain f32. In every format, on every processor.
//!
//! A score is one chain of multiply-adds in each lane, over the groups of a row, and a sum of lanes in a fixed order; a weighted sum is one
//! chain in each lane, over the tokens. So neither depends on where a run begins or ends.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use std::ops::Range;

use super::{
    codec::{GROUP, Packed, WithRows},
    simd::{LANES, Simd},
    tiles::{HeadRows, RunRows},
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
pub struct KeyProducts<'a> {
    pub keys: RunRows<'a>,
    pub kv_heads: Range<usize>,
    pub readers: Readers<'a>,
    /// `[kv_head][reader][head_dim]`, with whatever scale scores are to have.
    pub queries: &'a [f32],
    /// `[kv_head][reader][chunk_len]`
    pub scores: &'a mut [f32],
    /// What is read next.
    pub ahead: Option<RunRows<'a>>,
}

impl WithRows for KeyProducts<'_> {
    #[inline(always)]
    fn run<F: Packed, S: Simd>(self, simd: S) {
        match self.keys.rows.shape.head_dim {
            32 => self.heads::<F, S, 1>(simd),
            64 => self.heads::<F, S, 2>(simd),
            128 => self.heads::<F, S, 4>(simd),
            _ => self.heads::<F, S, 0>(simd),
        }
    }
}

impl KeyProducts<'_> {
    /// `N` groups in a row, or as many as there are.
    #[inline(always)]
    fn heads<F: Packed, S: Simd, const N: usize>(self, simd: S) {
        let Self { keys, kv_heads, readers: Readers { visible, position, chunk_len }, .. } = self;
        let head_dim = keys.rows.shape.head_dim;
        let mut readers = self.queries.chunks_exact(head_dim).zip(self.scores.chunks_exact_mut(chunk_len));
        for (index, kv_head) in kv_heads.clone().enumerate() {
            if let Some(ahead) = self.ahead {
                ahead.prefetch(simd, &kv_heads, index);
            }
            let rows = keys.head::<F>(kv_head);
            for (visible, (query, scores)) in visible.iter().zip(&mut readers) {
                if *visible > position {
                    let sixteen = dots::<F, S, N>(simd, &rows, keys.len, pairs(query));
                    let scores = &mut scores[position..][..keys.len];
                    match scores.as_mut_array::<LANES>() {
                        Some(scores) => *scores = sixteen,
                        None => scores.copy_from_slice(&sixteen[..scores.len()]),
                    }
                }
            }
        }
    }
}

/// The products of `query` and so many rows.
#[inline(always)]
fn dots<F: Packed, S: Simd, const N: usize>(simd: S, rows: &HeadRows<'_>, len: usize, query: &[Pair]) -> [f32; LANES] {
    let query = &query[..rows.n_groups::<N>()];
    let mut all = [simd.splat(0.0); LANES];
    for (part, all) in all.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
        let first = part * ROWS;
        if first >= len {
            break;
        }
        let mut codes_and_scales: [(&[u8], &[u8]); ROWS] = [(&[], &[]); ROWS];
        for (i, row) in codes_and_scales.iter_mut().enumerate() {
            // The last row again where there are no eight.
            *row = rows.row::<F, N>((first + i).min(len - 1));
        }
        let mut sums = [simd.splat(0.0); ROWS];
        for (group, [low, high]) in query.iter().enumerate() {
            let (query_low, query_high) = (simd.load(low), simd.load(high));
            for (sum, (codes, scales)) in sums.iter_mut().zip(&codes_and_scales) {
                let [low, high] = F::read(simd, codes, scales, group);
                *sum = simd.mul_add(query_high, high, simd.mul_add(query_low, low, *sum));
            }
        }
        *all = sums;
    }
    simd.store(simd.sums(all))
}

/// Sums of values, weighted.
pub struct WeightedSums<'a> {
    pub values: RunRows<'a>,
    pub kv_heads: Range<usize>,
    pub readers: Readers<'a>,
    /// `[kv_head][reader][chunk_len]`
    pub weights: &'a [f32],
    /// `[kv_head][reader][head_dim]`, added to.
    pub sums: &'a mut [f32],
    /// What is read next.
    pub ahead: Option<RunRows<'a>>,
}

impl WithRows for WeightedSums<'_> {
    #[inline(always)]
    fn run<F: Packed, S: Simd>(self, simd: S) {
        match self.values.rows.shape.head_dim {
            32 => self.heads::<F, S, 1>(simd),
            64 => self.heads::<F, S, 2>(simd),
            128 => self.heads::<F, S, 4>(simd),
            _ => self.heads::<F, S, 0>(simd),
        }
    }
}

impl WeightedSums<'_> {
    /// `N` groups in a row, or as many as there are.
    #[inline(always)]
    fn heads<F: Packed, S: Simd, const N: usize>(self, simd: S) {
        let Self { values, kv_heads, readers: Readers { visible, position, chunk_len }, .. } = self;
        let head_dim = values.rows.shape.head_dim;
        let mut readers = self.sums.chunks_exact_mut(head_dim).zip(self.weights.chunks_exact(chunk_len));
        for (index, kv_head) in kv_heads.clone().enumerate() {
            if let Some(ahead) = self.ahead {
                ahead.prefetch(simd, &kv_heads, index);
            }
            let rows = values.head::<F>(kv_head);
            for (visible, (sums, weights)) in visible.iter().zip(&mut readers) {
                let weights = &weights[position..][..values.len.min(visible.saturating_sub(position))];
                // A few vectors at a time stay in registers while the rows are added to them.
                let (twos, one) = pairs_mut(sums).as_chunks_mut::<2>();
                for (two, sums) in twos.iter_mut().enumerate().take(rows.n_groups::<N>() / 2) {
                    add::<F, S, N, 2>(simd, &rows, 2 * two, weights, sums);
                }
                if let [one] = one {
                    add::<F, S, N, 1>(simd, &rows, rows.n_groups::<N>() - 1, weights, std::array::from_mut(one));
                }
            }
        }
    }
}

/// `sums += weights[token] * row`, for the `M` groups of each row from `first` on.
#[inline(always)]
fn add<F: Packed, S: Simd, const N: usize, const M: usize>(
    simd: S,
    rows: &HeadRows<'_>,
    first: usize,
    weights: &[f32],
    sums: &mut [Pair; M],
) {
    let mut in_registers = [[simd.splat(0.0); 2]; M];
    for (x, stored) in in_registers.iter_mut().zip(&*sums) {
        *x = [simd.load(&stored[0]), simd.load(&stored[1])];
    }
    for (token, weight) in weights.iter().enumerate() {
        let ((codes, scales), weight) = (rows.row::<F, N>(token), simd.splat(*weight));
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
    pub rows: RunRows<'a>,
    pub kv_head: usize,
    pub out: &'a mut [f32],
}

impl WithRows for Decode<'_> {
    #[inline(always)]
    fn run<F: Packed, S: Simd>(self, simd: S) {
        let head_dim = self.rows.rows.shape.head_dim;
        let rows = self.rows.head::<F>(self.kv_head);
        for (token, out) in self.out.chunks_exact_mut(head_dim).take(self.rows.len).enumerate() {
            let (codes, scales) = rows.row::<F, 0>(token);
            for (group, out) in pairs_mut(out).iter_mut().enumerate() {
                let [low, high] = F::read(simd, codes, scales, group);
                *out = [simd.store(low), simd.store(high)];
            }
        }
    }
}
