//! The lab keeps its promises.

use kvlab::report::units::count;
use labkit::story::{PROMPT, Story};

#[test]
fn the_solution_passes_mistakes_are_caught_and_the_exercise_is_red_for_the_stated_reason() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    lab07::LAB.keeps_its_promises(folder).expect("kept");
}

#[test]
fn the_cache_that_is_shown_writes_what_kvlabs_heavy_hitters_write() {
    let story = Story::load().expect("embedded");
    let ours = story.run("paged:16+h2o:32/32", PROMPT, 60).expect("a run");
    let tokens = story.generate(lab07::mine::solution().as_mut(), PROMPT, usize::MAX, 60).expect("a run");
    assert_eq!(tokens, ours.generated());
}

#[test]
fn show_reads_under_every_policy() {
    let mut out = vec![];
    let size = lab07::show::Size { stories: 1, tokens: 360, budget: 40 };
    lab07::show::tables("solution", size, &mut out).expect("shown");
    let out = String::from_utf8(out).expect("utf8");
    for said in
        ["everything", "4 sinks and window", "heavy hitters", "last mention", "One of them, in story 1", "....."]
    {
        assert!(out.contains(said), "no `{said}` in\n{out}");
    }
    // The prompt of 64 is there whole, and the budget and a token behind it.
    assert!(out.contains(&count(64 * 7_680)) && out.contains("0.00e0"), "{out}");
}

#[test]
fn the_predictions_are_what_the_solution_says() {
    use lab07::{given::TOKEN_BYTES, solution};
    let readme = lab07::LAB.readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let stay = solution::bytes_after(1023, 256, TOKEN_BYTES) as u64;
    let prompt = solution::peak_bytes(900, 0, 256, TOKEN_BYTES) as u64;
    for text in [format!("256 x 7,680 = {} bytes", count(stay)), format!("900 x 7,680 = {} bytes", count(prompt))] {
        assert!(readme.contains(&text), "the README does not say `{text}`");
    }
}
