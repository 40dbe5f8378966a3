//! The types that weights are kept in, and the memory they are in. Activations stay f32 whatever that is.

use std::{borrow::Cow, fmt, ops::Deref, str::FromStr};

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};

use crate::kernels::linear::{PackedMatrix, WeightFormat};

use super::{Config, ModelError};

/// How weights are kept; they are read from the file as f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum WeightType {
    #[default]
    F32,
    F16,
    Bf16,
    /// i8 with an f32 scale for each output ([`crate::kernels::linear`]). Only on the CPU.
    Int8,
    /// ggml's: groups of 32 along the inputs, i8 with an f16 scale. Embeddings are looked up in f16. The products are candle's on every device.
    Q8_0,
}

impl WeightType {
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Int8, Self::Q8_0];

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Q8_0 => "q8_0",
        }
    }

    /// How they are kept by kernels of our own, on the CPU; candle's are for the others.
    pub(super) fn packed(self) -> Option<WeightFormat> {
        match self {
            Self::F32 => Some(WeightFormat::F32),
            Self::F16 => Some(WeightFormat::F16),
            Self::Bf16 => Some(WeightFormat::Bf16),
            Self::Int8 => Some(WeightFormat::Int8),
            Self::Q8_0 => None,
        }
    }

    /// What a decoded token reads of a model's weights in this type: matrices, padded as they are packed on the CPU, and vectors in f32.
    #[must_use]
    pub fn read_bytes(self, config: &Config) -> u64 {
        let tensors = config.tensors().into_iter().filter(|(name, _)| name != "wpe.weight");
        let bytes = tensors.map(|(name, shape)| match *shape.as_slice() {
            [n_out, n_in] if name == "wte.weight" => self.matrix_bytes(n_in, n_out),
            [n_in, n_out] => self.matrix_bytes(n_in, n_out),
            _ => shape.iter().map(|d| *d as u64).product::<u64>() * 4,
        });
        bytes.sum()
    }

    /// What `n_params` of a matrix take, without padding or the scales of whole outputs.
    #[must_use]
    pub fn bytes_of(self, n_params: u64) -> u64 {
        match self {
            Self::F32 => n_params * 4,
            Self::F16 | Self::Bf16 => n_params * 2,
            Self::Int8 => n_params,
            Self::Q8_0 => n_params / 32 * 34,
        }
    }

    fn matrix_bytes(self, n_in: usize, n_out: usize) -> u64 {
        match self.packed() {
            Some(format) => PackedMatrix::bytes_of(format, n_in, n_out),
            None => (n_in * n_out / 32 * 34) as u64,
        }
    }

    /// The type of a tensor that candle multiplies, or looks rows up in.
    pub(super) fn dense(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 | Self::Q8_0 | Self::Int8 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for WeightType {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        Self::ALL.into_iter().find(|weights| weights.name() == text).ok_or_else(|| {
            ModelError::BadWeights(format!("unknown type `{text}`; types are f32, f16, bf16, int8 and q8_0"))
        })
    }
}

/// Weights in host memory, readable as long as this lives.
pub(super) enum Memory<'a> {
    Dense(Box<dyn Deref<Target = Storage> + 'a>),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Memory<'a> {
    pub fn of(tensor: &'a Tensor) -> Option<Self> {
        matches!(tensor.device(), Device::Cpu).then(|| Self::Dense(Box::new(tensor.storage_and_layout().0)))
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Dense(storage) => match &***storage {
                Storage::Cpu(CpuStorage::F32(data)) => bytemuck::cast_slice(data),
                Storage::Cpu(CpuStorage::F16(data)) => bytemuck::cast_slice(data),
                Storage::Cpu(CpuStorage::BF16(data)) => bytemuck::cast_slice(data),
                _ => &[],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_parse_back_and_unknown_ones_are_refused() {
        assert!(WeightType::ALL.iter().all(|weights| weights.to_string().parse::<WeightType>().ok() == Some(*weights)));
        assert!("f64".parse::<WeightType>().is_err_and(|e| e.to_string().contains("f32, f16, bf16, int8 and q8_0")));
    }
}
