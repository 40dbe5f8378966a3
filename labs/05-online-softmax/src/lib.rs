//! Lab 05: online softmax. Start with `README.md`.

#![allow(clippy::missing_errors_doc, reason = "every error says itself what to do")]

pub mod given;

#[allow(unused_variables, unused_imports, dead_code, reason = "an exercise does not use its arguments yet")]
#[allow(clippy::all, clippy::pedantic, reason = "the learner's own style is welcome")]
pub mod exercise;

pub mod mine;
pub mod show;
pub mod solution;
pub mod wrong;

labkit::variants! {
    exercise = exercise;
    solution = solution;
    subtracts_nothing = wrong::subtracts_nothing, caught_by "scores_of_a_thousand_stay_finite";
    begins_at_zero = wrong::begins_at_zero, caught_by "an_empty_state_has_seen_nothing";
    divides_every_tile = wrong::divides_every_tile, caught_by "one_tile_is_summed_against_its_largest";
    keeps_the_old_scale = wrong::keeps_the_old_scale, caught_by "a_larger_score_rescales_what_was_there";
    rescales_the_sum_only = wrong::rescales_the_sum_only, caught_by "a_larger_score_rescales_what_was_there";
    poisons_itself = wrong::poisons_itself, caught_by "a_masked_tile_changes_nothing";
    divides_by_nothing = wrong::divides_by_nothing, caught_by "nothing_seen_gives_zeros";
    drops_the_last_tile = wrong::drops_the_last_tile, caught_by "every_token_is_read_once";
    sees_the_whole_chunk = wrong::sees_the_whole_chunk, caught_by "a_query_reads_no_later_token";
    merges_as_they_are = wrong::merges_as_they_are, caught_by "two_halves_give_the_whole";
    merges_nothing_into_nan = wrong::merges_nothing_into_nan, caught_by "an_empty_state_is_neutral";
    drops_the_rest = wrong::drops_the_rest, caught_by "parts_hold_every_token_once";
    averages_the_parts = wrong::averages_the_parts, caught_by "any_number_of_parts_gives_the_definition";
}

/// This lab.
pub static LAB: labkit::Lab = labkit::Lab {
    number: 5,
    title: "Online softmax",
    readme: include_str!("../README.md"),
    hints: include_str!("../hints.md"),
    variants: VARIANTS,
    next: "Now see what it holds, and how long it takes: cargo run --release -p lab05 -- show",
    show: show::show,
    window: labkit::Window {
        lanes: "contiguous,mine",
        pane: "Cost",
        tokens: 300,
        mine: Some(labkit::Mine {
            exercise: |shape| labkit::for_story(shape, mine::exercise),
            solution: |shape| labkit::for_story(shape, mine::solution),
        }),
    },
};
