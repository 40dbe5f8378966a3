//! Sessions and experiments on a small model: cancel, reset, chunks, turns, failures.

mod support;

use std::{
    io::Cursor,
    sync::atomic::{AtomicBool, Ordering},
};

use kvlab::{
    cache::{KvAccess, Lane, Probe, SeqId, Span, spec::parse_lanes},
    engine::{Attention, Sampling, Session, SessionConfig, StepRecord},
    experiment::{
        Experiment, ExperimentError, LaneEnd, LaneEvent, Workload,
        trace::{Outcome, Trace},
    },
    model::{Logits, ModelError},
};
use support::{GOLDENS, NEVER, golden_model, ids, reference};

/// Half a step of a code near 1, and what f32 adds in another order.
const ATTENTION_CODE: f32 = 0.005;

const LANES: [&str; 5] = ["none", "concat", "contiguous", "paged:7", "paged:16+int8"];

fn workload(max_new_tokens: usize) -> Workload {
    Workload {
        prompt_ids: ids(&reference(GOLDENS[0])["prompt_ids"]),
        max_new_tokens,
        sampling: Sampling::GREEDY,
        prefill_chunk: None,
        stop_at_eos: false,
        memory_limit_bytes: None,
        rehearse: true,
    }
}

fn session(lane: &str, config: SessionConfig) -> Session {
    Session::new(golden_model(GOLDENS[0]), lane.parse().expect(lane), config).expect(lane)
}

/// All of a record that does not depend on the clock.
fn costless(record: StepRecord) -> StepRecord {
    StepRecord { forward_secs: 0.0, sample_secs: 0.0, total_secs: 0.0, ..record }
}

#[test]
fn a_cancelled_step_changes_nothing_and_can_be_made_again() {
    let cancelled = AtomicBool::new(true);
    let prompt = workload(1).prompt_ids;
    for lane in LANES {
        let (mut plain, mut stopped) =
            (session(lane, SessionConfig::default()), session(lane, SessionConfig::default()));
        assert!(stopped.prefill(&prompt, &cancelled).is_err_and(|e| e.is_cancelled()));
        assert!(stopped.tokens().is_empty(), "{lane}");
        let first = stopped.prefill(&prompt, &NEVER).expect("prefill");
        assert_eq!(first.token_id, plain.prefill(&prompt, &NEVER).expect("prefill").token_id, "{lane}");
        for _ in 0..5 {
            let before = stopped.cache().map(|(store, seq)| (store.footprint(), store.picture(seq).expect("open")));
            assert!(stopped.decode(&cancelled).is_err_and(|e| e.is_cancelled()));
            let after = stopped.cache().map(|(store, seq)| (store.footprint(), store.picture(seq).expect("open")));
            assert_eq!(before, after, "{lane}: a step cancelled before its first layer left a trace");
            let (a, b) = (stopped.decode(&NEVER).expect("decode"), plain.decode(&NEVER).expect("decode"));
            assert_eq!((a.step, a.token_id, a.used_bytes), (b.step, b.token_id, b.used_bytes), "{lane}");
        }
    }
}

/// Sets its flag in the middle of a forward pass, as Ctrl-C does.
struct CancelAfter<'a, K> {
    inner: K,
    layer: usize,
    flag: &'a AtomicBool,
}

impl<K: KvAccess> KvAccess for CancelAfter<'_, K> {
    fn spans(&self) -> &[Span] {
        self.inner.spans()
    }

    fn attend(
        &mut self,
        layer: usize,
        q: &candle_core::Tensor,
        k: &candle_core::Tensor,
        v: &candle_core::Tensor,
        probe: Option<&mut Probe>,
    ) -> Result<candle_core::Tensor, kvlab::cache::CacheError> {
        self.flag.store(layer >= self.layer, Ordering::Relaxed);
        self.inner.attend(layer, q, k, v, probe)
    }
}

#[test]
fn cancel_is_answered_between_layers() {
    let model = golden_model("gpt2-3l-4h-64d");
    let flag = AtomicBool::new(false);
    let mut store = support::store("paged:4", &model.model, 1);
    let seq: SeqId = store.open().expect("sequence");
    let step = store.reserve(&[(seq, 3)]).expect("room");
    let mut kv = CancelAfter { inner: step, layer: 1, flag: &flag };
    let result = model.model.forward(&[1, 2, 3], &mut kv, None, Logits::Last, &flag);
    assert!(matches!(result, Err(ModelError::Cancelled)));
    drop(kv);
    assert_eq!((store.len(seq).expect("open"), store.footprint().held_bytes), (0, 0));
}

