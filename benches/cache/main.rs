//! What a cache does: append, attend, fork and truncate through a store; quantize, dequantize and seal through the codecs.
//!
//! Shapes are GPT-2 small's: 12 heads of 64. Names are `device/operation/lane/size`.
//!
//! | name | measured | throughput |
//! |---|---|---|
//! | `cpu/append/LANE/1`, `/32` | writing so many tokens behind 1,024, one layer | bytes stored |
//! | `cpu/attend/LANE/1k`, `/8k`, `/32k` | writing a token and answering its query over so many, one layer | bytes of the cache read |
//! | `cpu/attend/candle:index_select/1k`, `/8k`, `/32k` | the same of pages in candle's tensors: gathered, then attended | bytes of the cache read |
//! | `cpu/fork/LANE/1k`, `/8k` | a second sequence with the same tokens, 12 layers | bytes copied; `paged`, which shares them: tokens |
//! | `cpu/truncate/LANE/1k`, `/8k` | forgetting the newest 32 tokens, 12 layers | tokens forgotten |
//! | `cpu/quantize/FORMAT` | 256 rows of 768 into codes and scales | f32 bytes read |
//! | `cpu/dequantize/FORMAT` | the way back, as the attention walk does it: a head at a time | f32 bytes written |
//! | `cpu/seal/FORMAT` | keys and values of a group of 32 tokens, one layer | f32 bytes read |
//!
//! - **Layers take turns**, as in a model, and there are as many as it takes for their sum to exceed 128 MiB: no last-level cache of a desktop
//!   holds a layer until its turn comes again, so throughput can be compared with `kvlab doctor`'s bandwidth.
//! - A store is filled once and only if its bench runs, which criterion asks for a sample at a time.
//! - A call that takes less than a microsecond (a fork of blocks, a truncation) is timed with the clock's own tens of nanoseconds;
//!   `cargo bench --bench pool` times many at once.
//! - Blocks of `paged` are handed out in random order.
//! - `concat` copies everything it has for each append: that is part of append and attend, and not of the bytes that count.
//! - Of `kivi` an append is a write to the ring of exact tokens; quantizing them comes later, and is `seal`.
//!
//! ```text
//! cargo bench --bench cache                              all of it: a quarter of an hour, 4 GB
//! cargo bench --bench cache -- attend/paged              some of it
//! cargo bench --bench cache -- 'attend/.*int8/32k'
//! ```

mod candle;
mod codec;
mod lane;

use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, measurement::WallTime};
use kvlab::cache::{CacheSpec, Format, KvAccess, Layout, SeqId, Step};

use lane::{DEPTHS, FilledLane, tokens};

const LAYOUTS: [&str; 3] = ["contiguous", "paged", "concat"];
const FORMATS: [&str; 6] = ["f32", "f16", "int8", "q8_0", "q4_0", "kivi:4/32"];
/// Tokens that `truncate` forgets.
const FORGOTTEN: usize = 32;

/// Every layout with each of the formats that it can have: blocks of 16 tokens, or of a group of them.
fn lanes(formats: &[&str]) -> Vec<CacheSpec> {
    let all = LAYOUTS.iter().flat_map(|layout| formats.iter().map(move |format| (*layout, *format)));
    let lanes = all.filter_map(|(layout, format)| match (layout, format.starts_with("kivi")) {
        ("concat", true) => None,
        ("paged", groups) => Some(format!("paged:{}+{format}", if groups { 32 } else { 16 })),
        _ => Some(format!("{layout}+{format}")),
    });
    lanes.map(|lane| lane.parse().expect("a lane")).collect()
}

/// The group of an operation and a lane. A few samples of as many calls each: stores that are put back after each call take long.
fn store_group<'a>(criterion: &'a mut Criterion, operation: &str, lane: CacheSpec) -> BenchmarkGroup<'a, WallTime> {
    let format = if lane.format == Format::F32 { "+f32" } else { "" };
    let mut group = criterion.benchmark_group(format!("cpu/{operation}/{lane}{format}"));
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    group
}

