//! The labs in the window, driven through the names of their buttons, with a stand-in for cargo and a clone that is made up.
#![cfg(feature = "app")]

#[path = "support/window.rs"]
mod driver;

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use driver::{frame, is_enabled, options, phase_is, press, until, visible_window, window};
use egui::{Key, Role, Theme};
use egui_kittest::{Harness, kittest::Queryable};
use kvlab::{
    app::{
        App, Options, Pane,
        labs::{Chosen, Setup},
        state::Phase,
    },
    course::{Course, CourseError, Found, Lab, Outcome, Report, Step, Verdict, quiz::questions},
};

const README: &str = "# Lab 02: bytes\n\nYou count what a token takes.\n\n```sh\ncargo run -p lab02\n```\n\n\
    | call | what it does |\n|---|---|\n| `k.len()` | numbers in **k** |\n\nSee the [README](../../README.md).\n\n\
    <details><summary>Answers</summary>\n\nThe secret is 42.\n</details>\n";

fn clone() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("folder");
    let folder = root.path().join("labs/02-bytes");
    fs::create_dir_all(folder.join("src")).expect("folder");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("written");
    write("README.md", README);
    write("hints.md", "## Task 1\n### 1\nLook at `shape`.\n### 2\nUse the layers.\n### 3\n`2 * layers`\n");
    write("exercise.template.rs", "todo");
    write("src/exercise.rs", "todo");
    root
}

/// Says what stands in the exercise: `wrong`, `right`, `loop`, or anything else, which is not started.
fn stand_in(
    _: &Course,
    lab: &Lab,
    tell: &mut dyn FnMut(Step<'_>),
    cancel: &AtomicBool,
) -> Result<Outcome, CourseError> {
    tell(Step::Building("Compiling lab02"));
    tell(Step::Checking);
    let found =
        |verdict| Report { results: vec![Found { task: 1, name: "bytes_of_a_token".into(), verdict }], waiting: 0 };
    Ok(match fs::read_to_string(lab.exercise()).unwrap_or_default().as_str() {
        "wrong" => Outcome::Open(found(Verdict::Failed("expected 73728, got 36864".into()))),
        "right" => Outcome::Passes(found(Verdict::Passed)),
        "error" => Outcome::DoesNotCompile("error: expected `;`, found `}`".into()),
        "loop" => {
            while !cancel.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::yield_now();
            }
            return Err(CourseError::Cancelled);
        }
        _ => Outcome::NotStarted("task 1, token_bytes".into()),
    })
}

fn labs(root: &Path) -> Options {
    let labs = Setup { root: Some(root.to_owned()), check: Arc::new(stand_in) };
    Options { pane: Pane::Labs, labs, ..options() }
}

fn opened(options: &Options) -> Harness<'static, App> {
    let mut window = window(options);
    until(&mut window, "read", |app| app.labs_state().shelf().is_some());
    window.run_steps(2);
    window
}

fn write(root: &tempfile::TempDir, text: &str) {
    fs::write(root.path().join("labs/02-bytes/src/exercise.rs"), text).expect("written");
}

fn check(window: &mut Harness<'_, App>) {
    press(window, "Check");
    until(window, "checked", |app| app.labs_state().job().is_none());
    window.run_steps(2);
}

fn shows(window: &Harness<'_, App>, words: &str) -> bool {
    window.query_all_by_label_contains(words).count() > 0
}

#[test]
fn a_lab_shows_its_page_with_the_answers_folded() {
    let root = clone();
    let mut window = opened(&labs(root.path()));
    for words in ["You count what a token takes.", "cargo run -p lab02", "k.len()", "what it does", "README.md"] {
        assert!(shows(&window, words), "{words}");
    }
    assert!(!shows(&window, "The secret is 42."), "closed at first");
    window.get_by_label("Answers").click();
    until(&mut window, "unfolded", |_| true);
    window.run_steps(30);
    assert!(shows(&window, "The secret is 42."));
    window.get_by_role_and_label(Role::Button, "2: bytes, not started");
    window.check_accessibility();
}

