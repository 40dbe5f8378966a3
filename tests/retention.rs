//! What stays and what goes, against a brute-force model: a plain list of the tokens that are left, and attention over it in f64.

mod support;

use candle_core::{Device, Tensor};
use kvlab::{
    cache::{
        CacheError, KvAccess, KvShape, KvStore, Lane, LaneBytes, Lengths, Retention, SeqId, StoreConfig,
        blocks::NO_BLOCK,
    },
    kernels::{HeadShape, reference},
};
use proptest::prelude::*;
use support::{floats, max_difference};

const LAYOUTS: [&str; 5] = ["concat", "contiguous", "paged:1", "paged:4", "paged:7"];

/// f32 sums of some tens of terms against f64.
const F32_ATTENTION: f32 = 2e-5;

const N_LAYER: usize = 2;
const HEADS: HeadShape = HeadShape { n_head: 4, n_kv_head: 2, head_dim: 8 };

fn store(spec: &str) -> KvStore {
    let shape = KvShape { n_layer: N_LAYER, heads: HEADS, max_seq_len: 128 };
    let config = StoreConfig { max_sequences: 3, memory_limit_bytes: None };
    KvStore::new(spec.parse().expect(spec), shape, config).expect(spec)
}

fn noise(n_rows: usize, n_heads: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).expect("16 bits")) / 16_384.0 - 2.0
    };
    (0..n_rows * n_heads * HEADS.head_dim).map(|_| next()).collect()
}

/// A sequence as it should be: its tokens that are left, each with a key and a value for each layer, and what attention it got.
#[derive(Clone)]
struct Model {
    policy: Retention,
    len: usize,
    tokens: Vec<Token>,
}

#[derive(Clone)]
struct Token {
    position: usize,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    score: f64,
}

impl Model {
    fn new(policy: Retention) -> Self {
        Self { policy, len: 0, tokens: vec![] }
    }

    /// `n` more tokens; what the queries of the last layer see.
    fn step(&mut self, n: usize, seed: u64, end_of_prompt: bool) -> Vec<f32> {
        let rows = inputs(n, seed);
        let width = HEADS.n_kv_head * HEADS.head_dim;
        let row = |all: &[f32], token: usize| all[token * width..][..width].to_vec();
        for token in 0..n {
            self.tokens.push(Token {
                position: self.len + token,
                keys: rows.iter().map(|[_, k, _]| row(k, token)).collect(),
                values: rows.iter().map(|[_, _, v]| row(v, token)).collect(),
                score: 0.0,
            });
        }
        self.len += n;
        let mut out = vec![];
        for (layer, [q, ..]) in rows.iter().enumerate() {
            let keys: Vec<f32> = self.tokens.iter().flat_map(|token| token.keys[layer].clone()).collect();
            let values: Vec<f32> = self.tokens.iter().flat_map(|token| token.values[layer].clone()).collect();
            let seen = reference::attention(HEADS, q, &keys, &values);
            for weights in seen.weights.chunks(self.tokens.len()) {
                for (token, weight) in self.tokens.iter_mut().zip(weights) {
                    token.score += f64::from(*weight);
                }
            }
            out = seen.out;
        }
        if end_of_prompt {
            self.evict();
        }
        out
    }

    fn evict(&mut self) {
        let len = self.len;
        match self.policy {
            Retention::All => {}
            Retention::Window { sinks, recent } => {
                self.tokens.retain(|token| token.position < sinks || token.position + recent >= len);
            }
            Retention::H2o { heavy, recent } | Retention::H2oMean { heavy, recent } => {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let queries = |position: usize| match self.policy {
                    Retention::H2o { .. } => 1.0,
                    _ => (len - position) as f64,
                };
                let mut old: Vec<(f64, usize)> = self
                    .tokens
                    .iter()
                    .filter(|token| token.position + recent < len)
                    .map(|token| (token.score / queries(token.position), token.position))
                    .collect();
                old.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
                let gone: Vec<usize> = old.into_iter().skip(heavy).map(|(_, position)| position).collect();
                self.tokens.retain(|token| !gone.contains(&token.position));
            }
        }
    }

    fn live(&self) -> Vec<usize> {
        self.tokens.iter().map(|token| token.position).collect()
    }
}

/// q, k and v of `n` tokens in each layer.
fn inputs(n: usize, seed: u64) -> Vec<[Vec<f32>; 3]> {
    let of = |layer: u64| {
        let seed = seed * 100 + layer * 10;
        [noise(n, HEADS.n_head, seed), noise(n, HEADS.n_kv_head, seed + 1), noise(n, HEADS.n_kv_head, seed + 2)]
    };
    (0..N_LAYER as u64).map(of).collect()
}

