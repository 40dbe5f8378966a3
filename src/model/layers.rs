//! The layers that GPT-2 is made of: linear layers, normalization, the table of tokens.
//!
//! On the CPU they are kernels of our own ([`crate::kernels::linear`]); on other devices, and for `q8_0` anywhere, candle's operations.

use std::borrow::Cow;

use candle_core::{
    CpuStorage, DType, Device, Module, Storage, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor},
};
use candle_nn::LayerNorm;

use crate::kernels::{
    linear::{Epilogue, PackedMatrix},
    norm::layer_norm,
};

use super::{ModelError, WeightType, matrix::Memory};

/// A matrix to multiply activations with.
pub(super) enum Matrix {
    Packed(PackedMatrix),
    /// `[in, out]`, maybe a view of `[out, in]`.
    Dense(Tensor),
    /// Made from `[out, in]`.
    Quantized(QMatMul),
}

impl Matrix {
    /// `weight` is `[in, out]`, f32.
    fn new(weight: &Tensor, weights: WeightType) -> Result<Self, ModelError> {
        let (n_in, n_out) = weight.dims2()?;
        Ok(match packed_on(weight.device(), weights)? {
            Some(format) => {
                Self::Packed(with_host(weight, |rows| PackedMatrix::from_in_out(format, n_in, n_out, rows))?)
            }
            None if weights == WeightType::Q8_0 => Self::quantized(&weight.t()?.contiguous()?)?, // [in, out] -> [out, in]
            None => Self::Dense(weight.to_dtype(weights.dense())?),
        })
    }

    fn quantized(weight: &Tensor) -> candle_core::Result<Self> {
        Ok(Self::Quantized(QMatMul::from_qtensor(QTensor::quantize(weight, GgmlDType::Q8_0)?)?))
    }

    /// `[T, in]` -> `[T, out]`, f32 both.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Packed(matrix) => multiply(matrix, x, None, None),
            Self::Dense(weight) if weight.dtype() == DType::F32 => x.matmul(weight),
            Self::Dense(weight) => x.to_dtype(weight.dtype())?.matmul(weight)?.to_dtype(DType::F32),
            Self::Quantized(weight) => weight.forward(x),
        }
    }

    /// The memory it is in; `None` where that is not the host's.
    fn memory(&self) -> Option<Vec<Memory<'_>>> {
        match self {
            Self::Packed(matrix) => Some(matrix.memory().map(|bytes| Memory::Bytes(Cow::Borrowed(bytes))).into()),
            Self::Dense(weight) | Self::Quantized(QMatMul::Tensor(weight) | QMatMul::TensorF16(weight)) => {
                Some(vec![Memory::of(weight)?])
            }
            Self::Quantized(QMatMul::QTensor(weight)) => {
                let data = weight.device().is_cpu().then(|| weight.data().ok()).flatten()?;
                Some(vec![Memory::Bytes(data)])
            }
        }
    }
}

/// How our kernels keep weights of a type, if it is theirs to keep on this device.
fn packed_on(device: &Device, weights: WeightType) -> Result<Option<crate::kernels::linear::WeightFormat>, ModelError> {
    match (device, weights) {
        (Device::Cpu, _) => Ok(weights.packed()),
        (_, WeightType::Int8) => {
            Err(ModelError::BadWeights("int8 weights are for the CPU; q8_0 runs everywhere".into()))
        }
        _ => Ok(None),
    }
}

/// What `f` makes of the numbers of a CPU tensor, f32, row by row.
fn with_host<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> T) -> candle_core::Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(data)) => Ok(f(&data[layout.start_offset()..][..layout.shape().elem_count()])),
        _ => Err(candle_core::Error::Msg("the activations are not f32 on the host".into())),
    }
}

/// The product of `x` `[T, in]`, with what `then` says is done to it.
fn multiply(
    matrix: &PackedMatrix,
    x: &Tensor,
    bias: Option<&[f32]>,
    then: Option<Then<'_>>,
) -> candle_core::Result<Tensor> {
    let (rows, _) = x.dims2()?;
    let mut out = vec![0.0; rows * matrix.n_out()];
    let mut product = |residual: Option<&[f32]>| {
        let epilogue = Epilogue { bias, gelu: matches!(then, Some(Then::Gelu)), residual };
        with_host(x, |x| matrix.multiply(x, epilogue, &mut out))
    };
    match then {
        Some(Then::Add(residual)) => with_host(residual, |residual| product(Some(residual)))??,
        _ => product(None)?,
    }
    Tensor::from_vec(out, (rows, matrix.n_out()), &Device::Cpu)
}

