//! The softmax of a row of scores, and the exponential it is made of.
//!
//! Everything is written over lanes of a fixed width: the sum of a row is [`LANES`] partial sums, so the compiler may
//! use SIMD and the result depends on the row alone, not on the processor.

#![expect(clippy::inline_always, reason = "inlined into a function for AVX2, or compiled without it")]

const LANES: usize = 16;

/// Below this, `exp` is about the smallest normal f32: a weight that no sum of weights can notice.
const LOWEST: f32 = -87.0;

/// `exp(x - max)` over its sum, in place.
#[inline(always)]
pub fn softmax(scores: &mut [f32]) {
    let mut maxima = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for (max, x) in maxima.iter_mut().zip(chunk) {
            *max = if *x > *max { *x } else { *max };
        }
    }
    let max = maxima.iter().chain(rest).fold(f32::NEG_INFINITY, |max, x| max.max(*x));
    let mut sums = [0.0_f32; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (x, sum) in chunk.iter_mut().zip(&mut sums) {
            *x = exp_of_negative(*x - max);
            *sum += *x;
        }
    }
    for (x, sum) in rest.iter_mut().zip(&mut sums) {
        *x = exp_of_negative(*x - max);
        *sum += *x;
    }
    let inverse = 1.0 / sums.iter().sum::<f32>();
    for x in scores {
        *x *= inverse;
    }
}

/// `exp(x)` for `x <= 0` (a NaN stays one): `2^n * exp(r)` with `n = round(x / ln 2)`, and the Taylor polynomial of
/// `exp(r)` for `|r| <= ln 2 / 2`, of degree 7, which leaves less than 2^-24. Cody and Waite's reduction: `ln 2` in
/// two parts, so that `n * LN_2_HIGH` is exact.
#[inline(always)]
pub(super) fn exp_of_negative(x: f32) -> f32 {
    // Added and taken away, it leaves the nearest integer (2^23 has no fraction bits), in its low mantissa bits too.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < LOWEST { LOWEST } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut sum = 1.0 / 5_040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + coefficient;
    }
    // 2^n: the low bits of `shifted` are n in two's complement; n >= -126, so the exponent stays in range.
    let exponent = (shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits());
    sum * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A unit in the last place of f32, twice: the polynomial's own rounding and that of the reduction.
    const RELATIVE: f64 = 2.5e-7;

    #[test]
    fn exp_is_exp() {
        let mut worst = 0.0_f64;
        // From -1e-9 to LOWEST, evenly in the bits.
        let (from, to) = (1e-9_f32.to_bits(), (-LOWEST).to_bits());
        for bits in (from..=to).step_by(151) {
            let x = -f32::from_bits(bits);
            let (given, expected) = (f64::from(exp_of_negative(x)), f64::from(x).exp());
            worst = worst.max((given / expected - 1.0).abs());
        }
        assert!(worst <= RELATIVE, "{worst}");
        assert!((exp_of_negative(0.0) - 1.0).abs() < f32::EPSILON);
        assert!(exp_of_negative(f32::NEG_INFINITY) < 2e-38);
        assert!(exp_of_negative(f32::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn weights_are_those_of_f64_and_sum_to_one(scores in prop::collection::vec(-60_f32..60.0, 1..90)) {
            let max = scores.iter().fold(f64::NEG_INFINITY, |max, x| max.max(f64::from(*x)));
            let exps: Vec<f64> = scores.iter().map(|x| (f64::from(*x) - max).exp()).collect();
            let sum: f64 = exps.iter().sum();
            let mut weights = scores.clone();
            softmax(&mut weights);
            for (given, exp) in weights.iter().zip(&exps) {
                // x - max is rounded to f32 before the exponential: 60 * 2^-23 of it at most.
                prop_assert!((f64::from(*given) - exp / sum).abs() <= 1.5e-5 * exp / sum + 1e-30);
            }
        }
    }
}
