//! The lab keeps its promises.

use labkit::story::{PROMPT, Story};

#[test]
fn the_solution_passes_mistakes_are_caught_and_the_exercise_is_red_for_the_stated_reason() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    lab04::LAB.keeps_its_promises(folder).expect("kept");
}

#[test]
fn pages_of_any_length_write_what_kvlab_writes() {
    let story = Story::load().expect("embedded");
    let ours = story.run("contiguous", PROMPT, 40).expect("a run");
    for block_len in [1, 16, 100] {
        let mut cache = lab04::mine::solution_in_blocks_of(block_len);
        assert_eq!(story.generate(cache.as_mut(), PROMPT, 9, 40).expect("a run"), ours.generated(), "{block_len}");
    }
}

#[test]
fn show_finds_the_same_tokens_and_nothing_left() {
    let mut out = vec![];
    lab04::show::tables("solution", 12, &mut out).expect("shown");
    let out = String::from_utf8(out).expect("utf8");
    assert_eq!(out.matches("12 of 12").count(), 5, "{out}");
    let forks = out.lines().find(|line| line.starts_with("forks")).expect("a line of forks");
    assert!(forks.trim_end().ends_with(" 0 B"), "{out}");
}

#[test]
fn the_predictions_are_what_show_counts() {
    let mut out = vec![];
    lab04::show::tables("solution", 2, &mut out).expect("shown");
    let out = String::from_utf8(out).expect("utf8");
    let wasted = |name: &str| {
        let line = out.lines().find(|line| line.starts_with(name)).expect("a line");
        line[..line.find(" %").expect("a share")].rsplit(' ').next().expect("a number").to_owned()
    };
    let said =
        format!("{} % in whole contexts, {} % in blocks of 16", wasted("a whole context"), wasted("blocks of 16"));
    let users = out.split("The users have ").nth(1).and_then(|rest| rest.split(" together").next()).expect("users");
    let readme = lab04::LAB.readme.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [said.as_str(), users] {
        assert!(readme.contains(text), "the README does not say `{text}`");
    }
}
