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

/// Lanes of the accumulators below: the sum of a row is eight partial sums, added at the end. A fixed
/// order makes the result the same for every layout, and leaves the compiler free to use SIMD.
const LANES: usize = 8;

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
    /// Sum of `query[i] * row[i]`.
    fn dot(query: &[f32], codes: &[u8], scale: f32) -> f32;
    /// `out[i] += weight * row[i]`.
    fn add_scaled(weight: f32, codes: &[u8], scale: f32, out: &mut [f32]);
}

/// Rows of f32, exactly as they came.
pub struct F32Rows;

/// Rows of i8 with one scale each: code = round(x / scale), scale = max |x| / 127. The error of a
/// value is at most scale / 2 (vLLM's `int8_per_token_head`).
pub struct Int8Rows;

#[inline(always)]
fn dot_lanes<T: Copy>(query: &[f32], row: &[T], value: impl Fn(T) -> f32) -> f32 {
    let (queries, rows) = (query.chunks_exact(LANES), row.chunks_exact(LANES));
    let mut sums = [0.0_f32; LANES];
    for ((sum, q), x) in sums.iter_mut().zip(queries.remainder()).zip(rows.remainder()) {
        *sum = q * value(*x);
    }
    for (queries, row) in queries.zip(rows) {
        for ((sum, q), x) in sums.iter_mut().zip(queries).zip(row) {
            *sum += q * value(*x);
        }
    }
    ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))
}

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
    fn dot(query: &[f32], codes: &[u8], _scale: f32) -> f32 {
        dot_lanes(query, bytemuck::cast_slice(codes), |x: f32| x)
    }

    #[inline(always)]
    fn add_scaled(weight: f32, codes: &[u8], _scale: f32, out: &mut [f32]) {
        let row: &[f32] = bytemuck::cast_slice(codes);
        for (o, x) in out.iter_mut().zip(row) {
            *o += weight * x;
        }
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
    fn dot(query: &[f32], codes: &[u8], scale: f32) -> f32 {
        scale * dot_lanes(query, codes, |code| f32::from(code.cast_signed()))
    }

    #[inline(always)]
    fn add_scaled(weight: f32, codes: &[u8], scale: f32, out: &mut [f32]) {
        let weight = weight * scale;
        for (o, code) in out.iter_mut().zip(codes) {
            *o += weight * f32::from(code.cast_signed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        fn dot_and_add_read_the_same_row_as_decode(row in prop::collection::vec(-9_f32..9.0, 8..=40)) {
            fn check<F: RowFormat>(row: &[f32]) -> Result<(), TestCaseError> {
                // f32 storage so that the bytes are aligned for the f32 format.
                let mut words = vec![0.0_f32; row.len()];
                let codes = &mut bytemuck::cast_slice_mut::<f32, u8>(&mut words)[..F::code_bytes(row.len())];
                let scale = F::encode(row, codes);
                let mut back = vec![0.0; row.len()];
                F::decode(codes, scale, &mut back);
                let query: Vec<f32> = (0_u8..).map(|i| f32::from(i % 7) - 3.0).take(row.len()).collect();
                let expected: f64 = query.iter().zip(&back).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let magnitude: f64 = query.iter().zip(&back).map(|(a, b)| f64::from((a * b).abs())).sum();
                // f32 summation of at most 40 terms: relative error far below 1e-5 of the magnitude.
                prop_assert!((f64::from(F::dot(&query, codes, scale)) - expected).abs() <= 1e-5 * magnitude + 1e-6);
                let mut out = vec![0.5; row.len()];
                F::add_scaled(2.0, codes, scale, &mut out);
                for (o, x) in out.iter().zip(&back) {
                    prop_assert!((o - (0.5 + 2.0 * x)).abs() <= 1e-5 * (1.0 + x.abs()));
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
