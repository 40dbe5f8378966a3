//! Your file. Each `todo!` says what belongs there; `README.md` explains the tasks in this order.
//!
//! Sizes are bytes in `u64`. Nothing here needs floating point.

use crate::given::Shape;

/// Task 1: bytes of one token's keys and values, over all layers. `bits` is the size of one number: 32, 16 or 8.
pub fn token_bytes(shape: &Shape, bits: u64) -> u64 {
    todo!("task 1, token_bytes: keys and values, of every layer, of every head that stores some")
}

/// Task 2: the same, where every `group` numbers of a head share one scale of `scale_bits`. `group` divides `head_dim`, and a token has
/// a whole number of bytes.
pub fn quantized_token_bytes(shape: &Shape, bits: u64, group: u64, scale_bits: u64) -> u64 {
    todo!("task 2, quantized_token_bytes: the numbers of task 1, and a scale for every `group` of them")
}

/// Task 3: blocks that hold `tokens` tokens, `block_len` in each. No tokens need no block.
pub fn blocks(tokens: u64, block_len: u64) -> u64 {
    todo!("task 3, blocks: a block that is begun counts whole")
}

/// Task 3: bytes that users with these many tokens hold in a paged cache.
pub fn held_bytes(lengths: &[u64], block_len: u64, token_bytes: u64) -> u64 {
    todo!("task 3, held_bytes: each user has blocks of its own; a block is block_len x token_bytes")
}

/// Task 4: users that fit into a memory which holds the weights as well, if each takes `user_bytes` (at least 1).
pub fn users_that_fit(memory_bytes: u64, weight_bytes: u64, user_bytes: u64) -> u64 {
    todo!("task 4, users_that_fit: what the weights leave, divided; no user where the weights alone do not fit")
}

/// Task 5: the first token that is refused, as (round, user), both from 0; `None` if there is none in `rounds` rounds.
///
/// The pool has `n_blocks` blocks, and every user holds the blocks of its prompt (they fit). In each round every user, in order, gets one more
/// token; who needs a block when none is free is refused.
pub fn first_refusal(n_blocks: u64, block_len: u64, prompts: &[u64], rounds: u64) -> Option<(u64, usize)> {
    todo!("task 5, first_refusal: keep each user's length and the free blocks, round by round")
}
