//! Layer normalization (Ba et al. 2016).

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use super::{
    columns::Columns,
    simd::{self, LANES, Simd, WithSimd},
    thread_pool::for_each,
};

/// Rows of a piece of work.
const ROWS: usize = 16;

/// `out = (x - mean) / sqrt(variance + eps) * weight + bias` for each row of `x` `[rows, n]`, with `weight` and `bias` `[n]`.
///
/// # Panics
/// If a slice has another length than that.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let n = weight.len();
    assert_eq!((x.len(), bias.len()), (out.len(), n), "rows of {n}");
    let rows = x.len().checked_div(n).unwrap_or(0);
    assert_eq!(rows * n, x.len(), "whole rows");
    let columns = Columns::new(out, n);
    for_each(rows.div_ceil(ROWS), |piece| {
        let first = piece * ROWS;
        let n_rows = ROWS.min(rows - first);
        #[expect(unsafe_code, reason = "rows of one matrix for several threads")]
        // SAFETY: a piece has its own rows.
        let out = unsafe { columns.part(first, 0, n_rows * n) };
        for (x, out) in x[first * n..].chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            simd::with(Row { x, weight, bias, eps, out });
        }
    });
}

struct Row<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { x, weight, bias, eps, out } = self;
        #[expect(clippy::cast_precision_loss, reason = "a row has some thousands of elements")]
        let n = x.len() as f32;
        let mean = sum(x, |x| x) / n;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / n;
        let scale = 1.0 / (variance + eps).sqrt();
        for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
            *out = (x - mean) * scale * weight + bias;
        }
    }
}

/// In lanes, whose order of additions does not depend on the processor.
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += f(*x);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += f(*x);
    }
    simd::sum(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A mean of at most 200 f32 up to 5 and a few roundings after it; a small variance magnifies them.
    const F32_NORM: f64 = 3e-6;

    proptest! {
        #[test]
        fn rows_are_those_of_f64(
            rows in 1_usize..40, n in 1_usize..200, x in prop::collection::vec(-3_f32..3.0, 64), shift in -2_f32..2.0,
        ) {
            let x: Vec<f32> = (0..rows * n).map(|i| x[i * 7 % 64] + shift).collect();
            let weight: Vec<f32> = (0..n).map(|i| x[i] * 0.5 + 1.0).collect();
            let bias: Vec<f32> = (0..n).map(|i| x[i] * 0.25).collect();
            let mut out = vec![f32::NAN; rows * n];
            layer_norm(&x, &weight, &bias, 1e-5, &mut out);
            for (x, out) in x.chunks(n).zip(out.chunks(n)) {
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let count = n as f64;
                let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
                let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count;
                for (i, (x, out)) in x.iter().zip(out).enumerate() {
                    let expected = (f64::from(*x) - mean) / (variance + 1e-5).sqrt() * f64::from(weight[i]) + f64::from(bias[i]);
                    prop_assert!((f64::from(*out) - expected).abs() <= F32_NORM * (1.0 + expected.abs() + 5.0 / (variance + 1e-5).sqrt()), "{out} {expected}");
                }
            }
        }
    }
}
