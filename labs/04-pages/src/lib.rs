//! Lab 04: pages. Start with `README.md`.

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
    frees_what_others_hold = wrong::frees_what_others_hold, caught_by "a_block_is_free_after_its_last_holder";
    frees_twice = wrong::frees_twice, caught_by "what_nobody_holds_cannot_be_given_back";
    takes_a_block_too_early = wrong::takes_a_block_too_early, caught_by "a_block_is_taken_when_the_last_is_full";
    keeps_what_it_took = wrong::keeps_what_it_took, caught_by "what_does_not_fit_takes_nothing";
    forgets_the_table = wrong::forgets_the_table, caught_by "a_slot_goes_through_the_table";
    forks_without_counting = wrong::forks_without_counting, caught_by "a_fork_shares_every_block";
    writes_into_shared_blocks = wrong::writes_into_shared_blocks, caught_by "only_a_shared_block_with_room_is_copied";
    copies_the_first_layer = wrong::copies_the_first_layer, caught_by "the_parent_keeps_its_rows";
    forgets_to_count_the_copy = wrong::forgets_to_count_the_copy, caught_by "a_copy_that_does_not_fit_changes_nothing";
    gives_back_the_last_block = wrong::gives_back_the_last_block, caught_by "truncation_keeps_the_block_it_ends_in";
    counts_shared_tokens_twice = wrong::counts_shared_tokens_twice, caught_by "what_is_shared_counts_once";
}

/// This lab.
pub static LAB: labkit::Lab = labkit::Lab {
    number: 4,
    title: "Pages",
    readme: include_str!("../README.md"),
    hints: include_str!("../hints.md"),
    variants: VARIANTS,
    next: "Now run the story model over your pages: cargo run --release -p lab04 -- show",
    show: show::show,
    window: labkit::Window {
        lanes: "contiguous,paged:16,mine",
        pane: "Cost",
        tokens: 300,
        mine: Some(labkit::Mine {
            exercise: |shape| labkit::for_story(shape, mine::exercise),
            solution: |shape| labkit::for_story(shape, mine::solution),
        }),
    },
};
