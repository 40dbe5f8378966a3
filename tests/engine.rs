//! Sessions and experiments on a small model: cancel, reset, chunks, turns, failures.

mod support;

use std::{
    io::Cursor,
    sync::atomic::{AtomicBool, Ordering},
};

use kvlab::{
    cache::{KvAccess, Lane, Probe, SeqId, Span, spec::parse_lanes},
    engine::{Sampling, SessionConfig},
    experiment::{
        Experiment, ExperimentError, LaneEnd, LaneEvent, Workload,
        trace::{Outcome, Trace},
    },
    model::{Logits, ModelError},
};
use support::{
    GOLDENS, NEVER, golden_model,
    small::{costless, session, workload},
};

const LANES: [&str; 5] = ["none", "concat", "contiguous", "paged:7", "paged:16+int8"];

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
        matches!(new("none,paged:16+q8_0", workload(1)), Some(ExperimentError::Lane { lane, .. }) if lane == "paged:16+q8_0")
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
    assert!(message(&[&header.replace("\"schema\":1", "\"schema\":99")]).contains("newer than 4"));
}
