//! Formats without a store: `quantize`, `dequantize` and `seal`.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput};
use kvlab::kernels::{
    codec::{Codec, GROUP, Levels, RowShape, encode_channels},
    walk::Rows,
};

use super::lane::{HEADS, noise};

const SHAPE: RowShape = RowShape { n_kv_head: HEADS.n_kv_head, head_dim: HEADS.head_dim };
/// Tokens of a bench.
const N_TOKENS: usize = 256;

/// A format by the name that the lanes give it, and how it stores rows: those of keys and of values where it tells them apart.
const FORMATS: [(&str, Codec); 13] = [
    ("f32", Codec::F32),
    ("f16", Codec::F16),
    ("bf16", Codec::Bf16),
    ("f8", Codec::F8),
    ("int8", Codec::Int8),
    ("q8_0", Codec::Q8_0),
    ("q4_0", Codec::Q4_0),
    ("int4", Codec::Affine { bits: 4 }),
    ("kivi:2-values", Codec::Affine { bits: 2 }),
    ("kivi:4-keys", Codec::Channels { bits: 4 }),
    ("kivi:2-keys", Codec::Channels { bits: 2 }),
    ("kvq:3-keys", Codec::Levels { bits: 3, by_channel: true }),
    ("kvq:3-values", Codec::Levels { bits: 3, by_channel: false }),
];

/// Rows of some tokens, and room for their codes and scales.
struct Encoded {
    codec: Codec,
    levels: Option<Levels>,
    rows: Vec<f32>,
    // f32, so that both are aligned as a store's are.
    codes: Vec<f32>,
    scales: Vec<f32>,
}

impl Encoded {
    fn new(codec: Codec, n_tokens: usize) -> Self {
        let rows = noise(n_tokens * SHAPE.width());
        let levels = match codec {
            Codec::Levels { bits, by_channel: true } => Some(Levels::of_keys(bits, SHAPE, &rows)),
            Codec::Levels { bits, by_channel: false } => Some(Levels::of_values(bits, SHAPE, &rows)),
            _ => None,
        };
        let words = |bytes: usize| vec![0.0; (n_tokens * bytes).div_ceil(4)];
        let (codes, scales) = (words(codec.code_bytes(SHAPE)), words(codec.scale_bytes(SHAPE)));
        Self { codec, levels, rows, codes, scales }
    }

    /// Encodes all rows: by token, or 32 tokens at a time.
    fn encode(&mut self) {
        let (code_bytes, scale_bytes) = (self.codec.code_bytes(SHAPE), self.codec.scale_bytes(SHAPE));
        let codes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.codes);
        let scales: &mut [u8] = bytemuck::cast_slice_mut(&mut self.scales);
        if let Codec::Channels { bits } = self.codec {
            let groups = self.rows.chunks_exact(GROUP * SHAPE.width()).enumerate();
            for (group, rows) in groups {
                let tokens: Vec<&[f32]> = rows.chunks_exact(SHAPE.width()).collect();
                let codes = &mut codes[group * GROUP * code_bytes..][..GROUP * code_bytes];
                let scales = &mut scales[group * GROUP * scale_bytes..][..GROUP * scale_bytes];
                encode_channels(bits, SHAPE, &tokens, codes, scales);
            }
            return;
        }
        for (token, row) in self.rows.chunks_exact(SHAPE.width()).enumerate() {
            let codes = &mut codes[token * code_bytes..][..code_bytes];
            let scales = &mut scales[token * scale_bytes..][..scale_bytes];
            self.codec.encode(SHAPE, self.levels.as_ref(), row, codes, scales);
        }
    }

    /// Decodes all rows, one head after the other, into a buffer of one head.
    fn decode(&self, out: &mut [f32]) {
        let rows = Rows {
            codec: self.codec,
            shape: SHAPE,
            codes: bytemuck::cast_slice(&self.codes),
            token_stride: self.codec.code_bytes(SHAPE),
            scales: bytemuck::cast_slice(&self.scales),
            levels: self.levels.as_ref(),
        };
        for head in 0..SHAPE.n_kv_head {
            rows.decode(0, out.len() / SHAPE.head_dim, head, out);
            black_box(&mut *out);
        }
    }

    fn f32_bytes(&self) -> u64 {
        size_of_val(self.rows.as_slice()) as u64
    }
}

pub fn quantize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cpu/quantize");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    for (name, codec) in FORMATS {
        let mut rows = Encoded::new(codec, N_TOKENS);
        group.throughput(Throughput::Bytes(rows.f32_bytes()));
        group.bench_function(name, |bench| bench.iter(|| black_box(&mut rows).encode()));
    }
    group.finish();
}

pub fn dequantize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cpu/dequantize");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    for (name, codec) in FORMATS {
        let mut rows = Encoded::new(codec, N_TOKENS);
        rows.encode();
        let mut out = vec![0.0; N_TOKENS * SHAPE.head_dim];
        group.throughput(Throughput::Bytes(rows.f32_bytes()));
        group.bench_function(name, |bench| bench.iter(|| black_box(&rows).decode(&mut out)));
    }
    group.finish();
}

pub fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cpu/seal");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    for bits in [4, 2] {
        let mut keys = Encoded::new(Codec::Channels { bits }, GROUP);
        let mut values = Encoded::new(Codec::Affine { bits }, GROUP);
        group.throughput(Throughput::Bytes(keys.f32_bytes() + values.f32_bytes()));
        group.bench_function(format!("kivi:{bits}"), |bench| {
            bench.iter(|| {
                black_box(&mut keys).encode();
                black_box(&mut values).encode();
            });
        });
    }
    group.finish();
}
