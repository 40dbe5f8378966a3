//! WRONG: slow tokens in the middle of a run, so the cache grew just then. The other lane was slow at the same tokens. Caught by `trace_c`.

pub use crate::solution::{copied_by_each, fixed_share, left_behind, per_token, rise, slow_together, warm_up};

use crate::{
    given::{Answer, Cause, Evidence},
    solution,
};

#[must_use]
pub fn answers() -> Vec<Answer> {
    let mut answers = solution::answers();
    answers.retain(|answer| answer.trace != 'c');
    answers.push(Answer { trace: 'c', cause: Cause::CopiesPerToken, evidence: Evidence::TimeRises, token: 110 });
    answers
}
