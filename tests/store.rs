//! Promises of the store that need no model: what fails or is dropped changes nothing, grouped queries
//! work, copies are counted.

mod support;

use candle_core::{Device, Tensor};
use kvlab::{
    cache::{CacheError, CacheSpec, Format, KvAccess, KvShape, KvStore, Layout, Retention, SeqId, StoreConfig},
    kernels::{HeadShape, reference},
};
use proptest::prelude::*;
use support::{floats, max_difference};

const SPECS: [&str; 6] = ["concat", "contiguous", "paged:1", "paged:7", "paged:16", "paged:5+int8"];

/// f32 sums of some tens of terms against f64.
const F32_ATTENTION: f32 = 2e-5;
/// Int8 rows of values up to 2: an error of scale / 2 = 2 / 127 / 2 in each, through scores and values.
const INT8_ATTENTION: f32 = 3e-2;

fn shape(n_head: usize, n_kv_head: usize, head_dim: usize) -> KvShape {
    KvShape { n_layer: 2, heads: HeadShape { n_head, n_kv_head, head_dim }, max_seq_len: 64 }
}

fn build(spec: &str, shape: KvShape, memory_limit_bytes: Option<u64>) -> Result<KvStore, CacheError> {
    KvStore::new(spec.parse().expect(spec), shape, StoreConfig { max_sequences: 3, memory_limit_bytes })
}

fn noise(dims: [usize; 3], seed: usize) -> Tensor {
    let n = dims.iter().product::<usize>();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let values: Vec<f32> = (0..n).map(|i| (((i + 1) * (seed + 7) * 7919) % 4001) as f32 / 1000.0 - 2.0).collect();
    Tensor::from_vec(values, &dims, &Device::Cpu).expect("tensor")
}

/// One committed step of `n` tokens in every layer; the output of the last layer.
fn step(store: &mut KvStore, seq: SeqId, n: usize, seed: usize) -> Result<Vec<f32>, CacheError> {
    let HeadShape { n_head, n_kv_head, head_dim } = store.shape().heads;
    let n_layer = store.shape().n_layer;
    let mut step = store.reserve(&[(seq, n)])?;
    let mut out = vec![];
    for layer in 0..n_layer {
        let q = noise([n, n_head, head_dim], seed + layer);
        let k = noise([n, n_kv_head, head_dim], seed + 100 + layer);
        let v = noise([n, n_kv_head, head_dim], seed + 200 + layer);
        out = floats(&step.attend(layer, &q, &k, &v, None)?);
    }
    step.commit(true).expect("a step");
    Ok(out)
}

#[test]
fn grouped_queries_and_any_head_dim_in_every_specification() {
    for (n_head, n_kv_head, head_dim) in [(4, 4, 16), (6, 2, 24), (8, 1, 8), (2, 2, 72)] {
        for spec in SPECS {
            let heads = HeadShape { n_head, n_kv_head, head_dim };
            let mut store = build(spec, shape(n_head, n_kv_head, head_dim), None).expect(spec);
            let seq = store.open().expect("sequence");
            let (mut keys, mut values) = (vec![], vec![]);
            for (i, n) in [9, 1, 1, 13, 1].into_iter().enumerate() {
                let seed = 1000 * (i + 1);
                let out = step(&mut store, seq, n, seed).expect("room");
                keys.extend(floats(&noise([n, n_kv_head, head_dim], seed + 101)));
                values.extend(floats(&noise([n, n_kv_head, head_dim], seed + 201)));
                let queries = floats(&noise([n, n_head, head_dim], seed + 1));
                let expected = reference::attention(heads, &queries, &keys, &values);
                let difference = max_difference(&out, &expected.out);
                let tolerance = if spec.ends_with("int8") { INT8_ATTENTION } else { F32_ATTENTION };
                assert!(difference <= tolerance, "{spec} {heads:?}: {difference}");
            }
        }
    }
}

