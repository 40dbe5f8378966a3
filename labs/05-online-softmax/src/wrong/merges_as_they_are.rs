//! WRONG: adds two states that were summed against different scores. Caught by `two_halves_give_the_whole`.

pub use crate::solution::{absorb, attend, attend_split, empty, finish, partial, parts, softmax};

use crate::given::State;

pub fn merge(state: &mut State, other: &State) {
    state.max = state.max.max(other.max);
    state.sum += other.sum;
    for (out, other) in state.out.iter_mut().zip(&other.out) {
        *out += other;
    }
}
