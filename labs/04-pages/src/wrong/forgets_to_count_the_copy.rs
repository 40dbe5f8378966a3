//! WRONG: counts the new blocks and not the one for the copy. Where exactly that one is missing, the copy is made and then there are not
//! enough: the table is too short. Caught by `a_copy_that_does_not_fit_changes_nothing`.

pub use crate::solution::{
    close, fork, gather, give_back, own_last_block, share, slot, take, truncate, usage, write, writes_to_shared,
};

use anyhow::{Result, ensure};

use crate::given::{Pages, Sequence};

pub fn grow(pages: &mut Pages, seq: &mut Sequence, new: usize) -> Result<()> {
    let more = (seq.len + new).div_ceil(pages.block_len) - seq.table.len();
    let copies = usize::from(new > 0 && writes_to_shared(pages, seq));
    let free = pages.pool.free.len();
    ensure!(more <= free, "{new} more tokens need {more} blocks, and {free} are free");
    if copies > 0 {
        own_last_block(pages, seq)?;
    }
    seq.table.extend((0..more).filter_map(|_| take(&mut pages.pool)));
    seq.len += new;
    Ok(())
}