#[test]
fn checks_say_what_the_command_line_says_and_progress_is_kept() {
    let root = clone();
    let mut window = opened(&labs(root.path()));
    check(&mut window);
    assert!(shows(&window, "Not started: task 1, token_bytes\n\nThat is expected."));
    window.get_by_role_and_label(Role::Button, "2: bytes, not started");

    write(&root, "error");
    check(&mut window);
    assert!(shows(&window, "error: expected `;`, found `}`"));
    window.get_by_role_and_label(Role::Button, "2: bytes, does not compile");

    write(&root, "wrong");
    check(&mut window);
    assert!(shows(&window, "task 1  FAILED  bytes_of_a_token\n\n  expected 73728, got 36864"));
    window.get_by_label("0 of 1 checks; wrong: bytes_of_a_token");
    window.get_by_role_and_label(Role::Button, "2: bytes, task 1 of 1");
    window.check_accessibility();

    write(&root, "right");
    check(&mut window);
    assert!(shows(&window, "All 1 checks pass."));
    window.get_by_role_and_label(Role::Button, "2: bytes, passed");
    let kept = fs::read_to_string(root.path().join("labs/progress.txt")).expect("kept");
    assert!(kept.contains("lab 02: 1 of 1 checks"), "{kept}");
}

#[test]
fn a_check_can_be_cancelled_and_the_run_goes_on_meanwhile() {
    let root = clone();
    write(&root, "loop");
    let mut window = opened(&labs(root.path()));
    press(&mut window, "Check");
    until(&mut window, "under way", |app| {
        app.labs_state().job().is_some_and(|job| job.stage == kvlab::app::labs::Stage::Checking)
    });
    window.run_steps(2);
    window.get_by_label("checking");
    assert!(window.query_by_role_and_label(Role::Button, "Check").is_none() && !is_enabled(&window, "Start"));
    press(&mut window, "Run");
    until(&mut window, "finished", phase_is(Phase::Finished));
    press(&mut window, "Cancel check");
    until(&mut window, "ended", |app| app.labs_state().job().is_none());
    window.run_steps(2);
    window.get_by_label("cancelled");
    assert!(is_enabled(&window, "Check"));
}

#[test]
fn closing_the_window_ends_a_check() {
    let root = clone();
    write(&root, "loop");
    let mut window = opened(&labs(root.path()));
    press(&mut window, "Check");
    until(&mut window, "under way", |app| app.labs_state().job().is_some());
    drop(window);
}

#[test]
fn hints_come_one_after_the_other() {
    let root = clone();
    let mut window = opened(&labs(root.path()));
    for (level, words) in [(1, "Look at "), (2, "Use the layers."), (3, "2 * layers")] {
        assert!(!shows(&window, words));
        press(&mut window, "Hint");
        window.run_steps(2);
        window.get_by_label(&format!("Task 1, level {level} of 3"));
        assert!(shows(&window, words), "{words}");
    }
    press(&mut window, "Hint");
    check(&mut window);
    press(&mut window, "Hints");
    window.run_steps(2);
    assert!(shows(&window, "Use the layers."));
    window.check_accessibility();
}

#[test]
fn a_lab_is_begun_and_put_back_only_when_that_is_meant() {
    let root = clone();
    let mut window = opened(&labs(root.path()));
    press(&mut window, "Start");
    until(&mut window, "begun", |app| app.labs_state().said(2).is_some());
    window.run_steps(2);
    assert!(shows(&window, "Your file   labs"));
    window.get_by_role_and_label(Role::Button, "2: bytes, started");

    write(&root, "mine");
    let exercise = || fs::read_to_string(root.path().join("labs/02-bytes/src/exercise.rs")).expect("there");
    press(&mut window, "Reset lab");
    window.run_steps(2);
    press(&mut window, "Leave it");
    window.run_steps(2);
    assert_eq!(exercise(), "mine");
    press(&mut window, "Reset lab");
    window.run_steps(2);
    press(&mut window, "Put it back");
    until(&mut window, "put back", |app| app.labs_state().job().is_none());
    window.run_steps(2);
    assert_eq!(exercise(), "todo");
    assert!(shows(&window, "Lab 2 is as it was shipped."));
}

