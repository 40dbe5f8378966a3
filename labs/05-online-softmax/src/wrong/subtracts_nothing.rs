//! WRONG: the textbook formula as it stands, which is infinity / infinity for large scores and 0 / 0 for small ones. Caught by
//! `scores_of_a_thousand_stay_finite`.

pub use crate::solution::{absorb, attend, attend_split, empty, finish, merge, partial, parts};

pub fn softmax(scores: &mut [f32]) {
    let sum: f32 = scores.iter().map(|score| score.exp()).sum();
    for score in scores {
        *score = score.exp() / sum;
    }
}
