//! WRONG: copies the shared rows of one layer. All layers have the same table, so in the others the fork reads what lay in its new block
//! before. Caught by `the_parent_keeps_its_rows`.

pub use crate::solution::{
    close, fork, gather, give_back, share, slot, take, truncate, usage, write, writes_to_shared,
};

use anyhow::{Context, Result, ensure};

use crate::given::{Pages, Sequence};

pub fn grow(pages: &mut Pages, seq: &mut Sequence, new: usize) -> Result<()> {
    let more = (seq.len + new).div_ceil(pages.block_len) - seq.table.len();
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

pub fn own_last_block(pages: &mut Pages, seq: &mut Sequence) -> Result<()> {
    let own = take(&mut pages.pool).context("no block is free for a copy of the shared one")?;
    let index = seq.table.len() - 1;
    let shared = std::mem::replace(&mut seq.table[index], own);
    let filled = seq.len - index * pages.block_len;
    let [from, to] = [shared, own].map(|block| pages.row_at(0, block * pages.block_len));
    let numbers = filled * pages.shape.row();
    pages.keys.copy_within(from..from + numbers, to);
    pages.values.copy_within(from..from + numbers, to);
    pages.copied_bytes += filled as u64 * pages.shape.token_bytes();
    give_back(&mut pages.pool, shared)
}
