//! The lab keeps its promises.

use labkit::story::{PROMPT, Story};

#[test]
fn the_solution_passes_mistakes_are_caught_and_the_exercise_is_red_for_the_stated_reason() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    lab05::LAB.keeps_its_promises(folder).expect("kept");
}

#[test]
fn the_model_writes_over_it_what_it_writes_over_kvlab() {
    let story = Story::load().expect("embedded");
    let ours = story.run("contiguous", PROMPT, 40).expect("a run");
    let theirs = story.generate(lab05::mine::solution().as_mut(), PROMPT, 9, 40).expect("a run");
    assert_eq!(theirs, ours.generated());
}

#[test]
fn show_measures_every_length_and_every_cache() {
    let mut out = vec![];
    lab05::show::tables("solution", &[1000, 3000], 12, &mut out).expect("shown");
    let out = String::from_utf8(out).expect("utf8");
    for said in ["4,000 B", "512 B", "kvlab contiguous", "12 of 12"] {
        assert!(out.contains(said), "no `{said}` in\n{out}");
    }
}
