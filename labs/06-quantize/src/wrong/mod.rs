//! Mistakes people make. Each file says what is wrong and which check catches it; the rest is the solution's.

pub mod bounds_by_a_whole_step;
pub mod counts_the_codes_only;
pub mod cuts_off;
pub mod divides_by_16;
pub mod forgets_the_minimum;
pub mod forgets_the_sign;
pub mod limits_the_scale;
pub mod scales_by_row;
pub mod seals_at_once;
pub mod seals_the_newest;
pub mod swaps_the_nibbles;
