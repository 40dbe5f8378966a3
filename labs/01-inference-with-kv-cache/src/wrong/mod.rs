//! Mistakes people make. Each file says what is wrong and which check catches it; what is right comes from the solution.
//!
//! The checks stop after the first task that fails, so a file changes one task and nothing above it.

pub mod feeds_an_old_token;
pub mod forgets_the_offset;
pub mod forgets_the_scale;
pub mod masks_without_the_past;
pub mod mixes_the_layers;
pub mod overwrites_the_cache;
pub mod runs_the_last_token_only;
pub mod runs_the_prompt_again;
pub mod sees_the_whole_chunk;
