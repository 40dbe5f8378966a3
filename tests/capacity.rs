//! The arithmetic of a plan against real stores of that shape, to the byte: what they reserve, what their users hold,
//! where they run out.

use candle_core::{DType, Device, Tensor};
use kvlab::{
    cache::{CacheError, CacheSpec, KvAccess, KvShape, KvStore, LaneBytes, Layout, Lengths, SeqId, StoreConfig},
    kernels::HeadShape,
};
use proptest::prelude::*;

/// Every layout and format; those that are not for a shape must be refused by plan and store alike. (`kvq` stores need levels.)
const SPECS: [&str; 19] = [
    "concat",
    "concat+int8",
    "contiguous",
    "contiguous+int8",
    "paged:1",
    "paged:7",
    "paged:16",
    "paged:5+int8",
    "paged:32+int8",
    "paged:16+f16",
    "paged:16+f8",
    "paged:16+q8_0",
    "paged:16+q4_0",
    "paged:16+int4",
    "paged:32+kivi:4/32",
    "paged:16+bf16+rot",
    "contiguous+kivi:2/40",
    "paged:64+kivi:2/0",
    "concat+q4_0",
];

fn specs() -> impl Strategy<Value = &'static str> {
    prop::sample::select(SPECS.to_vec())
}

fn spec(text: &str) -> CacheSpec {
    text.parse().expect(text)
}

/// Shapes with and without grouped queries; odd ones, whose planes end inside a cache line.
fn shapes() -> impl Strategy<Value = KvShape> {
    let heads = prop::sample::select(vec![(1, 1, 8), (4, 4, 8), (6, 2, 24), (8, 1, 32), (3, 3, 40), (4, 2, 64)]);
    (1_usize..4, heads, 1_usize..120).prop_map(|(n_layer, (n_head, n_kv_head, head_dim), max_seq_len)| {
        let heads = HeadShape { n_head, n_kv_head, head_dim };
        KvShape { n_layer, heads, max_seq_len }
    })
}

/// The plan and the store for it, or the same refusal from both.
fn build(text: &str, shape: KvShape, config: StoreConfig) -> Option<(LaneBytes, Result<KvStore, CacheError>)> {
    let store = KvStore::new(spec(text), shape, config);
    match LaneBytes::of(spec(text), shape) {
        Ok(lane) => Some((lane, store)),
        Err(refused) => {
            assert_eq!(store.err().map(|e| e.to_string()), Some(refused.to_string()), "{text}");
            None
        }
    }
}

/// `n` more tokens. Only `concat` needs them written, for its buffers to grow.
fn advance(store: &mut KvStore, seq: SeqId, n: usize) -> Result<(), CacheError> {
    if n == 0 {
        return Ok(());
    }
    let (shape, grows) = (store.shape(), store.spec().layout == Layout::Concat);
    let rows = |n_head| Tensor::zeros((n, n_head, shape.heads.head_dim), DType::F32, &Device::Cpu);
    let mut step = store.reserve(&[(seq, n)])?;
    for layer in 0..if grows { shape.n_layer } else { 0 } {
        let (q, kv) = (rows(shape.heads.n_head)?, rows(shape.heads.n_kv_head)?);
        step.attend(layer, &q, &kv, &kv, None)?;
    }
    step.commit(true).expect("a step");
    Ok(())
}

/// Users of a store without a limit, as a distribution in which each of them counts once.
fn listed(lengths: &[usize]) -> Lengths {
    Lengths::List(lengths.iter().map(|&len| (len as u64, 1)).collect())
}

