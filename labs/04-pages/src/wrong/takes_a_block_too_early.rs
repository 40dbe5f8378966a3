//! WRONG: takes the next block as soon as the last is full, for a token that may never come. Caught by
//! `a_block_is_taken_when_the_last_is_full`.

pub use crate::solution::{
    close, fork, gather, give_back, own_last_block, share, slot, take, truncate, usage, write, writes_to_shared,
};

use anyhow::{Result, ensure};

use crate::given::{Pages, Sequence};

pub fn grow(pages: &mut Pages, seq: &mut Sequence, new: usize) -> Result<()> {
    let more = (seq.len + new) / pages.block_len + 1 - seq.table.len();
    let copies = usize::from(new > 0 && writes_to_shared(pages, seq));
    let free = pages.pool.free.len();
    ensure!(more + copies <= free, "{new} more tokens need {} blocks, and {free} are free", more + copies);
    if copies > 0 {
        own_last_block(pages, seq)?;
    }
    seq.table.extend((0..more).filter_map(|_| take(&mut pages.pool)));
    seq.len += new;
    Ok(())
}