#[test]
fn reset_begins_again_with_the_same_seed() {
    let sampling = Sampling { temperature: 1.0, seed: 9, ..Sampling::GREEDY };
    for lane in LANES {
        let mut session = session(lane, SessionConfig { sampling, ..SessionConfig::default() });
        let mut generate = || {
            session.prefill(&workload(1).prompt_ids, &NEVER).expect("prefill");
            for _ in 0..9 {
                session.decode(&NEVER).expect("decode");
            }
            let tokens = session.generated().to_vec();
            session.reset().expect("reset");
            assert!(session.tokens().is_empty());
            tokens
        };
        assert_eq!(generate(), generate(), "{lane}");
    }
}

#[test]
fn a_chunked_prefill_gives_the_same_tokens_and_one_record() {
    for lane in LANES {
        let run = |prefill_chunk| {
            let mut session = session(lane, SessionConfig { prefill_chunk, ..SessionConfig::default() });
            let prompt = workload(1).prompt_ids;
            let record = session.prefill(&prompt, &NEVER).expect("prefill");
            assert_eq!((record.step, record.tokens_in), (0, prompt.len()));
            for _ in 0..9 {
                session.decode(&NEVER).expect("decode");
            }
            session.generated().to_vec()
        };
        assert_eq!(run(None), run(Some(1)), "{lane}");
        assert_eq!(run(None), run(Some(5)), "{lane}");
    }
}

#[test]
fn a_rehearsal_leaves_no_trace_and_its_cancel_neither() {
    for lane in LANES {
        let (mut rehearsing, mut plain) =
            (session(lane, SessionConfig::default()), session(lane, SessionConfig::default()));
        for session in [&mut rehearsing, &mut plain] {
            session.prefill(&workload(1).prompt_ids, &NEVER).expect("prefill");
        }
        for _ in 0..20 {
            rehearsing.rehearse(&NEVER).expect("rehearsal");
            let cancelled = rehearsing.rehearse(&AtomicBool::new(true));
            assert!(lane == "none" || cancelled.is_err_and(|error| error.is_cancelled()), "{lane}");
            let (rehearsed, record) =
                (rehearsing.decode(&NEVER).expect("decode"), plain.decode(&NEVER).expect("decode"));
            assert_eq!(costless(rehearsed), costless(record), "{lane}");
        }
    }
}

#[test]
fn watched_attention_is_the_references_and_costs_the_lane_nothing() {
    let reference = reference(GOLDENS[0]);
    let n_prompt = workload(1).prompt_ids.len();
    for lane in ["none", "concat", "contiguous", "paged:7"] {
        let mut watched =
            Experiment::new(golden_model(GOLDENS[0]), &[lane.parse().expect(lane)], workload(4)).expect(lane);
        watched.watch(Some(0), &NEVER).expect("watch");
        let (mut rows, mut records, mut config) = (vec![], vec![], (0, 0));
        while let Some(event) = watched.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Attention { attention, .. } => {
                    assert_eq!(attention.first, rows.len(), "{lane}: rows follow on each other");
                    config = (attention.n_layer, attention.n_head);
                    rows.extend(attention.rows);
                }
                LaneEvent::Token { record, .. } => records.push(costless(record)),
                _ => {}
            }
        }
        // The last token of four was generated and never run.
        assert_eq!(rows.len(), n_prompt + 3, "{lane}");
        let (n_layer, n_head) = config;
        for (position, row) in rows.iter().enumerate() {
            assert_eq!(row.len(), n_layer * n_head * (position + 1), "{lane}");
        }
        for (layer, name) in [(0, "attention_layer0"), (n_layer - 1, "attention_last")] {
            // [1, H, T, T]
            let expected: Vec<f32> = reference[name].flatten_all().and_then(|t| t.to_vec1()).expect(name);
            for (position, row) in rows.iter().enumerate().take(n_prompt) {
                for head in 0..n_head {
                    for key in 0..=position {
                        let code = row[(layer * n_head + head) * (position + 1) + key];
                        let expected = expected[(head * n_prompt + position) * n_prompt + key];
                        let error = (Attention::weight(code) - expected).abs();
                        assert!(
                            error < ATTENTION_CODE,
                            "{lane} {name} head {head} [{position}, {key}]: off by {error}"
                        );
                    }
                }
            }
        }
        let mut plain =
            Experiment::new(golden_model(GOLDENS[0]), &[lane.parse().expect(lane)], workload(4)).expect(lane);
        let mut plain_records = vec![];
        while let Some(event) = plain.step(&NEVER).expect("step") {
            if let LaneEvent::Token { record, .. } = event {
                plain_records.push(costless(record));
            }
        }
        assert_eq!(records, plain_records, "{lane}: the same tokens, and no copy counted twice");
    }
}

