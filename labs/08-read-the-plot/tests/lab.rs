//! The lab keeps its promises, and its traces hold what was planted in them.

use lab08::{
    facts::Facts,
    given::{Cause, Lane, TRACES, median, recorded},
    graded, solution,
};

#[test]
fn the_solution_passes_mistakes_are_caught_and_the_exercise_is_red_for_the_stated_reason() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    lab08::LAB.keeps_its_promises(folder).expect("kept");
}

/// Numbers that were recorded once; nothing is timed here.
#[test]
fn every_trace_opens_and_holds_its_fault() {
    for (trace, text) in TRACES {
        assert!(text.len() < 200_000, "trace {trace} has {} bytes", text.len());
        let facts = Facts::of(trace).expect("today's reader opens it");
        let Lane { secs, starts, copied, .. } = &facts.recorded.mine;
        assert_eq!(secs.len(), facts.recorded.kvlab.secs.len());
        let cause = graded::truth(trace).expect("each has one");
        let chats = matches!(cause, Cause::NeverFreed | Cause::ReservedAhead);
        assert_eq!(starts.len(), if chats { 5 } else { 1 }, "{trace}");
        // What shows one cause is in its trace and in no other.
        assert_eq!(facts.warm_up > 5, cause == Cause::WarmUp, "{trace}: {}", facts.warm_up);
        assert_eq!(facts.late_copied > facts.early_copied, cause == Cause::CopiesPerToken, "{trace}");
        assert_eq!(copied.last() == Some(&0), cause != Cause::CopiesPerToken, "{trace}");
        let is_fixed = facts.late_extra_secs > median(&facts.recorded.kvlab.secs) && facts.fixed_share > 0.5;
        assert_eq!(is_fixed, cause == Cause::StartingWork, "{trace}: {}", facts.fixed_share);
        let leaks = facts.left_behind.len() == 4 && facts.left_behind.iter().all(|bytes| *bytes > 0);
        assert_eq!(leaks, cause == Cause::NeverFreed, "{trace}: {:?}", facts.left_behind);
        let reserves = facts.recorded.mine.reserved.iter().all(|bytes| *bytes > 50 * facts.most_used);
        assert_eq!(reserves, cause == Cause::ReservedAhead, "{trace}");
        assert_eq!(facts.slow_together.is_some(), cause == Cause::OtherProgram, "{trace}: {:?}", facts.slow_together);
    }
    // The healthy one rises as well: time alone shows no copy.
    let rise = |trace| solution::rise(&recorded(trace).expect("a trace").mine.secs[1..]);
    assert!(rise('d') > 0.0 && rise('b') > 0.0);
}

#[test]
fn every_answer_but_the_right_one_is_told_why() {
    use Cause::{CopiesPerToken, NeverFreed, Nothing, OtherProgram, ReservedAhead, StartingWork, WarmUp};
    let causes = [Nothing, WarmUp, CopiesPerToken, StartingWork, NeverFreed, ReservedAhead, OtherProgram];
    for right in solution::answers() {
        let facts = Facts::of(right.trace).expect("a trace");
        assert_eq!(graded::grade(right, &facts), None);
        for cause in causes.into_iter().filter(|cause| *cause != right.cause) {
            let why = graded::grade(lab08::given::Answer { cause, ..right }, &facts).expect("wrong");
            assert!(why.len() > 80 && !why.contains("NaN") && !why.contains("right."), "{why}");
            let evidence = graded::shows(cause);
            let why = graded::grade(lab08::given::Answer { evidence, ..right }, &facts).expect("wrong evidence");
            assert!(why.contains("right. But") && why.len() > 80, "{why}");
        }
    }
}

#[test]
fn show_is_what_the_readme_says() {
    let mut out = vec![];
    lab08::show::show("solution", &mut out).expect("shown");
    let out = String::from_utf8(out).expect("utf8");
    assert!(lab08::LAB.readme.contains(out.trim()), "the README shows another table than this:\n{out}");
}

#[test]
fn a_recording_is_a_trace_with_both_lanes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("utf8").to_owned();
    let ended = lab08::record::main(&["--out".into(), path, "e".into()]);
    assert_eq!(format!("{ended:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
    let text = std::fs::read(folder.path().join("e.jsonl")).expect("written");
    let trace = kvlab::experiment::trace::Trace::read(text.as_slice()).expect("a trace");
    let recorded = lab08::given::columns(&trace).expect("two lanes");
    // Bytes are the same whenever it is recorded.
    let kept = lab08::given::recorded('e').expect("a trace");
    assert_eq!(recorded.mine.reserved, kept.mine.reserved);
    assert_eq!((recorded.mine.used, recorded.mine.length), (kept.mine.used, kept.mine.length));
}