#[test]
fn a_watched_lab_is_checked_when_it_is_saved_and_the_window_rests_in_between() {
    let root = clone();
    let mut window = opened(&labs(root.path()));
    window.get_by_role_and_label(Role::CheckBox, "Watch").click();
    until(&mut window, "checked", |app| app.labs_state().said(2).is_some() && app.labs_state().job().is_none());
    // It asks for no frame by itself: `run` ends when nothing asks for one.
    window.run();
    write(&root, "right");
    until(&mut window, "checked again", |app| app.labs_state().words(2) == "passed");
    window.get_by_role_and_label(Role::CheckBox, "Watch").click();
    window.run_steps(2);
    assert_eq!(window.state().labs_state().watched(), None);
}

#[test]
fn outside_a_clone_it_is_said_what_to_do_and_the_quiz_is_there() {
    let folder = tempfile::tempdir().expect("folder");
    let mut window = opened(&labs(folder.path()));
    assert!(shows(&window, "have no folder `labs`") && shows(&window, "cargo run --release -- app --pane labs"));
    assert!(window.query_by_label("Check").is_none());
    window.check_accessibility();
    press(&mut window, "Look again");
    until(&mut window, "read", |app| app.labs_state().shelf().is_some());
    press(&mut window, "Take the quiz");
    window.run_steps(2);
    assert_eq!(window.state().labs_state().chosen(), Chosen::Quiz);
    assert!(shows(&window, &questions()[0].question));
}

#[test]
fn the_quiz_explains_right_and_wrong_answers_and_counts_them() {
    let root = clone();
    let mut window = opened(&labs(root.path()));
    press(&mut window, "Quiz, not started");
    window.run_steps(2);
    let all = questions();
    let name = |choice: usize, of: usize| {
        let letter = kvlab::course::quiz::LETTERS[choice];
        format!("{letter}  {}", all[of].choices[choice])
    };
    assert!(!shows(&window, &all[0].why));
    press(&mut window, &name(all[0].answer, 0));
    window.run_steps(2);
    assert!(shows(&window, "Right.") && shows(&window, &all[0].why));
    window.get_by_label("1 of 1 right");

    press(&mut window, "Next question");
    window.run_steps(2);
    let wrong = (all[1].answer + 1) % all[1].choices.len();
    driver::leave_field(&mut window);
    window.key_press([Key::A, Key::B, Key::C, Key::D][wrong]);
    window.run_steps(2);
    assert!(shows(&window, "Not quite: ") && shows(&window, &all[1].why));
    window.get_by_label("1 of 2 right");
    window.get_by_role_and_label(Role::Button, &format!("Quiz, 2 of {} answered", all.len()));
    window.check_accessibility();
    press(&mut window, "Again");
    window.run_steps(2);
    window.get_by_label("0 of 0 right");
    press(&mut window, "lab 2");
    window.run_steps(2);
    let of = all.iter().filter(|question| question.lab == 2).count();
    window.get_by_label(&format!("Question 1 of {of}, lab 2"));
}

#[test]
fn the_key_8_shows_the_labs_and_they_are_drawn_in_both_themes() {
    let root = clone();
    for theme in [Theme::Dark, Theme::Light] {
        let (mut window, raster) =
            visible_window(&Options { pane: Pane::Cost, ..labs(root.path()) }, theme, [1280.0, 720.0]);
        window.step();
        assert!(window.state().labs_state().shelf().is_none(), "nothing is read until somebody looks");
        window.key_press(Key::Num8);
        until(&mut window, "read", |app| app.labs_state().shelf().is_some());
        check(&mut window);
        let frame = frame(&mut window, &raster, &format!("labs-{theme:?}"));
        let background = window.ctx.style_of(theme).visuals.panel_fill;
        let pixels = frame.pixels.iter().filter(|pixel| **pixel == background).count();
        assert!(pixels < frame.pixels.len() * 95 / 100, "something is drawn");
    }
}
