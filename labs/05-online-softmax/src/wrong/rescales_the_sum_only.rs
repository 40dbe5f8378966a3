//! WRONG: rescales the sum of weights, as in a softmax without values, and forgets the values. Caught by
//! `a_larger_score_rescales_what_was_there`.

pub use crate::solution::{attend, attend_split, empty, finish, merge, partial, parts, softmax};

use crate::given::State;

pub fn absorb(state: &mut State, scores: &[f32], values: &[f32]) {
    let max = scores.iter().copied().fold(state.max, f32::max);
    if max == f32::NEG_INFINITY {
        return;
    }
    state.sum *= (state.max - max).exp();
    state.max = max;
    for (score, value) in scores.iter().zip(values.chunks_exact(state.out.len())) {
        let weight = (score - max).exp();
        state.sum += weight;
        for (out, v) in state.out.iter_mut().zip(value) {
            *out += weight * v;
        }
    }
}
