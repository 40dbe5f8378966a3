//! WRONG: counts the heads of the queries, which are not stored. Right for GPT-2, eight times too much with grouped queries. Caught by
//! `grouped_queries_store_less`.

pub use crate::solution::{blocks, first_refusal, held_bytes, quantized_token_bytes, users_that_fit};

use crate::given::Shape;

#[must_use]
pub fn token_bytes(shape: &Shape, bits: u64) -> u64 {
    2 * shape.n_layer * shape.n_head * shape.head_dim * bits / 8
}
