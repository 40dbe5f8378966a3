//! Stores that hold tokens, for the benches of this target.

use std::sync::LazyLock;

use candle_core::{Device, Tensor};
use kvlab::{
    cache::{CacheSpec, KvShape, KvStore, SeqId, StoreConfig},
    kernels::HeadShape,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

pub const HEADS: HeadShape = HeadShape { n_head: 12, n_kv_head: 12, head_dim: 64 };
/// Layers where a whole model's are meant: GPT-2 small's.
pub const N_LAYER: usize = 12;
pub const DEPTHS: [(usize, &str); 3] = [(1024, "1k"), (8192, "8k"), (32_768, "32k")];

/// What the layers of a rotating lane take together at least; last-level caches of desktops hold 8 to 96 MiB.
const ROTATING_BYTES: u64 = 128 << 20;
/// Room behind the filled tokens.
const ROOM: usize = 64;

/// Random numbers from -1 to 1.
pub fn noise(n: usize) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(7);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Rows of the deepest cache, `[T, 12, 64]`: keys, values and queries alike. Made when first asked for.
static ROWS: LazyLock<Tensor> = LazyLock::new(|| {
    let (HeadShape { n_head, head_dim, .. }, n_tokens) = (HEADS, DEPTHS[2].0);
    Tensor::from_vec(noise(n_tokens * n_head * head_dim), (n_tokens, n_head, head_dim), &Device::Cpu).expect("a tensor")
});

/// The rows of `n` tokens, a view.
pub fn tokens(n: usize) -> Tensor {
    ROWS.narrow(0, 0, n).expect("so many rows")
}

fn shape(n_layer: usize, depth: usize) -> KvShape {
    KvShape { n_layer, heads: HEADS, max_seq_len: depth + ROOM }
}

/// What `depth` tokens of a lane take in `n_layer` layers, exact tokens of `kivi` among them: the store's own count. Nothing is
/// written for it.
pub fn bytes_at(spec: CacheSpec, depth: usize, n_layer: usize) -> u64 {
    let mut store = KvStore::new(spec, shape(n_layer, depth), StoreConfig::default()).expect("a store");
    let seq = store.open().expect("a sequence");
    store.reserve(&[(seq, depth)]).expect("room").commit(true).expect("a step");
    store.footprint().used_bytes
}

/// As many layers as no last-level cache holds.
pub fn rotating_layers(spec: CacheSpec, depth: usize) -> usize {
    usize::try_from(ROTATING_BYTES.div_ceil(bytes_at(spec, depth, 1))).expect("a few layers")
}

/// A store with one sequence of some tokens.
pub struct FilledLane {
    pub store: KvStore,
    pub seq: SeqId,
    /// Whose turn it is, where layers take turns.
    pub next_layer: usize,
}

/// For the order of a pool's blocks.
pub const SHUFFLE_SEED: u64 = 11;

impl FilledLane {
    /// With so many layers that none is in the last-level cache when its turn comes again.
    pub fn rotating(spec: CacheSpec, depth: usize) -> Self {
        Self::new(spec, rotating_layers(spec, depth), depth)
    }

    /// With the layers of a model.
    pub fn whole(spec: CacheSpec, depth: usize) -> Self {
        Self::new(spec, N_LAYER, depth)
    }

    fn new(spec: CacheSpec, n_layer: usize, depth: usize) -> Self {
        // One, and a fork of it.
        let (shape, max_sequences) = (shape(n_layer, depth), 2);
        // Pages of the pool that nobody writes to are never taken from the system.
        let mut store =
            KvStore::new(spec, shape, StoreConfig { max_sequences, memory_limit_bytes: None }).expect("a store");
        store.shuffle_free(SHUFFLE_SEED);
        let seq = store.open().expect("a sequence");
        let mut lane = Self { store, seq, next_layer: 0 };
        lane.append(&tokens(depth));
        lane
    }

    /// Stores the rows as keys and values of new tokens, in every layer.
    pub fn append(&mut self, rows: &Tensor) {
        let n_layer = self.store.shape().n_layer;
        let mut step = self.store.reserve(&[(self.seq, rows.dims()[0])]).expect("room");
        for layer in 0..n_layer {
            step.append(layer, rows, rows).expect("an append");
        }
        step.commit(true).expect("a step");
    }
}
