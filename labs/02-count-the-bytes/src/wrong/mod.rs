//! Mistakes people make. Each file says what is wrong and which check catches it; the rest is the solution's.

pub mod counts_the_heads_of_queries;
pub mod forgets_the_last_block;
pub mod forgets_the_values;
pub mod forgets_the_weights;
pub mod gives_a_block_to_every_token;
pub mod one_scale_for_a_head;
