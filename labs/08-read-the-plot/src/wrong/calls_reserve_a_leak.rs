//! WRONG: much is reserved and little used, so something leaks. It would have to become more. Caught by `trace_a`.

pub use crate::solution::{copied_by_each, fixed_share, left_behind, per_token, rise, slow_together, warm_up};

use crate::{
    given::{Answer, Cause, Evidence},
    solution,
};

#[must_use]
pub fn answers() -> Vec<Answer> {
    let mut answers = solution::answers();
    answers.retain(|answer| answer.trace != 'a');
    answers.push(Answer { trace: 'a', cause: Cause::NeverFreed, evidence: Evidence::ReservedStepsUp, token: 37 });
    answers
}
