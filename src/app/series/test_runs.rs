//! Runs for tests: made up ones, and real ones of the embedded model.

use std::sync::{Arc, atomic::AtomicBool};

use crate::{
    app::state::RunState,
    cache::{Lane, spec::parse_lanes},
    engine::{Phase, Sampling, StepRecord},
    experiment::{DEFAULT_PROMPT, Experiment, Workload},
    measure::device::DeviceChoice,
    model::ModelSource,
};

/// A record of which only the time is known.
pub fn record(step: usize, total_secs: f64) -> StepRecord {
    StepRecord {
        step,
        phase: if step == 0 { Phase::Prefill } else { Phase::Decode },
        tokens_in: 1,
        forward_secs: total_secs,
        sample_secs: 0.0,
        total_secs,
        token_id: 0,
        gpu: None,
        reserved_bytes: 0,
        held_bytes: 0,
        used_bytes: 0,
        scale_bytes: None,
        residual_bytes: None,
        dead_bytes: 0,
        copied_bytes: 0,
        metadata_bytes: 0,
        cached_tokens: 0,
        formula_bytes: 0,
        flops: 0,
        read_bytes: 0,
    }
}

/// A run whose lanes took these seconds, the prefill first.
pub fn run(secs: &[&[f64]]) -> RunState {
    let lanes = vec!["contiguous"; secs.len()].join(",");
    let tokens = secs.iter().map(|secs| secs.len()).max().unwrap_or(0);
    let mut run = RunState::new(1, &parse_lanes(&lanes).expect("lanes"), tokens, String::new());
    for (lane, secs) in run.lanes.iter_mut().zip(secs) {
        lane.records = secs.iter().enumerate().map(|(step, secs)| record(step, *secs)).collect();
    }
    run
}

/// A real run of the embedded model to its end.
pub fn story_run(lanes: &str, tokens: usize) -> RunState {
    let never = AtomicBool::new(false);
    let lanes: Vec<Lane> = parse_lanes(lanes).expect("lanes");
    let (device, _) = DeviceChoice::Cpu.open().expect("a CPU");
    let source: ModelSource = "story".parse().expect("the embedded model");
    let model = Arc::new(source.load(&device, &mut |_| {}, &never).expect("loaded"));
    let workload = Workload {
        prompt_ids: model.tokenizer.as_ref().expect("a tokenizer").encode(DEFAULT_PROMPT).expect("tokens"),
        max_new_tokens: tokens,
        sampling: Sampling::GREEDY,
        prefill_chunk: None,
        stop_at_eos: false,
        memory_limit_bytes: None,
        rehearse: false,
        forced: false,
        compares: false,
    };
    let mut run = RunState::new(1, &lanes, tokens, DEFAULT_PROMPT.into());
    let mut experiment = Experiment::new(model, &lanes, workload).expect("an experiment");
    while let Some(event) = experiment.step(&never).expect("a step") {
        run.apply_to_lane(event);
    }
    run
}
