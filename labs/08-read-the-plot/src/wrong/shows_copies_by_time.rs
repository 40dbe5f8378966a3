//! WRONG: the right cause, shown by a time that rises, as it does in every cache. Caught by `trace_b`.

pub use crate::solution::{copied_by_each, fixed_share, left_behind, per_token, rise, slow_together, warm_up};

use crate::{
    given::{Answer, Cause, Evidence},
    solution,
};

#[must_use]
pub fn answers() -> Vec<Answer> {
    let mut answers = solution::answers();
    answers.retain(|answer| answer.trace != 'b');
    answers.push(Answer { trace: 'b', cause: Cause::CopiesPerToken, evidence: Evidence::TimeRises, token: 100 });
    answers
}
