//! Your policies under the story model.

use kvlab::cache::{GuestBytes, GuestCache};

use crate::{
    exercise,
    given::{HEAD_DIM, N_HEAD, N_LAYER, Policy, ROW, Slots},
    solution,
};

/// What is run of a module.
#[derive(Clone, Copy)]
pub struct Forget {
    pub window: fn(usize, usize, usize) -> Vec<usize>,
    pub sees: fn(usize, usize, usize, usize, usize) -> bool,
    pub evict: fn(&mut Slots, &[usize]) -> usize,
    pub receive: fn(&mut [f64], &[f32]),
    pub heavy_hitters: fn(&[f64], usize, usize) -> Vec<usize>,
}

/// The [`Forget`] of a module.
macro_rules! forget {
    ($module:ident) => {
        $crate::mine::Forget {
            window: $module::window,
            sees: $module::sees,
            evict: $module::evict,
            receive: $module::receive,
            heavy_hitters: $module::heavy_hitters,
        }
    };
}
pub(crate) use forget;

/// The budget of the lane `mine`: half of it for heavy hitters.
const MINE: Policy = Policy::Heavy { heavy: 32, recent: 32 };

/// The cache of `exercise.rs`: heavy hitters.
#[must_use]
pub fn exercise() -> Box<dyn GuestCache> {
    Box::new(Guest::new(forget!(exercise), MINE))
}

/// The cache of `solution.rs`.
#[must_use]
pub fn solution() -> Box<dyn GuestCache> {
    Box::new(Guest::new(forget!(solution), MINE))
}

/// A cache of the story model that forgets when a pass is over.
pub struct Guest {
    forget: Forget,
    policy: Policy,
    pub slots: Slots,
    /// Tokens that were given to it.
    n_seen: usize,
    /// Of the pass that goes on.
    n_new: usize,
    /// Tokens of the first pass.
    prompt: usize,
    /// Forgets nothing and hides what a window would have forgotten.
    masks: bool,
    moved_bytes: usize,
    /// The most bytes of keys and values that were there.
    pub peak_bytes: usize,
}

impl Guest {
    #[must_use]
    pub fn new(forget: Forget, policy: Policy) -> Self {
        let slots = Slots::new(N_LAYER, ROW);
        Self { forget, policy, slots, n_seen: 0, n_new: 0, prompt: 0, masks: false, moved_bytes: 0, peak_bytes: 0 }
    }

    /// As [`Self::new`], but nothing is forgotten: a window is a mask.
    #[must_use]
    pub fn masked(forget: Forget, policy: Policy) -> Self {
        Self { masks: true, ..Self::new(forget, policy) }
    }

    /// Whether the query at a position sees a slot.
    fn sees(&self, query: usize, slot: usize) -> bool {
        let key = self.slots.positions[slot];
        match self.policy {
            Policy::Window { sinks, recent } if self.masks => {
                (self.forget.sees)(query, key, self.prompt, sinks, recent)
            }
            _ => key <= query,
        }
    }

    /// The pass is over.
    fn end_pass(&mut self) {
        self.peak_bytes = self.peak_bytes.max(self.slots.bytes());
        let n_slots = self.slots.positions.len();
        let keep = match self.policy {
            Policy::Window { sinks, recent } if !self.masks => (self.forget.window)(n_slots, sinks, recent),
            Policy::Heavy { heavy, recent } => (self.forget.heavy_hitters)(&self.slots.scores, heavy, recent),
            _ => return,
        };
        if keep.len() < n_slots {
            self.moved_bytes += (self.forget.evict)(&mut self.slots, &keep);
        }
    }
}

impl GuestCache for Guest {
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        if layer == 0 {
            self.n_new = k.len() / ROW;
            self.prompt = if self.n_seen == 0 { self.n_new } else { self.prompt };
            self.slots.positions.extend(self.n_seen..self.n_seen + self.n_new);
            self.slots.scores.resize(self.slots.positions.len(), 0.0);
            self.n_seen += self.n_new;
        }
        self.slots.keys[layer].extend_from_slice(k);
        self.slots.values[layer].extend_from_slice(v);
    }

    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
        let n_slots = self.slots.positions.len();
        let mut out = vec![0.0; q.len()];
        for head in 0..N_HEAD {
            let mut weights = vec![0.0; self.n_new * n_slots]; // [queries, slots]
            for (i, weights) in weights.chunks_exact_mut(n_slots).enumerate() {
                let query = self.n_seen - self.n_new + i;
                let place = i * ROW + head * HEAD_DIM..i * ROW + (head + 1) * HEAD_DIM;
                let seen: Vec<usize> = (0..n_slots).filter(|slot| self.sees(query, *slot)).collect();
                let rows = [&self.slots.keys[layer], &self.slots.values[layer]];
                attention(&q[place.clone()], head, rows, &seen, weights, &mut out[place]);
            }
            // A policy that does not ask is not told.
            if matches!(self.policy, Policy::Heavy { .. }) {
                (self.forget.receive)(&mut self.slots.scores, &weights);
            }
        }
        if layer + 1 == N_LAYER {
            self.end_pass();
        }
        out
    }

    fn bytes(&self) -> GuestBytes {
        let buffers = self.slots.keys.iter().chain(&self.slots.values);
        let reserved: usize = buffers.map(|rows| rows.capacity() * size_of::<f32>()).sum();
        GuestBytes {
            reserved_bytes: reserved as u64,
            used_bytes: self.slots.bytes() as u64,
            copied_bytes: self.moved_bytes as u64,
        }
    }
}

/// Attention of one query `[head_dim]` of a head over the slots that it sees, added to `out`; `weights` has a place for every slot. `rows` are
/// keys and values, `[slots, n_head, head_dim]`.
fn attention(q: &[f32], head: usize, rows: [&Vec<f32>; 2], seen: &[usize], weights: &mut [f32], out: &mut [f32]) {
    #[expect(clippy::cast_precision_loss, reason = "a head has few elements")]
    let root = (HEAD_DIM as f32).sqrt();
    let [key, value] = rows.map(|rows| move |slot: usize| &rows[slot * ROW + head * HEAD_DIM..][..HEAD_DIM]);
    let mut largest = f32::NEG_INFINITY;
    for slot in seen {
        weights[*slot] = dot(q, key(*slot)) / root;
        largest = largest.max(weights[*slot]);
    }
    let mut sum = 0.0;
    for slot in seen {
        weights[*slot] = (weights[*slot] - largest).exp();
        sum += weights[*slot];
    }
    for slot in seen {
        weights[*slot] /= sum;
        out.iter_mut().zip(value(*slot)).for_each(|(out, v)| *out += weights[*slot] * v);
    }
}

/// Eight sums side by side, which a processor adds up at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum()
}
