//! WRONG: counts keys only. Values take as much. Caught by `a_token_of_gpt2`.

pub use crate::solution::{blocks, first_refusal, held_bytes, quantized_token_bytes, users_that_fit};

use crate::given::Shape;

#[must_use]
pub fn token_bytes(shape: &Shape, bits: u64) -> u64 {
    shape.n_layer * shape.n_kv_head * shape.head_dim * bits / 8
}
