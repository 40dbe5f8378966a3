//! WRONG: adds lengths up, so that a prefix that ten sequences share counts ten times, and more may be used than is held. Caught by
//! `what_is_shared_counts_once`.

pub use crate::solution::{
    close, fork, gather, give_back, grow, own_last_block, share, slot, take, truncate, write, writes_to_shared,
};

use crate::given::{Pages, Sequence, Usage};

#[must_use]
pub fn usage(pages: &Pages, sequences: &[&Sequence]) -> Usage {
    let n_held = pages.pool.holders.iter().filter(|holders| **holders > 0).count();
    Usage { held: n_held * pages.block_len, used: sequences.iter().map(|seq| seq.len).sum() }
}