fn step(store: &mut KvStore, seq: SeqId, n: usize, seed: u64, end: Option<bool>) -> Result<Vec<f32>, CacheError> {
    let mut step = store.reserve(&[(seq, n)])?;
    let mut out = vec![];
    for (layer, [q, k, v]) in inputs(n, seed).into_iter().enumerate() {
        let tensor = |rows: Vec<f32>, n_heads| Tensor::from_vec(rows, (n, n_heads, HEADS.head_dim), &Device::Cpu);
        let (q, k, v) = (tensor(q, HEADS.n_head)?, tensor(k, HEADS.n_kv_head)?, tensor(v, HEADS.n_kv_head)?);
        out = floats(&step.attend(layer, &q, &k, &v, None)?);
    }
    // `None`: a step that is dropped.
    if let Some(end_of_prompt) = end {
        step.commit(end_of_prompt).expect("a step");
    }
    Ok(out)
}

fn live(store: &KvStore, seq: SeqId) -> Vec<usize> {
    let picture = store.picture(seq).expect("open");
    picture.iter().enumerate().filter(|(_, token)| token.live).map(|(position, _)| position).collect()
}

fn retention(spec: &str) -> Retention {
    match spec.parse::<Lane>().expect(spec) {
        Lane::Cache(spec) => spec.retention,
        Lane::None | Lane::Mine => Retention::All,
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Tokens of a prompt, maybe not its last.
    Prompt(usize, bool),
    Decode,
    /// A step that is dropped.
    Drop(usize),
    Fork,
    /// The other of two sequences goes on.
    Swap,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        2 => (1_usize..9, any::<bool>()).prop_map(|(n, end)| Op::Prompt(n, end)),
        8 => Just(Op::Decode),
        1 => (1_usize..9).prop_map(Op::Drop),
        1 => Just(Op::Fork),
        2 => Just(Op::Swap),
    ];
    prop::collection::vec(op, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Outputs, live tokens, stored rows and the ledger of every policy in every layout, through prompts in pieces, decoding, dropped
    /// steps and forks.
    #[test]
    fn a_store_is_a_list_of_what_is_left(
        layout in prop::sample::select(LAYOUTS.to_vec()), policy in prop::sample::select(vec!["window", "h2o", "h2o-mean"]),
        heavy in 0_usize..5, recent in 1_usize..7, ops in ops(),
    ) {
        let spec = format!("{layout}+{policy}:{heavy}/{recent}");
        let mut store = store(&spec);
        let first = store.open().expect("sequence");
        let mut sequences = vec![(first, Model::new(retention(&spec)))];
        for (seed, op) in (1..).zip(ops) {
            let n_sequences = sequences.len();
            let (seq, model) = sequences.last_mut().expect("one");
            let seq = *seq;
            if model.len > 100 {
                break;
            }
            match op {
                Op::Prompt(n, end) => {
                    let (out, expected) = (step(&mut store, seq, n, seed, Some(end)).expect("room"), model.step(n, seed, end));
                    prop_assert!(max_difference(&out, &expected) <= F32_ATTENTION, "{spec}");
                }
                Op::Decode => {
                    let (out, expected) = (step(&mut store, seq, 1, seed, Some(true)).expect("room"), model.step(1, seed, true));
                    prop_assert!(max_difference(&out, &expected) <= F32_ATTENTION, "{spec}");
                    prop_assert!(store.n_live(seq).expect("open") <= heavy + recent, "{spec}: the budget was exceeded");
                }
                Op::Drop(n) => {
                    let before = (store.picture(seq).expect("open"), store.read(seq, 1).expect("open"));
                    step(&mut store, seq, n, seed, None).expect("room");
                    prop_assert!(before == (store.picture(seq).expect("open"), store.read(seq, 1).expect("open")));
                }
                Op::Fork if n_sequences < 2 => {
                    let child = (store.fork(seq).expect("room"), model.clone());
                    sequences.push(child);
                }
                Op::Swap => sequences.rotate_right(1),
                Op::Fork => {}
            }
            for (seq, model) in &sequences {
                prop_assert_eq!(live(&store, *seq), model.live(), "{}", &spec);
                prop_assert_eq!(store.len(*seq).expect("open"), model.len);
                for layer in 0..N_LAYER {
                    let (k, v) = store.read(*seq, layer).expect("open");
                    let all = |of: fn(&Token) -> &Vec<Vec<f32>>| -> Vec<f32> {
                        model.tokens.iter().flat_map(|token| of(token)[layer].clone()).collect()
                    };
                    prop_assert!(k == all(|token| &token.keys) && v == all(|token| &token.values), "{}: other rows", &spec);
                }
            }
            let footprint = store.footprint();
            let counted: usize = sequences.iter().map(|(_, model)| model.tokens.len()).sum();
            let seen: usize = sequences.iter().map(|(_, model)| model.len).sum();
            prop_assert_eq!((footprint.live_tokens, footprint.evicted_tokens), (counted as u64, (seen - counted) as u64));
            prop_assert!(footprint.used_bytes + footprint.dead_bytes <= footprint.held_bytes, "{}: {:?}", &spec, footprint);
            if sequences.len() == 1 {
                let pictures = store.picture(sequences[0].0).expect("open");
                let dead = pictures.iter().filter(|token| !token.live && token.block.is_some()).count() as u64;
                let of = |tokens: u64| tokens * store.token_bytes();
                prop_assert_eq!(footprint.used_bytes, of(counted as u64));
                prop_assert_eq!(footprint.dead_bytes, of(dead), "{}", &spec);
            }
        }
        for (seq, _) in sequences {
            store.close(seq).expect("open");
        }
        prop_assert_eq!(store.footprint().held_bytes, 0, "a block was lost");
    }
}

#[test]
fn blocks_without_a_live_token_go_back_to_the_pool() {
    let mut store = store("paged:4+window:1/4");
    let seq = store.open().expect("sequence");
    step(&mut store, seq, 16, 1, Some(true)).expect("room");
    let blocks = |store: &KvStore| {
        let picture = store.pool_picture([Some(seq)]).expect("open");
        picture.sequences[0].blocks.iter().map(|block| *block != NO_BLOCK).collect::<Vec<_>>()
    };
    assert_eq!(blocks(&store), [true, false, false, true], "sinks and the newest four");
    let block_bytes = 4 * store.token_bytes();
    assert_eq!(store.footprint().held_bytes, 2 * block_bytes);
    assert_eq!(store.footprint().dead_bytes, 3 * store.token_bytes(), "three of the first block");
    // Another sequence may have them: a pool of 96 blocks is enough for 94 of its own.
    let other = store.open().expect("sequence");
    step(&mut store, other, 64, 2, Some(false)).expect("room");
    assert_eq!(store.footprint().held_bytes, 18 * block_bytes);
    // Regions stay whole, holes and all; a buffer is copied without them.
    let held = |spec: &str| {
        let mut store = self::store(spec);
        let seq = store.open().expect("sequence");
        let before = store.footprint().held_bytes;
        step(&mut store, seq, 16, 1, Some(true)).expect("room");
        let footprint = store.footprint();
        (footprint.held_bytes - before, footprint.dead_bytes / store.token_bytes())
    };
    assert_eq!(held("contiguous+window:1/4"), (0, 11));
    assert_eq!(held("concat+window:1/4").1, 0);
}

#[test]
fn a_fork_keeps_the_blocks_that_its_parent_gave_back() {
    let mut store = store("paged:4+window:1/4");
    let parent = store.open().expect("sequence");
    step(&mut store, parent, 16, 1, Some(false)).expect("room");
    let child = store.fork(parent).expect("room");
    step(&mut store, parent, 1, 2, Some(true)).expect("room");
    assert_eq!(live(&store, parent), [0, 13, 14, 15, 16]);
    assert_eq!(live(&store, child), (0..16).collect::<Vec<_>>(), "nothing ended the child's prompt");
    let (k, _) = store.read(child, 0).expect("open");
    let [_, written, _] = &inputs(16, 1)[0];
    assert_eq!(&k, written);
    assert_eq!(store.footprint().dead_bytes, 0, "what a fork sees is not dead");
    store.close(child).expect("open");
    assert!(store.footprint().dead_bytes > 0);
}

#[test]
fn what_cannot_be_undone_is_refused_and_changes_nothing() {
    for layout in LAYOUTS {
        let truncated = |spec: &str, len: usize| {
            let mut store = store(spec);
            let seq = store.open().expect("sequence");
            step(&mut store, seq, 12, 1, Some(true)).expect("room");
            let before = (store.footprint(), store.picture(seq).expect("open"));
            let result = store.truncate(seq, len);
            let after = (store.footprint(), store.picture(seq).expect("open"));
            assert!(result.is_ok() || before == after, "{spec}: a refused call left a trace");
            (result.map_err(|error| error.to_string()), store, seq)
        };
        let refused = |spec: &str, len| truncated(spec, len).0.expect_err(spec);
        let message = refused(&format!("{layout}+window:2/4"), 11);
        assert!(message.contains("shortest length to go back to is 12") && !message.contains("  "), "{message}");
        assert!(refused(&format!("{layout}+h2o:2/40"), 11).contains("h2o has already counted"));
        // Sinks alone, a window that has not filled, and everything can be taken back.
        for (spec, len) in [("window:2/4", 2), ("window:2/40", 5), ("window:2/4", 0), ("h2o:2/4", 0), ("h2o:2/4", 12)] {
            let (result, mut store, seq) = truncated(&format!("{layout}+{spec}"), len);
            assert_eq!(result, Ok(()), "{layout}+{spec} to {len}");
            step(&mut store, seq, 3, 2, Some(true)).expect("room");
            assert_eq!(store.len(seq).expect("open"), len + 3);
        }
    }
}

#[test]
fn what_did_not_evict_can_be_taken_back() {
    for layout in LAYOUTS {
        let mut store = store(&format!("{layout}+window:2/4"));
        let seq = store.open().expect("sequence");
        step(&mut store, seq, 12, 1, Some(true)).expect("room");
        let before = live(&store, seq);
        // Guesses that may turn out wrong: nothing is evicted until they are the end of a prompt.
        step(&mut store, seq, 3, 2, Some(false)).expect("room");
        store.truncate(seq, 12).expect("nothing was evicted since");
        assert_eq!(live(&store, seq), before, "{layout}");
        step(&mut store, seq, 1, 3, Some(true)).expect("room");
        assert!(matches!(store.truncate(seq, 12), Err(CacheError::Evicted { nearest_len: 13, .. })), "{layout}");
    }
}

#[test]
fn a_prompt_attends_to_all_of_itself_in_chunks_or_not() {
    for policy in ["window:2/4", "h2o:2/4"] {
        let outputs = |chunks: &[usize]| {
            let mut store = store(&format!("paged:4+{policy}"));
            let seq = store.open().expect("sequence");
            let (inputs, mut first, mut all) = (inputs(20, 1), 0, vec![]);
            for (index, n) in chunks.iter().enumerate() {
                let mut step = store.reserve(&[(seq, *n)]).expect("room");
                for (layer, rows) in inputs.iter().enumerate() {
                    let part = |rows: &[f32], n_heads: usize| {
                        let width = n_heads * HEADS.head_dim;
                        let rows = rows[first * width..(first + n) * width].to_vec();
                        Tensor::from_vec(rows, (*n, n_heads, HEADS.head_dim), &Device::Cpu).expect("tensor")
                    };
                    let (q, k, v) = (part(&rows[0], 4), part(&rows[1], 2), part(&rows[2], 2));
                    let out = floats(&step.attend(layer, &q, &k, &v, None).expect("attend"));
                    if layer + 1 == N_LAYER {
                        all.extend(out);
                    }
                }
                step.commit(index + 1 == chunks.len()).expect("a step");
                first += n;
            }
            (all, live(&store, seq))
        };
        let whole = outputs(&[20]);
        assert_eq!(whole.1.len(), 6);
        for chunks in [&[1; 20][..], &[7, 7, 6], &[19, 1]] {
            assert_eq!(outputs(chunks), whole, "{policy} in {chunks:?}");
        }
    }
}

/// A prompt longer than the queries whose weights are held at once.
#[test]
fn scores_of_a_long_prompt_are_those_of_all_its_queries() {
    for (layout, policy) in [("concat", "h2o:6/9"), ("paged:7", "h2o:6/9"), ("contiguous", "h2o-mean:6/9")] {
        let spec = format!("{layout}+{policy}");
        let (mut store, mut model) = (store(&spec), Model::new(retention(&spec)));
        let seq = store.open().expect("sequence");
        for (n, seed) in [(110, 1), (1, 2), (1, 3), (1, 4)] {
            let (out, expected) =
                (step(&mut store, seq, n, seed, Some(true)).expect("room"), model.step(n, seed, true));
            assert!(max_difference(&out, &expected) <= F32_ATTENTION, "{spec}");
            assert_eq!(live(&store, seq), model.live(), "{spec}");
        }
    }
}

/// What a plan says that a user at rest holds at most, beside what one does hold.
#[test]
fn users_at_rest_hold_no_more_than_is_planned() {
    for layout in ["concat", "paged:1", "paged:4", "paged:7", "paged:16"] {
        for policy in ["window:3/9", "window:0/17", "h2o:3/9", "h2o-mean:5/4"] {
            let spec = format!("{layout}+{policy}");
            let mut store = store(&spec);
            let lane = LaneBytes::of(spec.parse().expect("a lane"), store.shape()).expect("a lane");
            let seq = store.open().expect("sequence");
            for len in 1..=80 {
                let n = if len == 1 { 1 } else { 1 + (len % 3) };
                if store.len(seq).expect("open") + n > 120 {
                    break;
                }
                step(&mut store, seq, n, len as u64, Some(true)).expect("room");
                let lengths = Lengths::List(vec![(store.len(seq).expect("open") as u64, 1)]);
                let planned = lane.bytes(&lane.live_length(&lengths, 128), 1).expect("a number");
                let held = store.footprint().held_bytes;
                // Planes of `concat` end with a whole line.
                let lines = if layout == "concat" { (4 * N_LAYER * 64) as u64 } else { 0 };
                assert!(
                    held <= planned + lines,
                    "{spec}: {held} of {planned} after {} tokens",
                    store.len(seq).expect("open")
                );
            }
        }
    }
}
