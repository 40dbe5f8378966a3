//! WRONG: what is reserved grows, as a cache does; so nothing is wrong. It should have fallen where a chat ended. Caught by `trace_e`.

pub use crate::solution::{copied_by_each, fixed_share, left_behind, per_token, rise, slow_together, warm_up};

use crate::{
    given::{Answer, Cause, Evidence},
    solution,
};

#[must_use]
pub fn answers() -> Vec<Answer> {
    let mut answers = solution::answers();
    answers.retain(|answer| answer.trace != 'e');
    answers.push(Answer { trace: 'e', cause: Cause::Nothing, evidence: Evidence::RisesAndNothingElse, token: 60 });
    answers
}
