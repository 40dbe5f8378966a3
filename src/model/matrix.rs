//! The matrices of a model, in the type they are kept in. Activations stay f32 whatever that is.
//!
//! The products are candle's. On the CPU those of f16 and bf16 are slower than of f32, although they read half the bytes; `kvlab bench
//! --weights f32,f16,bf16,q8_0` shows it.

use std::{borrow::Cow, fmt, ops::Deref, str::FromStr};

use candle_core::{
    CpuStorage, DType, Device, Module, Storage, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor},
};

use super::{Config, ModelError};

/// How weights are kept; they are read from the file as f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum WeightType {
    #[default]
    F32,
    F16,
    Bf16,
    /// ggml's: groups of 32 along the inputs, i8 with an f16 scale. Embeddings are looked up in f16.
    Q8_0,
}

impl WeightType {
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0];

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// What a decoded token reads of a model's weights in this type: matrices, and vectors in f32.
    #[must_use]
    pub fn read_bytes(self, config: &Config) -> u64 {
        let tensors = config.tensors().into_iter().filter(|(name, _)| name != "wpe.weight");
        let bytes = tensors.map(|(_, shape)| {
            let n: u64 = shape.iter().map(|d| *d as u64).product();
            match self {
                _ if shape.len() == 1 => 4 * n,
                Self::F32 => 4 * n,
                Self::F16 | Self::Bf16 => 2 * n,
                Self::Q8_0 => n / 32 * 34,
            }
        });
        bytes.sum()
    }

    /// The type of a tensor from which single rows are looked up.
    fn dense(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 | Self::Q8_0 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    /// A table of embeddings in this type.
    pub(super) fn embedding(self, table: &Tensor) -> candle_core::Result<Tensor> {
        table.to_dtype(self.dense())
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
        Self::ALL
            .into_iter()
            .find(|weights| weights.name() == text)
            .ok_or_else(|| ModelError::BadWeights(format!("unknown type `{text}`; types are f32, f16, bf16 and q8_0")))
    }
}

/// A matrix `[in, out]` to multiply activations with.
pub(super) enum Matrix {
    /// `[in, out]`, maybe a view of `[out, in]`.
    Dense(Tensor),
    /// Made from `[out, in]`.
    Quantized(QMatMul),
}

impl Matrix {
    /// `weight` is `[in, out]`, f32.
    pub fn new(weight: &Tensor, weights: WeightType) -> candle_core::Result<Self> {
        match weights {
            WeightType::Q8_0 => Self::quantized(&weight.t()?.contiguous()?), // [in, out] -> [out, in]
            dense => Ok(Self::Dense(weight.to_dtype(dense.dense())?)),
        }
    }

    /// The head, tied to the embeddings: `f32` is `[out, in]`, and `table` the same in its own type.
    pub fn tied(f32: &Tensor, table: &Tensor, weights: WeightType) -> candle_core::Result<Self> {
        match weights {
            WeightType::Q8_0 => Self::quantized(f32),
            _ => Ok(Self::Dense(table.t()?)), // [out, in] -> [in, out], a view
        }
    }

    fn quantized(weight: &Tensor) -> candle_core::Result<Self> {
        Ok(Self::Quantized(QMatMul::from_qtensor(QTensor::quantize(weight, GgmlDType::Q8_0)?)?))
    }

    /// `[T, in]` -> `[T, out]`, f32 both.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Dense(weight) if weight.dtype() == DType::F32 => x.matmul(weight),
            Self::Dense(weight) => x.to_dtype(weight.dtype())?.matmul(weight)?.to_dtype(DType::F32),
            Self::Quantized(weight) => weight.forward(x),
        }
    }

    /// The memory it is in; nothing where that is not the host's.
    pub fn memory(&self) -> Option<Memory<'_>> {
        match self {
            Self::Dense(weight) | Self::Quantized(QMatMul::Tensor(weight) | QMatMul::TensorF16(weight)) => {
                Memory::of(weight)
            }
            Self::Quantized(QMatMul::QTensor(weight)) => {
                weight.device().is_cpu().then(|| weight.data().ok().map(Memory::Quantized)).flatten()
            }
        }
    }
}

/// Weights in host memory, readable as long as this lives.
pub(super) enum Memory<'a> {
    Dense(Box<dyn Deref<Target = Storage> + 'a>),
    Quantized(Cow<'a, [u8]>),
}

impl<'a> Memory<'a> {
    pub fn of(tensor: &'a Tensor) -> Option<Self> {
        matches!(tensor.device(), Device::Cpu).then(|| Self::Dense(Box::new(tensor.storage_and_layout().0)))
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Quantized(bytes) => bytes,
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
        assert!("f64".parse::<WeightType>().is_err_and(|e| e.to_string().contains("f32, f16, bf16 and q8_0")));
    }

    /// Every type computes the same product, as near as its rounding allows, and takes the bytes that it should.
    #[test]
    fn products_agree_with_f32() {
        let (n_in, n_out) = (64, 32);
        let weight = Tensor::randn(0_f32, 0.1, (n_in, n_out), &Device::Cpu).expect("a tensor");
        let x = Tensor::randn(0_f32, 1.0, (3, n_in), &Device::Cpu).expect("a tensor");
        let exact = x.matmul(&weight).expect("a product");
        // 8 significant bits of bf16, and steps of 1/127 of a group's largest value, over sums of 64.
        for (weights, bits, tolerance) in [
            (WeightType::F32, 32, 1e-6),
            (WeightType::F16, 16, 5e-3),
            (WeightType::Bf16, 16, 5e-2),
            (WeightType::Q8_0, 0, 5e-2),
        ] {
            let matrix = Matrix::new(&weight, weights).expect("a matrix");
            let table = weights.embedding(&weight.t().expect("2 dims").contiguous().expect("a copy")).expect("a table");
            let tied = Matrix::tied(&weight.t().expect("2 dims").contiguous().expect("a copy"), &table, weights)
                .expect("a head");
            for matrix in [matrix, tied] {
                let product = matrix.forward(&x).expect("a product");
                assert_eq!(product.dtype(), DType::F32);
                let error = (product - &exact).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>()).expect("a number");
                assert!(error <= tolerance, "{weights}: {error}");
                let bytes = matrix.memory().expect("on the host").bytes().len();
                let expected = if bits == 0 { n_in * n_out / 32 * 34 } else { n_in * n_out * bits / 8 };
                assert_eq!(bytes, expected, "{weights}");
            }
        }
    }
}
