//! The softmax in pieces: weights of a chunk of scores, and what brings chunks together (Milakov and Gimelshein 2018, arXiv 1805.02867).
//!
//! Of a chunk three things are kept: its largest score, the sum of `exp(score - largest)`, and the values summed with these weights. Two
//! chunks are one when the smaller of the largest scores has been made up for. Sums have fixed lanes and a fixed order, so a result
//! depends on the scores alone.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use super::simd::{LANES, Simd, WithSimd, sum};

/// Below this, `exp` is about the smallest normal f32: a weight that no sum of weights can notice.
const LOWEST: f32 = -87.0;

/// `exp(x)` for `x <= 0`: `2^n * exp(r)` with `n = round(x / ln 2)`, and the Taylor polynomial of `exp(r)` for `|r| <= ln 2 / 2`, of degree
/// 7, which leaves less than 2^-24. Cody and Waite's reduction: `ln 2` in two parts, so that `n * LN_2_HIGH` is exact.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    // Added and taken away, it leaves the nearest integer: 2^23 has no fraction bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // A NaN is the second one, and stays.
    let x = simd.max(simd.splat(LOWEST), x);
    let shifted = simd.mul_add(x, simd.splat(std::f32::consts::LOG2_E), simd.splat(ROUND));
    let n = simd.add(shifted, simd.splat(-ROUND));
    let r = simd.mul_add(n, simd.splat(-LN_2_LOW), simd.mul_add(n, simd.splat(-LN_2_HIGH), x));
    let mut sum = simd.splat(1.0 / 5_040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = simd.mul_add(sum, r, simd.splat(coefficient));
    }
    simd.mul(sum, simd.power_of_two(n))
}

/// `exp(x)` of one number.
#[inline(always)]
fn exp_of<S: Simd>(simd: S, x: f32) -> f32 {
    simd.store(exp(simd, simd.splat(x)))[0]
}

/// What is known of the attention of some rows (a query head of a query each) to the tokens of some chunks.
pub struct Partial {
    /// Largest score, `[row]`.
    pub largest: Vec<f32>,
    /// Sum of the weights `exp(score - largest)`, `[row]`: at least 1, or 0 where a row saw no token.
    pub totals: Vec<f32>,
    /// Sum of the values with these weights, `[row][width]`.
    pub sums: Vec<f32>,
}

impl Partial {
    /// Of no token.
    pub fn new(n_rows: usize, width: usize) -> Self {
        Self { largest: vec![f32::NEG_INFINITY; n_rows], totals: vec![0.0; n_rows], sums: vec![0.0; n_rows * width] }
    }

    pub fn clear(&mut self) {
        self.totals.fill(0.0);
        self.sums.fill(0.0);
    }
}

/// Scores become weights, and a partial learns of them.
pub struct Weigh<'a> {
    /// `[row][chunk_len]`
    pub scores: &'a mut [f32],
    /// A multiple of [`LANES`].
    pub chunk_len: usize,
    /// Tokens of the chunk that a row may see; again and again, if there are fewer than rows.
    pub visible: &'a [usize],
    pub partial: &'a mut Partial,
}

impl WithSimd for Weigh<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { scores, chunk_len, visible, partial } = self;
        let known = partial.largest.iter_mut().zip(&mut partial.totals);
        for ((scores, visible), (largest, total)) in
            scores.chunks_exact_mut(chunk_len).zip(visible.iter().cycle()).zip(known)
        {
            // What is missing in the last lanes weighs nothing.
            let padded = visible.next_multiple_of(LANES);
            scores[*visible..padded].fill(f32::NEG_INFINITY);
            let (lanes, _) = scores[..padded].as_chunks_mut::<LANES>();
            let mut most = simd.splat(f32::NEG_INFINITY);
            for scores in &*lanes {
                most = simd.max(most, simd.load(scores));
            }
            *largest = simd.store(most).into_iter().fold(f32::NEG_INFINITY, |a, b| if a > b { a } else { b });
            let (minus_largest, mut totals) = (simd.splat(-*largest), simd.splat(0.0));
            for scores in lanes {
                let weights = exp(simd, simd.add(simd.load(scores), minus_largest));
                totals = simd.add(totals, weights);
                *scores = simd.store(weights);
            }
            *total = sum(simd.store(totals));
        }
    }
}

/// Brings a later chunk to what is known of the earlier ones.
pub struct Merge<'a> {
    pub known: &'a mut Partial,
    pub later: &'a Partial,
    /// Values of a row, a multiple of [`LANES`].
    pub width: usize,
}

