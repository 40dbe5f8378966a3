//! The lab keeps its promises: the solution passes, every planted mistake fails the check that is named for it, and the
//! exercise as it is shipped is red for the stated reason.

use std::process::Command;

use lab01::{
    bench::{Options, bench},
    checks::Reference,
    contract::{Exercise, Solution},
    given::Model,
    variants::VARIANTS,
};

fn reference() -> (Reference, Model) {
    (Reference::new().expect("embedded"), Model::story().expect("embedded"))
}

#[test]
fn the_solution_passes_mistakes_are_caught_and_the_exercise_is_red_for_the_stated_reason() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    lab01::LAB.keeps_its_promises(folder).expect("kept");
}

/// What the README's last but one question says, from the program that it names.
#[test]
fn mistakes_can_be_read_in_what_they_write() {
    let text = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lab01")).arg("generate").args(args).output().expect("lab01");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("utf8");
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect(name).trim().to_owned();
        [line("without cache"), line("with cache")]
    };
    let [uncached, cached] = text(&["--solution"]);
    assert!(uncached == cached && cached.starts_with("red key."), "{cached}");
    assert!(text(&["--wrong", "masks_without_the_past"])[1].contains("doll"));
    assert_eq!(text(&["--wrong", "masks_without_the_past", "--chunk", "100"])[1], cached);
    assert!(text(&["--wrong", "forgets_the_offset"])[1].starts_with("red key"));
    let story = ["--tokens", "60", "--prompt", "Once upon a time there were"];
    assert!(text(&[&["--wrong", "forgets_the_offset"], &story[..]].concat())[1].contains("Pete, Pete, Pete"));
    for wrong in VARIANTS.iter().filter(|variant| variant.caught_by.is_some()) {
        assert!(!text(&["--wrong", wrong.name]).concat().contains("(an error"), "{} writes something", wrong.name);
    }
}

/// Says whether nobody has worked on the exercise. Who has, keeps a green `cargo test --workspace`.
#[expect(clippy::print_stderr, reason = "says why a test has nothing to test")]
fn untouched() -> bool {
    const TODOS: usize = 8;
    let found = include_str!("../src/exercise.rs").matches("todo!(").count();
    if found != TODOS {
        eprintln!("src/exercise.rs has {found} of its {TODOS} todos: somebody works on it, nothing is tested here");
    }
    found == TODOS
}

#[test]
fn bench_draws_a_curve_for_each_loop() {
    let (reference, model) = reference();
    let folder = tempfile::tempdir().expect("folder");
    let svg = folder.path().join("latency.svg");
    let mut out = vec![];
    bench::<Solution>(&reference, &model, Options { tokens: 8, rounds: 2 }, &svg, &mut out).expect("measured");
    let (out, svg) = (String::from_utf8(out).expect("utf8"), std::fs::read_to_string(&svg).expect("written"));
    // The two loops and kvlab's line, each in its own colour (see report::colours).
    for (lane, label) in ["without cache", "with cache", "kvlab contiguous"].into_iter().enumerate() {
        let (_, [r, g, b]) = kvlab::report::colours::lane(lane);
        let colour = format!("stroke=\"#{r:02X}{g:02X}{b:02X}\"");
        assert!(svg.lines().any(|line| line.starts_with("<polyline") && line.contains(&colour)), "{label}: {svg}");
        assert!(svg.contains(label) && out.contains(label), "{out}");
    }
    assert!(!out.contains("other tokens than kvlab"), "{out}");
    // Times of several rounds added up are no run.
    assert!(out.contains("sum    the shortest times of all tokens") && !out.contains("the whole run"), "{out}");
}

#[test]
fn bench_refuses_what_it_cannot_measure() {
    let (reference, model) = reference();
    let svg = std::path::Path::new("never-written.svg");
    let refuse = |tokens, rounds| {
        bench::<Solution>(&reference, &model, Options { tokens, rounds }, svg, &mut vec![])
            .expect_err("refused")
            .to_string()
    };
    assert!(refuse(2, 1).contains("--tokens is 2"));
    assert!(refuse(1024, 1).contains("--tokens is 1024"));
    assert!(refuse(8, 0).contains("--rounds is 0"));
    if untouched() {
        let options = Options { tokens: 8, rounds: 1 };
        let nothing = bench::<Exercise>(&reference, &model, options, svg, &mut vec![]).expect_err("nothing written");
        assert!(nothing.to_string().contains("tasks 1 and 2"), "{nothing}");
    }
    assert!(!svg.exists());
}
