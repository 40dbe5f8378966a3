//! WRONG: rounds down, and gives back a block that still has tokens in it. Caught by `truncation_keeps_the_block_it_ends_in`.

pub use crate::solution::{
    fork, gather, give_back, grow, own_last_block, share, slot, take, usage, write, writes_to_shared,
};

use anyhow::Result;

use crate::given::{Pages, Sequence};

pub fn truncate(pages: &mut Pages, seq: &mut Sequence, len: usize) -> Result<()> {
    seq.len = len.min(seq.len);
    for block in seq.table.drain(seq.len / pages.block_len..) {
        give_back(&mut pages.pool, block)?;
    }
    Ok(())
}

pub fn close(pages: &mut Pages, mut seq: Sequence) -> Result<()> {
    truncate(pages, &mut seq, 0)
}
