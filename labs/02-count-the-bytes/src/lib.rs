//! Lab 02: count the bytes. Start with `README.md`.

#![allow(clippy::missing_errors_doc, reason = "every error says itself what to do")]

pub mod given;

#[allow(unused_variables, unused_imports, dead_code, reason = "an exercise does not use its arguments yet")]
#[allow(clippy::all, clippy::pedantic, reason = "the learner's own style is welcome")]
pub mod exercise;

pub mod show;
pub mod solution;
pub mod wrong;

labkit::variants! {
    exercise = exercise;
    solution = solution;
    forgets_the_values = wrong::forgets_the_values, caught_by "a_token_of_gpt2";
    counts_the_heads_of_queries = wrong::counts_the_heads_of_queries, caught_by "grouped_queries_store_less";
    one_scale_for_a_head = wrong::one_scale_for_a_head, caught_by "every_group_has_a_scale";
    forgets_the_last_block = wrong::forgets_the_last_block, caught_by "a_block_that_is_begun_counts";
    forgets_the_weights = wrong::forgets_the_weights, caught_by "the_weights_come_first";
    gives_a_block_to_every_token = wrong::gives_a_block_to_every_token, caught_by "room_in_the_last_block_is_used";
}

/// This lab.
pub static LAB: labkit::Lab = labkit::Lab {
    number: 2,
    title: "Count the bytes",
    readme: include_str!("../README.md"),
    hints: include_str!("../hints.md"),
    variants: VARIANTS,
    next: "Now hold your numbers against real caches: cargo run --release -p lab02 -- show",
    show: show::show,
    window: labkit::Window { lanes: "contiguous,paged:16,paged:16+int8", pane: "Plan", tokens: 100, mine: None },
};
