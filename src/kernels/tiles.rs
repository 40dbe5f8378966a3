//! Stored rows as the walk reads them: tiles, and runs of a few tokens of a tile, one head of them.

#![expect(clippy::inline_always, reason = "inlined into a function for AVX2, or compiled without it")]

use super::{
    codec::{Codec, Levels, RowShape},
    rows::InPlace,
    simd8::{self as simd, LANES, Simd},
};

/// Vectors of a weighted sum of values that are kept in registers, of the sixteen that AVX2 has.
pub(super) const REGISTERS: usize = 8;

/// Rows of several tokens in one format: `codes[token * token_stride + kv_head * head_bytes..]`, and the scales of the format.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub codec: Codec,
    pub shape: RowShape,
    pub codes: &'a [u8],
    /// Bytes from one token's rows to the next token's.
    pub token_stride: usize,
    /// As [`Codec`] lays them out, from the first token on.
    pub scales: &'a [u8],
    /// What [`Codec::Levels`] needs.
    pub levels: Option<&'a Levels>,
}

impl<'a> Rows<'a> {
    /// Plain f32 rows, `token_stride` elements from one token to the next.
    #[must_use]
    pub fn f32(shape: RowShape, rows: &'a [f32], token_stride: usize) -> Self {
        let codes = bytemuck::cast_slice(rows);
        Self {
            codec: Codec::F32,
            shape,
            codes,
            token_stride: token_stride * size_of::<f32>(),
            scales: &[],
            levels: None,
        }
    }

    /// The memory of the tokens `first ..`, `len` of them: codes and scales.
    #[must_use]
    pub fn bytes(&self, first: usize, len: usize) -> [&'a [u8]; 2] {
        let scale_bytes = self.codec.scale_bytes(self.shape);
        let codes = &self.codes[first * self.token_stride..][..len * self.token_stride];
        [codes, &self.scales[first * scale_bytes..][..len * scale_bytes]]
    }
}

/// Tokens whose rows lie one behind the other: a block or a part of one, or a whole buffer.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    pub keys: Rows<'a>,
    pub values: Rows<'a>,
    /// The first of the tile's tokens in these rows. It matters to formats whose scales are those of several tokens.
    pub first: usize,
    /// Tokens in the tile.
    pub len: usize,
}

/// A few tokens of a tile, one head of them, readable in place.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    /// From the row of the first token on, one every `stride` bytes.
    pub codes: &'a [u8],
    pub stride: usize,
    /// From the scale of the first row on, one every `scale_stride`; empty where rows have none.
    pub scales: &'a [f32],
    pub scale_stride: usize,
    pub len: usize,
    /// From this run's rows to those of the next, if they are to be asked for while these are read.
    pub bytes_ahead: Option<usize>,
}

impl<'a> Run<'a> {
    /// The row of one token of the run.
    #[inline(always)]
    fn row<F: InPlace>(&self, token: usize, head_dim: usize) -> &'a [u8] {
        &self.codes[token * self.stride..][..head_dim * F::BYTES]
    }

    #[inline(always)]
    pub fn scale<F: InPlace>(&self, token: usize) -> f32 {
        if F::SCALED { self.scales[token * self.scale_stride] } else { 1.0 }
    }

    /// `scores[token] = query * row`, not yet scaled: eight tokens at a time, whose vectors of partial sums are
    /// added up together.
    #[inline(always)]
    pub fn dots<F: InPlace, S: Simd>(&self, simd: S, query: &[[f32; LANES]], scores: &mut [f32]) {
        let head_dim = query.len() * LANES;
        let (eights, rest) = scores.as_chunks_mut();
        let n_eights = eights.len();
        for (i, scores) in eights.iter_mut().enumerate() {
            let rows: [&[u8]; LANES] = std::array::from_fn(|token| self.row::<F>(i * LANES + token, head_dim));
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
            let row = self.row::<F>(n_eights * LANES + i, head_dim);
            let mut sums = simd.splat(0.0);
            for (chunk, query) in query.iter().enumerate() {
                sums = simd.mul_add(simd.load(*query), F::eight(simd, row, chunk), sums);
            }
            *score = simd::sum(simd.store(sums));
        }
    }

    /// `out += weights[token] * row`, for the elements from chunk `first` on that `out` has; at most [`REGISTERS`].
    #[inline(always)]
    pub fn add_scaled<F: InPlace, S: Simd>(
        &self,
        simd: S,
        weights: &[f32],
        head_dim: usize,
        first: usize,
        out: &mut [[f32; LANES]],
    ) {
        let mut sums = [simd.splat(0.0); REGISTERS];
        for (sum, out) in sums.iter_mut().zip(&*out) {
            *sum = simd.load(*out);
        }
        for (token, weight) in weights.iter().enumerate() {
            let row = self.row::<F>(token, head_dim);
            if let (0, Some(bytes)) = (first, self.bytes_ahead) {
                simd.prefetch(row, bytes);
            }
            let weight = simd.splat(weight * self.scale::<F>(token));
            for (chunk, sum) in sums.iter_mut().enumerate().take(out.len()) {
                *sum = simd.mul_add(weight, F::eight(simd, row, first + chunk), *sum);
            }
        }
        for (sum, out) in sums.into_iter().zip(out) {
            *out = simd.store(sum);
        }
    }
}