/// What follows a linear layer.
#[derive(Clone, Copy)]
pub(super) enum Then<'a> {
    Gelu,
    /// A residual, `[T, out]`.
    Add(&'a Tensor),
}

/// `x W + bias`.
pub(super) struct Linear {
    weight: Matrix,
    /// `[out]`, on the model's device and, for our kernels, on the host.
    bias: Tensor,
    host_bias: Vec<f32>,
}

impl Linear {
    /// `weight` `[in, out]`, `bias` `[out]`, f32.
    pub fn new(weight: &Tensor, bias: Tensor, weights: WeightType) -> Result<Self, ModelError> {
        let weight = Matrix::new(weight, weights)?;
        let host_bias = if matches!(weight, Matrix::Packed(_)) { bias.to_vec1()? } else { vec![] };
        Ok(Self { weight, bias, host_bias })
    }

    /// `[T, in]` -> `[T, out]`
    pub fn forward(&self, x: &Tensor, then: Option<Then<'_>>) -> candle_core::Result<Tensor> {
        if let Matrix::Packed(matrix) = &self.weight {
            return multiply(matrix, x, Some(&self.host_bias), then);
        }
        let y = self.weight.forward(x)?.broadcast_add(&self.bias)?;
        match then {
            None => Ok(y),
            Some(Then::Gelu) => y.gelu(), // candle's gelu is gelu_new
            Some(Then::Add(residual)) => residual + y,
        }
    }

    pub fn memory(&self) -> Option<Vec<Memory<'_>>> {
        let mut memory = self.weight.memory()?;
        memory.push(Memory::of(&self.bias)?);
        Some(memory)
    }
}

/// Layer normalization.
pub(super) struct Norm {
    candle: LayerNorm,
    /// Weight and bias, on the CPU.
    host: Option<[Vec<f32>; 2]>,
    eps: f64,
}

impl Norm {
    /// `weight` and `bias` are `[n]`, f32.
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> candle_core::Result<Self> {
        let host = weight.device().is_cpu().then(|| Ok::<_, candle_core::Error>([weight.to_vec1()?, bias.to_vec1()?]));
        Ok(Self { host: host.transpose()?, candle: LayerNorm::new(weight, bias, eps), eps })
    }

    /// `[T, n]` -> `[T, n]`
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let Some([weight, bias]) = &self.host else { return self.candle.forward(x) };
        let mut out = vec![0.0; x.elem_count()];
        #[expect(clippy::cast_possible_truncation, reason = "a small number, in f32 as everything else")]
        with_host(x, |x| layer_norm(x, weight, bias, self.eps as f32, &mut out))?;
        Tensor::from_vec(out, x.shape(), &Device::Cpu)
    }

    pub fn memory(&self) -> Option<Vec<Memory<'_>>> {
        self.candle.bias().into_iter().chain([self.candle.weight()]).map(Memory::of).collect()
    }
}

/// The embeddings of the vocabulary, which are the head as well (tied).
pub(super) enum Vocabulary {
    /// Both in one: an embedding is read out of the packed head.
    Packed(PackedMatrix),
    /// `[V, E]` to look rows up, and the same to multiply with.
    Candle { table: Tensor, head: Matrix },
}

impl Vocabulary {
    /// `table` is `[V, E]`, f32.
    pub fn new(table: &Tensor, weights: WeightType) -> Result<Self, ModelError> {
        let (n_vocab, n_embd) = table.dims2()?;
        if let Some(format) = packed_on(table.device(), weights)? {
            let packed = with_host(table, |rows| PackedMatrix::from_out_in(format, n_vocab, n_embd, rows))?;
            return Ok(Self::Packed(packed));
        }
        let kept = table.to_dtype(weights.dense())?;
        let head = match weights {
            WeightType::Q8_0 => Matrix::quantized(table)?,
            _ => Matrix::Dense(kept.t()?), // [V, E] -> [E, V], a view
        };
        Ok(Self::Candle { table: kept, head })
    }

