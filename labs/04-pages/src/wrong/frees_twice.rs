//! WRONG: does not ask whether anybody holds the block: it counts down from 0 to nothing and puts the block on the free list again, to be
//! given to two. Caught by `what_nobody_holds_cannot_be_given_back`.

pub use crate::solution::{
    close, fork, gather, grow, own_last_block, share, slot, take, truncate, usage, write, writes_to_shared,
};

use anyhow::Result;

use crate::given::Pool;

pub fn give_back(pool: &mut Pool, block: usize) -> Result<()> {
    pool.holders[block] = pool.holders[block].saturating_sub(1);
    if pool.holders[block] == 0 {
        pool.free.push(block);
    }
    Ok(())
}
