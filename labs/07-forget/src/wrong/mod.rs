//! Mistakes people make. Each file says what is wrong and which check catches it; the rest is the solution's.

pub mod begins_anew;
pub mod counts_all_that_stays;
pub mod counts_itself_among_the_recent;
pub mod counts_the_whole_budget;
pub mod evicts_in_one_layer;
pub mod forgets_the_prompt;
pub mod forgets_the_scores;
pub mod keeps_the_last_query_only;
pub mod keeps_the_lightest;
pub mod keeps_the_order_of_scores;
pub mod lets_the_newest_compete;
pub mod lists_a_slot_twice;
pub mod masks_the_prompt;
pub mod puts_the_last_into_the_hole;
pub mod renumbers_the_positions;
pub mod takes_the_sinks_off_the_window;
