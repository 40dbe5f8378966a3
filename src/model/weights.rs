//! The weights of one model, tensor by tensor: read from a file, or drawn from a seed.

use candle_core::{Device, Tensor};
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Normal};

use super::{ModelError, safetensors::SafetensorsFile, safetensors::Source};

/// Where [`super::Gpt2::load`] takes its tensors from.
pub enum Weights {
    File(SafetensorsFile<Box<dyn Source + Send>>),
    /// GPT-2's initialisation (normal, 0.02), the same for the same seed: a shape to measure, not to read.
    Random {
        seed: u64,
    },
}

impl Weights {
    /// `name` in `shape`, f32.
    ///
    /// # Errors
    /// [`ModelError::BadWeights`] or candle's.
    pub fn tensor(&mut self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor, ModelError> {
        match self {
            Self::File(file) => file.tensor(name, device),
            Self::Random { seed } => random(*seed, name, shape, device),
        }
    }
}

fn random(seed: u64, name: &str, shape: &[usize], device: &Device) -> Result<Tensor, ModelError> {
    let n: usize = shape.iter().product();
    let values = if name.split('.').next_back() == Some("bias") {
        vec![0.0_f32; n]
    } else if name.contains("ln_") {
        vec![1.0_f32; n]
    } else {
        // A generator per tensor: the values depend on the name, not on the order of loading.
        let name_hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut rng = StdRng::seed_from_u64(seed ^ name_hash);
        let normal = Normal::new(0.0_f32, 0.02).map_err(|e| ModelError::BadWeights(e.to_string()))?;
        (0..n).map(|_| normal.sample(&mut rng)).collect()
    };
    Ok(Tensor::from_vec(values, shape, device)?)
}
