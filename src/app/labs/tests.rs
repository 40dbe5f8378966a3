//! The labs of a clone that is made up, with a stand-in for cargo.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::*;
use crate::course::{CourseError, Found, Outcome, Progress, Report, Step, Verdict};

/// Only a hang reaches it.
const WATCHDOG: Duration = Duration::from_mins(1);

fn clone() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("folder");
    for (folder, title) in [("02-bytes", "Lab 02: bytes"), ("05-tiles", "Lab 05: tiles")] {
        let folder = root.path().join("labs").join(folder);
        fs::create_dir_all(folder.join("src")).expect("folder");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("written");
        write("README.md", &format!("# {title}\n\nYou count.\n"));
        write("hints.md", "## Task 1\n### 1\nlook\n### 2\nuse\n### 3\nwrite\n## Task 2\n### 1\nmore\n");
        write("exercise.template.rs", "todo");
        write("src/exercise.rs", "todo");
    }
    root
}

fn labs(root: &Path, check: Arc<Check>) -> Labs {
    let mut labs = Labs::new(Setup { root: Some(root.to_owned()), check }, || {});
    labs.read();
    until(&mut labs, |labs| labs.shelf().is_some());
    labs
}

fn until(labs: &mut Labs, is_so: impl Fn(&Labs) -> bool) {
    let started = Instant::now();
    while !is_so(labs) {
        assert!(started.elapsed() < WATCHDOG, "{labs:?}");
        thread::sleep(Duration::from_millis(1));
        labs.drain();
    }
}

fn report(verdicts: &[Verdict]) -> Report {
    let found = |(n, verdict): (usize, &Verdict)| Found { task: n + 1, name: "a".into(), verdict: verdict.clone() };
    Report { results: verdicts.iter().enumerate().map(found).collect(), waiting: 0 }
}

fn says(outcome: Outcome) -> Arc<Check> {
    Arc::new(move |_, _, _, _| Ok(outcome.clone()))
}

fn never() -> Arc<Check> {
    Arc::new(|_, _, _, _| panic!("nobody asked for a check"))
}

#[test]
fn the_labs_and_how_far_somebody_is_are_read() {
    let root = clone();
    fs::write(root.path().join("labs/progress.txt"), "lab 02: 1 of 3 checks, next is task 2\n").expect("written");
    let mut labs = labs(root.path(), never());
    let names: Vec<String> =
        labs.shelf().expect("read").expect("labs").pages.iter().map(|page| page.lab.title.clone()).collect();
    assert_eq!((names, labs.chosen()), (vec!["bytes".to_owned(), "tiles".to_owned()], Chosen::Lab(2)));
    assert_eq!([labs.words(2), labs.words(5), labs.words(9)], ["task 2 of 2", "not started", ""]);
    assert_eq!((labs.hints(2), labs.hints(5)), (Some((2, 0)), Some((1, 0))));
    (0..5).for_each(|_| labs.hint(5));
    assert_eq!((labs.hints(2), labs.hints(5)), (Some((2, 0)), Some((1, 3))));
}

#[test]
fn elsewhere_it_is_said_why_there_are_none_and_nothing_can_be_begun() {
    let folder = tempfile::tempdir().expect("folder");
    let mut labs = labs(folder.path(), never());
    let why = labs.shelf().expect("read").expect_err("none");
    assert!(why.contains("have no folder `labs`") && !why.contains("--root"), "{why}");
    labs.begin(Kind::Check, 2);
    labs.watch(2, true);
    assert!(labs.job().is_none() && labs.watched().is_none() && labs.hints(2).is_none());
    // A clone that appears there is found when it is looked for again.
    let root = clone();
    fs::rename(root.path().join("labs"), folder.path().join("labs")).expect("moved");
    labs.read();
    until(&mut labs, |labs| labs.shelf().is_some_and(|shelf| shelf.is_ok()));
}

#[test]
fn a_check_tells_how_far_it_is_and_what_it_found() {
    let root = clone();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let check = move |_: &_, _: &_, tell: &mut dyn FnMut(Step<'_>), _: &_| {
        let wait = || gate.lock().expect("a gate").recv().expect("open");
        tell(Step::Building("   Compiling lab02"));
        wait();
        tell(Step::Checking);
        wait();
        let wrong = Verdict::Failed("expected 2, got 3".into());
        Ok::<_, CourseError>(Outcome::Open(report(&[Verdict::Passed, wrong])))
    };
    let mut labs = labs(root.path(), Arc::new(check));
    labs.begin(Kind::Check, 2);
    let stage_is = |stage: Stage| move |labs: &Labs| labs.job().is_some_and(|job| job.stage == stage);
    until(&mut labs, stage_is(Stage::Building("Compiling lab02".into())));
    labs.begin(Kind::Start, 5);
    assert!(labs.said(5).is_none() && labs.job().is_some_and(|job| job.lab == 2), "one after the other");
    go.send(()).expect("it waits");
    until(&mut labs, stage_is(Stage::Checking));
    go.send(()).expect("it waits");
    until(&mut labs, |labs| labs.job().is_none());

    let said = labs.said(2).expect("a result");
    assert_eq!((said.tone, said.short.as_str()), (Tone::Bad, "1 of 2 checks; wrong: a"));
    assert_eq!(
        said.text,
        "task 1  ok      a\ntask 2  FAILED  a\n\n  expected 2, got 3\n\n`kvlab lab hint 2 2` gives a hint.\n"
    );
    let kept = fs::read_to_string(root.path().join("labs/progress.txt")).expect("noted");
    assert!(kept.ends_with("lab 02: 1 of 2 checks, next is task 2\n"), "{kept}");
    assert_eq!((labs.words(2).as_str(), labs.words(5).as_str()), ("task 2 of 2", "not started"));
}

