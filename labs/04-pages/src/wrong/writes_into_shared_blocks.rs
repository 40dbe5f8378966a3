//! WRONG: no copy on write: a fork writes into its parent's last block. Caught by `only_a_shared_block_with_room_is_copied`.

pub use crate::solution::{
    close, fork, gather, give_back, own_last_block, share, slot, take, truncate, usage, write, writes_to_shared,
};

use anyhow::{Result, ensure};

use crate::given::{Pages, Sequence};

pub fn grow(pages: &mut Pages, seq: &mut Sequence, new: usize) -> Result<()> {
    let more = (seq.len + new).div_ceil(pages.block_len) - seq.table.len();
    let free = pages.pool.free.len();
    ensure!(more <= free, "{new} more tokens need {more} blocks, and {free} are free");
    seq.table.extend((0..more).filter_map(|_| take(&mut pages.pool)));
    seq.len += new;
    Ok(())
}
