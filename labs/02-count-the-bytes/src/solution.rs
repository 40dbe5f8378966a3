//! One way to do it.

use crate::given::Shape;

#[must_use]
pub fn token_bytes(shape: &Shape, bits: u64) -> u64 {
    2 * shape.n_layer * shape.n_kv_head * shape.head_dim * bits / 8
}

#[must_use]
pub fn quantized_token_bytes(shape: &Shape, bits: u64, group: u64, scale_bits: u64) -> u64 {
    let head_bits = shape.head_dim * bits + shape.head_dim / group * scale_bits;
    2 * shape.n_layer * shape.n_kv_head * head_bits / 8
}

#[must_use]
pub fn blocks(tokens: u64, block_len: u64) -> u64 {
    tokens.div_ceil(block_len)
}

#[must_use]
pub fn held_bytes(lengths: &[u64], block_len: u64, token_bytes: u64) -> u64 {
    lengths.iter().map(|&tokens| blocks(tokens, block_len)).sum::<u64>() * block_len * token_bytes
}

#[must_use]
pub fn users_that_fit(memory_bytes: u64, weight_bytes: u64, user_bytes: u64) -> u64 {
    memory_bytes.saturating_sub(weight_bytes) / user_bytes
}

#[must_use]
pub fn first_refusal(n_blocks: u64, block_len: u64, prompts: &[u64], rounds: u64) -> Option<(u64, usize)> {
    let mut lengths = prompts.to_vec();
    let mut free = n_blocks - lengths.iter().map(|&tokens| blocks(tokens, block_len)).sum::<u64>();
    for round in 0..rounds {
        for (user, tokens) in lengths.iter_mut().enumerate() {
            if tokens.is_multiple_of(block_len) {
                if free == 0 {
                    return Some((round, user));
                }
                free -= 1;
            }
            *tokens += 1;
        }
    }
    None
}
