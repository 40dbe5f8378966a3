//! How the next token is picked from the logits.

use candle_core::Tensor;
use candle_transformers::generation::{LogitsProcessor, Sampling as Rule};
use serde::{Deserialize, Serialize};

use crate::gpu::Gpu;

use super::EngineError;

/// Temperature 0 is greedy: always the likeliest token, and the rest is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    pub temperature: f64,
    /// Only the `top_k` likeliest tokens.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together have this probability (nucleus sampling).
    pub top_p: Option<f64>,
    pub seed: u64,
}

impl Sampling {
    /// Used where nobody chose a seed, in the window and on the command line.
    pub const DEFAULT_SEED: u64 = 42;
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: None, top_p: None, seed: 0 };

    /// # Errors
    /// [`EngineError::BadSampling`] with the first number out of range.
    pub fn check(&self) -> Result<(), EngineError> {
        let bad = |reason: String| Err(EngineError::BadSampling(reason));
        if !(self.temperature >= 0.0 && self.temperature <= 100.0) {
            return bad(format!("temperature {} is not between 0 (greedy) and 100", self.temperature));
        }
        if self.top_k == Some(0) {
            return bad("top-k 0 leaves no token; use 1 or more".into());
        }
        if let Some(p) = self.top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            return bad(format!("top-p {p} is not above 0 and at most 1"));
        }
        Ok(())
    }

    fn rule(&self, vocab_size: usize) -> Rule {
        let temperature = self.temperature;
        // candle divides by the temperature; below this the softmax is a single token anyway.
        if temperature < 1e-6 {
            return Rule::ArgMax;
        }
        match (self.top_k.map(|k| k.min(vocab_size)), self.top_p) {
            (None, None) => Rule::All { temperature },
            (Some(k), None) => Rule::TopK { k, temperature },
            (None, Some(p)) => Rule::TopP { p, temperature },
            (Some(k), Some(p)) => Rule::TopKThenTopP { k, p, temperature },
        }
    }
}

/// A seeded sampler; the same seed and logits give the same tokens.
pub struct Sampler {
    processor: LogitsProcessor,
    is_greedy: bool,
}

impl Sampler {
    /// # Errors
    /// [`EngineError::BadSampling`]
    pub fn new(sampling: &Sampling, vocab_size: usize) -> Result<Self, EngineError> {
        sampling.check()?;
        let rule = sampling.rule(vocab_size);
        let is_greedy = rule == Rule::ArgMax;
        Ok(Self { processor: LogitsProcessor::from_sampling(sampling.seed, rule), is_greedy })
    }

    /// Picks a token from `logits` `[V]`. On a GPU the likeliest is found there, and only its number comes to the host.
    ///
    /// # Errors
    /// [`EngineError::NotANumber`], candle's
    pub fn pick(&mut self, logits: &Tensor) -> Result<u32, EngineError> {
        if let Some(gpu) = Gpu::of(logits.device())?.filter(|_| self.is_greedy) {
            return gpu.argmax(logits)?.ok_or(EngineError::NotANumber);
        }
        if logits.to_vec1::<f32>()?.iter().any(|x| x.is_nan()) {
            return Err(EngineError::NotANumber);
        }
        Ok(self.processor.sample(logits)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn picks(sampling: Sampling) -> Vec<u32> {
        let logits = Tensor::new(&[0.0_f32, 3.0, 2.0, 1.0, -5.0], &Device::Cpu).expect("tensor");
        let mut sampler = Sampler::new(&sampling, 5).expect("sampling");
        (0..200).map(|_| sampler.pick(&logits).expect("pick")).collect()
    }

    #[test]
    fn greedy_takes_the_largest() {
        assert!(picks(Sampling::GREEDY).iter().all(|t| *t == 1));
    }

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let warm = Sampling { temperature: 1.0, seed: 7, ..Sampling::GREEDY };
        assert_eq!(picks(warm), picks(warm));
        assert_ne!(picks(warm), picks(Sampling { seed: 8, ..warm }));
    }

    #[test]
    fn limits_hold() {
        let hot = Sampling { temperature: 5.0, ..Sampling::GREEDY };
        assert!(picks(Sampling { top_k: Some(2), ..hot }).iter().all(|t| [1, 2].contains(t)));
        assert!(picks(Sampling { top_k: Some(999), ..hot }).contains(&4));
        assert!(picks(Sampling { top_p: Some(0.1), ..hot }).iter().all(|t| *t == 1));
    }

    #[test]
    fn bad_numbers_are_refused() {
        for bad in [
            Sampling { temperature: -1.0, ..Sampling::GREEDY },
            Sampling { temperature: f64::NAN, ..Sampling::GREEDY },
            Sampling { top_k: Some(0), ..Sampling::GREEDY },
            Sampling { top_p: Some(0.0), ..Sampling::GREEDY },
            Sampling { top_p: Some(1.5), ..Sampling::GREEDY },
        ] {
            assert!(matches!(bad.check(), Err(EngineError::BadSampling(_))), "{bad:?}");
        }
    }

    #[test]
    fn nan_is_an_error() {
        let logits = Tensor::new(&[f32::NAN, 1.0], &Device::Cpu).expect("tensor");
        let mut sampler = Sampler::new(&Sampling::GREEDY, 2).expect("sampling");
        assert!(matches!(sampler.pick(&logits), Err(EngineError::NotANumber)));
    }
}
