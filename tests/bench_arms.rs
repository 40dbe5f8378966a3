//! What a benchmark times is the same computation in every arm, and its floor is of the bytes that the arm reads.

mod support;

use std::sync::{Arc, atomic::AtomicBool};

use candle_core::{Device, Tensor};
use kvlab::{
    cache::{KvStore, Lane, StoreConfig, spec::parse_lanes},
    engine::record::weight_bytes,
    experiment::bench::{
        Subject, Test, Work,
        candle_kv::{CandleCache, CandleKv},
        local::{Limits, LocalArm},
        matrix::parse_subjects,
    },
    measure::threads::Threads,
    model::{HubConfig, LoadedModel, Logits, ModelSource, WeightType},
};
use support::{floats, max_difference};

static NEVER: AtomicBool = AtomicBool::new(false);

/// The order of additions differs between candle's products and the walk; the bound of `tests/goldens.rs`.
const LOGITS: f32 = 1e-4;

fn story(weights: WeightType) -> LoadedModel {
    ModelSource::Story.load_as(weights, &HubConfig::from_env(), &Device::Cpu, &mut |_| {}, &NEVER).expect("embedded")
}

fn ids(n: usize, first: u32) -> Vec<u32> {
    (0..n).map(|i| first + u32::try_from(i).expect("small") * 7 % 251).collect()
}

/// Two sequences of nine tokens as a prompt and one more step, through candle's caches and through a lane.
#[test]
fn candles_caches_compute_what_a_lane_does() {
    let loaded = story(WeightType::F32);
    let (model, shape) = (&loaded.model, loaded.model.config().kv_shape());
    let prompts = [ids(9, 3), ids(9, 40)].concat();
    let newest = [5, 6];

    let spec = "paged:16".parse().expect("a lane");
    let mut store =
        KvStore::new(spec, shape, StoreConfig { max_sequences: 2, memory_limit_bytes: None }).expect("a store");
    let seqs = [store.open().expect("room"), store.open().expect("room")];
    let mut lane = |tokens: &[u32], new: usize| -> Tensor {
        let mut step = store.reserve(&seqs.map(|seq| (seq, new))).expect("room");
        let logits = model.forward(tokens, &mut step, None, Logits::Last, &NEVER).expect("a forward pass");
        step.commit(true).expect("a step");
        logits
    };
    let expected = [lane(&prompts, 9), lane(&newest, 1)];

    for cache in [CandleCache::Concat, CandleCache::Preallocated] {
        let mut kv = CandleKv::new(cache, shape, 2);
        for (tokens, new, expected) in [(&prompts[..], 9, &expected[0]), (&newest[..], 1, &expected[1])] {
            kv.begin(new);
            let logits = model.forward(tokens, &mut kv, None, Logits::Last, &NEVER).expect("a forward pass");
            let difference = max_difference(&floats(&logits), &floats(expected));
            assert!(difference <= LOGITS, "{cache}, {new} tokens: {difference}");
        }
        assert_eq!(kv.used_bytes(), 20 * shape.formula_bytes_per_token(kvlab::cache::Format::F32), "{cache}");
    }
}

/// Other types of weights compute the same function, more roughly.
#[test]
fn weights_of_other_types_predict_nearly_the_same() {
    let tokens = ids(24, 3);
    let logits = |weights| {
        let loaded = story(weights);
        let mut kv = kvlab::cache::Uncached::new(loaded.model.config().heads(), tokens.len());
        floats(&loaded.model.forward(&tokens, &mut kv, None, Logits::Last, &NEVER).expect("a forward pass"))
    };
    let exact = logits(WeightType::F32);
    let largest = exact.iter().fold(0.0_f32, |most, logit| most.max(logit.abs()));
    // f16 keeps 11 bits, bf16, int8 and q8_0 about 8, through five layers.
    for (weights, share) in
        [(WeightType::F16, 0.01), (WeightType::Bf16, 0.06), (WeightType::Int8, 0.06), (WeightType::Q8_0, 0.06)]
    {
        let difference = max_difference(&logits(weights), &exact);
        assert!(difference > 0.0 && difference <= share * largest, "{weights}: {difference} of {largest}");
    }
}

