//! Shapes of models, given. Nothing to change here.

/// What of a model decides the size of its KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub n_layer: u64,
    /// Heads of the queries.
    pub n_head: u64,
    /// Heads of keys and values; with grouped queries fewer than `n_head`.
    pub n_kv_head: u64,
    pub head_dim: u64,
}

/// The model in this repository.
pub const STORY: Shape = Shape { n_layer: 5, n_head: 6, n_kv_head: 6, head_dim: 32 };
/// GPT-2 with 124 million parameters.
pub const GPT2: Shape = Shape { n_layer: 12, n_head: 12, n_kv_head: 12, head_dim: 64 };
/// Llama 2 with 7 billion parameters (Touvron et al., 2023).
pub const LLAMA_7B: Shape = Shape { n_layer: 32, n_head: 32, n_kv_head: 32, head_dim: 128 };
/// Llama 2 with 70 billion parameters: eight queries share one head of keys and values.
pub const LLAMA_70B: Shape = Shape { n_layer: 80, n_head: 64, n_kv_head: 8, head_dim: 128 };

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;
