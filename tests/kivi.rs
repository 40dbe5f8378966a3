//! KIVI's residual: which tokens are exact, which are sealed, and that nothing a sequence does (chunks, forks, rollback, a step
//! that is dropped) changes what is stored of its tokens.

mod support;

use kvlab::{
    cache::{CacheError, Format, KvAccess, KvStore, Probe, SeqId},
    kernels::reference,
};
use proptest::prelude::*;
use support::{
    floats,
    lanes::{Part, Seen, Source, assert_bits, bits, build, observe, shape},
    max_difference,
    published::{kivi, n_sealed},
};

const RESIDUALS: [usize; 7] = [0, 1, 31, 32, 33, 40, 128];

/// f32 sums of up to 300 weighted values up to 2 against f64.
const WALK: f32 = 2e-5;

fn source() -> Source {
    // Channels that are unlike each other, as keys have them.
    let value = |_, channel: usize, x: f32| if channel % 11 == 4 { 1.6 + x / 5.0 } else { x };
    Source { value, ..Source::noise(shape(4, 2, 32)) }
}

fn tokens(n: usize) -> Vec<u32> {
    (0..u32::try_from(n).expect("small")).collect()
}

/// What a sequence of `tokens` is to hold in a layer when the first `sealed` are quantized.
fn expected(source: &Source, tokens: &[u32], layer: usize, bits: u8, sealed: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = |part| source.rows(tokens, layer, part);
    kivi(bits, 64, sealed, &rows(Part::Key), &rows(Part::Value))
}

/// Holds a sequence to the published definition: every value, and the picture.
fn check(what: &str, source: &Source, store: &KvStore, seq: SeqId, tokens: &[u32]) {
    let Format::Kivi { bits, residual } = store.spec().format else { panic!("{what} is not kivi") };
    let sealed = n_sealed(tokens.len(), residual);
    let formats: Vec<Format> = store.picture(seq).expect("open").iter().map(|token| token.format).collect();
    assert_eq!(formats.len(), tokens.len(), "{what}");
    assert!(formats.iter().enumerate().all(|(i, f)| *f == if i < sealed { store.spec().format } else { Format::F32 }));
    assert_eq!(store.pool_picture([Some(seq)]).expect("open").sequences[0].sealed, Some(sealed), "{what}");
    for layer in 0..2 {
        let (given, wanted) = (store.read(seq, layer).expect("open"), expected(source, tokens, layer, bits, sealed));
        assert_bits(&format!("{what}, keys of layer {layer}"), &given.0, &wanted.0);
        assert_bits(&format!("{what}, values of layer {layer}"), &given.1, &wanted.1);
    }
}

#[test]
fn sealed_are_the_groups_after_which_enough_tokens_exist_and_the_others_are_exact() {
    for (residual, (layout, bits)) in
        RESIDUALS.into_iter().zip([("contiguous", 4), ("paged:32", 2), ("paged:64", 8)].into_iter().cycle())
    {
        let source = source();
        let spec = format!("{layout}+kivi:{bits}/{residual}");
        for len in [
            residual.saturating_sub(1),
            residual,
            residual + 1,
            2 * residual + 1,
            residual + 31,
            residual + 32,
            residual + 33,
            residual + 63,
            residual + 64,
            residual + 95,
        ] {
            if (1..=320).contains(&len) {
                let (store, seq, _) = source.filled(&spec, &tokens(len), 17);
                check(&format!("{spec} at {len}"), &source, &store, seq, &tokens(len));
            }
        }
    }
}

#[test]
fn other_shapes_have_the_same_groups() {
    for (n_head, n_kv_head, head_dim) in [(1, 1, 32), (6, 2, 64), (2, 1, 128), (3, 3, 96)] {
        let source = Source::noise(shape(n_head, n_kv_head, head_dim));
        let (store, seq, _) = source.filled("paged:64+kivi:4/5", &tokens(75), 75);
        let rows = |part| source.rows(&tokens(75), 1, part);
        let wanted = kivi(4, n_kv_head * head_dim, 64, &rows(Part::Key), &rows(Part::Value));
        let given = store.read(seq, 1).expect("open");
        assert_bits("keys", &given.0, &wanted.0);
        assert_bits("values", &given.1, &wanted.1);
    }
}

