//! Lab 03: grow in place. Start with `README.md`.

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
    counts_what_is_new = wrong::counts_what_is_new, caught_by "the_formula_counts_what_concat_copies";
    mixes_the_layers = wrong::mixes_the_layers, caught_by "a_row_lies_at_its_offset";
    stores_what_fits = wrong::stores_what_fits, caught_by "a_full_cache_refuses_and_changes_nothing";
    shows_what_is_reserved = wrong::shows_what_is_reserved, caught_by "rows_are_what_is_filled";
    masks_without_the_past = wrong::masks_without_the_past, caught_by "a_query_sees_the_past_and_itself";
    counts_the_new_as_past = wrong::counts_the_new_as_past, caught_by "chunks_attend_as_the_definition_says";
    drops_the_rest = wrong::drops_the_rest, caught_by "every_token_is_run_once";
    truncates_the_memory = wrong::truncates_the_memory, caught_by "truncation_touches_no_memory";
    lets_layers_grow = wrong::lets_layers_grow, caught_by "no_layer_grows_by_truncation";
}

/// This lab.
pub static LAB: labkit::Lab = labkit::Lab {
    number: 3,
    title: "Grow in place",
    readme: include_str!("../README.md"),
    hints: include_str!("../hints.md"),
    variants: VARIANTS,
    next: "Now run the story model over your cache: cargo run --release -p lab03 -- show",
    show: show::show,
    window: labkit::Window {
        lanes: "concat,contiguous,mine",
        pane: "Cost",
        tokens: 300,
        mine: Some(labkit::Mine {
            exercise: |shape| labkit::for_story(shape, mine::exercise),
            solution: |shape| labkit::for_story(shape, mine::solution),
        }),
    },
};