fn held(lane: &LaneBytes, planned: Option<u64>, lengths: &[usize]) -> Option<u64> {
    // Only the buffers of `concat` are as large as their rows, rounded up to lines one by one.
    if lane.layout != Layout::Concat {
        return planned;
    }
    lengths.iter().map(|&len| Some(lane.planes_bytes(len as u64)? + lane.sequence_bytes)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_store_reserves_what_is_planned(text in specs(), shape in shapes(), users in 1_usize..6) {
        let context = shape.max_seq_len;
        let config = StoreConfig { max_sequences: users, memory_limit_bytes: None };
        let Some((lane, store)) = build(text, shape, config) else { return Ok(()) };
        let planned = lane.reserved_bytes(users as u64, context as u64);
        // A limit of exactly what the plan says is enough, and a byte less is not.
        let needed = lane.bytes(&lane.worst_case(context as u64), users as u64).expect("small");
        let limited =
            |bytes| KvStore::new(spec(text), shape, StoreConfig { memory_limit_bytes: Some(bytes), ..config });
        for store in [store, limited(needed)] {
            let mut store = store.expect(text);
            for _ in 0..users {
                let seq = store.open().expect("a slot");
                advance(&mut store, seq, context).expect("room");
            }
            prop_assert_eq!(Some(store.footprint().reserved_bytes), planned);
        }
        if let Ok(mut store) = limited(needed - 1) {
            let all = (0..users).try_for_each(|_| {
                let seq = store.open()?;
                advance(&mut store, seq, context)
            });
            prop_assert!(matches!(all, Err(CacheError::CacheFull { .. })), "{all:?}");
        }
    }

    #[test]
    fn users_hold_what_is_planned(
        text in specs(), shape in shapes(), lengths in prop::collection::vec(1_usize..120, 1..6),
    ) {
        let context = shape.max_seq_len;
        let lengths: Vec<usize> = lengths.into_iter().map(|len| len.min(context)).collect();
        let config = StoreConfig { max_sequences: lengths.len(), memory_limit_bytes: None };
        let Some((lane, store)) = build(text, shape, config) else { return Ok(()) };
        let mut store = store.expect(text);
        for &len in &lengths {
            let seq = store.open().expect("a slot");
            advance(&mut store, seq, len).expect("room");
        }
        let demand = lane.live_length(&listed(&lengths), context as u64);
        let planned = held(&lane, lane.bytes(&demand, lengths.len() as u64), &lengths);
        prop_assert_eq!(Some(store.footprint().held_bytes), planned);
    }

    #[test]
    fn forks_of_a_prefix_hold_what_is_planned(
        text in specs(), shape in shapes(), prefix in 0_usize..119, more in prop::collection::vec(1_usize..120, 1..6),
    ) {
        let context = shape.max_seq_len;
        let prefix = prefix.min(context - 1);
        let lengths: Vec<usize> = more.into_iter().map(|more| (prefix + more).min(context)).collect();
        let config = StoreConfig { max_sequences: lengths.len(), memory_limit_bytes: None };
        let Some((lane, store)) = build(text, shape, config) else { return Ok(()) };
        let mut store = store.expect(text);
        // The first user prefills the prefix; the others fork from it there.
        let first = store.open().expect("a slot");
        advance(&mut store, first, prefix).expect("room");
        let mut users = vec![first];
        users.extend(lengths[1..].iter().map(|_| store.fork(first).expect("room")));
        for (&seq, &len) in users.iter().zip(&lengths) {
            advance(&mut store, seq, len - prefix).expect("room");
        }
        let demand = lane.shared_prefix(&listed(&lengths), prefix as u64, context as u64);
        let planned = held(&lane, lane.bytes(&demand, lengths.len() as u64), &lengths);
        prop_assert_eq!(Some(store.footprint().held_bytes), planned);
    }

    #[test]
    fn one_user_runs_out_where_it_is_planned(
        text in specs(), shape in shapes(), tokens in 0_u64..150, spare in 0_u64..5,
    ) {
        let shape = KvShape { max_seq_len: 400, ..shape };
        let Ok(lane) = LaneBytes::of(spec(text), shape) else { return Ok(()) };
        // From no byte more than whole tokens to one byte less than the next.
        let memory = lane.sequence_bytes + tokens * lane.token_bytes() + spare * (lane.token_bytes() - 1) / 4;
        let fits = usize::try_from(lane.one_user_tokens(memory)).expect("small");
        let config = StoreConfig { max_sequences: 1, memory_limit_bytes: Some(memory) };
        match KvStore::new(spec(text), shape, config) {
            Ok(mut store) => {
                let seq = store.open().expect("a slot");
                prop_assert!(fits > 0);
                advance(&mut store, seq, fits).expect("planned to fit");
                let full = advance(&mut store, seq, 1);
                prop_assert!(matches!(full, Err(CacheError::CacheFull { .. })), "{full:?}");
                prop_assert_eq!(store.len(seq).expect("open"), fits);
            }
            Err(refused) => {
                prop_assert!(matches!(refused, CacheError::LimitTooSmall { .. }), "{refused}");
                prop_assert_eq!(fits, 0);
            }
        }
    }

    #[test]
    fn as_many_users_fit_as_planned_and_not_one_more(
        text in specs(), shape in shapes(), tokens in 1_u64..500, spare in 0_u64..3, live in 1_usize..120,
        prefix in 0_usize..119,
    ) {
        let Ok(lane) = LaneBytes::of(spec(text), shape) else { return Ok(()) };
        let context = shape.max_seq_len;
        let (live, memory) = (live.min(context), lane.sequence_bytes + tokens * lane.token_bytes() + spare * 7);
        let prefix = prefix.min(live - 1);
        // `users` of `len` tokens each, the first `shared` of them the same, in a store with that memory.
        let all_fit = |users: u64, len: usize, shared: usize| -> Result<(), CacheError> {
            let max_sequences = usize::try_from(users).expect("small");
            let config = StoreConfig { max_sequences, memory_limit_bytes: Some(memory) };
            let mut store = KvStore::new(spec(text), shape, config)?;
            let first = store.open()?;
            advance(&mut store, first, shared)?;
            let mut seqs = vec![first];
            for _ in 1..users {
                seqs.push(store.fork(first)?);
            }
            seqs.into_iter().try_for_each(|seq| advance(&mut store, seq, len - shared))
        };
        let full = |result: Result<(), CacheError>| {
            matches!(result, Err(CacheError::CacheFull { .. } | CacheError::LimitTooSmall { .. }))
        };
        let lengths = listed(&[live]);
        let ways = [
            (lane.worst_case(context as u64), context, 0),
            (lane.live_length(&lengths, context as u64), live, 0),
            (lane.shared_prefix(&lengths, prefix as u64, context as u64), live, prefix),
        ];
        for (i, (demand, len, shared)) in ways.into_iter().enumerate() {
            // A region of `contiguous` is reserved for the whole context, so only a user who fills it meets its end.
            let (len, shared) = if lane.layout == Layout::Contiguous { (context, 0) } else { (len, shared) };
            let users = lane.users(&demand, memory);
            prop_assert!(users == 0 || all_fit(users, len, shared).is_ok(), "way {i}: {users} were planned");
            prop_assert!(full(all_fit(users + 1, len, shared)), "way {i}: {} fit as well", users + 1);
        }
    }
}

/// "0.5 GB per 1,000 tokens" of a 7B model in f16: by the formula, by the plan, and by a real store of that shape (whose pages nobody touches).
#[test]
fn a_thousand_tokens_of_a_7b_take_half_a_gigabyte() {
    let heads = HeadShape { n_head: 32, n_kv_head: 32, head_dim: 128 };
    let shape = KvShape { n_layer: 32, heads, max_seq_len: 1000 };
    let spec = spec("paged:8+f16");
    let config = StoreConfig { max_sequences: 1, memory_limit_bytes: None };
    let reserved = KvStore::new(spec, shape, config).expect("a store").footprint().reserved_bytes;
    assert_eq!(reserved, 524_288_000);
    assert_eq!(shape.formula_bytes_per_token(spec.format) * 1000, reserved);
    assert_eq!(LaneBytes::of(spec, shape).expect("a plan").reserved_bytes(1, 1000), Some(reserved));
    // With 8 key heads for 64 query heads a 70B of 80 layers takes less than that.
    let heads = HeadShape { n_head: 64, n_kv_head: 8, head_dim: 128 };
    let grouped = KvShape { n_layer: 80, heads, max_seq_len: 1000 };
    assert_eq!(KvStore::new(spec, grouped, config).expect("a store").footprint().reserved_bytes, 327_680_000);
}