    /// The embeddings of `tokens`, `[T, E]`.
    pub fn embed(&self, tokens: &[u32], device: &Device) -> candle_core::Result<Tensor> {
        match self {
            Self::Packed(matrix) => {
                let n_embd = matrix.n_in();
                let mut rows = vec![0.0; tokens.len() * n_embd];
                for (row, token) in rows.chunks_exact_mut(n_embd).zip(tokens) {
                    matrix.read_output(*token as usize, row);
                }
                Tensor::from_vec(rows, (tokens.len(), n_embd), &Device::Cpu)
            }
            Self::Candle { table, .. } => table.index_select(&Tensor::new(tokens, device)?, 0)?.to_dtype(DType::F32),
        }
    }

    /// Logits: `[T, E]` -> `[T, V]`
    pub fn logits(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Packed(matrix) => multiply(matrix, x, None, None),
            Self::Candle { head, .. } => head.forward(x),
        }
    }

    pub fn memory(&self) -> Option<Vec<Memory<'_>>> {
        match self {
            Self::Packed(matrix) => Some(matrix.memory().map(|bytes| Memory::Bytes(Cow::Borrowed(bytes))).into()),
            Self::Candle { head, .. } => head.memory(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>()).expect("a number")
    }

    /// Every type computes what candle's f32 operations do, as near as its rounding allows, and takes the bytes that it should.
    #[test]
    fn layers_agree_with_candle() {
        let (n_in, n_out, n_rows) = (64, 32, 3);
        let random = |shape: (usize, usize), size| Tensor::randn(0_f32, size, shape, &Device::Cpu).expect("a tensor");
        let (weight, x, residual) =
            (random((n_in, n_out), 0.1), random((n_rows, n_in), 1.0), random((n_rows, n_out), 1.0));
        let bias = random((1, n_out), 1.0).squeeze(0).expect("a row");
        let exact = x.matmul(&weight).and_then(|y| y.broadcast_add(&bias)).expect("a product");
        let table = weight.t().and_then(|t| t.contiguous()).expect("a copy");
        // 8 significant bits of bf16, and steps of 1/127 of the largest value, over sums of 64.
        for (weights, tolerance) in [
            (WeightType::F32, 1e-5),
            (WeightType::F16, 5e-3),
            (WeightType::Bf16, 5e-2),
            (WeightType::Int8, 5e-2),
            (WeightType::Q8_0, 5e-2),
        ] {
            let linear = Linear::new(&weight, bias.clone(), weights).expect("a layer");
            let plain = linear.forward(&x, None).expect("a product");
            assert!(difference(&plain, &exact) <= tolerance, "{weights}");
            let activated = linear.forward(&x, Some(Then::Gelu)).expect("a product");
            assert!(difference(&activated, &exact.gelu().expect("numbers")) <= 1.2 * tolerance, "{weights}");
            let added = linear.forward(&x, Some(Then::Add(&residual))).expect("a product");
            assert!(difference(&added, &(&exact + &residual).expect("numbers")) <= tolerance, "{weights}");

            let vocabulary = Vocabulary::new(&table, weights).expect("a table");
            let logits = vocabulary.logits(&x).and_then(|y| y.broadcast_add(&bias)).expect("logits");
            assert!(difference(&logits, &exact) <= tolerance, "{weights}");
            let embedded = vocabulary.embed(&[3, 31], &Device::Cpu).expect("rows");
            let rows = table.index_select(&Tensor::new(&[3_u32, 31], &Device::Cpu).expect("ids"), 0).expect("rows");
            assert!(difference(&embedded, &rows) <= tolerance, "{weights}");
        }
    }

    #[test]
    fn norms_agree_with_candle() {
        let random = |n| Tensor::randn(0_f32, 1.0, n, &Device::Cpu).expect("a tensor");
        let x = random(5 * 48).reshape((5, 48)).expect("5 rows");
        let norm = Norm::new(random(48), random(48), 1e-5).expect("a norm");
        let exact = norm.candle.forward(&x).expect("candle's");
        assert!(difference(&norm.forward(&x).expect("ours"), &exact) <= 1e-5);
    }
}
