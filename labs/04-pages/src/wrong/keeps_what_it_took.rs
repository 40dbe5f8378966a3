//! WRONG: takes block after block and finds out too late that they do not suffice; what it took stays in the table. Caught by
//! `what_does_not_fit_takes_nothing`.

pub use crate::solution::{
    close, fork, gather, give_back, own_last_block, share, slot, take, truncate, usage, write, writes_to_shared,
};

use anyhow::{Context, Result};

use crate::given::{Pages, Sequence};

pub fn grow(pages: &mut Pages, seq: &mut Sequence, new: usize) -> Result<()> {
    if new > 0 && writes_to_shared(pages, seq) {
        own_last_block(pages, seq)?;
    }
    while seq.table.len() * pages.block_len < seq.len + new {
        seq.table.push(take(&mut pages.pool).context("no block is free")?);
    }
    seq.len += new;
    Ok(())
}
