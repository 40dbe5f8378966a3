//! Your file. Each `todo!` says what belongs there; `README.md` explains the tasks in this order.
//!
//! Everything is one head: keys and values are dense f32, `[N, head_dim]`. Scores come from `Reader::lend`, already divided by the root of
//! `head_dim`.

use std::ops::Range;

use crate::given::{Reader, Rows, State};

/// Task 1: turns scores into weights, in place: `exp(score)` of each, divided by their sum. Scores may be as large as 1000, or minus infinity,
/// which gives 0; at least one is finite.
pub fn softmax(scores: &mut [f32]) {
    todo!("task 1, softmax: exp(score - the largest score), divided by the sum of these")
}

/// Task 2: the state that has seen no token.
pub fn empty(head_dim: usize) -> State {
    todo!("task 2, empty: no score yet, so what is the largest? And two sums of nothing")
}

/// Task 2: takes a tile into the state: its scores `[n]` and its values `[n, head_dim]`. A tile that is empty, or whose scores are all minus
/// infinity, changes nothing.
pub fn absorb(state: &mut State, scores: &[f32], values: &[f32]) {
    todo!("task 2, absorb: the new largest score, what was there rescaled to it, then the tile's weights and values")
}

/// Task 3: attention to all that the state has seen, `[head_dim]`. Zeros if that is nothing.
pub fn finish(state: State) -> Vec<f32> {
    todo!("task 3, finish: the values so far divided by the sum of weights, and no 0 / 0")
}

/// Task 4: the state of a query `q` `[head_dim]` over the reader's next `n_tokens` tokens, in tiles as large as the reader allows. The last one
/// may be shorter.
pub fn partial(q: &[f32], reader: &mut Reader, n_tokens: usize) -> State {
    todo!("task 4, partial: lend and absorb, tile by tile, until n_tokens are read")
}

/// Task 4: causal attention of `T` queries `q` `[T, head_dim]`, those of the last `T` tokens of `rows`: each sees the tokens up to its own, and
/// reads no others. Returns `[T, head_dim]`.
pub fn attend(q: &[f32], rows: &Rows) -> Vec<f32> {
    todo!("task 4, attend: for each query a reader from token 0, as many tokens as it sees, and finish")
}

/// Task 5: afterwards `state` has also seen what `other` has. Where one of them has seen nothing, the other stays as it is.
pub fn merge(state: &mut State, other: &State) {
    todo!("task 5, merge: both rescaled to the larger of the two largest scores, then added")
}

/// Task 6: the tokens `0..n_tokens` cut into `n_parts` (at least 1) ranges, in order, whose lengths differ by at most 1, longer ones first.
pub fn parts(n_tokens: usize, n_parts: usize) -> Vec<Range<usize>> {
    todo!("task 6, parts: n_tokens / n_parts tokens each, and one more for the first ones as long as there is a rest")
}

/// Task 6: attention of one query `q` `[head_dim]` over all of `rows`, in `n_parts` parts that do not know of each other: a reader and a state
/// for each, then merged. Returns `[head_dim]`.
pub fn attend_split(q: &[f32], rows: &Rows, n_parts: usize) -> Vec<f32> {
    todo!("task 6, attend_split: partial for each part, merge them all, finish")
}
