//! Checks, in the order of the tasks, and what they found. They stop after the first task that is not done, so that one thing is to be read at
//! a time.

use std::io::{self, Write};

use anyhow::Result;
use kvlab::course::{Found, Report, Verdict};

use crate::caught::{Caught, caught};

/// One check of one task.
#[derive(Clone, Copy)]
pub struct Check {
    pub task: usize,
    pub name: &'static str,
    pub run: fn() -> Result<()>,
}

/// Runs the checks up to the first task with one that does not pass.
#[must_use]
pub fn run(checks: &[Check]) -> Report {
    let mut results: Vec<Found> = vec![];
    for check in checks {
        let is_next = results.iter().all(|before| before.task == check.task || before.verdict == Verdict::Passed);
        // A second `todo!` of the same task would say the same thing again.
        let same_todo = results.last().is_some_and(|last| matches!(last.verdict, Verdict::NotWritten(_)));
        if !is_next || same_todo {
            break;
        }
        let verdict = match caught(check.run) {
            Ok(()) => Verdict::Passed,
            Err(Caught::Todo(text)) => Verdict::NotWritten(text),
            Err(Caught::Panic(text)) => Verdict::Failed(format!("the code panicked: {text}")),
            Err(Caught::Error(error)) => Verdict::Failed(without_backtrace(&format!("{error:#}"))),
        };
        results.push(Found { task: check.task, name: check.name.to_owned(), verdict });
    }
    let waiting = checks.len() - results.len();
    Report { results, waiting }
}

/// Errors may carry a backtrace where `RUST_BACKTRACE` asks for one; the sentence is what helps.
fn without_backtrace(error: &str) -> String {
    let is_frame = |line: &&str| line.trim_start().split_once(": ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
    error.lines().take_while(|line| !is_frame(line)).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The report, and `next`, what to do when all checks pass.
///
/// # Errors
/// Those of writing.
pub fn print(report: &Report, out: &mut dyn Write, next: &str) -> io::Result<()> {
    report.print(out)?;
    if report.passed() {
        writeln!(out, "\nAll {} checks pass. {next}", report.results.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    const fn check(task: usize, name: &'static str, run: fn() -> Result<()>) -> Check {
        Check { task, name, run }
    }

    fn names(report: &Report) -> Vec<&str> {
        report.results.iter().map(|found| found.name.as_str()).collect()
    }

    #[test]
    fn a_task_is_checked_whole_and_what_follows_waits() {
        let fails = || bail!("expected 4, got 5");
        let report =
            run(&[check(1, "a", || Ok(())), check(2, "b", fails), check(2, "c", || Ok(())), check(3, "d", || Ok(()))]);
        assert_eq!((names(&report), report.waiting, report.counts()), (vec!["a", "b", "c"], 1, (2, 4)));
        assert!(!report.passed());
        assert_eq!(report.first_open().map(|found| found.name.as_str()), Some("b"));
    }

    #[test]
    fn a_todo_is_said_once_and_a_panic_is_a_sentence() {
        let report = run(&[check(1, "a", || todo!("task 1: add")), check(1, "b", || todo!("task 1: add"))]);
        assert_eq!(names(&report), ["a"]);
        assert_eq!(report.results[0].verdict, Verdict::NotWritten("task 1: add".into()));
        let report = run(&[check(1, "a", || panic!("out of range"))]);
        assert!(matches!(&report.results[0].verdict, Verdict::Failed(text) if text.contains("out of range (")));
        assert!(!run(&[]).passed(), "nothing is no success");
    }

    #[test]
    fn a_report_survives_json() {
        let report = run(&[check(1, "a", || Ok(())), check(2, "b", || todo!("write it"))]);
        let text = serde_json::to_string(&report).expect("plain data");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("the same"), report);
    }

    #[test]
    fn what_is_printed_tells_the_three_apart() {
        let printed = |report: &Report| {
            let mut out = vec![];
            super::print(report, &mut out, "Next.").expect("printed");
            String::from_utf8(out).expect("utf8")
        };
        let todo = printed(&run(&[check(1, "a", || todo!("write it")), check(2, "b", || Ok(()))]));
        assert!(
            todo.contains("to do   a") && todo.contains("your work starts here") && todo.contains("1 more check waits")
        );
        assert!(printed(&run(&[check(1, "a", || bail!("expected 4"))])).contains("FAILED  a\n\n  expected 4"));
        assert!(printed(&run(&[check(1, "a", || Ok(()))])).contains("All 1 checks pass. Next."));
    }
}
