//! WRONG: counts one scale for a head, however small its groups are. Caught by `every_group_has_a_scale`.

pub use crate::solution::{blocks, first_refusal, held_bytes, token_bytes, users_that_fit};

use crate::given::Shape;

#[must_use]
pub fn quantized_token_bytes(shape: &Shape, bits: u64, _group: u64, scale_bits: u64) -> u64 {
    2 * shape.n_layer * shape.n_kv_head * (shape.head_dim * bits + scale_bits) / 8
}