/// Times `n` calls of `run`, one layer after another, in as many steps as that takes; steps are forgotten, which is not timed.
fn time_layers(n: u64, lane: &mut FilledLane, new: usize, run: impl Fn(&mut Step<'_>, usize)) -> Duration {
    let (mut all, mut left, n_layer) = (Duration::ZERO, n, lane.store.shape().n_layer);
    while left > 0 {
        let layers = lane.next_layer..n_layer.min(lane.next_layer + usize::try_from(left).expect("a count"));
        let mut step = lane.store.reserve(&[(lane.seq, new)]).expect("room");
        let started = Instant::now();
        for layer in layers.clone() {
            run(&mut step, layer);
        }
        all += started.elapsed();
        step.forget();
        left -= layers.len() as u64;
        lane.next_layer = layers.end % n_layer;
    }
    all
}

fn append(criterion: &mut Criterion) {
    for spec in lanes(&FORMATS) {
        let mut group = store_group(criterion, "append", spec);
        for new in [1, 32] {
            group.throughput(Throughput::Bytes(lane::bytes_at(spec, new, 1)));
            let mut lane = None;
            group.bench_function(new.to_string(), |bench| {
                let lane = lane.get_or_insert_with(|| FilledLane::rotating(spec, DEPTHS[0].0));
                let k = tokens(new);
                bench.iter_custom(|n| {
                    time_layers(n, lane, new, |step, layer| step.append(layer, &k, &k).expect("an append"))
                });
            });
        }
        group.finish();
    }
}

fn attend(criterion: &mut Criterion) {
    for spec in lanes(&FORMATS) {
        let mut group = store_group(criterion, "attend", spec);
        for (depth, size) in DEPTHS {
            group.throughput(Throughput::Bytes(lane::bytes_at(spec, depth, 1)));
            let mut lane = None;
            group.bench_function(size, |bench| {
                let lane = lane.get_or_insert_with(|| FilledLane::rotating(spec, depth));
                let q = tokens(1);
                bench.iter_custom(|n| {
                    time_layers(n, lane, 1, |step, layer| {
                        step.attend(layer, &q, &q, &q, None).expect("attention");
                    })
                });
            });
        }
        group.finish();
    }
}

/// `concat` is left out of `fork`: it copies as `contiguous` does.
fn fork(criterion: &mut Criterion) {
    for spec in lanes(&["f32", "int8"]).into_iter().filter(|spec| spec.layout != Layout::Concat) {
        let mut group = store_group(criterion, "fork", spec);
        for (depth, size) in &DEPTHS[..2] {
            group.throughput(match spec.layout {
                Layout::Contiguous => Throughput::Bytes(lane::bytes_at(spec, *depth, lane::N_LAYER)),
                _ => Throughput::Elements(*depth as u64),
            });
            let mut lane = None;
            group.bench_function(*size, |bench| {
                let lane = lane.get_or_insert_with(|| FilledLane::whole(spec, *depth));
                let run = |lane: &mut FilledLane| lane.store.fork(lane.seq).expect("a fork");
                bench.iter_custom(|n| time(n, lane, run, |lane, child| lane.store.close(child).expect("open")));
            });
        }
        group.finish();
    }
}

fn truncate(criterion: &mut Criterion) {
    for spec in lanes(&["f32"]) {
        let mut group = store_group(criterion, "truncate", spec);
        group.throughput(Throughput::Elements(FORGOTTEN as u64));
        for (depth, size) in &DEPTHS[..2] {
            let mut lane = None;
            group.bench_function(*size, |bench| {
                let lane = lane.get_or_insert_with(|| FilledLane::whole(spec, *depth));
                let k = tokens(FORGOTTEN);
                let run = |lane: &mut FilledLane| {
                    lane.store.truncate(lane.seq, *depth - FORGOTTEN).expect("shorter");
                    lane.seq
                };
                // In a pool the rows are still where they were. Writing them anew would take a thousand times as long as what is timed.
                let reset = |lane: &mut FilledLane, seq: SeqId| match spec.layout {
                    Layout::Concat => lane.append(&k),
                    _ => lane.store.reserve(&[(seq, FORGOTTEN)]).expect("room").commit(true).expect("a step"),
                };
                bench.iter_custom(|n| time(n, lane, run, reset));
            });
        }
        group.finish();
    }
}

/// Times `run` alone; `reset` brings its subject back.
fn time(
    n: u64,
    lane: &mut FilledLane,
    run: impl Fn(&mut FilledLane) -> SeqId,
    reset: impl Fn(&mut FilledLane, SeqId),
) -> Duration {
    let mut all = Duration::ZERO;
    for _ in 0..n {
        let started = Instant::now();
        let seq = run(lane);
        all += started.elapsed();
        reset(lane, seq);
    }
    all
}

criterion_group!(
    benches,
    append,
    attend,
    candle::attend,
    fork,
    truncate,
    codec::quantize,
    codec::dequantize,
    codec::seal
);
fn main() {
    kvlab::kernels::threads::fix_count(None);
    benches();
    Criterion::default().configure_from_args().final_summary();
}
