//! How far a prediction lies from the exact one: numbers over logits.
//!
//! Everything is f64, because a good cache's divergence is far smaller than the last digit of an f32 probability.

/// What a model says of the next token.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// `ln p` of every token of the vocabulary.
    log_probs: Vec<f64>,
    best: usize,
}

impl Prediction {
    /// Of logits `[V]`; `None` where there are none or one is no finite number, which means that a format lost them.
    #[must_use]
    pub fn of(logits: &[f32]) -> Option<Self> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return None;
        }
        let best = argmax(logits)?;
        // Less the largest, so that no exponential overflows (the usual stable softmax).
        let largest = f64::from(logits[best]);
        let log_sum = logits.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum::<f64>().ln();
        let log_probs = logits.iter().map(|logit| f64::from(*logit) - largest - log_sum).collect();
        Some(Self { log_probs, best })
    }

    /// The likeliest token, of equals the first.
    #[must_use]
    pub fn best(&self) -> usize {
        self.best
    }

    /// The probability of the likeliest token.
    #[must_use]
    pub fn best_probability(&self) -> f64 {
        self.log_probs.get(self.best).map_or(0.0, |log_prob| log_prob.exp())
    }

    /// `-ln p` of `token`, in nats; `None` of a token past the vocabulary.
    #[must_use]
    pub fn nll(&self, token: usize) -> Option<f64> {
        self.log_probs.get(token).map(|log_prob| -log_prob)
    }

    /// Kullback-Leibler divergence `KL(self || other) = sum p ln(p / q)` in nats, `self` being the exact one: what is lost
    /// where `other` is taken for it. Exactly 0 for equal logits, never below, and `None` for another vocabulary.
    #[must_use]
    pub fn kl(&self, other: &Self) -> Option<f64> {
        if self.log_probs.len() != other.log_probs.len() {
            return None;
        }
        let terms = self.log_probs.iter().zip(&other.log_probs).map(|(p, q)| p.exp() * (p - q));
        // All terms are finite, so this only takes away what rounding put below 0.
        Some(terms.sum::<f64>().max(0.0))
    }
}

/// The largest logit, of equals the first; `None` of nothing.
#[must_use]
pub fn argmax(logits: &[f32]) -> Option<usize> {
    let mut best = None;
    for (index, &logit) in logits.iter().enumerate() {
        if best.is_none_or(|(_, largest)| logit > largest) {
            best = Some((index, logit));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A few hundred additions of f64.
    const ROUNDING: f64 = 1e-12;

    fn prediction(logits: &[f32]) -> Prediction {
        Prediction::of(logits).expect("finite logits")
    }

    #[test]
    fn two_outcomes_by_hand() {
        // p = (3/4, 1/4) and q = (1/2, 1/2): KL = 3/4 ln 3/2 + 1/4 ln 1/2.
        let (p, q) = (prediction(&[3_f32.ln(), 0.0]), prediction(&[5.0, 5.0]));
        let by_hand = 0.75 * 1.5_f64.ln() + 0.25 * 0.5_f64.ln();
        // ln 3 was rounded to f32.
        assert!((p.kl(&q).expect("same vocabulary") - by_hand).abs() < 1e-7);
        assert!((p.nll(1).expect("token") - 4_f64.ln()).abs() < 1e-7);
        assert!((q.nll(0).expect("token") - 2_f64.ln()).abs() < ROUNDING);
        assert_eq!((p.nll(2), p.kl(&prediction(&[0.0; 3]))), (None, None));
        assert_eq!((p.best(), q.best()), (0, 0));
    }

    #[test]
    fn far_apart_is_large_and_finite() {
        let (p, q) = (prediction(&[1e4, 0.0]), prediction(&[0.0, 1e4]));
        assert!((p.kl(&q).expect("same vocabulary") - 1e4).abs() < ROUNDING * 1e4);
        assert!((p.nll(1).expect("token") - 1e4).abs() < ROUNDING * 1e4);
    }

    #[test]
    fn what_is_no_number_is_no_prediction() {
        for logits in [&[][..], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0], &[f32::NEG_INFINITY, 1.0]] {
            assert_eq!(Prediction::of(logits), None, "{logits:?}");
        }
        assert_eq!((argmax(&[]), argmax(&[1.0, 3.0, 3.0])), (None, Some(1)));
    }

    proptest! {
        #[test]
        fn the_plain_formulas(pairs in prop::collection::vec((-20.0_f32..20.0, -20.0_f32..20.0), 1..200)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let softmax = |logits: &[f32]| {
                let exps: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
                let sum: f64 = exps.iter().sum();
                exps.into_iter().map(|e| e / sum).collect::<Vec<f64>>()
            };
            let (p, q) = (softmax(&a), softmax(&b));
            let plain: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
            let (exact, lane) = (prediction(&a), prediction(&b));
            let kl = exact.kl(&lane).expect("same vocabulary");
            prop_assert!((kl - plain).abs() < 1e-10 && kl >= 0.0, "{kl} and {plain}");
            prop_assert!((exact.nll(0).expect("token") + p[0].ln()).abs() < 1e-10);
            prop_assert_eq!(exact.kl(&exact.clone()), Some(0.0));
        }

        /// Powers of two, so that the shift itself does not round.
        #[test]
        fn a_shift_changes_nothing(codes in prop::collection::vec((-512_i16..512, -512_i16..512), 1..50), shift in -64_i16..64) {
            let logits = |shift: i16, pick: fn(&(i16, i16)) -> i16| -> Vec<f32> {
                codes.iter().map(|pair| f32::from(pick(pair)) / 64.0 + f32::from(shift)).collect()
            };
            let kl = |shift| {
                let (a, b) = (prediction(&logits(shift, |pair| pair.0)), prediction(&logits(shift, |pair| pair.1)));
                (a.kl(&b).expect("same vocabulary"), b.best(), b.nll(0).expect("token"))
            };
            let (still, shifted) = (kl(0), kl(shift));
            prop_assert!((still.0 - shifted.0).abs() < ROUNDING && (still.2 - shifted.2).abs() < ROUNDING);
            prop_assert_eq!(still.1, shifted.1);
        }
    }
}
