//! Linear layers as the model has them: `[T, in] x [in, out] + bias`, in GPT-2 small's four shapes and its head.
//!
//! Names are `cpu/linear/LAYER/ARM/tT`, `T` tokens at once: 1 is a decode step, 512 a prompt.
//!
//! | arm | weights | product |
//! |---|---|---|
//! | `f32`, `f16`, `bf16`, `int8` | packed in panels | `kernels::linear`, what the model does on the CPU |
//! | `candle-f32` | `[in, out]`, the head `[out, in]` | candle's matmul |
//! | `candle-q8_0` | `[out, in]`, 8.5 bits a weight | candle's `QMatMul`, which quantizes the input too |
//!
//! Throughput of one token is the bytes of the weights, to be compared with `kvlab doctor`'s bandwidth; of more tokens it is
//! floating-point operations, `2 * T * in * out`, so that criterion's `Gelem/s` are GFLOP/s. Layers of the same shape take turns, so
//! many that their weights exceed 128 MiB and none is in the last-level cache when its turn comes again.
//!
//! ```text
//! cargo bench --bench linear                             all of it: ten minutes
//! cargo bench --bench linear -- 'mlp.c_fc/.*/t1$'        one shape, one token, all arms
//! ```

use std::{cell::LazyCell, time::Duration};

use candle_core::{
    DType, Device, Module, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor},
};
use criterion::{Criterion, Throughput, criterion_group};
use kvlab::kernels::linear::{Epilogue, PackedMatrix, WeightFormat};

/// Name, in and out.
const LAYERS: [(&str, usize, usize); 5] = [
    ("attn.c_attn", 768, 2304),
    ("attn.c_proj", 768, 768),
    ("mlp.c_fc", 768, 3072),
    ("mlp.c_proj", 3072, 768),
    (HEAD, 768, 50_257),
];
/// It has no bias, and its weight is the token embedding.
const HEAD: &str = "head";
const TOKENS: [usize; 4] = [1, 8, 64, 512];
/// What the weights of all layers of a shape take together at least.
const ROTATING_BYTES: usize = 128 << 20;

#[derive(Clone, Copy)]
enum Arm {
    Packed(WeightFormat),
    CandleF32,
    CandleQ8,
}

const ARMS: [(&str, Arm); 6] = [
    ("f32", Arm::Packed(WeightFormat::F32)),
    ("f16", Arm::Packed(WeightFormat::F16)),
    ("bf16", Arm::Packed(WeightFormat::Bf16)),
    ("int8", Arm::Packed(WeightFormat::Int8)),
    ("candle-f32", Arm::CandleF32),
    ("candle-q8_0", Arm::CandleQ8),
];

enum Linear {
    Packed(PackedMatrix, Vec<f32>),
    /// `[in, out]`, maybe a view
    F32(Tensor, Option<Tensor>),
    /// `[out, in]`
    Quantized(QMatMul, Option<Tensor>),
}

impl Linear {
    fn new((name, n_in, n_out): (&str, usize, usize), arm: Arm) -> candle_core::Result<Self> {
        let random = |shape: (usize, usize)| Tensor::randn(0_f32, 0.02, shape, &Device::Cpu);
        let bias = || (name != HEAD).then(|| Tensor::zeros(n_out, DType::F32, &Device::Cpu)).transpose();
        Ok(match arm {
            Arm::Packed(format) => {
                let weights = random((n_in, n_out))?.flatten_all()?.to_vec1()?;
                Self::Packed(PackedMatrix::from_in_out(format, n_in, n_out, &weights), vec![0.0; n_out])
            }
            Arm::CandleF32 if name == HEAD => Self::F32(random((n_out, n_in))?.t()?, bias()?),
            Arm::CandleF32 => Self::F32(random((n_in, n_out))?, bias()?),
            Arm::CandleQ8 => {
                let quantized = QTensor::quantize(&random((n_out, n_in))?, GgmlDType::Q8_0)?;
                Self::Quantized(QMatMul::from_qtensor(quantized)?, bias()?)
            }
        })
    }

    /// `[T, in]` -> `[T, out]`
    fn forward(&self, x: &Tensor, host: &[f32]) -> candle_core::Result<Tensor> {
        let (y, bias) = match self {
            Self::Packed(matrix, bias) => {
                let rows = host.len() / matrix.n_in();
                let mut out = vec![0.0; rows * matrix.n_out()];
                matrix.multiply(host, Epilogue { bias: Some(bias), ..Epilogue::default() }, &mut out);
                return Tensor::from_vec(out, (rows, matrix.n_out()), &Device::Cpu);
            }
            Self::F32(weight, bias) => (x.matmul(weight)?, bias),
            Self::Quantized(weight, bias) => (weight.forward(x)?, bias),
        };
        bias.as_ref().map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
    }
}

/// Bytes of one layer's weights.
fn weight_bytes(n_in: usize, n_out: usize, arm: Arm) -> usize {
    match arm {
        Arm::Packed(format) => n_in * n_out * format.bytes(),
        Arm::CandleF32 => n_in * n_out * 4,
        Arm::CandleQ8 => n_in * n_out / GgmlDType::Q8_0.block_size() * GgmlDType::Q8_0.type_size(),
    }
}

fn linear(criterion: &mut Criterion) {
    for layer @ (name, n_in, n_out) in LAYERS {
        for (arm_name, arm) in ARMS {
            let bytes = weight_bytes(n_in, n_out, arm);
            let mut group = criterion.benchmark_group(format!("cpu/linear/{name}/{arm_name}"));
            group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
            // Made when the first bench that is not filtered out asks for them.
            let n_layers = ROTATING_BYTES.div_ceil(bytes);
            let layers: LazyCell<Vec<Linear>, _> =
                LazyCell::new(|| (0..n_layers).map(|_| Linear::new(layer, arm).expect("a layer")).collect());
            let mut turn = 0;
            for n_tokens in TOKENS {
                group.throughput(match n_tokens {
                    1 => Throughput::Bytes(bytes as u64),
                    _ => Throughput::Elements((2 * n_tokens * n_in * n_out) as u64),
                });
                group.bench_function(format!("t{n_tokens}"), |bench| {
                    let x = Tensor::randn(0_f32, 1.0, (n_tokens, n_in), &Device::Cpu).expect("a tensor"); // [T, in]
                    let host: Vec<f32> = x.flatten_all().and_then(|x| x.to_vec1()).expect("numbers");
                    bench.iter(|| {
                        turn += 1;
                        layers[turn % layers.len()].forward(&x, &host).expect("a product")
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, linear);

fn main() {
    kvlab::kernels::threads::fix_count(None);
    benches();
    Criterion::default().configure_from_args().final_summary();
}
