//! Mistakes people make, in the numbers and in what is read from them. Each file says what is wrong and which check catches it; the rest is the
//! solution's.

pub mod blames_the_cache_for_the_neighbour;
pub mod calls_reserve_a_leak;
pub mod counts_slow_tokens_anywhere;
pub mod counts_warm_up_in;
pub mod divides_by_all_tokens;
pub mod leaves_out_one_token;
pub mod looks_at_one_lane;
pub mod measures_the_peak;
pub mod sees_one_chat_only;
pub mod shows_copies_by_time;
pub mod takes_every_rise_for_a_copy;
pub mod takes_the_counter;
pub mod takes_the_first_token_for_no_text;
pub mod takes_the_mean;
pub mod waits_for_a_long_text;