#[test]
fn attention_that_is_asked_for_late_is_made_up_for() {
    let run = |late: bool| {
        let lanes = parse_lanes("paged:7").expect("lane");
        let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(6)).expect("experiment");
        let (mut rows, mut tokens) = (vec![], 0);
        if !late {
            experiment.watch(Some(0), &NEVER).expect("watch");
        }
        while let Some(event) = experiment.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Attention { attention, .. } => rows.extend(attention.rows),
                LaneEvent::Token { .. } => {
                    tokens += 1;
                    if late && tokens == 3 {
                        experiment.watch(Some(0), &NEVER).expect("watch");
                    }
                }
                _ => {}
            }
        }
        rows
    };
    let (from_the_start, late) = (run(false), run(true));
    assert_eq!(from_the_start.len(), late.len());
    for (a, b) in from_the_start.iter().flat_map(|row| row.iter()).zip(late.iter().flat_map(|row| row.iter())) {
        assert!(a.abs_diff(*b) <= 1, "rounding at most: {a} {b}");
    }
}

#[test]
fn a_fork_shares_blocks_copies_on_write_and_leaves_its_lane_alone() {
    let lanes = parse_lanes("paged:7").expect("lane");
    let run = |fork_after: Option<usize>| {
        let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(12)).expect("experiment");
        let (mut tokens, mut forked, mut pictures, mut copied) = (vec![], vec![], vec![], 0);
        while let Some(event) = experiment.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Token { record, .. } => {
                    tokens.push(record.token_id);
                    copied = record.copied_bytes;
                    if Some(tokens.len()) == fork_after {
                        experiment.fork(0).expect("fork");
                    }
                }
                LaneEvent::Forked { start, .. } => assert_eq!(Some(start + 1), fork_after),
                LaneEvent::ForkToken { token_id, .. } => forked.push(token_id),
                LaneEvent::Blocks { picture, .. } => pictures.push(picture),
                _ => {}
            }
        }
        (tokens, forked, pictures, copied)
    };
    let (alone, _, _, none_copied) = run(None);
    let (tokens, forked, pictures, copied) = run(Some(3));
    assert_eq!(tokens, alone, "the fork changes nothing for its lane");
    assert_eq!(none_copied, 0);
    assert_eq!(forked.len(), 1 + 9, "the runner-up, and a token after each later one of the lane");
    assert_ne!(forked[0], tokens[2]);

    // Prompt of 13 and 2 generated tokens are stored: blocks of 7, 7 and 1.
    let shared = pictures.iter().find(|picture| picture.sequences.len() == 2).expect("a picture of the fork");
    assert_eq!((shared.sequences[0].len, &shared.sequences[0].blocks), (15, &shared.sequences[1].blocks));
    assert_eq!(shared.holders().iter().filter(|holders| holders.len() == 2).count(), 3);
    let last = pictures.last().expect("a picture");
    assert_eq!(last.sequences[0].blocks[..2], last.sequences[1].blocks[..2], "full blocks stay shared");
    assert!(last.sequences[0].blocks[2..].iter().all(|block| !last.sequences[1].blocks.contains(block)));
    assert_eq!(copied, shared.token_bytes, "one row of the third block was copied, once");
    // What the fork says is what the model says to its tokens.
    let mut prompt = workload(1).prompt_ids;
    prompt.extend(&tokens[..2]);
    prompt.push(forked[0]);
    let mut reference = session("none", SessionConfig::default());
    reference.prefill(&prompt, &NEVER).expect("prefill");
    for _ in 0..8 {
        reference.decode(&NEVER).expect("decode");
    }
    assert_eq!(forked[1..], *reference.generated());
}