#[test]
fn what_is_sealed_never_changes() {
    let source = source();
    for (spec, residual) in [("paged:64+kivi:2/33", 33), ("contiguous+kivi:4/0", 0), ("paged:32+kivi:8/1", 1)] {
        let (mut store, seq, _) = source.filled(spec, &[0], 1);
        let mut before: Vec<(Vec<u32>, Vec<u32>)> = vec![(vec![], vec![]); 2];
        for token in 1..170 {
            source.feed(&mut store, seq, &[token]).expect("room");
            let values = n_sealed(token as usize + 1, residual) * 64;
            for (layer, before) in before.iter_mut().enumerate() {
                let (k, v) = store.read(seq, layer).expect("open");
                let now = (bits(&k[..values]), bits(&v[..values]));
                assert!(now.0.starts_with(&before.0) && now.1.starts_with(&before.1), "{spec} at {token}");
                *before = now;
            }
        }
    }
}

/// In whatever chunks a prompt comes: the same bits stored, and the same bits answered at each position.
#[test]
fn chunks_change_no_bit() {
    let source = source();
    for spec in ["contiguous+kivi:4/0", "paged:32+kivi:2/1", "paged:64+kivi:4/33", "paged:32+kivi:8/40+rot"] {
        let all = tokens(150);
        let (store, seq, outs) = source.filled(spec, &all, 1);
        let seen = observe(&store, seq);
        for chunk in [2, 7, 31, 32, 33, 64, 65, 100, 150] {
            let (store, seq, chunked) = source.filled(spec, &all, chunk);
            for layer in 0..2 {
                assert_bits(&format!("{spec}, {chunk} at a time, layer {layer}"), &chunked[layer], &outs[layer]);
            }
            assert!(observe(&store, seq).1 == seen.1, "{spec}: {chunk} at a time stores other bits");
        }
    }
}

/// A query reads what is sealed when its token comes, and the rest exactly; its own step included.
#[test]
fn attention_is_that_over_sealed_and_open_tokens() {
    let source = source();
    let (heads, width) = (source.shape.heads, 64);
    for (spec, format_bits, residual) in
        [("paged:32+kivi:4/0", 4, 0), ("contiguous+kivi:2/33", 2, 33), ("paged:64+kivi:8/7", 8, 7)]
    {
        let (mut store, mut len) = (build(spec, source.shape), 0);
        let seq = store.open().expect("sequence");
        for n in [5, 1, 30, 70, 1, 1, 33] {
            let (old, new) = (len, tokens(len + n).split_off(len));
            len += n;
            let mut probe = Probe::default();
            let mut step = store.reserve(&[(seq, n)]).expect("room");
            let mut out = vec![];
            for layer in 0..2 {
                let [q, k, v] = source.tensors(&new, layer);
                out = floats(&step.attend(layer, &q, &k, &v, Some(&mut probe)).expect("attend"));
            }
            step.commit(true).expect("a step");
            let weights = &probe.spans[0]; // [H, T, n]
            for position in old..len {
                let past = tokens(position + 1);
                let (k, v) = expected(&source, &past, 1, format_bits, n_sealed(position, residual));
                let q = source.row(past[position], 1, Part::Query);
                let wanted = reference::attention(heads, &q, &k, &v);
                let given = &out[(position - old) * 2 * width..][..2 * width];
                assert!(max_difference(given, &wanted.out) <= WALK, "{spec} at {position}");
                for (head, wanted) in wanted.weights.chunks(position + 1).enumerate() {
                    let (seen, newer) = weights[(head * n + position - old) * len..][..len].split_at(position + 1);
                    assert!(max_difference(seen, wanted) <= WALK, "{spec} at {position}: weights");
                    assert!(newer.iter().all(|weight| weight.to_bits() == 0), "{spec} at {position} sees the future");
                }
            }
            check(spec, &source, &store, seq, &tokens(len));
        }
    }
}

