//! Your file. Each `todo!` says what belongs there; `README.md` explains the tasks in this order.
//!
//! Rows are dense f32, token after token: `[T, n_head, head_dim]`, so a token is `shape.row()` numbers.

use anyhow::{Result, ensure};

use crate::given::{Shape, attention};

/// Task 1: bytes that concatenation writes for a prompt of `prompt` tokens in one pass and `new` more tokens, one in a pass. Each pass
/// writes all tokens so far, the new ones too; a token's keys and values have `token_bytes`, over all layers.
pub fn concat_copied_bytes(prompt: u64, new: u64, token_bytes: u64) -> u64 {
    todo!("task 1, concat_copied_bytes: every pass writes all tokens so far; add the passes up")
}

/// Keys and values with room for `capacity` tokens in each layer.
pub struct Cache {
    pub shape: Shape,
    pub capacity: usize,
    /// `[n_layer, capacity, n_head, head_dim]`, whole from the start.
    pub keys: Vec<f32>,
    /// As `keys`.
    pub values: Vec<f32>,
    /// For each layer, how many tokens are in it.
    pub filled: Vec<usize>,
}

impl Cache {
    /// Task 2: takes all memory, zeros, and holds no token.
    pub fn new(shape: Shape, capacity: usize) -> Self {
        todo!("task 2, new: both buffers whole, and no token in any layer")
    }

    /// Task 2: puts the keys and values `[T, n_head, head_dim]` of new tokens behind those of `layer`. Where they do not all fit it is an
    /// error that names the capacity, and nothing has changed.
    pub fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) -> Result<()> {
        todo!("task 2, append: refuse what does not fit; else write at the offset of the layer's next token")
    }

    /// Task 3: the keys and values of `layer`, `[N, n_head, head_dim]` each, of the `N` tokens that are in it.
    pub fn rows(&self, layer: usize) -> (&[f32], &[f32]) {
        todo!("task 3, rows: views of what is filled, and of no more")
    }
}

/// Task 4: how many keys the query in row `i` of some new tokens sees, which stand behind `past` others.
pub fn visible(past: usize, i: usize) -> usize {
    todo!("task 4, visible: all of the past, and of the new tokens those up to its own")
}

/// Task 4: attention of `q` `[T, n_head, head_dim]` over `layer`, to which the keys and values of these same `T` tokens were appended just now.
/// Returns `[T, n_head, head_dim]`.
pub fn attend(cache: &Cache, layer: usize, q: &[f32]) -> Vec<f32> {
    todo!("task 4, attend: `attention` from given.rs, over your rows, with your mask")
}

/// Task 5: runs those of `tokens` that are not cached yet, which are all but the first `cached`, at most `chunk` in a pass. `run(part, past)`
/// is a pass: it runs `part` behind `past` others and returns the token that follows. Returns that of the last pass, or `None` if there was
/// nothing to run. An error of `run` ends it.
pub fn prefill(
    tokens: &[u32],
    cached: usize,
    chunk: usize,
    run: &mut dyn FnMut(&[u32], usize) -> Result<u32>,
) -> Result<Option<u32>> {
    todo!("task 5, prefill: run each token that is not cached once, in order; `past` is what stands before it")
}

impl Cache {
    /// Task 6: forgets all but the first `n_tokens` of every layer. A layer with fewer stays as it is. No key and no value is touched.
    pub fn truncate(&mut self, n_tokens: usize) {
        todo!("task 6, truncate: only the lengths change, and none grows")
    }
}
