//! Lab 08: read the plot. Start with `README.md`.

#![allow(clippy::missing_errors_doc, reason = "every error says itself what to do")]

pub mod given;

#[allow(unused_variables, unused_imports, dead_code, reason = "an exercise does not use its arguments yet")]
#[allow(clippy::all, clippy::pedantic, reason = "the learner's own style is welcome")]
pub mod exercise;

pub mod facts;
pub mod graded;
pub mod record;
pub mod show;
pub mod solution;
pub mod wrong;

labkit::variants! {
    exercise = exercise;
    solution = solution;
    takes_the_mean = wrong::takes_the_mean, caught_by "one_slow_token_changes_nothing";
    divides_by_all_tokens = wrong::divides_by_all_tokens, caught_by "a_straight_line_rises_by_its_slope";
    counts_slow_tokens_anywhere = wrong::counts_slow_tokens_anywhere, caught_by "warm_up_ends_with_five_in_a_row";
    leaves_out_one_token = wrong::leaves_out_one_token, caught_by "warm_up_ends_with_five_in_a_row";
    takes_the_first_token_for_no_text = wrong::takes_the_first_token_for_no_text, caught_by "the_line_is_drawn_to_length_0";
    takes_the_counter = wrong::takes_the_counter, caught_by "a_counter_becomes_differences";
    measures_the_peak = wrong::measures_the_peak, caught_by "chats_are_compared_at_their_starts";
    looks_at_one_lane = wrong::looks_at_one_lane, caught_by "both_must_be_slow";
    calls_reserve_a_leak = wrong::calls_reserve_a_leak, caught_by "trace_a";
    shows_copies_by_time = wrong::shows_copies_by_time, caught_by "trace_b";
    blames_the_cache_for_the_neighbour = wrong::blames_the_cache_for_the_neighbour, caught_by "trace_c";
    takes_every_rise_for_a_copy = wrong::takes_every_rise_for_a_copy, caught_by "trace_d";
    sees_one_chat_only = wrong::sees_one_chat_only, caught_by "trace_e";
    counts_warm_up_in = wrong::counts_warm_up_in, caught_by "trace_f";
    waits_for_a_long_text = wrong::waits_for_a_long_text, caught_by "trace_g";
}

/// This lab.
pub static LAB: labkit::Lab = labkit::Lab {
    number: 8,
    title: "Read the plot",
    readme: include_str!("../README.md"),
    hints: include_str!("../hints.md"),
    variants: VARIANTS,
    next: "Now plant a fault of your own: README.md, at the end, says how traces are recorded",
    show: show::show,
    window: labkit::Window { lanes: "concat,contiguous", pane: "Cost", tokens: 600, mine: None },
};
