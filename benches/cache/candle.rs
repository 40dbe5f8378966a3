//! Paged attention as it is written with a tensor library: gather the blocks, then attend as if they had never been paged.
//!
//! It stands beside `attend/paged:16+f32`, on as many layers that take turns. It does less: it writes no token.

use candle_core::{Device, Tensor};
use candle_nn::ops::softmax_last_dim;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use kvlab::{cache::CacheSpec, kernels::HeadShape};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::lane::{self, DEPTHS, HEADS, SHUFFLE_SEED, tokens};

const BLOCK: usize = 16;

/// A layer: its pools of blocks, `[blocks, 16, H, D]`, and the ids of the sequence's, `[blocks]`.
struct Layer {
    keys: Tensor,
    values: Tensor,
    table: Tensor,
}

impl Layer {
    fn new(depth: usize) -> candle_core::Result<Self> {
        let HeadShape { n_head, head_dim, .. } = HEADS;
        let n_blocks = depth / BLOCK;
        let pool = || tokens(depth).reshape((n_blocks, BLOCK, n_head, head_dim))?.copy();
        let mut ids: Vec<u32> = (0..n_blocks).filter_map(|block| u32::try_from(block).ok()).collect();
        ids.shuffle(&mut StdRng::seed_from_u64(SHUFFLE_SEED));
        Ok(Self { keys: pool()?, values: pool()?, table: Tensor::from_vec(ids, n_blocks, &Device::Cpu)? })
    }

    /// `q` is `[H, 1, D]`, the result too.
    fn attend(&self, q: &Tensor, depth: usize) -> candle_core::Result<Tensor> {
        let HeadShape { n_head, head_dim, .. } = HEADS;
        let gather = |pool: &Tensor| {
            let rows = pool.index_select(&self.table, 0)?.reshape((depth, n_head, head_dim))?; // [blocks, 16, H, D] -> [T, H, D]
            rows.transpose(0, 1)?.contiguous() // [T, H, D] -> [H, T, D], a copy
        };
        let (keys, values) = (gather(&self.keys)?, gather(&self.values)?);
        #[expect(clippy::cast_precision_loss, reason = "head_dim is small")]
        let scale = 1.0 / (head_dim as f64).sqrt();
        let scores = (q.matmul(&keys.t()?)? * scale)?; // [H, 1, D] x [H, D, T] -> [H, 1, T]
        softmax_last_dim(&scores)?.matmul(&values) // [H, 1, T] x [H, T, D] -> [H, 1, D]
    }
}

pub fn attend(criterion: &mut Criterion) {
    let spec: CacheSpec = "paged:16+f32".parse().expect("a lane");
    let q = tokens(1).transpose(0, 1).and_then(|q| q.contiguous()).expect("[1, H, D] -> [H, 1, D]");
    let mut group = criterion.benchmark_group("cpu/attend/candle:index_select");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for (depth, size) in DEPTHS {
        group.throughput(Throughput::Bytes(lane::bytes_at(spec, depth, 1)));
        let mut layers = vec![];
        let mut next = 0;
        group.bench_function(BenchmarkId::from_parameter(size), |bench| {
            if layers.is_empty() {
                let n_layer = lane::rotating_layers(spec, depth);
                layers.extend((0..n_layer).map(|_| Layer::new(depth).expect("a layer")));
            }
            bench.iter(|| {
                next = (next + 1) % layers.len();
                layers[next].attend(&q, depth).expect("attention")
            });
        });
    }
    group.finish();
}
