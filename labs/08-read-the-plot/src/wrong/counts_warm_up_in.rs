//! WRONG: the mean is high, so starting work must cost so much. Only the first tokens are slow. Caught by `trace_f`.

pub use crate::solution::{copied_by_each, fixed_share, left_behind, per_token, rise, slow_together, warm_up};

use crate::{
    given::{Answer, Cause, Evidence},
    solution,
};

#[must_use]
pub fn answers() -> Vec<Answer> {
    let mut answers = solution::answers();
    answers.retain(|answer| answer.trace != 'f');
    answers.push(Answer {
        trace: 'f',
        cause: Cause::StartingWork,
        evidence: Evidence::SameExtraAtEveryLength,
        token: 5,
    });
    answers
}
