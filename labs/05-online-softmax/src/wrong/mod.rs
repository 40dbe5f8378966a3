//! Mistakes people make. Each file says what is wrong and which check catches it; the rest is the solution's.

pub mod averages_the_parts;
pub mod begins_at_zero;
pub mod divides_by_nothing;
pub mod divides_every_tile;
pub mod drops_the_last_tile;
pub mod drops_the_rest;
pub mod keeps_the_old_scale;
pub mod merges_as_they_are;
pub mod merges_nothing_into_nan;
pub mod poisons_itself;
pub mod rescales_the_sum_only;
pub mod sees_the_whole_chunk;
pub mod subtracts_nothing;
