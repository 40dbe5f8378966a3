//! The lab keeps its promises.

use labkit::story::{PROMPT, Story};

#[test]
fn the_solution_passes_mistakes_are_caught_and_the_exercise_is_red_for_the_stated_reason() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    lab06::LAB.keeps_its_promises(folder).expect("kept");
}

#[test]
fn the_cache_that_is_shown_tells_a_story() {
    let story = Story::load().expect("embedded");
    let tokens = story.generate(lab06::mine::solution().as_mut(), PROMPT, 9, 40).expect("a run");
    assert!(story.text(&tokens).expect("text").len() > 80);
}

#[test]
fn show_measures_every_format() {
    let mut out = vec![];
    let size = lab06::show::Size { stories: 1, tokens: 70, new: 4 };
    lab06::show::tables("solution", size, &mut out).expect("shown");
    let out = String::from_utf8(out).expect("utf8");
    for said in ["7680", "3840", "2160", "1440", "+0.00000 +- 0.00000", "4 of 4"] {
        assert!(out.contains(said), "no `{said}` in\n{out}");
    }
}

#[test]
fn the_predictions_are_what_the_solution_says() {
    use lab06::{given::Format, solution};
    assert_eq!([Format::Int8, Format::Int4].map(|format| solution::bytes(format, 1, 32, 0)), [36, 24]);
    let row: Vec<f32> = (0..32_u8).map(|i| (f32::from(i) / 15.5 - 1.0) * 12.7).collect();
    assert!((solution::error_bound(&row) - 0.05).abs() < 1e-6);
    assert!((solution::pack(&row).scale / 2.0 - 0.85).abs() < 0.005);
}
