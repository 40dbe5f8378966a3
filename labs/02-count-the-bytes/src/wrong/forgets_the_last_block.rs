//! WRONG: a block that is begun is not counted. Caught by `a_block_that_is_begun_counts`.

pub use crate::solution::{first_refusal, quantized_token_bytes, token_bytes, users_that_fit};

#[must_use]
pub fn blocks(tokens: u64, block_len: u64) -> u64 {
    tokens / block_len
}

#[must_use]
pub fn held_bytes(lengths: &[u64], block_len: u64, token_bytes: u64) -> u64 {
    lengths.iter().map(|&tokens| blocks(tokens, block_len)).sum::<u64>() * block_len * token_bytes
}
