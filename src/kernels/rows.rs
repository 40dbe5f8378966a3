//! Rows that attention reads in place, eight values at a time in registers.

#![expect(clippy::inline_always, reason = "inlined into a function for AVX2, or compiled without it")]

use super::simd8::{LANES, Simd};

/// How a row is read without being decoded first.
pub(super) trait InPlace {
    /// Bytes of a value.
    const BYTES: usize;
    /// Whether each row has a scale.
    const SCALED: bool;
    /// Elements `8 * chunk ..` of the row, not yet scaled, in registers.
    fn eight<S: Simd>(simd: S, codes: &[u8], chunk: usize) -> S::F32x8;
}

/// Rows of f32.
pub(super) struct F32Rows;

/// Rows of i8 with one scale each ([`super::codec::Codec::Int8`]).
pub(super) struct Int8Rows;

impl InPlace for F32Rows {
    const BYTES: usize = size_of::<f32>();
    const SCALED: bool = false;

    #[inline(always)]
    fn eight<S: Simd>(simd: S, codes: &[u8], chunk: usize) -> S::F32x8 {
        const BYTES: usize = LANES * size_of::<f32>();
        simd.load(bytemuck::pod_read_unaligned(&codes[chunk * BYTES..][..BYTES]))
    }
}

impl InPlace for Int8Rows {
    const BYTES: usize = 1;
    const SCALED: bool = true;

    #[inline(always)]
    fn eight<S: Simd>(simd: S, codes: &[u8], chunk: usize) -> S::F32x8 {
        simd.load_i8(bytemuck::pod_read_unaligned(&codes[chunk * LANES..][..LANES]))
    }
}
