//! Your file. Each `todo!` says what belongs there; `README.md` explains the tasks in this order.
//!
//! A slot is a place in the cache, a position a place in the text. Slots are in the order of the text: the newest tokens are in the last ones.

use crate::given::Slots;

/// Task 1: of `n_slots` slots, those that stay under a window: the first `sinks` and the last `recent`. Rising, and each once.
pub fn window(n_slots: usize, sinks: usize, recent: usize) -> Vec<usize> {
    todo!("task 1, window: the first `sinks` slots and the last `recent` ones, rising, each once")
}

/// Task 2: the same policy as a mask over a cache that forgets nothing: whether the token at position `query` sees that at position `key`.
/// The first `prompt` tokens are one pass, every later token is a pass of its own, and a window binds when a pass is over.
pub fn sees(query: usize, key: usize, prompt: usize, sinks: usize, recent: usize) -> bool {
    todo!("task 2, sees: itself, and what was left when the pass before was over; the prompt's pass saw all before it")
}

/// Task 3: keeps the rows of the slots `keep` (rising) and drops the others. `rows` is `[slots, row]`; afterwards slot `i` has the row that
/// slot `keep[i]` had. Returns how many rows changed their slot.
pub fn compact(rows: &mut Vec<f32>, row: usize, keep: &[usize]) -> usize {
    todo!("task 3, compact: row keep[i] becomes row i, in order; then the rest is cut off")
}

/// Task 3: keeps the slots `keep` (rising) and forgets the others, in every table and in every layer. Returns the bytes of keys and values that
/// changed their place.
pub fn evict(slots: &mut Slots, keep: &[usize]) -> usize {
    todo!("task 3, evict: positions, scores, and keys and values of each layer")
}

/// Task 4: adds what each slot got in one head. `weights` `[queries, slots]` has a row for each query of the pass, which sums up to 1; a slot that
/// the query does not see has 0. `scores` has a sum for each slot and goes on from pass to pass.
pub fn receive(scores: &mut [f64], weights: &[f32]) {
    todo!("task 4, receive: each slot's score grows by its weight in every row")
}

/// Task 5: the slots that stay with heavy hitters: the last `recent`, and of the others the `heavy` with the highest score; of equal ones the
/// newer. Rising, and each once.
pub fn heavy_hitters(scores: &[f64], heavy: usize, recent: usize) -> Vec<usize> {
    todo!("task 5, heavy_hitters: the last `recent` slots stay; rank the others by score and keep `heavy` of them")
}

/// Task 6: bytes of keys and values when the pass is over that `n_tokens` tokens went through, with room for `budget` tokens; a token takes
/// `token_bytes`.
pub fn bytes_after(n_tokens: usize, budget: usize, token_bytes: usize) -> usize {
    todo!("task 6, bytes_after: what stays is never more than there was, and never more than the budget")
}

/// Task 6: the most bytes that are there at any moment of a prompt of `prompt` tokens in one pass and `new` more tokens, one in a pass.
pub fn peak_bytes(prompt: usize, new: usize, budget: usize, token_bytes: usize) -> usize {
    todo!("task 6, peak_bytes: inside a pass its new tokens are there too, and nothing is forgotten before it is over")
}
