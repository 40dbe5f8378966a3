//! WRONG: divides by the sum of weights even where it is 0. Caught by `nothing_seen_gives_zeros`.

pub use crate::solution::{absorb, attend, attend_split, empty, merge, partial, parts, softmax};

use crate::given::State;

#[must_use]
pub fn finish(mut state: State) -> Vec<f32> {
    for out in &mut state.out {
        *out /= state.sum;
    }
    state.out
}
