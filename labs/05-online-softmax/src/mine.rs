//! Your attention under the story model, over rows that each head keeps for itself.

use kvlab::cache::{GuestBytes, GuestCache};

use crate::{exercise, given::Rows, solution};

/// The model in this repository.
pub const N_LAYER: usize = 5;
pub const N_HEAD: usize = 6;
pub const HEAD_DIM: usize = 32;
/// The tokens it can look back on.
pub const CONTEXT: usize = 1024;

/// Attention of one query in so many parts.
pub type Split = fn(&[f32], &Rows, usize) -> Vec<f32>;

/// What is run of a module.
#[derive(Clone, Copy)]
pub struct Attention {
    /// Tokens of a tile.
    pub tile: usize,
    pub attend: fn(&[f32], &Rows) -> Vec<f32>,
    /// Where there is one query only: in so many parts.
    pub split: Option<(usize, Split)>,
}

/// The cache of `exercise.rs`: tiles of 64 tokens, four parts while it decodes.
#[must_use]
pub fn exercise() -> Box<dyn GuestCache> {
    guest(Attention { tile: 64, attend: exercise::attend, split: Some((4, exercise::attend_split)) })
}

/// The cache of `solution.rs`.
#[must_use]
pub fn solution() -> Box<dyn GuestCache> {
    guest(Attention { tile: 64, attend: solution::attend, split: Some((4, solution::attend_split)) })
}

/// Any of them.
#[must_use]
pub fn guest(attention: Attention) -> Box<dyn GuestCache> {
    let room = || Vec::with_capacity(CONTEXT * HEAD_DIM);
    let heads = (0..N_LAYER * N_HEAD).map(|_| Head { keys: room(), values: room() }).collect();
    Box::new(Guest { attention, heads })
}

struct Guest {
    attention: Attention,
    /// `[n_layer, n_head]`
    heads: Vec<Head>,
}

/// `[N, head_dim]` each: a tile of one head is one piece of memory.
struct Head {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl GuestCache for Guest {
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        for (i, (key, value)) in k.chunks_exact(HEAD_DIM).zip(v.chunks_exact(HEAD_DIM)).enumerate() {
            let head = &mut self.heads[layer * N_HEAD + i % N_HEAD];
            head.keys.extend_from_slice(key);
            head.values.extend_from_slice(value);
        }
    }

    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; q.len()];
        for i in 0..N_HEAD {
            let of_head = |rows: &[f32]| -> Vec<f32> {
                rows.chunks_exact(HEAD_DIM).skip(i).step_by(N_HEAD).flatten().copied().collect()
            };
            let (q, head) = (of_head(q), &self.heads[layer * N_HEAD + i]);
            let rows = Rows::new(&head.keys, &head.values, HEAD_DIM, self.attention.tile);
            let attended = match self.attention.split {
                Some((n_parts, split)) if q.len() == HEAD_DIM => split(&q, &rows, n_parts),
                _ => (self.attention.attend)(&q, &rows),
            };
            let places = out.chunks_exact_mut(HEAD_DIM).skip(i).step_by(N_HEAD);
            places.zip(attended.chunks_exact(HEAD_DIM)).for_each(|(place, row)| place.copy_from_slice(row));
        }
        out
    }

    fn bytes(&self) -> GuestBytes {
        let buffers = || self.heads.iter().flat_map(|head| [&head.keys, &head.values]);
        let bytes = |numbers: usize| (numbers * size_of::<f32>()) as u64;
        GuestBytes {
            reserved_bytes: bytes(buffers().map(Vec::capacity).sum()),
            used_bytes: bytes(buffers().map(Vec::len).sum()),
            copied_bytes: 0,
        }
    }
}
