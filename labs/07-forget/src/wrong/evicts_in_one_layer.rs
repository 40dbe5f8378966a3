//! WRONG: the first layer is compacted, and in the others the old rows lie as they did. Caught by `every_table_forgets_the_same`.

pub use crate::solution::{bytes_after, compact, heavy_hitters, peak_bytes, receive, sees, window};

use crate::given::Slots;

pub fn evict(slots: &mut Slots, keep: &[usize]) -> usize {
    slots.positions = keep.iter().map(|slot| slots.positions[*slot]).collect();
    slots.scores = keep.iter().map(|slot| slots.scores[*slot]).collect();
    let moved = compact(&mut slots.keys[0], slots.row, keep) + compact(&mut slots.values[0], slots.row, keep);
    moved * slots.row * size_of::<f32>()
}
