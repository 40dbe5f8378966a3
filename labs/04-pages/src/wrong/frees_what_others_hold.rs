//! WRONG: a block is free as soon as one holder gives it back. Caught by `a_block_is_free_after_its_last_holder`.

pub use crate::solution::{
    close, fork, gather, grow, own_last_block, share, slot, take, truncate, usage, write, writes_to_shared,
};

use anyhow::{Result, ensure};

use crate::given::Pool;

pub fn give_back(pool: &mut Pool, block: usize) -> Result<()> {
    ensure!(pool.holders[block] > 0, "block {block} is given back and nobody holds it");
    pool.holders[block] -= 1;
    pool.free.push(block);
    Ok(())
}
