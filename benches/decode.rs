//! One decoded token at several depths, and a prefill, per layout and without a cache.
//!
//! Names are `device/weights/lane/test`: `tg@d512` generates one token after 512 cached ones, `pp512` runs a prompt of 512
//! tokens, as llama-bench has it. Throughput of `tg` is the bytes that a token must read, weights and cache, per second: compare
//! it with `kvlab doctor`'s bandwidth. `pp` counts tokens per second.
//!
//! ```text
//! cargo bench --bench decode                                    GPT-2 small, random weights
//! cargo bench --bench decode -- 'contiguous/tg'                 some of it
//! KVLAB_BENCH_MODEL=shape:gpt2-medium cargo bench --bench decode
//! ```
//!
//! Lanes run one after another here and a machine may change meanwhile; for lanes side by side there is `kvlab run`.

use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use candle_core::Device;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kvlab::{
    cache::{CacheSpec, KvStore, Lane, StoreConfig, Uncached, spec::parse_lanes},
    engine::record::weight_bytes,
    model::{Gpt2, LoadedModel, Logits, ModelSource, WeightType},
};

const LANES: &str = "none,concat,contiguous,paged:16,paged:16+int8";
const DEPTHS: [usize; 3] = [32, 512, 1000];
const PROMPT: usize = 512;
/// Not cancelled.
static NEVER: AtomicBool = AtomicBool::new(false);

fn model() -> LoadedModel {
    kvlab::kernels::threads::fix_count(None);
    let name = std::env::var("KVLAB_BENCH_MODEL").unwrap_or_else(|_| "shape:gpt2".into());
    let source: ModelSource = name.parse().expect("a model that kvlab knows");
    source.load(&Device::Cpu, &mut |_| {}, &NEVER).expect("the model loads")
}

/// Ids that differ and that every vocabulary has.
fn ids(n: usize) -> Vec<u32> {
    (0..n).map(|i| u32::try_from(i * 7 % 251).expect("small")).collect()
}

/// Runs `tokens` without a cache.
fn uncached(model: &Gpt2, tokens: &[u32]) {
    let mut kv = Uncached::new(model.config().heads(), tokens.len());
    model.forward(tokens, &mut kv, None, Logits::Last, &NEVER).expect("a forward pass");
}

/// A store with one sequence of `n` tokens.
fn filled(model: &Gpt2, spec: CacheSpec, n: usize) -> (KvStore, kvlab::cache::SeqId) {
    let mut store = KvStore::new(spec, model.config().kv_shape(), StoreConfig::default()).expect("a store");
    let seq = store.open().expect("a sequence");
    append(model, &mut store, seq, &ids(n));
    (store, seq)
}

fn append(model: &Gpt2, store: &mut KvStore, seq: kvlab::cache::SeqId, tokens: &[u32]) {
    let mut step = store.reserve(&[(seq, tokens.len())]).expect("room");
    model.forward(tokens, &mut step, None, Logits::Last, &NEVER).expect("a forward pass");
    step.commit(true).expect("a step");
}

/// Times `run` alone; `reset` brings its subject back.
fn time<T>(n: u64, subject: &mut T, run: impl Fn(&mut T), reset: impl Fn(&mut T)) -> Duration {
    let mut all = Duration::ZERO;
    for _ in 0..n {
        let started = Instant::now();
        run(subject);
        all += started.elapsed();
        reset(subject);
    }
    all
}

fn decode(criterion: &mut Criterion) {
    let loaded = model();
    let model = &loaded.model;
    for lane in parse_lanes(LANES).expect("lanes") {
        let mut group = criterion.benchmark_group(format!("cpu/f32/{lane}"));
        group.sample_size(10);
        for depth in DEPTHS.into_iter().filter(|depth| *depth < model.config().n_positions) {
            match lane {
                Lane::None | Lane::Mine => {
                    let tokens = ids(depth + 1);
                    group.throughput(Throughput::Bytes(weight_bytes(model.config(), WeightType::F32)));
                    group.bench_function(format!("tg@d{depth}"), |bench| bench.iter(|| uncached(model, &tokens)));
                }
                Lane::Cache(spec) => {
                    let mut cache = filled(model, spec, depth);
                    let read = weight_bytes(model.config(), WeightType::F32) + cache.0.footprint().used_bytes;
                    group.throughput(Throughput::Bytes(read));
                    group.bench_function(format!("tg@d{depth}"), |bench| {
                        bench.iter_custom(|n| {
                            let run = |(store, seq): &mut (KvStore, _)| append(model, store, *seq, &[7]);
                            let reset = |(store, seq): &mut (KvStore, _)| store.truncate(*seq, depth).expect("shorter");
                            time(n, &mut cache, run, reset)
                        });
                    });
                }
            }
        }
        let prompt = ids(PROMPT.min(model.config().n_positions));
        group.throughput(Throughput::Elements(prompt.len() as u64));
        group.bench_function(format!("pp{}", prompt.len()), |bench| match lane {
            Lane::None | Lane::Mine => bench.iter(|| uncached(model, &prompt)),
            Lane::Cache(spec) => bench.iter_custom(|n| {
                let run = |(store, seq): &mut (KvStore, _)| append(model, store, *seq, &prompt);
                let reset = |(store, seq): &mut (KvStore, _)| store.truncate(*seq, 0).expect("shorter");
                let mut cache = filled(model, spec, 1);
                reset(&mut cache);
                time(n, &mut cache, run, reset)
            }),
        });
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
