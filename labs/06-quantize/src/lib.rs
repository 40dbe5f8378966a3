//! Lab 06: quantize. Start with `README.md`.

#![allow(clippy::missing_errors_doc, reason = "every error says itself what to do")]

pub mod given;

#[allow(unused_variables, unused_imports, dead_code, reason = "an exercise does not use its arguments yet")]
#[allow(clippy::all, clippy::pedantic, reason = "the learner's own style is welcome")]
pub mod exercise;

pub mod mine;
pub mod show;
pub mod solution;
pub mod stored;
pub mod wrong;

labkit::variants! {
    exercise = exercise;
    solution = solution;
    cuts_off = wrong::cuts_off, caught_by "codes_are_the_nearest";
    forgets_the_sign = wrong::forgets_the_sign, caught_by "the_scale_is_of_the_largest_absolute";
    limits_the_scale = wrong::limits_the_scale, caught_by "small_rows_keep_their_digits";
    bounds_by_a_whole_step = wrong::bounds_by_a_whole_step, caught_by "the_bound_is_half_a_step";
    scales_by_row = wrong::scales_by_row, caught_by "each_channel_has_its_scale";
    swaps_the_nibbles = wrong::swaps_the_nibbles, caught_by "the_even_number_is_the_low_nibble";
    divides_by_16 = wrong::divides_by_16, caught_by "the_even_number_is_the_low_nibble";
    forgets_the_minimum = wrong::forgets_the_minimum, caught_by "a_nibble_is_so_many_scales_above_min";
    seals_at_once = wrong::seals_at_once, caught_by "the_newest_stay_out";
    seals_the_newest = wrong::seals_the_newest, caught_by "groups_are_sealed_once_and_in_order";
    counts_the_codes_only = wrong::counts_the_codes_only, caught_by "scales_are_bytes_too";
}

/// This lab.
pub static LAB: labkit::Lab = labkit::Lab {
    number: 6,
    title: "Quantize",
    readme: include_str!("../README.md"),
    hints: include_str!("../hints.md"),
    variants: VARIANTS,
    next: "Now weigh loss against bytes: cargo run --release -p lab06 -- show",
    show: show::show,
    window: labkit::Window {
        lanes: "contiguous,paged:16+int8,mine",
        pane: "Cost",
        tokens: 300,
        mine: Some(labkit::Mine {
            exercise: |shape| labkit::for_story(shape, mine::exercise),
            solution: |shape| labkit::for_story(shape, mine::solution),
        }),
    },
};
