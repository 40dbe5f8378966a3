//! WRONG: divides the whole memory among users, as if the model itself took none. Caught by `the_weights_come_first`.

pub use crate::solution::{blocks, first_refusal, held_bytes, quantized_token_bytes, token_bytes};

#[must_use]
pub fn users_that_fit(memory_bytes: u64, _weight_bytes: u64, user_bytes: u64) -> u64 {
    memory_bytes / user_bytes
}