#[test]
fn a_forked_lanes_records_are_its_own_but_for_the_bytes_of_the_store() {
    let lanes = parse_lanes("paged:7").expect("lane");
    let run = |forks: usize| {
        let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(12)).expect("experiment");
        let (mut records, mut firsts) = (vec![], vec![]);
        while let Some(event) = experiment.step(&NEVER).expect("step") {
            match event {
                LaneEvent::Token { record, .. } => {
                    records.push(record);
                    for _ in 0..if records.len() == 3 { forks } else { 0 } {
                        experiment.fork(0).expect("fork");
                    }
                }
                LaneEvent::ForkToken { token_id, .. } if firsts.len() < forks => firsts.push(token_id),
                _ => {}
            }
        }
        (records, firsts)
    };
    let ((alone, _), (forked, firsts)) = (run(0), run(3));
    for (alone, forked) in alone.iter().zip(&forked) {
        assert_eq!(
            (alone.token_id, alone.cached_tokens, alone.formula_bytes, alone.read_bytes, alone.reserved_bytes),
            (forked.token_id, forked.cached_tokens, forked.formula_bytes, forked.read_bytes, forked.reserved_bytes)
        );
    }
    assert!(forked[11].used_bytes > alone[11].used_bytes, "what forks hold is held");
    let mut different = firsts.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 3, "three forks at one place say three things: {firsts:?}");
}

#[test]
fn a_fork_gives_way_when_its_lane_needs_the_room() {
    let lanes = parse_lanes("paged:4").expect("lane");
    // Room for 7 blocks of 4 tokens: the lane's 13 + 11 stored tokens and one block more.
    let limited = Workload { memory_limit_bytes: Some(7 * 4 * 256), ..workload(12) };
    let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, limited).expect("experiment");
    let (mut tokens, mut ended, mut last) = (0, vec![], None);
    let mut end = None;
    while let Some(event) = experiment.step(&NEVER).expect("step") {
        match event {
            LaneEvent::Token { .. } => {
                tokens += 1;
                if tokens == 2 {
                    experiment.fork(0).expect("fork");
                }
            }
            LaneEvent::ForkEnded { fork, reason, .. } => ended.push((fork, reason)),
            LaneEvent::Blocks { picture, .. } => last = Some(picture),
            LaneEvent::Ended { end: of_lane, .. } => end = Some(of_lane),
            _ => {}
        }
    }
    assert_eq!((tokens, end), (12, Some(LaneEnd::Finished)), "the lane has the room that it has alone");
    assert_eq!(ended.len(), 1);
    assert!(ended[0].1.contains("full"), "{ended:?}");
    let last = last.expect("a picture");
    assert!(last.sequences[1].blocks.is_empty(), "a fork that ended holds nothing");
}

#[test]
fn cancel_leaves_a_watched_lane_able_to_go_on() {
    let lanes = parse_lanes("paged:7").expect("lane");
    let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(5)).expect("experiment");
    let cancelled = AtomicBool::new(true);
    experiment.watch(Some(0), &NEVER).expect("watch");
    let (mut rows, mut tokens, mut refused) = (0, 0, 0);
    for flag in [&cancelled, &NEVER].into_iter().cycle() {
        match experiment.step(flag) {
            Ok(Some(LaneEvent::Attention { attention, .. })) => {
                assert_eq!(attention.first, rows, "no row is lost or comes twice");
                rows += attention.rows.len();
            }
            Ok(Some(LaneEvent::Token { .. })) => tokens += 1,
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                assert!(error.is_cancelled(), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((tokens, rows), (5, workload(1).prompt_ids.len() + 4));
    assert!(refused >= 2, "the flag was seen {refused} times");
}

#[test]
fn what_cannot_be_forked_says_why() {
    let lanes = parse_lanes("none,contiguous,paged:7").expect("lanes");
    let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(3)).expect("experiment");
    let why = |experiment: &mut Experiment, lane| experiment.fork(lane).expect_err("refused").to_string();
    assert!(why(&mut experiment, 0).contains("no cache"));
    assert!(why(&mut experiment, 1).contains("only blocks of a pool"));
    assert!(why(&mut experiment, 2).contains("no prompt yet"));
    assert!(why(&mut experiment, 3).contains("no such lane"));
    while experiment.step(&NEVER).expect("step").is_some() {}
    assert!(why(&mut experiment, 2).contains("has ended"));
}

#[test]
fn records_say_what_ran() {
    let run = |lane: &str| -> Vec<usize> {
        let mut session = session(lane, SessionConfig::default());
        let first = session.prefill(&workload(1).prompt_ids, &NEVER).expect("prefill");
        let rest = (0..3).map(|_| session.decode(&NEVER).expect("decode"));
        std::iter::once(first).chain(rest).map(|r| r.tokens_in).collect()
    };
    assert_eq!(run("contiguous"), [13, 1, 1, 1]);
    assert_eq!(run("none"), [13, 14, 15, 16], "no cache runs over everything before");
}

#[test]
fn every_round_starts_with_another_lane() {
    let lanes = parse_lanes("none,contiguous,paged:7").expect("lanes");
    let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, workload(4)).expect("experiment");
    let mut order = vec![];
    while let Some(event) = experiment.step(&NEVER).expect("step") {
        if let LaneEvent::Token { lane, .. } = event {
            order.push(lane);
        }
    }
    assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2]);
}

