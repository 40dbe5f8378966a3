//! One way to do it.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};

use crate::given::{Pages, Pool, Rows, Sequence, Usage};

pub fn take(pool: &mut Pool) -> Option<usize> {
    let block = pool.free.pop()?;
    pool.holders[block] = 1;
    Some(block)
}

pub fn share(pool: &mut Pool, block: usize) {
    pool.holders[block] += 1;
}

pub fn give_back(pool: &mut Pool, block: usize) -> Result<()> {
    ensure!(pool.holders[block] > 0, "block {block} is given back and nobody holds it");
    pool.holders[block] -= 1;
    if pool.holders[block] == 0 {
        pool.free.push(block);
    }
    Ok(())
}

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

#[must_use]
pub fn slot(table: &[usize], block_len: usize, position: usize) -> usize {
    table[position / block_len] * block_len + position % block_len
}

pub fn write(pages: &mut Pages, seq: &Sequence, layer: usize, position: usize, (key, value): Rows<'_>) {
    let at = pages.row_at(layer, slot(&seq.table, pages.block_len, position));
    pages.keys[at..at + key.len()].copy_from_slice(key);
    pages.values[at..at + value.len()].copy_from_slice(value);
}

#[must_use]
pub fn gather<'a>(pages: &'a Pages, seq: &Sequence, layer: usize) -> Vec<Rows<'a>> {
    let row = pages.shape.row();
    let rows = |position| {
        let at = pages.row_at(layer, slot(&seq.table, pages.block_len, position));
        (&pages.keys[at..at + row], &pages.values[at..at + row])
    };
    (0..seq.len).map(rows).collect()
}

pub fn fork(pages: &mut Pages, seq: &Sequence) -> Sequence {
    for block in &seq.table {
        share(&mut pages.pool, *block);
    }
    Sequence { table: seq.table.clone(), len: seq.len }
}

#[must_use]
pub fn writes_to_shared(pages: &Pages, seq: &Sequence) -> bool {
    let has_room = !seq.len.is_multiple_of(pages.block_len);
    has_room && seq.table.last().is_some_and(|block| pages.pool.holders[*block] > 1)
}

pub fn own_last_block(pages: &mut Pages, seq: &mut Sequence) -> Result<()> {
    let own = take(&mut pages.pool).context("no block is free for a copy of the shared one")?;
    let index = seq.table.len() - 1;
    let shared = std::mem::replace(&mut seq.table[index], own);
    let filled = seq.len - index * pages.block_len;
    for layer in 0..pages.shape.n_layer {
        let [from, to] = [shared, own].map(|block| pages.row_at(layer, block * pages.block_len));
        let numbers = filled * pages.shape.row();
        pages.keys.copy_within(from..from + numbers, to);
        pages.values.copy_within(from..from + numbers, to);
    }
    pages.copied_bytes += filled as u64 * pages.shape.token_bytes();
    give_back(&mut pages.pool, shared)
}

pub fn truncate(pages: &mut Pages, seq: &mut Sequence, len: usize) -> Result<()> {
    seq.len = len.min(seq.len);
    for block in seq.table.drain(seq.len.div_ceil(pages.block_len)..) {
        give_back(&mut pages.pool, block)?;
    }
    Ok(())
}

pub fn close(pages: &mut Pages, mut seq: Sequence) -> Result<()> {
    truncate(pages, &mut seq, 0)
}

#[must_use]
pub fn usage(pages: &Pages, sequences: &[&Sequence]) -> Usage {
    let mut used = HashSet::new();
    for seq in sequences {
        used.extend((0..seq.len).map(|position| slot(&seq.table, pages.block_len, position)));
    }
    let n_held = pages.pool.holders.iter().filter(|holders| **holders > 0).count();
    Usage { held: n_held * pages.block_len, used: used.len() }
}
