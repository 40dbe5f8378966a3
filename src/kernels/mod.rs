//! How it is computed: rows of keys and values, the attention walk over them, the number of threads.
//!
//! The only room that may hold `unsafe`. It knows slices and numbers, no
//! tensors, no files, no sequences.

pub mod buffer;
pub mod codec;
mod columns;
pub mod cuda;
pub mod gelu;
pub mod hadamard;
pub mod linear;
pub mod norm;
pub mod peak;
pub mod reference;
mod runs;
pub mod simd;
mod softmax;
pub mod thread_pool;
pub mod threads;
mod tiles;
pub mod walk;

/// The shape of one layer's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads; divides `n_head` (equal to it in GPT-2, fewer with grouped queries).
    pub n_kv_head: usize,
    /// Elements of one head's row.
    pub head_dim: usize,
}

impl HeadShape {
    /// The key and value head that query head `head` reads.
    #[must_use]
    pub fn kv_head(&self, head: usize) -> usize {
        head / (self.n_head / self.n_kv_head)
    }
}
