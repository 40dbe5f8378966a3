//! The Walsh-Hadamard rotation of a row: it spreads what one channel holds over all of them.
//!
//! Rotating keys and queries alike leaves their products as they were, and a sum of rotated values is the rotated sum: so a cache may
//! hold rotated rows, which have no outlier channels to spend its few levels on (`QuIP#`, `QuaRot`; llama.cpp's pull request 21038).

/// Rotates each row of `head_dim` in place. The rotation is its own inverse, up to rounding: the orthonormal, symmetric Hadamard matrix
/// over the largest power of two that divides `head_dim`, one block after the other.
///
/// Costs `log2(block)` additions a value.
pub fn rotate(rows: &mut [f32], head_dim: usize) {
    let block = 1 << head_dim.trailing_zeros();
    #[expect(clippy::cast_precision_loss, reason = "a power of two far below 2^24")]
    let scale = 1.0 / (block as f32).sqrt();
    for row in rows.chunks_exact_mut(block) {
        // Scaled first, no sum on the way is larger than the row's norm: what a rotated row can hold overflows in neither direction.
        for x in row.iter_mut() {
            *x *= scale;
        }
        let mut half = 1;
        while half < block {
            for pair in row.chunks_exact_mut(2 * half) {
                let (low, high) = pair.split_at_mut(half);
                for (a, b) in low.iter_mut().zip(high) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
            half *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Six to eight additions and a product each way, each rounded to 2^-24 of values up to the row's norm.
    const ROUNDING: f32 = 4e-6;

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    proptest! {
        #[test]
        fn twice_is_nothing_and_products_stay(
            head_dim in prop::sample::select(vec![8_usize, 24, 32, 64, 80, 128, 256]),
            values in prop::collection::vec(-4_f32..4.0, 1024),
        ) {
            let (a, b) = (values[..2 * head_dim].to_vec(), values[512..512 + 2 * head_dim].to_vec());
            let (mut ra, mut rb) = (a.clone(), b.clone());
            rotate(&mut ra, head_dim);
            rotate(&mut rb, head_dim);
            let size = dot(&a, &a).sqrt() * dot(&b, &b).sqrt();
            prop_assert!((dot(&ra, &rb) - dot(&a, &b)).abs() <= f64::from(ROUNDING) * size);
            rotate(&mut ra, head_dim);
            #[expect(clippy::cast_possible_truncation, reason = "a bound")]
            let norm = dot(&a, &a).sqrt() as f32;
            for (x, y) in a.iter().zip(&ra) {
                prop_assert!((x - y).abs() <= ROUNDING * norm, "{x} came back as {y}");
            }
        }
    }

    #[test]
    fn one_channel_is_spread_over_all() {
        let mut row = [0.0; 64];
        row[5] = 8.0;
        rotate(&mut row, 64);
        assert!(row.iter().all(|x| (x.abs() - 1.0).abs() < 1e-6), "{row:?}");
    }
}
