//! WRONG: the time rises, so it copies. Attention reads more with every token. Caught by `trace_d`.

pub use crate::solution::{copied_by_each, fixed_share, left_behind, per_token, rise, slow_together, warm_up};

use crate::{
    given::{Answer, Cause, Evidence},
    solution,
};

#[must_use]
pub fn answers() -> Vec<Answer> {
    let mut answers = solution::answers();
    answers.retain(|answer| answer.trace != 'd');
    answers.push(Answer { trace: 'd', cause: Cause::CopiesPerToken, evidence: Evidence::TimeRises, token: 170 });
    answers
}
