//! Sessions and experiments on the smallest checkpoint.
#![allow(dead_code, reason = "every test binary compiles this module and uses some of it")]

use kvlab::{
    engine::{Sampling, Session, SessionConfig, StepRecord},
    experiment::Workload,
};

use super::{GOLDENS, golden_model, ids, reference};

pub fn workload(max_new_tokens: usize) -> Workload {
    Workload {
        prompt_ids: ids(&reference(GOLDENS[0])["prompt_ids"]),
        max_new_tokens,
        sampling: Sampling::GREEDY,
        prefill_chunk: None,
        stop_at_eos: false,
        memory_limit_bytes: None,
        rehearse: true,
        forced: false,
        compares: false,
    }
}

pub fn session(lane: &str, config: SessionConfig) -> Session {
    Session::new(golden_model(GOLDENS[0]), lane.parse().expect(lane), config).expect(lane)
}

/// All of a record that does not depend on the clock.
pub fn costless(record: StepRecord) -> StepRecord {
    StepRecord { forward_secs: 0.0, sample_secs: 0.0, total_secs: 0.0, ..record }
}
