//! Lab 07: forget. Start with `README.md`.

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
    takes_the_sinks_off_the_window = wrong::takes_the_sinks_off_the_window, caught_by "sinks_and_the_newest_stay";
    lists_a_slot_twice = wrong::lists_a_slot_twice, caught_by "a_short_text_stays_whole";
    masks_the_prompt = wrong::masks_the_prompt, caught_by "a_prompt_sees_all_before";
    counts_itself_among_the_recent = wrong::counts_itself_among_the_recent, caught_by "the_mask_is_what_eviction_leaves";
    puts_the_last_into_the_hole = wrong::puts_the_last_into_the_hole, caught_by "rows_close_up_in_order";
    counts_all_that_stays = wrong::counts_all_that_stays, caught_by "only_rows_that_change_their_slot_are_moved";
    forgets_the_scores = wrong::forgets_the_scores, caught_by "every_table_forgets_the_same";
    renumbers_the_positions = wrong::renumbers_the_positions, caught_by "every_table_forgets_the_same";
    evicts_in_one_layer = wrong::evicts_in_one_layer, caught_by "every_table_forgets_the_same";
    keeps_the_last_query_only = wrong::keeps_the_last_query_only, caught_by "every_query_counts";
    begins_anew = wrong::begins_anew, caught_by "scores_go_on_from_pass_to_pass";
    lets_the_newest_compete = wrong::lets_the_newest_compete, caught_by "the_heaviest_and_the_newest_stay";
    keeps_the_lightest = wrong::keeps_the_lightest, caught_by "the_heaviest_and_the_newest_stay";
    keeps_the_order_of_scores = wrong::keeps_the_order_of_scores, caught_by "slots_stay_in_the_order_of_the_text";
    counts_the_whole_budget = wrong::counts_the_whole_budget, caught_by "a_short_text_takes_what_it_has";
    forgets_the_prompt = wrong::forgets_the_prompt, caught_by "a_pass_holds_its_new_tokens_too";
}

/// This lab.
pub static LAB: labkit::Lab = labkit::Lab {
    number: 7,
    title: "Forget",
    readme: include_str!("../README.md"),
    hints: include_str!("../hints.md"),
    variants: VARIANTS,
    next: "Now see what is forgotten: cargo run --release -p lab07 -- show",
    show: show::show,
    window: labkit::Window {
        lanes: "contiguous,paged:16+window:4/60,paged:16+h2o:32/32,mine",
        pane: "Blocks",
        tokens: 300,
        mine: Some(labkit::Mine {
            exercise: |shape| labkit::for_story(shape, mine::exercise),
            solution: |shape| labkit::for_story(shape, mine::solution),
        }),
    },
};
