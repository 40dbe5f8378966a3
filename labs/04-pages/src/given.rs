//! What the lab gives you: the data that your functions work on, and attention over rows wherever they lie. Nothing to change here.
//!
//! Rows are dense f32: one token's keys, or its values, of one layer are `[n_head, head_dim]`.

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

/// Blocks by number, from 0, and who holds them. No keys, no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// For each block, how many sequences have it in their tables: its reference count.
    pub holders: Vec<usize>,
    /// Those that nobody holds, each once, in any order.
    pub free: Vec<usize>,
}

impl Pool {
    /// `n_blocks` free blocks.
    #[must_use]
    pub fn new(n_blocks: usize) -> Self {
        Self { holders: vec![0; n_blocks], free: (0..n_blocks).collect() }
    }
}

/// A paged cache: a pool, and for each of its blocks the rows of `block_len` tokens in every layer.
pub struct Pages {
    pub shape: Shape,
    /// Tokens of a block.
    pub block_len: usize,
    pub pool: Pool,
    /// `[n_layer, n_blocks, block_len, n_head, head_dim]`.
    pub keys: Vec<f32>,
    /// As `keys`.
    pub values: Vec<f32>,
    /// Bytes of rows that were copied from one block to another.
    pub copied_bytes: u64,
}

impl Pages {
    /// All memory at once; every block is free.
    #[must_use]
    pub fn new(shape: Shape, n_blocks: usize, block_len: usize) -> Self {
        let numbers = vec![0.0; shape.n_layer * n_blocks * block_len * shape.row()];
        Self { shape, block_len, pool: Pool::new(n_blocks), keys: numbers.clone(), values: numbers, copied_bytes: 0 }
    }

    /// Where the row of `slot` begins in `keys`, and in `values`. A slot is a token's place among all blocks: block 3 of 16 tokens has the
    /// slots 48 to 63, in every layer.
    #[must_use]
    pub fn row_at(&self, layer: usize, slot: usize) -> usize {
        (layer * self.pool.holders.len() * self.block_len + slot) * self.shape.row()
    }

    /// Bytes of one block, over all layers.
    #[must_use]
    pub fn block_bytes(&self) -> u64 {
        self.block_len as u64 * self.shape.token_bytes()
    }
}

/// A text in the cache. It cannot be cloned: a second text with the same blocks is a fork, which has to be counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Its blocks, in the order of its tokens: the first holds the tokens `0..block_len`. All are full but for the last.
    pub table: Vec<usize>,
    /// Tokens.
    pub len: usize,
}

/// The rows of one token in one layer: keys and values, `[n_head, head_dim]` each, where they lie.
pub type Rows<'a> = (&'a [f32], &'a [f32]);

/// Attention of the newest `T` tokens, `q` `[T, n_head, head_dim]`, over all tokens of their sequence: the rows of each, in order, wherever
/// they lie. A query sees what stands before it and itself. Returns `[T, n_head, head_dim]`.
///
/// # Panics
/// There are more queries than rows.
#[must_use]
pub fn attention(shape: &Shape, q: &[f32], rows: &[Rows<'_>]) -> Vec<f32> {
    let n_queries = q.len() / shape.row();
    assert!(n_queries <= rows.len(), "{n_queries} queries and only {} rows: the new tokens have rows too", rows.len());
    let past = rows.len() - n_queries;
    let mut out = vec![0.0; q.len()];
    for (i, (q, out)) in q.chunks_exact(shape.row()).zip(out.chunks_exact_mut(shape.row())).enumerate() {
        one_query(shape, q, &rows[..=past + i], out);
    }
    out
}

/// Attention of one query over all of `rows`, added to `out`. Each row is read once, all heads of it.
fn one_query(shape: &Shape, q: &[f32], rows: &[Rows<'_>], out: &mut [f32]) {
    let Shape { n_head, head_dim, .. } = *shape;
    #[expect(clippy::cast_precision_loss, reason = "a head has few elements")]
    let scale = 1.0 / (head_dim as f32).sqrt();
    let dot = |(q, k): (&[f32], &[f32])| -> f32 { q.iter().zip(k).map(|(q, k)| q * k).sum() };
    let pairs = rows.iter().flat_map(|(key, _)| q.chunks_exact(head_dim).zip(key.chunks_exact(head_dim)));
    let scores: Vec<f32> = pairs.map(|pair| dot(pair) * scale).collect(); // [N, n_head]
    let of_head = |head| scores.iter().skip(head).step_by(n_head);
    let largest: Vec<f32> = (0..n_head).map(|head| of_head(head).copied().fold(f32::NEG_INFINITY, f32::max)).collect();
    let mut sums = vec![0.0; n_head];
    for (scores, (_, value)) in scores.chunks_exact(n_head).zip(rows) {
        for (head, value) in value.chunks_exact(head_dim).enumerate() {
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

/// What the blocks of a pool are good for at some moment, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Places in blocks that somebody holds.
    pub held: usize,
    /// Of those, with a token of some sequence in it.
    pub used: usize,
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
