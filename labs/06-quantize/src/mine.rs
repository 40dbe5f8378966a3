//! Your formats under the story model.

use kvlab::cache::{GuestBytes, GuestCache};

use crate::{
    given::{Format, GROUP, HEAD_DIM, N_HEAD, N_LAYER},
    stored::{Codec, Stored, codec},
};

/// How keys and values are kept; the two need not be alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    pub keys: Format,
    pub values: Format,
    /// Newest tokens that stay exact, where the format has such.
    pub residual: usize,
}

/// Keys by channel and values by token, both in 4 bits, as in KIVI (Liu et al., 2024).
const KIVI: Scheme = Scheme { keys: Format::Int4Channels, values: Format::Int4, residual: GROUP };

/// The cache of `exercise.rs`: keys by channel and values by token, in 4 bits.
#[must_use]
pub fn exercise() -> Box<dyn GuestCache> {
    use crate::exercise;
    Box::new(Guest::new(codec!(exercise), KIVI))
}

/// The cache of `solution.rs`.
#[must_use]
pub fn solution() -> Box<dyn GuestCache> {
    use crate::solution;
    Box::new(Guest::new(codec!(solution), KIVI))
}

/// A cache of the story model.
pub struct Guest {
    /// Keys and values, `[n_layer, n_head]`.
    pub heads: Vec<[Stored; 2]>,
}

impl Guest {
    #[must_use]
    pub fn new(codec: Codec, scheme: Scheme) -> Self {
        let head = |format| Stored::new(codec, format, HEAD_DIM, scheme.residual);
        Self { heads: (0..N_LAYER * N_HEAD).map(|_| [head(scheme.keys), head(scheme.values)]).collect() }
    }
}

impl GuestCache for Guest {
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        for (i, (key, value)) in k.chunks_exact(HEAD_DIM).zip(v.chunks_exact(HEAD_DIM)).enumerate() {
            let [keys, values] = &mut self.heads[layer * N_HEAD + i % N_HEAD];
            keys.push(key);
            values.push(value);
        }
    }

    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; q.len()];
        let n_queries = q.len() / (N_HEAD * HEAD_DIM);
        for head in 0..N_HEAD {
            let [keys, values] = self.heads[layer * N_HEAD + head].each_ref().map(Stored::read);
            let past = keys.len() / HEAD_DIM - n_queries;
            let of_head = |rows: usize| (rows * N_HEAD + head) * HEAD_DIM;
            for i in 0..n_queries {
                let seen = ..(past + i + 1) * HEAD_DIM;
                let place = of_head(i)..of_head(i) + HEAD_DIM;
                attention(&q[place.clone()], &keys[seen], &values[seen], &mut out[place]);
            }
        }
        out
    }

    fn bytes(&self) -> GuestBytes {
        let bytes = self.heads.iter().flatten().map(|stored| stored.bytes() as u64).sum();
        GuestBytes { reserved_bytes: bytes, used_bytes: bytes, copied_bytes: 0 }
    }
}

/// Attention of one query `[head_dim]` over all of `keys` and `values`, added to `out`.
fn attention(q: &[f32], keys: &[f32], values: &[f32], out: &mut [f32]) {
    #[expect(clippy::cast_precision_loss, reason = "a head has few elements")]
    let root = (q.len() as f32).sqrt();
    let dot = |key: &[f32]| q.iter().zip(key).map(|(q, k)| q * k).sum::<f32>();
    let mut weights: Vec<f32> = keys.chunks_exact(q.len()).map(|key| dot(key) / root).collect();
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for weight in &mut weights {
        *weight = (*weight - largest).exp();
    }
    let sum: f32 = weights.iter().sum();
    for (weight, value) in weights.iter().zip(values.chunks_exact(q.len())) {
        out.iter_mut().zip(value).for_each(|(out, v)| *out += weight / sum * v);
    }
}
