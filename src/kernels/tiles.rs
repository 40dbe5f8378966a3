//! Stored rows as the walk reads them: tiles, and runs of a few tokens of a tile, one head of them.

#![expect(clippy::inline_always, reason = "inlined into a function for AVX2, or compiled without it")]

use super::{
    rows::RowFormat,
    simd::{self, LANES, Simd},
};

/// Vectors of a weighted sum of values that are kept in registers, of the sixteen that AVX2 has.
pub(super) const REGISTERS: usize = 8;

/// Rows of several tokens: `codes[token * token_stride + kv_head * F::code_bytes(head_dim)..]`, and the
/// scales `[token][kv_head]` of formats that have them.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub codes: &'a [u8],
    /// Bytes from one token's rows to the next token's.
    pub token_stride: usize,
    pub scales: &'a [f32],
}

/// Tokens whose rows lie at one place: a block or the filled part of one, or a whole buffer.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    pub keys: Rows<'a>,
    pub values: Rows<'a>,
    /// Tokens in the tile.
    pub len: usize,
}

/// `len` tokens of a tile from `first` on, one head of them.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub rows: Rows<'a>,
    pub first: usize,
    pub len: usize,
    pub kv_head: usize,
    /// From this run's rows to those of the next, if they are to be asked for while these are read.
    pub bytes_ahead: Option<usize>,
}

impl<'a> Run<'a> {
    /// Codes of one token of the run.
    #[inline(always)]
    fn codes<F: RowFormat>(&self, token: usize, head_dim: usize) -> &'a [u8] {
        let code_bytes = F::code_bytes(head_dim);
        &self.rows.codes[(self.first + token) * self.rows.token_stride + self.kv_head * code_bytes..][..code_bytes]
    }

    #[inline(always)]
    pub fn scale<F: RowFormat>(&self, token: usize, n_kv_head: usize) -> f32 {
        if F::SCALES == 0 { 1.0 } else { self.rows.scales[(self.first + token) * n_kv_head + self.kv_head] }
    }

    /// `scores[token] = query * row`, not yet scaled: eight tokens at a time, whose vectors of partial sums are
    /// added up together.
    #[inline(always)]
    pub fn dots<F: RowFormat, S: Simd>(&self, simd: S, query: &[[f32; LANES]], scores: &mut [f32]) {
        let head_dim = query.len() * LANES;
        let (eights, rest) = scores.as_chunks_mut();
        let n_eights = eights.len();
        for (i, scores) in eights.iter_mut().enumerate() {
            let rows: [&[u8]; LANES] = std::array::from_fn(|token| self.codes::<F>(i * LANES + token, head_dim));
            if let Some(bytes) = self.bytes_ahead {
                for row in rows {
                    simd.prefetch(row, bytes);
                }
            }
            let mut sums = [simd.splat(0.0); LANES];
            for (chunk, query) in query.iter().enumerate() {
                let query = simd.load(*query);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = simd.mul_add(query, F::eight(simd, row, chunk), *sum);
                }
            }
            *scores = simd.sums(sums);
        }
        for (i, score) in rest.iter_mut().enumerate() {
            let row = self.codes::<F>(n_eights * LANES + i, head_dim);
            let mut sums = simd.splat(0.0);
            for (chunk, query) in query.iter().enumerate() {
                sums = simd.mul_add(simd.load(*query), F::eight(simd, row, chunk), sums);
            }
            *score = simd::sum(simd.store(sums));
        }
    }

    /// `out += weights[token] * row`, for the elements from chunk `first` on that `out` has; at most [`REGISTERS`].
    #[inline(always)]
    pub fn add_scaled<F: RowFormat, S: Simd>(
        &self,
        simd: S,
        weights: &[f32],
        n_kv_head: usize,
        head_dim: usize,
        first: usize,
        out: &mut [[f32; LANES]],
    ) {
        let mut sums = [simd.splat(0.0); REGISTERS];
        for (sum, out) in sums.iter_mut().zip(&*out) {
            *sum = simd.load(*out);
        }
        for (token, weight) in weights.iter().enumerate() {
            let row = self.codes::<F>(token, head_dim);
            if let (0, Some(bytes)) = (first, self.bytes_ahead) {
                simd.prefetch(row, bytes);
            }
            let weight = simd.splat(weight * self.scale::<F>(token, n_kv_head));
            for (chunk, sum) in sums.iter_mut().enumerate().take(out.len()) {
                *sum = simd.mul_add(weight, F::eight(simd, row, first + chunk), *sum);
            }
        }
        for (sum, out) in sums.into_iter().zip(out) {
            *out = simd.store(sum);
        }
    }
}