#[test]
fn a_lane_that_runs_full_ends_and_the_others_finish() {
    // 2 layers x 2 x 16 x 4 = 256 bytes a token: room for 16 tokens, of which 13 are the prompt.
    let limited = Workload { memory_limit_bytes: Some(16 * 256), ..workload(10) };
    let lanes = parse_lanes("paged:4,none").expect("lanes");
    let mut experiment = Experiment::new(golden_model(GOLDENS[0]), &lanes, limited).expect("experiment");
    let (mut tokens, mut ends) = ([0, 0], [None, None]);
    while let Some(event) = experiment.step(&NEVER).expect("step") {
        match event {
            LaneEvent::Token { lane, .. } => tokens[lane] += 1,
            LaneEvent::Ended { lane, end, .. } => ends[lane] = Some(end),
            _ => {}
        }
    }
    // The prefill gives a token, and each of the 3 free slots another.
    assert_eq!(tokens, [4, 10]);
    assert!(matches!(&ends[0], Some(LaneEnd::Failed(reason)) if reason.contains("cache is full")), "{ends:?}");
    assert_eq!(ends[1], Some(LaneEnd::Finished));
}

#[test]
fn an_experiment_that_makes_no_sense_does_not_begin() {
    let new = |lanes: &str, workload: Workload| {
        Experiment::new(golden_model(GOLDENS[0]), &parse_lanes(lanes).expect("lanes"), workload).err()
    };
    let empty = Experiment::new(golden_model(GOLDENS[0]), &[] as &[Lane], workload(1)).err();
    assert!(matches!(empty, Some(ExperimentError::NoLanes)));
    assert!(matches!(new("none", workload(0)), Some(ExperimentError::NoTokens)));
    assert!(matches!(new("none", workload(52)), Some(ExperimentError::PastContext { .. })));
    assert!(new("none", workload(51)).is_none(), "13 + 51 = 64 fit");
    assert!(matches!(new("none", workload(usize::MAX)), Some(ExperimentError::PastContext { .. })));
    assert!(
        matches!(new("none,paged:16+f16", workload(1)), Some(ExperimentError::Lane { lane, .. }) if lane == "paged:16+f16")
    );
}

#[test]
fn traces_are_read_to_their_last_whole_line_and_no_further() {
    let header = r#"{"type":"header","schema":1,"kvlab_version":"0.1.0","commit":null,"started_unix_secs":0,"machine":{"os":"","cpu":"","cores":1,"threads":1,"simd":[],"memory_bytes":1},"device":"Cpu","model":"story","model_hash":"","lanes":["none"],"prompt":null,"workload":{"prompt_ids":[1],"max_new_tokens":1,"sampling":{"temperature":0.0,"top_k":null,"top_p":null,"seed":0},"prefill_chunk":null,"stop_at_eos":false,"memory_limit_bytes":null}}"#;
    let end = r#"{"type":"lane_end","lane":0,"end":"finished","text":""}"#;
    let done = r#"{"type":"end","outcome":"finished"}"#;
    let read = |lines: &[&str]| Trace::read(Cursor::new(lines.join("\n")));
    let whole = read(&[header, end, done, ""]).expect("a trace");
    assert_eq!((whole.events.len(), whole.outcome), (1, Some(Outcome::Finished)));
    let cut = read(&[header, end, &done[..9]]).expect("a trace that was cut off");
    assert_eq!((cut.events.len(), cut.outcome), (1, None));
    let message = |lines: &[&str]| read(lines).expect_err("no trace").to_string();
    assert!(message(&[header, "{]", end]).contains("line 2 is damaged"));
    assert!(message(&[end]).contains("first line is no header"));
    assert!(message(&[&header.replace("\"schema\":1", "\"schema\":99")]).contains("newer than 2"));
}