/// The same over what `read` returns, where no group is sealed by the step itself.
#[test]
fn attention_is_that_over_what_read_returns() {
    let source = source();
    let (mut store, seq, _) = source.filled("paged:32+kivi:2/20", &tokens(100), 100);
    let out = &source.feed(&mut store, seq, &[100, 101, 102]).expect("room")[1];
    let (k, v) = store.read(seq, 1).expect("open");
    let wanted = reference::attention(source.shape.heads, &source.rows(&[100, 101, 102], 1, Part::Query), &k, &v);
    assert!(max_difference(out, &wanted.out) <= WALK);
}

#[test]
fn truncation_is_exact_in_the_open_tail_and_refused_before_it() {
    let source = source();
    for (spec, residual) in [("contiguous+kivi:4/0", 0), ("paged:32+kivi:2/33", 33), ("paged:64+kivi:4/40", 40)] {
        for len in [residual + 1, residual + 32, residual + 50, residual + 70] {
            let (mut store, seq, _) = source.filled(spec, &tokens(len), 13);
            let sealed = n_sealed(len, residual);
            // The shortest length with the same groups.
            let nearest = if sealed > 0 { sealed + residual } else { 0 };
            let seen = observe(&store, seq);
            for to in (1..nearest).step_by(7).chain(nearest.checked_sub(1).filter(|to| *to > 0)) {
                match store.truncate(seq, to) {
                    Err(CacheError::Sealed { len, nearest_len }) => assert_eq!((len, nearest_len), (to, nearest)),
                    other => panic!("{spec}: {len} to {to} answered {other:?}"),
                }
                assert!(observe(&store, seq) == seen, "{spec}: a refused truncation changed something");
            }
            let to = nearest.max(len - (len - nearest).min(9));
            store.truncate(seq, to).expect("in the open tail");
            let mut now = tokens(to);
            check(spec, &source, &store, seq, &now);
            let more: Vec<u32> = (500..580).collect();
            let out = source.feed(&mut store, seq, &more).expect("room");
            let (mut clean, other, _) = source.filled(spec, &now, 13);
            assert_bits(spec, &out.concat(), &source.feed(&mut clean, other, &more).expect("room").concat());
            now.extend(more);
            check(spec, &source, &store, seq, &now);
            store.truncate(seq, 0).expect("to nothing always works");
            source.feed(&mut store, seq, &now[..70]).expect("room");
            check(spec, &source, &store, seq, &now[..70]);
        }
    }
}

