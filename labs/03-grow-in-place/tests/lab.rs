//! The lab keeps its promises.

use kvlab::report::units::count;
use labkit::story::{PROMPT, Story};

#[test]
fn the_solution_passes_mistakes_are_caught_and_the_exercise_is_red_for_the_stated_reason() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    lab03::LAB.keeps_its_promises(folder).expect("kept");
}

#[test]
fn the_caches_that_are_shown_write_what_kvlab_writes() {
    let story = Story::load().expect("embedded");
    let ours = story.run("contiguous", PROMPT, 40).expect("a run");
    for mut cache in [lab03::mine::solution(), Box::new(lab03::given::Concat::new(lab03::given::STORY))] {
        assert_eq!(story.generate(cache.as_mut(), PROMPT, 9, 40).expect("a run"), ours.generated());
    }
}

#[test]
fn show_counts_what_kvlab_counts() {
    let mut out = vec![];
    lab03::show::table("solution", 12, &mut out).expect("shown");
    let out = String::from_utf8(out).expect("utf8");
    assert!(out.contains("kvlab contiguous") && out.contains("12 of 12"), "{out}");
    assert!(!out.contains("differs"), "{out}");
}

#[test]
fn the_predictions_are_what_show_counts() {
    let story = Story::load().expect("embedded");
    let (prompt, new) = (story.tokens(PROMPT).expect("tokens").len() as u64, lab03::show::NEW_TOKENS as u64 - 1);
    let token = lab03::given::STORY.token_bytes();
    let written = lab03::solution::concat_copied_bytes(prompt, new, token);
    let readme = lab03::LAB.readme.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        format!("A prompt of {prompt} tokens, and {new} more"),
        format!("{} x {} = {} bytes", prompt + new, count(token), count((prompt + new) * token)),
        format!(
            "({prompt} + {new} x {prompt} + {new} x {} / 2) x {} = {} bytes",
            new + 1,
            count(token),
            count(written)
        ),
        format!("{} times", (written + (prompt + new) * token / 2) / ((prompt + new) * token)),
    ] {
        assert!(readme.contains(&text), "the README does not say `{text}`");
    }
}
