//! WRONG: copies the table and counts nobody. Whoever ends first gives the other one's blocks away. Caught by `a_fork_shares_every_block`.

pub use crate::solution::{
    close, gather, give_back, grow, own_last_block, share, slot, take, truncate, usage, write, writes_to_shared,
};

use crate::given::{Pages, Sequence};

pub fn fork(_pages: &mut Pages, seq: &Sequence) -> Sequence {
    Sequence { table: seq.table.clone(), len: seq.len }
}
