//! 8 bits with one f32 scale for each token and head.

use super::RowShape;

/// code = round(x / scale), scale = max |x| / 127. The error of a value is at most scale / 2.
pub fn encode(shape: RowShape, row: &[f32], codes: &mut [u8], scales: &mut [u8]) {
    let heads = row.chunks_exact(shape.head_dim).zip(codes.chunks_exact_mut(shape.head_dim));
    for ((row, codes), stored) in heads.zip(bytemuck::cast_slice_mut::<u8, f32>(scales)) {
        let max = row.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        // A row whose scale would be nothing (zeros, or the smallest numbers there are) is stored as zeros by any scale.
        let scale = if max >= f32::MIN_POSITIVE { (max / 127.0).max(f32::MIN_POSITIVE) } else { 1.0 };
        // Rounded up, the largest scale there is would make the largest value infinite.
        let scale = if (127.0 * scale).is_finite() { scale } else { scale.next_down() };
        for (code, x) in codes.iter_mut().zip(row) {
            // `as` saturates, so a rounding up to 127.5 cannot wrap.
            #[expect(clippy::cast_possible_truncation, reason = "rounded and within [-127, 127] by the scale")]
            let value = (x / scale).round() as i8;
            *code = value.cast_unsigned();
        }
        *stored = scale;
    }
}

pub fn decode(codes: &[u8], scale: f32, row: &mut [f32]) {
    for (x, code) in row.iter_mut().zip(codes) {
        *x = f32::from(code.cast_signed()) * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_error_is_at_most_half_a_scale(row in prop::collection::vec(-1e3_f32..1e3, 8..=72)) {
            let shape = RowShape { n_kv_head: 1, head_dim: row.len() };
            let (mut codes, mut scale) = (vec![0; row.len()], [0.0_f32]);
            encode(shape, &row, &mut codes, bytemuck::cast_slice_mut(&mut scale));
            let mut back = vec![0.0; row.len()];
            decode(&codes, scale[0], &mut back);
            for (x, y) in row.iter().zip(&back) {
                // x / scale is up to 127 and rounded to 24 bits, as is the product that brings it back: each can
                // move the result by 127 * 2^-24 of a scale.
                prop_assert!((x - y).abs() <= scale[0] * 0.500_02, "{x} came back as {y}, scale {}", scale[0]);
            }
        }
    }

    #[test]
    fn constant_and_zero_rows_stay_finite() {
        for value in [0.0_f32, -0.0, 3.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX] {
            let (shape, row) = (RowShape { n_kv_head: 1, head_dim: 16 }, [value; 16]);
            let (mut codes, mut scale) = ([0; 16], [0.0_f32]);
            encode(shape, &row, &mut codes, bytemuck::cast_slice_mut(&mut scale));
            let mut back = [f32::NAN; 16];
            decode(&codes, scale[0], &mut back);
            for y in back {
                assert!(y.is_finite() && (value - y).abs() <= scale[0], "{value} came back as {y}");
            }
        }
    }
}
