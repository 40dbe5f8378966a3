//! One way to do it.

use std::ops::Range;

use crate::given::{Reader, Rows, State};

pub fn softmax(scores: &mut [f32]) {
    let max = largest(scores);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    for weight in scores {
        *weight /= sum;
    }
}

#[must_use]
pub fn empty(head_dim: usize) -> State {
    State { max: f32::NEG_INFINITY, sum: 0.0, out: vec![0.0; head_dim] }
}

pub fn absorb(state: &mut State, scores: &[f32], values: &[f32]) {
    let max = state.max.max(largest(scores));
    if max == f32::NEG_INFINITY {
        return;
    }
    rescale(state, max);
    for (score, value) in scores.iter().zip(values.chunks_exact(state.out.len())) {
        let weight = (score - max).exp();
        state.sum += weight;
        for (out, v) in state.out.iter_mut().zip(value) {
            *out += weight * v;
        }
    }
}

#[must_use]
pub fn finish(mut state: State) -> Vec<f32> {
    if state.sum > 0.0 {
        for out in &mut state.out {
            *out /= state.sum;
        }
    }
    state.out
}

#[must_use]
pub fn partial(q: &[f32], reader: &mut Reader, n_tokens: usize) -> State {
    let mut state = empty(reader.head_dim());
    let mut left = n_tokens;
    while left > 0 {
        let n = left.min(reader.tile());
        let (scores, values) = reader.lend(q, n);
        absorb(&mut state, scores, values);
        left -= n;
    }
    state
}

#[must_use]
pub fn attend(q: &[f32], rows: &Rows) -> Vec<f32> {
    let past = rows.n_tokens() - q.len() / rows.head_dim();
    let queries = q.chunks_exact(rows.head_dim()).enumerate();
    queries.flat_map(|(i, q)| finish(partial(q, &mut rows.reader_at(0), past + i + 1))).collect()
}

pub fn merge(state: &mut State, other: &State) {
    let max = state.max.max(other.max);
    if max == f32::NEG_INFINITY {
        return;
    }
    rescale(state, max);
    let factor = (other.max - max).exp();
    state.sum += factor * other.sum;
    for (out, other) in state.out.iter_mut().zip(&other.out) {
        *out += factor * other;
    }
}

#[must_use]
pub fn parts(n_tokens: usize, n_parts: usize) -> Vec<Range<usize>> {
    let (short, n_longer) = (n_tokens / n_parts, n_tokens % n_parts);
    let start = |part: usize| part * short + part.min(n_longer);
    (0..n_parts).map(|part| start(part)..start(part + 1)).collect()
}

#[must_use]
pub fn attend_split(q: &[f32], rows: &Rows, n_parts: usize) -> Vec<f32> {
    let mut whole = empty(rows.head_dim());
    for part in parts(rows.n_tokens(), n_parts) {
        merge(&mut whole, &partial(q, &mut rows.reader_at(part.start), part.len()));
    }
    finish(whole)
}

fn largest(scores: &[f32]) -> f32 {
    scores.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Weights against `max` instead of those against `state.max`. An empty state has `exp(-inf) = 0` of nothing.
fn rescale(state: &mut State, max: f32) {
    let factor = (state.max - max).exp();
    state.max = max;
    state.sum *= factor;
    for out in &mut state.out {
        *out *= factor;
    }
}