#[test]
fn outcomes_are_said_as_on_the_command_line() {
    let root = clone();
    let outcomes = [
        (Outcome::NotStarted("task 1, bytes".into()), Tone::Plain, "not started", "not started"),
        (Outcome::DoesNotCompile("error: expected `;`".into()), Tone::Bad, "does not compile", "does not compile"),
        (Outcome::Passes(report(&[Verdict::Passed])), Tone::Good, "passes: 1 checks", "passed"),
    ];
    for (outcome, tone, short, words) in outcomes {
        let mut printed = vec![];
        outcome.print(2, &mut printed).expect("printed");
        let mut labs = labs(root.path(), says(outcome));
        labs.begin(Kind::Check, 2);
        until(&mut labs, |labs| labs.job().is_none());
        let said = labs.said(2).expect("a result");
        assert_eq!((said.tone, said.short.as_str(), labs.words(2).as_str()), (tone, short, words));
        assert_eq!(said.text.as_bytes(), printed);
    }
}

#[test]
fn what_another_thread_tells_changes_nothing() {
    let root = clone();
    let mut labs = labs(root.path(), never());
    let told = |what| Event { id: 999, what };
    labs.apply(told(What::Read(Err("gone".into()))));
    labs.apply(told(What::Stage(Stage::Checking)));
    labs.apply(told(What::Done(Ok(Done::Said("done".into())), Progress::default())));
    labs.apply(told(What::Saved));
    assert!(labs.shelf().is_some_and(|shelf| shelf.is_ok()) && labs.said(2).is_none() && labs.job().is_none());
}

/// Goes on until it is cancelled, and says that it has ended.
fn endless(has_ended: &Arc<AtomicBool>) -> Arc<Check> {
    let has_ended = has_ended.clone();
    Arc::new(move |_, _, _, cancel: &AtomicBool| {
        while !cancel.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        has_ended.store(true, Ordering::Relaxed);
        Err(CourseError::Cancelled)
    })
}

#[test]
fn a_check_is_cancelled_and_ends_with_the_window() {
    let root = clone();
    let has_ended = Arc::new(AtomicBool::new(false));
    let mut labs = labs(root.path(), endless(&has_ended));
    labs.begin(Kind::Check, 2);
    labs.cancel();
    assert_eq!(labs.job().map(|job| job.stage.clone()), Some(Stage::Ending));
    until(&mut labs, |labs| labs.job().is_none());
    assert_eq!(labs.said(2).map(|said| said.short.as_str()), Some("cancelled"));

    has_ended.store(false, Ordering::Relaxed);
    labs.begin(Kind::Check, 5);
    drop(labs);
    assert!(has_ended.load(Ordering::Relaxed), "nothing goes on for a window that is gone");
}

#[test]
fn a_watched_lab_is_checked_again_when_it_was_saved() {
    let root = clone();
    let checks = Arc::new(AtomicUsize::new(0));
    let counted = checks.clone();
    let check = move |_: &_, _: &_, _: &mut dyn FnMut(Step<'_>), _: &_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, CourseError>(Outcome::NotStarted("task 1".into()))
    };
    let mut labs = labs(root.path(), Arc::new(check));
    let is_free = |labs: &Labs| labs.job().is_none();
    labs.watch(2, true);
    let id = labs.watch.as_ref().map(|watch| watch.id).expect("watched");
    // Saved while its first check goes on, which may have read the file already.
    labs.apply(Event { id, what: What::Saved });
    assert!(labs.checks_again);
    until(&mut labs, |labs| labs.job().is_none() && !labs.checks_again);
    until(&mut labs, is_free);
    assert_eq!(checks.load(Ordering::Relaxed), 2);

    fs::write(root.path().join("labs/02-bytes/src/exercise.rs"), "written").expect("saved");
    until(&mut labs, |_| checks.load(Ordering::Relaxed) == 3);
    until(&mut labs, is_free);
    labs.watch(2, false);
    assert_eq!(labs.watched(), None);
    labs.apply(Event { id, what: What::Saved });
    assert!(is_free(&labs), "nobody wants it any more");
}

#[test]
fn a_lab_is_begun_and_put_back() {
    let root = clone();
    let mut labs = labs(root.path(), never());
    let done = |labs: &mut Labs, kind| {
        labs.begin(kind, 2);
        until(labs, |labs| labs.job().is_none());
        labs.said(2).map(|said| said.text.clone()).expect("something is said")
    };
    assert!(done(&mut labs, Kind::Start).starts_with("Lab 2: bytes\n\nYou count.\n\nRead        labs"));
    assert_eq!(labs.words(2), "started");
    let exercise = root.path().join("labs/02-bytes/src/exercise.rs");
    fs::write(&exercise, "mine").expect("written");
    labs.ask_reset(Some(2));
    assert!(labs.asks_reset(2) && !labs.asks_reset(5));
    assert!(done(&mut labs, Kind::PutBack).contains("is as it was shipped. What you wrote is in"));
    assert!(!labs.asks_reset(2) && labs.words(2) == "not started");
    assert_eq!(fs::read_to_string(exercise).expect("there"), "todo");
}
