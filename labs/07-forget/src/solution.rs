//! One way to do it.

use crate::given::Slots;

#[must_use]
pub fn window(n_slots: usize, sinks: usize, recent: usize) -> Vec<usize> {
    (0..n_slots).filter(|slot| *slot < sinks || slot + recent >= n_slots).collect()
}

#[must_use]
pub fn sees(query: usize, key: usize, prompt: usize, sinks: usize, recent: usize) -> bool {
    if key >= query {
        return key == query;
    }
    query < prompt || key < sinks || key + recent >= query
}

pub fn compact(rows: &mut Vec<f32>, row: usize, keep: &[usize]) -> usize {
    let mut moved = 0;
    for (to, from) in keep.iter().enumerate().filter(|(to, from)| to != *from) {
        // `to` is below `from`, and all that lies there has moved already.
        rows.copy_within(from * row..(from + 1) * row, to * row);
        moved += 1;
    }
    rows.truncate(keep.len() * row);
    moved
}

pub fn evict(slots: &mut Slots, keep: &[usize]) -> usize {
    slots.positions = keep.iter().map(|slot| slots.positions[*slot]).collect();
    slots.scores = keep.iter().map(|slot| slots.scores[*slot]).collect();
    let row = slots.row;
    let layers = slots.keys.iter_mut().chain(&mut slots.values);
    layers.map(|rows| compact(rows, row, keep) * row * size_of::<f32>()).sum()
}

pub fn receive(scores: &mut [f64], weights: &[f32]) {
    if scores.is_empty() {
        return;
    }
    for of_query in weights.chunks_exact(scores.len()) {
        scores.iter_mut().zip(of_query).for_each(|(score, weight)| *score += f64::from(*weight));
    }
}

#[must_use]
pub fn heavy_hitters(scores: &[f64], heavy: usize, recent: usize) -> Vec<usize> {
    let old = scores.len().saturating_sub(recent);
    let mut keep: Vec<usize> = (0..old).collect();
    keep.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(b.cmp(a)));
    keep.truncate(heavy);
    keep.sort_unstable();
    keep.extend(old..scores.len());
    keep
}

#[must_use]
pub fn bytes_after(n_tokens: usize, budget: usize, token_bytes: usize) -> usize {
    n_tokens.min(budget) * token_bytes
}

#[must_use]
pub fn peak_bytes(prompt: usize, new: usize, budget: usize, token_bytes: usize) -> usize {
    let in_decode = if new == 0 { 0 } else { bytes_after(prompt + new - 1, budget, token_bytes) + token_bytes };
    in_decode.max(prompt * token_bytes)
}