/// A run against a plain model: each sequence is a list of tokens, from which all that is stored follows.
#[derive(Clone, Debug)]
enum Op {
    Feed {
        seq: usize,
        n: usize,
    },
    /// Every sequence at once.
    Batch {
        n: usize,
    },
    /// A step over every sequence that gets as far as `layers` and is dropped.
    Drop {
        n: usize,
        layers: usize,
    },
    Fork {
        seq: usize,
    },
    Close {
        seq: usize,
    },
    Truncate {
        seq: usize,
        by: usize,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (seq, n) = (0_usize..3, prop_oneof![1_usize..5, 20_usize..80]);
    let op = prop_oneof![
        4 => (seq.clone(), n.clone()).prop_map(|(seq, n)| Op::Feed { seq, n }),
        2 => n.clone().prop_map(|n| Op::Batch { n }),
        3 => (n, 0_usize..3).prop_map(|(n, layers)| Op::Drop { n, layers }),
        3 => seq.clone().prop_map(|seq| Op::Fork { seq }),
        1 => seq.clone().prop_map(|seq| Op::Close { seq }),
        3 => (seq, prop_oneof![0_usize..10, 10_usize..100]).prop_map(|(seq, by)| Op::Truncate { seq, by }),
    ];
    prop::collection::vec(op, 1..24)
}

fn seen_without_copies(store: &KvStore, open: &[(SeqId, Vec<u32>)]) -> (kvlab::cache::Footprint, Vec<Seen>) {
    let mut footprint = store.footprint();
    footprint.copied_bytes = 0;
    (footprint, open.iter().map(|(seq, _)| observe(store, *seq)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sequences_are_their_tokens_whatever_happened_to_them(
        ops in ops(), layout in prop::sample::select(vec!["contiguous", "paged:32", "paged:64"]),
        residual in prop::sample::select(vec![0_usize, 1, 31, 40]),
    ) {
        let source = source();
        let spec = format!("{layout}+kivi:4/{residual}");
        let mut store = build(&spec, source.shape);
        let mut open = vec![(store.open().expect("sequence"), vec![])];
        let mut next = 0_u32;
        let mut fresh = |n: usize| -> Vec<u32> {
            next += u32::try_from(n).expect("small");
            (next - u32::try_from(n).expect("small")..next).collect()
        };
        for op in ops {
            match op {
                Op::Feed { seq, n } => {
                    let n_open = open.len();
                    let (seq, held) = &mut open[seq % n_open];
                    let new = fresh(n);
                    if source.feed(&mut store, *seq, &new).is_ok() {
                        held.extend(new);
                    }
                }
                Op::Batch { n } | Op::Drop { n, .. } => {
                    let before = seen_without_copies(&store, &open);
                    let new: Vec<Vec<u32>> = open.iter().map(|_| fresh(n)).collect();
                    let requests: Vec<_> = open.iter().map(|(seq, _)| (*seq, n)).collect();
                    let Ok(mut step) = store.reserve(&requests) else { continue };
                    let layers = if let Op::Drop { layers, .. } = op { layers } else { 2 };
                    for layer in 0..layers {
                        let [q, k, v] = source.tensors(&new.concat(), layer);
                        step.attend(layer, &q, &k, &v, None).expect("attend");
                    }
                    if matches!(op, Op::Batch { .. }) {
                        step.commit(true).expect("a step");
                        open.iter_mut().zip(new).for_each(|((_, held), new)| held.extend(new));
                    } else {
                        drop(step);
                        prop_assert!(seen_without_copies(&store, &open) == before, "a dropped step left a trace");
                    }
                }
                Op::Fork { seq } => {
                    let (parent, held) = open[seq % open.len()].clone();
                    if let Ok(child) = store.fork(parent) {
                        open.push((child, held));
                    }
                }
                Op::Close { seq } if open.len() > 1 => {
                    let (seq, _) = open.swap_remove(seq % open.len());
                    store.close(seq).expect("open");
                }
                Op::Close { .. } => {}
                Op::Truncate { seq, by } => {
                    let n_open = open.len();
                    let (seq, held) = &mut open[seq % n_open];
                    let to = held.len().saturating_sub(by);
                    let may = to == 0 || n_sealed(to, residual) == n_sealed(held.len(), residual);
                    prop_assert_eq!(store.truncate(*seq, to).is_ok(), may, "{} to {}", held.len(), to);
                    if may {
                        held.truncate(to);
                    }
                }
            }
            for (seq, held) in &open {
                check(&spec, &source, &store, *seq, held);
            }
        }
        // What a sequence answers follows from its tokens alone, too.
        for (seq, held) in &open {
            let new = fresh(40);
            if let Ok(outs) = source.feed(&mut store, *seq, &new) {
                let mut clean = build(&spec, source.shape);
                let other = clean.open().expect("sequence");
                if !held.is_empty() {
                    source.feed(&mut clean, other, held).expect("room");
                }
                assert_bits(&spec, &outs.concat(), &source.feed(&mut clean, other, &new).expect("room").concat());
            }
        }
    }
}

/// Evicted tokens are gone, sealed or not; those that stay hold what they held.
#[test]
fn a_window_leaves_the_others_as_they_were() {
    let source = source();
    for (spec, residual, recent) in [
        ("paged:32+kivi:4/40+window:3/50", 40, 50),
        ("contiguous+kivi:2/64+window:3/20", 64, 20),
        ("paged:64+kivi:4/0+window:0/33", 0, 33),
    ] {
        let sinks = if spec.contains("window:0") { 0 } else { 3 };
        let all = tokens(150);
        let (store, seq, _) = source.filled(spec, &all, 1);
        let Format::Kivi { bits, .. } = store.spec().format else { panic!("kivi") };
        let (k, v) = expected(&source, &all, 1, bits, n_sealed(150, residual));
        let live = |rows: &[f32]| [&rows[..sinks * 64], &rows[(150 - recent) * 64..]].concat();
        let given = store.read(seq, 1).expect("open");
        assert_bits(spec, &given.0, &live(&k));
        assert_bits(spec, &given.1, &live(&v));
    }
}
