//! What the lab gives you: sizes, attention over rows, and the cache that you replace. Nothing to change here.
//!
//! Rows are dense f32, token after token: `[T, n_head, head_dim]`.

use kvlab::cache::{GuestBytes, GuestCache};

/// Sizes of a model's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub n_layer: usize,
    pub n_head: usize,
    pub head_dim: usize,
}

/// The model in this repository.
pub const STORY: Shape = Shape { n_layer: 5, n_head: 6, head_dim: 32 };
/// The tokens it can look back on.
pub const CONTEXT: usize = 1024;

impl Shape {
    /// Numbers in one token's keys of one layer; its values have as many.
    #[must_use]
    pub const fn row(&self) -> usize {
        self.n_head * self.head_dim
    }

    /// Bytes of one token's keys and values, over all layers.
    #[must_use]
    pub const fn token_bytes(&self) -> u64 {
        (2 * self.n_layer * self.row() * size_of::<f32>()) as u64
    }
}

/// Keys and values by concatenation, as programs have it that call `cat` once a layer and token.
pub struct Concat {
    shape: Shape,
    /// For each layer `[N, n_head, head_dim]` of the `N` tokens so far, and no more.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    /// Bytes written into new buffers, rows that are new included.
    pub copied_bytes: u64,
}

impl Concat {
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let empty = vec![vec![]; shape.n_layer];
        Self { shape, keys: empty.clone(), values: empty, copied_bytes: 0 }
    }
}

impl GuestCache for Concat {
    /// Makes a new buffer of everything old and everything new.
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        for (rows, new) in [(&mut self.keys[layer], k), (&mut self.values[layer], v)] {
            *rows = [rows.as_slice(), new].concat();
            self.copied_bytes += size_of_val(rows.as_slice()) as u64;
        }
    }

    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32> {
        let (keys, values) = (&self.keys[layer], &self.values[layer]);
        let past = (keys.len() - q.len()) / self.shape.row();
        attention(&self.shape, q, keys, values, |i| past + i + 1)
    }

    fn bytes(&self) -> GuestBytes {
        let bytes = self.keys.iter().chain(&self.values).map(|rows| size_of_val(rows.as_slice()) as u64).sum();
        GuestBytes { reserved_bytes: bytes, used_bytes: bytes, copied_bytes: self.copied_bytes }
    }
}

/// Attention of `T` queries `q` `[T, n_head, head_dim]` over `keys` and `values` `[N, n_head, head_dim]`: the query in row `i` sees the
/// first `visible(i)` of them. Returns `[T, n_head, head_dim]`.
///
/// # Panics
/// A query sees no key, or more than there are.
pub fn attention(shape: &Shape, q: &[f32], keys: &[f32], values: &[f32], visible: impl Fn(usize) -> usize) -> Vec<f32> {
    let (n_queries, n_keys) = (q.len() / shape.row(), keys.len() / shape.row());
    let mut out = vec![0.0; q.len()];
    let rows = q.chunks_exact(shape.row()).zip(out.chunks_exact_mut(shape.row()));
    for (i, (q, out)) in rows.enumerate() {
        let sees = visible(i);
        assert!(
            (1..=n_keys).contains(&sees),
            "query {i} of {n_queries} is to see {sees} of {n_keys} keys; it sees at least its own and no more than there are. The \
             cache holds the new tokens already when attention begins"
        );
        one_query(shape, q, &keys[..sees * shape.row()], &values[..sees * shape.row()], out);
    }
    out
}

/// Attention of one query over all of `keys` and `values`, added to `out`. Each row is read once, all heads of it, so that memory is one stream.
fn one_query(shape: &Shape, q: &[f32], keys: &[f32], values: &[f32], out: &mut [f32]) {
    let Shape { n_head, head_dim, .. } = *shape;
    #[expect(clippy::cast_precision_loss, reason = "a head has few elements")]
    let scale = 1.0 / (head_dim as f32).sqrt();
    let dot = |(q, k): (&[f32], &[f32])| -> f32 { q.iter().zip(k).map(|(q, k)| q * k).sum() };
    let rows = keys.chunks_exact(shape.row());
    let pairs = rows.flat_map(|key| q.chunks_exact(head_dim).zip(key.chunks_exact(head_dim)));
    let scores: Vec<f32> = pairs.map(|pair| dot(pair) * scale).collect(); // [N, n_head]
    let of_head = |head| scores.iter().skip(head).step_by(n_head);
    let largest: Vec<f32> = (0..n_head).map(|head| of_head(head).copied().fold(f32::NEG_INFINITY, f32::max)).collect();
    let mut sums = vec![0.0; n_head];
    for (scores, row) in scores.chunks_exact(n_head).zip(values.chunks_exact(shape.row())) {
        for (head, value) in row.chunks_exact(head_dim).enumerate() {
            let weight = (scores[head] - largest[head]).exp();
            sums[head] += weight;
            for (out, v) in out[head * head_dim..][..head_dim].iter_mut().zip(value) {
                *out += weight * v;
            }
        }
    }
    for (out, sum) in out.chunks_exact_mut(head_dim).zip(&sums) {
        for out in out {
            *out /= sum;
        }
    }
}

/// Numbers from a seed, the same every time (xorshift64).
pub struct Noise(u64);

impl Noise {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) as usize) % n
    }

    /// Numbers from -1 to 1.
    #[expect(clippy::cast_precision_loss, reason = "20 bits fit")]
    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0).collect()
    }
}
