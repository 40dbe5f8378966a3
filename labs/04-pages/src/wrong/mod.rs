//! Mistakes people make. Each file says what is wrong and which check catches it; the rest is the solution's.

pub mod copies_the_first_layer;
pub mod counts_shared_tokens_twice;
pub mod forgets_the_table;
pub mod forgets_to_count_the_copy;
pub mod forks_without_counting;
pub mod frees_twice;
pub mod frees_what_others_hold;
pub mod gives_back_the_last_block;
pub mod keeps_what_it_took;
pub mod takes_a_block_too_early;
pub mod writes_into_shared_blocks;
