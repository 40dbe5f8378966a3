//! GPT-2's activation.

#![allow(clippy::inline_always, reason = "inlined into functions for several processors")]

use super::{
    simd::{LANES, Simd},
    softmax::exp,
};

/// `gelu_new`, with a tanh (Hendrycks and Gimpel 2016): `x / 2 * (1 + tanh(u)) = x / (1 + exp(-2 u))`, `u = sqrt(2 / pi) (x + 0.044715 x^3)`.
#[inline(always)]
pub fn gelu<S: Simd>(simd: S, x: &mut [f32; LANES]) {
    const TWICE: f32 = 2.0 * 0.797_884_6;
    let z = x.map(|x| TWICE * (x + 0.044_715 * x * x * x));
    // Of what is not above zero, so that nothing overflows: x / (1 + exp(-z)) = x exp(z) / (1 + exp(z)).
    let exps = simd.store(exp(simd, simd.load(&z.map(|z| -z.abs()))));
    for ((x, z), exp) in x.iter_mut().zip(z).zip(exps) {
        *x = (if z < 0.0 { *x * exp } else { *x }) / (1.0 + exp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::{Path, WithSimd, with_path};

    struct Gelu([f32; LANES]);

    impl WithSimd for Gelu {
        type Out = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(mut self, simd: S) -> [f32; LANES] {
            gelu(simd, &mut self.0);
            self.0
        }
    }

    #[test]
    fn gelu_is_that_of_f64_on_every_path() {
        for path in Path::available() {
            for i in -250..250_i16 {
                let x = std::array::from_fn(|lane| f32::from(i * 16 + i16::try_from(lane).expect("small")) / 400.0);
                for (x, given) in x.into_iter().zip(with_path(path, Gelu(x))) {
                    let wide = f64::from(x);
                    let u = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
                    let expected = 0.5 * wide * (1.0 + u.tanh());
                    // A few roundings of f32, of which the one of `u` counts most where exp is steep.
                    assert!(
                        (f64::from(given) - expected).abs() <= 1e-6 * wide.abs() + 1e-12,
                        "{x}: {given} {expected}"
                    );
                }
            }
            let ends = with_path(path, Gelu(std::array::from_fn(|i| [f32::NAN, 100.0, -100.0, 0.0][i % 4])));
            assert!(
                ends[0].is_nan() && (ends[1] - 100.0).abs() < 1e-5 && ends[2].abs() < 1e-30 && ends[3].abs() < 1e-30
            );
        }
    }
}
