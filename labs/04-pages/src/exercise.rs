//! Your file. Each `todo!` says what belongs there; `README.md` explains the tasks in this order. The data are in `given.rs`.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};

use crate::given::{Pages, Pool, Rows, Sequence, Usage};

/// Task 1: a free block, which has one holder from now on; `None` where none is free.
pub fn take(pool: &mut Pool) -> Option<usize> {
    todo!("task 1, take: off the free list, and one holder")
}

/// Task 1: `block`, which somebody holds, gets one more holder.
pub fn share(pool: &mut Pool, block: usize) {
    todo!("task 1, share: count one more holder")
}

/// Task 1: `block` has one holder less, and is free if that was the last. A block that nobody holds is an error that names it, and nothing
/// has changed.
pub fn give_back(pool: &mut Pool, block: usize) -> Result<()> {
    todo!("task 1, give_back: one holder less; back on the free list only after the last; an error where there is none")
}

/// Task 2: room for `new` more tokens of `seq`. Takes a block only where the last one is full. Where the free blocks do not suffice for
/// all of them it is an error, and nothing has changed.
///
/// Task 4 adds: where the first of these tokens goes into a block that others hold too, `seq` gets a copy of its own before.
pub fn grow(pages: &mut Pages, seq: &mut Sequence, new: usize) -> Result<()> {
    todo!("task 2, grow: count the blocks that are needed, refuse or take them, then the new length")
}

/// Task 3: the slot of the token at `position` of a sequence with this table.
pub fn slot(table: &[usize], block_len: usize, position: usize) -> usize {
    todo!("task 3, slot: which entry of the table, and how far into that block")
}

/// Task 3: writes the keys and values of the token at `position` of `seq` in one layer. `grow` has made room for it.
pub fn write(pages: &mut Pages, seq: &Sequence, layer: usize, position: usize, (key, value): Rows<'_>) {
    todo!("task 3, write: `pages.row_at` says where the row of a slot begins")
}

/// Task 3: the rows of all tokens of `seq` in one layer, in the order of the text, where they lie.
pub fn gather<'a>(pages: &'a Pages, seq: &Sequence, layer: usize) -> Vec<Rows<'a>> {
    todo!("task 3, gather: the slot of each position, and views of its key and value")
}

/// Task 4: a second sequence with the same tokens, in the same blocks.
pub fn fork(pages: &mut Pages, seq: &Sequence) -> Sequence {
    todo!("task 4, fork: the same table, and a holder more for each block in it")
}

/// Task 4: whether the next token of `seq` goes into a block that somebody else holds too.
pub fn writes_to_shared(pages: &Pages, seq: &Sequence) -> bool {
    todo!("task 4, writes_to_shared: is there room in the last block, and has that block several holders?")
}

/// Task 4: gives `seq`, whose last block has other holders too, a block of its own with the same tokens in its place. Counts the bytes of
/// the rows it copies. Where no block is free it is an error, and nothing has changed.
pub fn own_last_block(pages: &mut Pages, seq: &mut Sequence) -> Result<()> {
    todo!("task 4, own_last_block: take a block, copy the filled rows of every layer, swap it in, give back the old")
}

/// Task 5: forgets all but the first `len` tokens of `seq` (nothing, where it has no more), and gives back every block that it needs no more.
pub fn truncate(pages: &mut Pages, seq: &mut Sequence, len: usize) -> Result<()> {
    todo!("task 5, truncate: the new length, and back with the blocks behind the last one that is needed")
}

/// Task 5: the end of a sequence. What others hold too stays theirs.
pub fn close(pages: &mut Pages, seq: Sequence) -> Result<()> {
    todo!("task 5, close: give back every block of its table")
}

/// Task 6: what is held and what is used, in tokens, where `sequences` are all that there are. What several share counts once.
pub fn usage(pages: &Pages, sequences: &[&Sequence]) -> Usage {
    todo!("task 6, usage: blocks with a holder x block_len, and how many different slots have a token")
}
