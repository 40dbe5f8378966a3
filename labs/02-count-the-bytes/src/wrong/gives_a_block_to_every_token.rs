//! WRONG: takes a block for every token, and not only for one that no block has room for. Caught by `room_in_the_last_block_is_used`.

pub use crate::solution::{blocks, held_bytes, quantized_token_bytes, token_bytes, users_that_fit};

#[must_use]
pub fn first_refusal(n_blocks: u64, block_len: u64, prompts: &[u64], rounds: u64) -> Option<(u64, usize)> {
    let mut free = n_blocks - prompts.iter().map(|&tokens| blocks(tokens, block_len)).sum::<u64>();
    for round in 0..rounds {
        for user in 0..prompts.len() {
            if free == 0 {
                return Some((round, user));
            }
            free -= 1;
        }
    }
    None
}