impl WithSimd for Merge<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { known, later, width } = self;
        for row in 0..known.totals.len() {
            let sums = &mut known.sums[row * width..][..width];
            let later_sums = &later.sums[row * width..][..width];
            if later.totals[row] == 0.0 {
                continue;
            }
            if known.totals[row] == 0.0 {
                (known.largest[row], known.totals[row]) = (later.largest[row], later.totals[row]);
                sums.copy_from_slice(later_sums);
                continue;
            }
            // One of the two is made up for, the other is the measure.
            let difference = later.largest[row] - known.largest[row];
            let less = exp_of(simd, -difference.abs());
            let (ours, theirs) = if difference > 0.0 { (less, 1.0) } else { (1.0, less) };
            if difference > 0.0 {
                known.largest[row] = later.largest[row];
            }
            known.totals[row] = known.totals[row] * ours + later.totals[row] * theirs;
            let (ours, theirs) = (simd.splat(ours), simd.splat(theirs));
            for (sums, later) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(later_sums.as_chunks::<LANES>().0) {
                *sums = simd.store(simd.mul_add(simd.load(sums), ours, simd.mul(simd.load(later), theirs)));
            }
        }
    }
}

/// Scores of a row become the weights of a whole softmax.
pub struct Normalize<'a> {
    pub scores: &'a mut [f32],
    pub largest: f32,
    pub total: f32,
}

impl WithSimd for Normalize<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (minus_largest, inverse) = (simd.splat(-self.largest), simd.splat(1.0 / self.total));
        let (lanes, rest) = self.scores.as_chunks_mut::<LANES>();
        for scores in lanes {
            *scores = weights(simd, scores, minus_largest, inverse);
        }
        let mut last = [0.0; LANES];
        last[..rest.len()].copy_from_slice(rest);
        rest.copy_from_slice(&weights(simd, &last, minus_largest, inverse)[..rest.len()]);
    }
}

#[inline(always)]
fn weights<S: Simd>(simd: S, scores: &[f32; LANES], minus_largest: S::F32, inverse: S::F32) -> [f32; LANES] {
    simd.store(simd.mul(exp(simd, simd.add(simd.load(scores), minus_largest)), inverse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Path, with_path};
    use proptest::prelude::*;

    /// A unit in the last place of f32, twice: the polynomial's own rounding and that of the reduction.
    const RELATIVE: f64 = 2.5e-7;

    struct Exp([f32; LANES]);

    impl WithSimd for Exp {
        type Out = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; LANES] {
            simd.store(exp(simd, simd.load(&self.0)))
        }
    }

    #[test]
    fn exp_is_exp() {
        for path in Path::available() {
            let exp = |x: [f32; LANES]| with_path(path, Exp(x));
            let mut worst = 0.0_f64;
            // From -1e-9 to LOWEST, evenly in the bits.
            let (from, to) = (1e-9_f32.to_bits(), (-LOWEST).to_bits());
            let all: Vec<f32> = (from..=to).step_by(151).map(|bits| -f32::from_bits(bits)).collect();
            for x in all.as_chunks::<LANES>().0 {
                for (x, given) in x.iter().zip(exp(*x)) {
                    worst = worst.max((f64::from(given) / f64::from(*x).exp() - 1.0).abs());
                }
            }
            assert!(worst <= RELATIVE, "{path}: {worst}");
            assert!((exp([0.0; LANES])[0] - 1.0).abs() == 0.0);
            assert!(exp([f32::NEG_INFINITY; LANES])[0] < 2e-38);
            assert!(exp([f32::NAN; LANES])[0].is_nan());
        }
    }

    proptest! {
        /// Chunks that are brought together weigh what the softmax over all of them says.
        #[test]
        fn chunks_together_are_the_whole(
            scores in prop::collection::vec(-60_f32..60.0, 1..90), chunk_len in prop::sample::select(vec![16_usize, 32, 48]),
        ) {
            let most = scores.iter().fold(f64::NEG_INFINITY, |max, x| max.max(f64::from(*x)));
            let sum: f64 = scores.iter().map(|x| (f64::from(*x) - most).exp()).sum();
            for path in Path::available() {
                let mut known = Partial::new(1, LANES);
                let mut given = scores.clone();
                for scores in given.chunks(chunk_len) {
                    let (mut chunk, mut later) = (vec![f32::NAN; chunk_len], Partial::new(1, LANES));
                    chunk[..scores.len()].copy_from_slice(scores);
                    with_path(path, Weigh { scores: &mut chunk, chunk_len, visible: &[scores.len()], partial: &mut later });
                    // Each token's value is 1.
                    later.sums.fill(chunk[..scores.len()].iter().sum());
                    with_path(path, Merge { known: &mut known, later: &later, width: LANES });
                }
                prop_assert!((f64::from(known.largest[0]) - most).abs() < 1e-9);
                // Differences of scores are rounded to f32 before the exponential: 120 * 2^-24 at most, once for the chunk and once for all.
                prop_assert!((f64::from(known.totals[0]) / sum - 1.0).abs() <= 3e-5);
                prop_assert!((known.sums[0] / known.totals[0] - 1.0).abs() <= 1e-5);
                with_path(path, Normalize { scores: &mut given, largest: known.largest[0], total: known.totals[0] });
                for (weight, score) in given.iter().zip(&scores) {
                    let expected = (f64::from(*score) - most).exp() / sum;
                    prop_assert!((f64::from(*weight) - expected).abs() <= 3e-5 * expected + 1e-30);
                }
            }
        }
    }
}
