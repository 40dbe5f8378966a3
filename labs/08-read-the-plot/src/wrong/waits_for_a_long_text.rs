//! WRONG: the right cause, shown at a late token, where anything may be slow. Caught by `trace_g`.

pub use crate::solution::{copied_by_each, fixed_share, left_behind, per_token, rise, slow_together, warm_up};

use crate::{
    given::{Answer, Cause, Evidence},
    solution,
};

#[must_use]
pub fn answers() -> Vec<Answer> {
    let mut answers = solution::answers();
    answers.retain(|answer| answer.trace != 'g');
    answers.push(Answer {
        trace: 'g',
        cause: Cause::StartingWork,
        evidence: Evidence::SameExtraAtEveryLength,
        token: 170,
    });
    answers
}