/// Written by `append` or by `attend`: the next token finds the same, in every layer, also where groups are sealed on the way and where a
/// block is shared.
#[test]
fn what_is_appended_without_asking_is_what_attend_stores() {
    let shape = KvShape { max_seq_len: 160, ..shape(2, 2, 32) };
    for spec in SPECS.into_iter().chain(["paged:32+kivi:4/0", "contiguous+kivi:2/32", "paged:16+q4_0+rot"]) {
        let mut outputs = vec![];
        for asks in [true, false] {
            let mut store = build(spec, shape, None).expect(spec);
            let parent = store.open().expect("sequence");
            step(&mut store, parent, 5, 1).expect(spec);
            let child = store.fork(parent).expect("fork");
            for n in [1, 100, 3] {
                let mut step = store.reserve(&[(child, n), (parent, 2)]).expect("room");
                for layer in 0..2 {
                    let [q, k, v] = [3, 4, 5].map(|seed| noise([n + 2, 2, 32], seed + n + layer));
                    if asks {
                        step.attend(layer, &q, &k, &v, None).expect(spec);
                    } else {
                        step.append(layer, &k, &v).expect(spec);
                    }
                }
                step.commit(true).expect("a step");
            }
            let of = |store: &mut KvStore, seq| step(store, seq, 1, 9).expect(spec);
            outputs.push((of(&mut store, child), of(&mut store, parent), store.footprint()));
        }
        assert_eq!(outputs[0], outputs[1], "{spec}");
    }
}

#[test]
fn what_the_store_returns_is_what_was_written() {
    for spec in SPECS {
        let mut store = build(spec, shape(4, 2, 16), None).expect(spec);
        let seq = store.open().expect("sequence");
        step(&mut store, seq, 11, 1).expect("room");
        let (k, v) = store.read(seq, 1).expect("read");
        for (stored, seed) in [(k, 102), (v, 202)] {
            let written = floats(&noise([11, 2, 16], seed));
            let bound = if spec.ends_with("int8") { 2.0 / 127.0 / 2.0 * 1.001 } else { 0.0 };
            assert!(max_difference(&stored, &written) <= bound, "{spec}");
        }
    }
}

proptest! {
    /// Footprint, pictures and stored rows after a dropped step, after a failed `reserve` and after a
    /// refused `truncate` are those of before. Copied bytes count work that was done, so they may grow.
    #[test]
    fn what_is_dropped_or_refused_leaves_no_trace(
        spec in prop::sample::select(SPECS.to_vec()), first in 1_usize..30, forked: bool, more in 1_usize..20, layers in 0_usize..3,
    ) {
        let mut store = build(spec, shape(2, 1, 8), None).expect(spec);
        let seq = store.open().expect("sequence");
        step(&mut store, seq, first, 3).expect("room");
        let other = if forked { store.fork(seq).expect("room") } else { store.open().expect("room") };
        let observe = |store: &KvStore| {
            let mut footprint = store.footprint();
            footprint.copied_bytes = 0;
            let each = [seq, other].map(|s| (store.picture(s).expect("open"), store.read(s, 0).expect("open"), store.read(s, 1).expect("open")));
            (footprint, each)
        };
        let before = observe(&store);
        {
            let mut step = store.reserve(&[(other, more), (seq, 1)]).expect("room");
            for layer in 0..layers.min(2) {
                let [q, k, v] = [(2, 4), (1, 5), (1, 6)].map(|(heads, seed)| noise([more + 1, heads, 8], seed));
                step.attend(layer, &q, &k, &v, None).expect("attend");
            }
        }
        prop_assert!(observe(&store) == before, "a dropped step left a trace");
        prop_assert!(store.reserve(&[(other, 1), (seq, 64)]).is_err());
        prop_assert!(store.reserve(&[(seq, 1), (seq, 1)]).is_err());
        prop_assert!(store.reserve(&[(seq, 0)]).is_err());
        prop_assert!(store.truncate(seq, first + 1).is_err());
        prop_assert!(observe(&store) == before, "a refused call left a trace");
    }
}

