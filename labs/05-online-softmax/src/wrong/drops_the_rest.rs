//! WRONG: parts of equal length, and the rest of the division belongs to none. Caught by `parts_hold_every_token_once`.

pub use crate::solution::{absorb, attend, attend_split, empty, finish, merge, partial, softmax};

use std::ops::Range;

#[must_use]
pub fn parts(n_tokens: usize, n_parts: usize) -> Vec<Range<usize>> {
    let len = n_tokens / n_parts;
    (0..n_parts).map(|part| part * len..(part + 1) * len).collect()
}
