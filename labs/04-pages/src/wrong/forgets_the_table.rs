//! WRONG: takes the position for the slot. Right for one text that was never forked, whose blocks happen to lie in order. Caught by
//! `a_slot_goes_through_the_table`.

pub use crate::solution::{
    close, fork, give_back, grow, own_last_block, share, take, truncate, usage, writes_to_shared,
};

use crate::given::{Pages, Rows, Sequence};

#[must_use]
pub fn slot(_table: &[usize], _block_len: usize, position: usize) -> usize {
    position
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
