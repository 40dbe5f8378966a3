//! GPT-2's activation.

use super::softmax::exp_of_negative;

/// `gelu_new`, with a tanh (Hendrycks and Gimpel 2016): `x / 2 * (1 + tanh(u)) = x / (1 + exp(-2 u))`, `u = sqrt(2 / pi) (x + 0.044715 x^3)`.
#[allow(clippy::inline_always, reason = "inlined into functions for several processors")]
#[inline(always)]
#[must_use]
pub fn gelu(x: f32) -> f32 {
    const TWICE: f32 = 2.0 * 0.797_884_6;
    let z = TWICE * (x + 0.044_715 * x * x * x);
    let exp = exp_of_negative(-z.abs());
    let numerator = if z >= 0.0 { x } else { x * exp };
    numerator / (1.0 + exp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_is_that_of_f64() {
        for i in -4000..4000_i16 {
            let x = f32::from(i) / 400.0;
            let wide = f64::from(x);
            let u = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
            let expected = 0.5 * wide * (1.0 + u.tanh());
            // A few roundings of f32, of which the one of `u` counts most where exp is steep.
            assert!((f64::from(gelu(x)) - expected).abs() <= 1e-6 * wide.abs() + 1e-12, "{x}: {} {expected}", gelu(x));
        }
        assert!(gelu(f32::NAN).is_nan() && (gelu(100.0) - 100.0).abs() < 1e-5 && gelu(-100.0).abs() < 1e-30);
    }
}
