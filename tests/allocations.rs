//! What a store says it takes is what it takes: a counting allocator watches it from birth to death.
//!
//! One test in a binary of its own, so that no other thread allocates while it counts.

use std::alloc::System;

use candle_core::{Device, Tensor};
use kvlab::{
    cache::{Calibration, KvAccess, KvShape, KvStore, SeqId, StoreConfig},
    kernels::{
        HeadShape,
        codec::{Levels, RowShape},
    },
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn live_bytes(region: &Region<'_, System>) -> u64 {
    let change = region.change();
    // Growth and shrinking by reallocation are part of both sums.
    (change.bytes_allocated - change.bytes_deallocated) as u64
}

fn step(store: &mut KvStore, seq: SeqId, rows: &Tensor) {
    let n = rows.dim(0).expect("rows");
    let mut step = store.reserve(&[(seq, n)]).expect("room");
    for layer in 0..3 {
        step.attend(layer, rows, rows, rows, None).expect("attend");
    }
    step.commit(true).expect("a step");
}

#[test]
fn footprint_is_what_the_allocator_counts() {
    let shape = KvShape { n_layer: 3, heads: HeadShape { n_head: 2, n_kv_head: 2, head_dim: 32 }, max_seq_len: 100 };
    let one = Tensor::ones((1, 2, 32), candle_core::DType::F32, &Device::Cpu).expect("tensor");
    let many = Tensor::ones((33, 2, 32), candle_core::DType::F32, &Device::Cpu).expect("tensor");
    // Of no text: whoever has the levels holds them, and stores share them.
    let rows = RowShape { n_kv_head: 2, head_dim: 32 };
    let layer = |_| (Levels::of_keys(3, rows, &[0.0; 64]), Levels::of_values(3, rows, &[]));
    let calibration = Calibration::new((0..3).map(layer).collect());
    let build = |spec: &str, config| {
        KvStore::with_calibration(spec.parse().expect(spec), shape, config, Some(&calibration)).expect(spec)
    };
    // Whatever candle and the thread pool allocate once, they allocate here: every thread of the pool has run.
    rayon::broadcast(|_| ());
    let warm = |spec: &str| {
        let config = StoreConfig { max_sequences: 1, memory_limit_bytes: None };
        let mut store = build(spec, config);
        let seq = store.open().expect("sequence");
        step(&mut store, seq, &many);
        step(&mut store, seq, &one);
    };
    let three = StoreConfig { max_sequences: 3, memory_limit_bytes: None };
    // Inside the measured part the store is built, so that its birth is counted too.
    let life = |spec: &str| -> Result<(), String> {
        let region = Region::new(COUNTING);
        let mut store = build(spec, three);
        let check = |store: &KvStore, when: &str| {
            let (counted, footprint) = (live_bytes(&region), store.footprint());
            assert!(footprint.used_bytes <= footprint.held_bytes && footprint.held_bytes <= footprint.reserved_bytes);
            let said = footprint.reserved_bytes + footprint.metadata_bytes;
            if counted == said { Ok(()) } else { Err(format!("{when}: {counted} counted, {said} said; {footprint:?}")) }
        };
        check(&store, "when built")?;
        let a = store.open().expect("sequence");
        check(&store, "with an empty sequence")?;
        step(&mut store, a, &many);
        step(&mut store, a, &one);
        check(&store, "after a prefill and a token")?;
        let b = store.fork(a).expect("fork");
        step(&mut store, b, &one);
        check(&store, "after a fork")?;
        drop(store.reserve(&[(a, 5)]).expect("room"));
        check(&store, "after a dropped step")?;
        // Some policies cannot go back to ten tokens; to none all can.
        let _ = store.truncate(b, 10);
        check(&store, "after a truncate")?;
        store.truncate(b, 0).expect("truncate");
        check(&store, "after a truncate to nothing")?;
        store.close(a).expect("close");
        check(&store, "after a close")?;
        drop(store);
        let left = live_bytes(&region);
        if left == 0 { Ok(()) } else { Err(format!("{left} bytes leaked")) }
    };
    for spec in [
        "concat",
        "contiguous",
        "paged:1",
        "paged:7",
        "paged:16",
        "concat+int8",
        "contiguous+int8",
        "paged:16+int8",
        "paged:16+q4_0+rot",
        "paged:32+kivi:2/3",
        "contiguous+kivi:4/40",
        "concat+window:2/8",
        "paged:4+window:2/8",
        "contiguous+h2o:4/8",
        "concat+f16+h2o:4/8",
        "paged:32+kivi:4/0+h2o:4/8",
        "concat+kvq:3",
        "paged:7+kvq:3",
    ] {
        warm(spec);
        // A thread of the pool may still set itself up on a loaded machine. It does so once; a store that counts wrongly does so always.
        let attempts: Vec<Result<(), String>> = (0..3).map(|_| life(spec)).collect();
        assert!(attempts.iter().any(Result::is_ok), "{spec}: {attempts:?}");
    }
}
