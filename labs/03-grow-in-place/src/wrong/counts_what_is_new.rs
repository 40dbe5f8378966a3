//! WRONG: counts the rows that are new, once each, and not those that are copied with them again and again: linear, where the truth is
//! quadratic. Caught by `the_formula_counts_what_concat_copies`.

pub use crate::solution::{Cache, attend, prefill, visible};

#[must_use]
pub fn concat_copied_bytes(prompt: u64, new: u64, token_bytes: u64) -> u64 {
    (prompt + new) * token_bytes
}
