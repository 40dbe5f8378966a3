//! How one row (a key or a value of one token and one head) is stored and read back.
//!
//! A row is `head_dim` codes and, for some formats, one f32 scale. Codes and scales lie in separate
//! planes, so that codes stay aligned:
//!
//! ```text
//! codes   [token][kv_head][head_dim]      F32: 4 bytes a code    Int8: 1 byte a code
//! scales  [token][kv_head]                F32: none              Int8: f32
//! ```

#![expect(clippy::inline_always, reason = "inlined into a function for AVX2, or compiled without it")]

use super::simd::{LANES, Simd};

/// A row format: how to store a row of f32, and how to read it inside attention.
pub trait RowFormat: Sync {
    /// Bytes of codes for one row.
    fn code_bytes(head_dim: usize) -> usize;
    /// Scales for one row: 0 or 1.
    const SCALES: usize;
    /// Stores `row`; returns the scale (ignored when `SCALES` is 0).
    fn encode(row: &[f32], codes: &mut [u8]) -> f32;
    /// Reads the row back as f32.
    fn decode(codes: &[u8], scale: f32, row: &mut [f32]);
    /// Elements `8 * chunk ..` of the row, not yet scaled, in registers.
    fn eight<S: Simd>(simd: S, codes: &[u8], chunk: usize) -> S::F32x8;
}

/// Rows of f32, exactly as they came.
pub struct F32Rows;

/// Rows of i8 with one scale each: code = round(x / scale), scale = max |x| / 127. The error of a
/// value is at most scale / 2 (vLLM's `int8_per_token_head`).
pub struct Int8Rows;

impl RowFormat for F32Rows {
    const SCALES: usize = 0;

    fn code_bytes(head_dim: usize) -> usize {
        head_dim * size_of::<f32>()
    }

    fn encode(row: &[f32], codes: &mut [u8]) -> f32 {
        codes.copy_from_slice(bytemuck::cast_slice(row));
        1.0
    }

    fn decode(codes: &[u8], _scale: f32, row: &mut [f32]) {
        row.copy_from_slice(bytemuck::cast_slice(codes));
    }

    #[inline(always)]
    fn eight<S: Simd>(simd: S, codes: &[u8], chunk: usize) -> S::F32x8 {
        const BYTES: usize = LANES * size_of::<f32>();
        simd.load(bytemuck::pod_read_unaligned(&codes[chunk * BYTES..][..BYTES]))
    }
}

impl RowFormat for Int8Rows {
    const SCALES: usize = 1;

    fn code_bytes(head_dim: usize) -> usize {
        head_dim
    }

    fn encode(row: &[f32], codes: &mut [u8]) -> f32 {
        let max = row.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        // A row of zeros has no scale of its own; any scale stores it exactly.
        let scale = if max > 0.0 { max / 127.0 } else { 1.0 };
        for (code, x) in codes.iter_mut().zip(row) {
            // `as` saturates, so a rounding up to 127.5 cannot wrap.
            #[expect(clippy::cast_possible_truncation, reason = "rounded and within [-127, 127] by the scale")]
            let value = (x / scale).round() as i8;
            *code = value.cast_unsigned();
        }
        scale
    }

    fn decode(codes: &[u8], scale: f32, row: &mut [f32]) {
        for (x, code) in row.iter_mut().zip(codes) {
            *x = f32::from(code.cast_signed()) * scale;
        }
    }

    #[inline(always)]
    fn eight<S: Simd>(simd: S, codes: &[u8], chunk: usize) -> S::F32x8 {
        simd.load_i8(bytemuck::pod_read_unaligned(&codes[chunk * LANES..][..LANES]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Portable;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn int8_error_is_at_most_half_a_scale(row in prop::collection::vec(-1e3_f32..1e3, 8..=72)) {
            let mut codes = vec![0; row.len()];
            let scale = Int8Rows::encode(&row, &mut codes);
            let mut back = vec![0.0; row.len()];
            Int8Rows::decode(&codes, scale, &mut back);
            for (x, y) in row.iter().zip(&back) {
                // x / scale is up to 127 and rounded to 24 bits, as is the product that brings it back: each can
                // move the result by 127 * 2^-24 of a scale.
                prop_assert!((x - y).abs() <= scale * 0.500_02, "{x} came back as {y}, scale {scale}");
            }
        }

        #[test]
        fn eight_by_eight_is_what_decode_reads(row in prop::collection::vec(-9_f32..9.0, 40..=40)) {
            fn check<F: RowFormat>(row: &[f32]) -> Result<(), TestCaseError> {
                // f32 storage so that the bytes are aligned for the f32 format.
                let mut words = vec![0.0_f32; row.len()];
                let codes = &mut bytemuck::cast_slice_mut::<f32, u8>(&mut words)[..F::code_bytes(row.len())];
                let scale = F::encode(row, codes);
                let mut back = vec![0.0; row.len()];
                F::decode(codes, scale, &mut back);
                for (chunk, back) in back.chunks(LANES).enumerate() {
                    let bits = |eight: [f32; LANES]| eight.map(|x| (x * scale).to_bits()).to_vec();
                    let back: Vec<u32> = back.iter().map(|x| x.to_bits()).collect();
                    prop_assert_eq!(&bits(F::eight(Portable, codes, chunk)), &back);
                    #[cfg(target_arch = "x86_64")]
                    if let Some(simd) = crate::kernels::simd::Avx2::detect() {
                        prop_assert_eq!(&bits(simd.store(F::eight(simd, codes, chunk))), &back);
                    }
                }
                Ok(())
            }
            check::<F32Rows>(&row)?;
            check::<Int8Rows>(&row)?;
        }
    }

    #[test]
    fn constant_and_zero_rows_stay_finite() {
        for row in [vec![0.0_f32; 16], vec![-0.0; 16], vec![3.0; 16], vec![f32::MIN_POSITIVE; 16]] {
            let mut codes = vec![0; 16];
            let scale = Int8Rows::encode(&row, &mut codes);
            let mut back = vec![f32::NAN; 16];
            Int8Rows::decode(&codes, scale, &mut back);
            for (x, y) in row.iter().zip(&back) {
                assert!(y.is_finite() && (x - y).abs() <= scale, "{x} came back as {y}");
            }
        }
    }
}
