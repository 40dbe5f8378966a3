//! Linear layers as the model has them: `[T, in] x [in, out] + bias`, in GPT-2 small's four shapes and its head.
//!
//! Names are `cpu/linear/LAYER/ARM/tT`, `T` tokens at once: 1 is a decode step, 512 a prompt.
//!
//! | arm | weights | product |
//! |---|---|---|
//! | `f32` | `[in, out]`, the head `[out, in]` | candle's matmul, what `model/gpt2.rs` does |
//! | `qmatmul-f32` | `[out, in]` | candle's `QMatMul`, which keeps f32 as a plain tensor and multiplies by its transpose |
//! | `qmatmul-q8_0` | `[out, in]`, 8.5 bits a weight | candle's `QMatMul`, which quantizes the input too |
//!
//! Throughput of one token is the bytes of the weights, to be compared with `kvlab doctor`'s bandwidth; of more tokens it is
//! floating-point operations, `2 * T * in * out`, so that criterion's `Gelem/s` are GFLOP/s. Layers of the same shape take turns, so
//! many that their weights exceed 128 MiB and none is in the last-level cache when its turn comes again.
//!
//! ```text
//! cargo bench --bench linear                             all of it: five minutes
//! cargo bench --bench linear -- 'mlp.c_fc/.*/t1$'        one shape, one token, all arms
//! ```

use std::{cell::LazyCell, time::Duration};

use candle_core::{
    Device, Module, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor},
};
use criterion::{Criterion, Throughput, criterion_group};

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
    F32,
    Quantized(GgmlDType),
}

const ARMS: [(&str, Arm); 3] = [
    ("f32", Arm::F32),
    ("qmatmul-f32", Arm::Quantized(GgmlDType::F32)),
    ("qmatmul-q8_0", Arm::Quantized(GgmlDType::Q8_0)),
];

enum Weight {
    /// `[in, out]`, maybe a view
    F32(Tensor),
    /// `[out, in]`
    Quantized(QMatMul),
}

struct Linear {
    weight: Weight,
    /// `[out]`
    bias: Option<Tensor>,
}

impl Linear {
    fn new((name, n_in, n_out): (&str, usize, usize), arm: Arm) -> candle_core::Result<Self> {
        let random = |shape: (usize, usize)| Tensor::randn(0_f32, 0.02, shape, &Device::Cpu);
        let weight = match arm {
            Arm::F32 if name == HEAD => Weight::F32(random((n_out, n_in))?.t()?),
            Arm::F32 => Weight::F32(random((n_in, n_out))?),
            Arm::Quantized(dtype) => {
                let quantized = QTensor::quantize(&random((n_out, n_in))?, dtype)?;
                Weight::Quantized(QMatMul::from_qtensor(quantized)?)
            }
        };
        let bias = (name != HEAD).then(|| Tensor::zeros(n_out, candle_core::DType::F32, &Device::Cpu));
        Ok(Self { weight, bias: bias.transpose()? })
    }

    /// `[T, in]` -> `[T, out]`
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = match &self.weight {
            Weight::F32(weight) => x.matmul(weight)?,
            Weight::Quantized(weight) => weight.forward(x)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Bytes of one layer's weights.
fn weight_bytes(n_in: usize, n_out: usize, arm: Arm) -> usize {
    let dtype = if let Arm::Quantized(dtype) = arm { dtype } else { GgmlDType::F32 };
    n_in * n_out / dtype.block_size() * dtype.type_size()
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
                    bench.iter(|| {
                        turn += 1;
                        layers[turn % layers.len()].forward(&x).expect("a product")
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, linear);

fn main() {
    kvlab::kernels::threads::fix_count();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
