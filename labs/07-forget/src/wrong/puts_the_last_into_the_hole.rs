//! WRONG: fills a hole with the last row, which moves least, and the slots are in the order of the text no more. Caught by
//! `rows_close_up_in_order`.

pub use crate::solution::{bytes_after, heavy_hitters, peak_bytes, receive, sees, window};

use crate::given::Slots;

pub fn compact(rows: &mut Vec<f32>, row: usize, keep: &[usize]) -> usize {
    let n_keep = keep.len();
    let holes: Vec<usize> = (0..n_keep).filter(|slot| !keep.contains(slot)).collect();
    let behind = keep.iter().rev().filter(|slot| **slot >= n_keep);
    let mut moved = 0;
    for (hole, from) in holes.iter().zip(behind) {
        rows.copy_within(from * row..(from + 1) * row, hole * row);
        moved += 1;
    }
    rows.truncate(n_keep * row);
    moved
}

pub fn evict(slots: &mut Slots, keep: &[usize]) -> usize {
    slots.positions = keep.iter().map(|slot| slots.positions[*slot]).collect();
    slots.scores = keep.iter().map(|slot| slots.scores[*slot]).collect();
    let row = slots.row;
    let layers = slots.keys.iter_mut().chain(&mut slots.values);
    layers.map(|rows| compact(rows, row, keep) * row * size_of::<f32>()).sum()
}