#[test]
fn a_full_cache_says_so_and_keeps_what_it_has() {
    for spec in SPECS {
        // 2 layers x (k, v) x 8 x 4 bytes = 128 bytes a token in f32: a limit of 33 tokens.
        let config = StoreConfig { max_sequences: 1, memory_limit_bytes: Some(33 * 128) };
        let mut store = KvStore::new(spec.parse().expect(spec), shape(1, 1, 8), config).expect(spec);
        let seq = store.open().expect("sequence");
        let mut stored = 0;
        let error = loop {
            match step(&mut store, seq, 1, 1) {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        let expected = match spec {
            // 2 x 2 x (8 + 4) = 48 bytes a token: more than the context's 64 tokens fit.
            "paged:5+int8" => 64,
            "paged:7" => 28,
            "contiguous" | "paged:16" => 32,
            _ => 33,
        };
        assert_eq!(stored, expected, "{spec}");
        if stored < 64 {
            assert!(matches!(error, CacheError::CacheFull { free_blocks: 0, .. }), "{spec}: {error}");
            assert!(error.to_string().contains("nothing was changed"));
        }
        assert_eq!(store.len(seq).expect("open"), stored);
        assert!(store.footprint().reserved_bytes <= 33 * 128 + 2 * 2 * 64, "{spec} took more than its limit");
        store.truncate(seq, 3).expect("truncate");
        step(&mut store, seq, 2, 9).expect("there is room again");
    }
}

#[test]
fn a_limit_too_small_for_one_block_is_refused() {
    let error = build("paged:16", shape(1, 1, 8), Some(100)).err().expect("refused");
    assert!(error.to_string().contains("does not hold one block of 16 token(s)"), "{error}");
}

#[test]
fn shapes_and_sizes_are_checked_before_memory_is_taken() {
    let refused = |spec: &str, shape: KvShape| build(spec, shape, None).err().expect("refused").to_string();
    assert!(refused("contiguous", shape(3, 2, 8)).contains("cannot share"));
    assert!(refused("contiguous", shape(1, 1, 12)).contains("multiple of 8"));
    assert!(refused("paged:16+q8_0", shape(1, 1, 8)).contains("do not divide a head_dim of 8"));
    let huge = KvShape { max_seq_len: usize::MAX / 2, ..shape(1, 1, 8) };
    for spec in SPECS {
        assert!(refused(spec, huge).contains("too large"), "{spec}");
    }
}

#[test]
fn copies_are_counted_where_bytes_move() {
    // 2 layers x (k, v) x 2 heads x 8 x 4 bytes
    const ROW: u64 = 2 * 2 * 2 * 8 * 4;
    let copied = |spec: &str, fork: bool| {
        let mut store = build(spec, shape(2, 2, 8), None).expect(spec);
        let seq = store.open().expect("sequence");
        for i in 0..20 {
            step(&mut store, seq, 1, i).expect("room");
        }
        let grown = store.footprint().copied_bytes;
        if fork {
            let child = store.fork(seq).expect("room");
            step(&mut store, child, 1, 50).expect("room");
        }
        (grown / ROW, (store.footprint().copied_bytes - grown) / ROW)
    };
    // n (n + 1) / 2 rows for n tokens, one by one; a fork copies 20, its next token 21.
    assert_eq!(copied("concat", true), (20 * 21 / 2, 20 + 21));
    assert_eq!(copied("contiguous", true), (0, 20));
    assert_eq!(copied("paged:16", false), (0, 0));
    assert_eq!(copied("paged:16", true), (0, 4), "copy-on-write moves the filled rows of the open block");
    assert_eq!(copied("paged:5", true), (0, 0), "a full block stays shared");
}

#[test]
fn foreign_and_closed_sequences_are_refused() {
    let mut store = build("paged:4", shape(1, 1, 8), None).expect("store");
    let seq = store.open().expect("sequence");
    store.close(seq).expect("open");
    let again = store.open().expect("sequence");
    assert_ne!(seq, again, "a closed handle does not come back to life");
    assert!(matches!(store.len(seq), Err(CacheError::UnknownSequence)));
    assert!(matches!(store.close(seq), Err(CacheError::UnknownSequence)));
    for _ in 0..2 {
        store.open().expect("sequence");
    }
    assert!(matches!(store.open(), Err(CacheError::TooManySequences { max_sequences: 3 })));

    let mut other = build("paged:4", shape(1, 1, 8), None).expect("store");
    let same_place = other.open().expect("sequence");
    let fresh = build("paged:4", shape(1, 1, 8), None).expect("store").open().expect("sequence");
    assert!(other.len(same_place).is_ok() && matches!(other.len(fresh), Err(CacheError::UnknownSequence)));
}

#[test]
fn the_picture_is_where_the_tokens_are() {
    let places = |spec: &str| -> Vec<(u32, u32)> {
        let mut store = build(spec, shape(1, 1, 8), None).expect(spec);
        let (first, seq) = (store.open().expect("sequence"), store.open().expect("sequence"));
        step(&mut store, first, 3, 1).expect("room");
        step(&mut store, seq, 5, 2).expect("room");
        let picture = store.picture(seq).expect("open");
        assert!(picture.iter().all(|token| token.live));
        picture.iter().map(|token| (token.block.expect("held"), token.slot)).collect()
    };
    assert_eq!(places("paged:2"), [(2, 0), (2, 1), (3, 0), (3, 1), (4, 0)]);
    assert_eq!(
        places("contiguous"),
        [(2, 0), (2, 1), (2, 2), (2, 3), (2, 4)],
        "its region begins after 64 / 32 blocks"
    );
    assert_eq!(places("concat"), [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)]);
}

#[test]
fn specifications_put_together_by_hand_are_checked_too() {
    let refused = |layout, format, retention| {
        let spec = CacheSpec { layout, format, rotate: false, retention };
        let config = StoreConfig { max_sequences: 1, memory_limit_bytes: None };
        KvStore::new(spec, shape(1, 1, 32), config).err().expect("refused").to_string()
    };
    let (paged, kivi) = (|block_len| Layout::Paged { block_len }, |bits, residual| Format::Kivi { bits, residual });
    assert!(refused(paged(0), Format::F32, Retention::All).contains("at least 1 token"));
    assert!(refused(paged(16), kivi(4, 0), Retention::All).contains("multiple of 32"));
    assert!(refused(Layout::Concat, kivi(4, 0), Retention::All).contains("never seals"));
    assert!(refused(paged(32), kivi(9, 0), Retention::All).contains("2, 4 or 8 bits"));
    assert!(refused(paged(32), kivi(4, usize::MAX), Retention::All).contains("too large"));
    assert!(refused(paged(32), Format::Kvq { bits: 0 }, Retention::All).contains("2, 3 or 4 bits"));
    let window = |sinks, recent| Retention::Window { sinks, recent };
    assert!(refused(paged(32), Format::F32, window(4, 0)).contains("at least 1 recent"));
    assert!(refused(paged(32), Format::F32, window(usize::MAX, 1)).contains("too large"));
}

#[test]
fn a_layer_that_is_not_there_is_refused() {
    let mut store = build("paged:4", shape(1, 1, 8), None).expect("store");
    let seq = store.open().expect("sequence");
    let rows = noise([1, 1, 8], 1);
    let mut step = store.reserve(&[(seq, 1)]).expect("room");
    assert!(matches!(step.attend(2, &rows, &rows, &rows, None), Err(CacheError::NoLayer { layer: 2, n_layer: 2 })));
}