/// The memory of the floor is, to the byte, what the store counts as used; the weights' what the shapes say.
#[test]
fn the_floor_reads_what_the_arm_reads() {
    let loaded = story(WeightType::F32);
    let memory = loaded.model.weight_memory().expect("on the host");
    let read: usize = memory.buffers().iter().map(|buffer| buffer.len()).sum();
    // Packed, the last panel of a matrix is as wide as the others.
    let exact = weight_bytes(loaded.model.config(), WeightType::F32);
    assert!((exact..=exact + exact / 100).contains(&(read as u64)), "{read} of {exact}");
    for weights in WeightType::ALL {
        let other = story(weights);
        let memory = other.model.weight_memory().expect("on the host");
        let read: usize = memory.buffers().iter().map(|buffer| buffer.len()).sum();
        assert_eq!(read as u64, weights.read_bytes(other.model.config()), "{weights}");
    }

    let lanes = "concat,contiguous,paged:16,paged:7+f16,concat+int8,contiguous+q8_0,paged:16+q4_0,paged:32+int4+rot,\
                 paged:32+kivi:4/40,contiguous+kivi:2,paged:16+window:4/20,paged:16+int8+window:4/20,concat+window:2/9";
    for lane in parse_lanes(lanes).expect("lanes") {
        let Lane::Cache(spec) = lane else { panic!("a cache") };
        let shape = loaded.model.config().kv_shape();
        let mut store =
            KvStore::new(spec, shape, StoreConfig { max_sequences: 2, memory_limit_bytes: None }).expect("a store");
        store.shuffle_free(1);
        let seqs = [store.open().expect("room"), store.open().expect("room")];
        for n in [70, 1, 9] {
            let mut step = store.reserve(&seqs.map(|seq| (seq, n))).expect("room");
            loaded.model.hidden(&ids(2 * n, 3), &mut step, None, &NEVER).expect("a forward pass");
            step.commit(true).expect("a step");
        }
        let read: usize = seqs.iter().flat_map(|seq| store.stored(*seq).expect("open")).map(<[u8]>::len).sum();
        assert_eq!(read as u64, store.footprint().used_bytes, "{lane}");
    }
}

/// More sequences than tokens are stored at once.
#[test]
fn a_large_batch_is_filled() {
    let (model, threads) = (Arc::new(story(WeightType::F32)), Threads::new(1).expect("a pool"));
    let subject = parse_subjects("concat").expect("a lane")[0];
    let test = Test { work: Work::Decode, tokens: 1, depth: 2, batch: 600 };
    let arm = LocalArm::new(model, threads, subject, test, &mut |_| {}, &NEVER).expect("an arm");
    assert_eq!(arm.cache_size().expect("a size").expect("a cache").used_bytes, 600 * 2 * 7680);
}

/// Every arm starts each turn from the same state, whatever its lane can take back.
#[test]
fn turns_begin_where_the_first_began() {
    let model = Arc::new(story(WeightType::F32));
    let threads = Threads::new(1).expect("a pool");
    let limits = |handicap| Limits { steps: 5, time: std::time::Duration::from_mins(1), handicap };
    let lanes =
        "none,concat,contiguous,paged:16,paged:32+kivi:2,paged:16+window:4/20,paged:16+h2o:8/8,candle:concat,candle:kv";
    for subject in parse_subjects(lanes).expect("lanes") {
        let batch = if subject == Subject::Lane(Lane::None) { 1 } else { 2 };
        let test = Test { work: Work::Decode, tokens: 5, depth: 40, batch };
        let mut arm =
            LocalArm::new(model.clone(), threads.clone(), subject, test, &mut |_| {}, &NEVER).expect("an arm");
        let size = arm.cache_size().expect("a size");
        let cost = arm.cost_of_step().expect("a cost");
        for handicap in [0.0, 0.5] {
            let repeat = arm.run(limits(handicap), &[], &NEVER).expect("a turn");
            assert!(repeat.steps_secs.len() == 5 && repeat.steps_secs.iter().all(|secs| *secs > 0.0), "{subject}");
            assert!(repeat.read_before_secs.is_some_and(|secs| secs > 0.0), "{subject}");
            arm.reset(&NEVER).expect("reset");
            assert_eq!(arm.cache_size().expect("a size"), size, "{subject}");
        }
        // The weights once, and about 42 cached tokens for each sequence.
        assert!(cost.0 > 2.0 * 2.2e6 && cost.1 > 9.9e6, "{subject}: {cost:?}");
    }
}
