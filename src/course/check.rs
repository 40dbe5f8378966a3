//! Checks a learner's code.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::{Built, Course, CourseError, Lab, Report, Step, Verdict, build, running::Running};

/// Checks take a few seconds; only a loop that never ends reaches it.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// How it stands with a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The exercise is as it was shipped; the text of its first `todo!`.
    NotStarted(String),
    /// The compiler's errors.
    DoesNotCompile(String),
    /// Some check does not pass: a task is not written yet, or something is wrong.
    Open(Report),
    Passes(Report),
}

/// Compiles a lab and runs its checks; `tell` is told what goes on meanwhile.
///
/// # Errors
/// [`CourseError`]
pub fn check(
    course: &Course,
    lab: &Lab,
    tell: &mut dyn FnMut(Step<'_>),
    cancel: &AtomicBool,
) -> Result<Outcome, CourseError> {
    let program = match build(course, lab, tell, cancel)? {
        Built::Program(program) => program,
        Built::Errors(errors) => return Ok(Outcome::DoesNotCompile(errors)),
    };
    tell(Step::Checking);
    let report = run(lab, &program, cancel)?;
    Ok(match report.first_open().map(|found| &found.verdict) {
        None if report.passed() => Outcome::Passes(report),
        Some(Verdict::NotWritten(text)) if lab.is_untouched()? => Outcome::NotStarted(text.clone()),
        _ => Outcome::Open(report),
    })
}

/// Runs the checks of a program that was compiled.
fn run(lab: &Lab, program: &Path, cancel: &AtomicBool) -> Result<Report, CourseError> {
    let no_report = |said: String| CourseError::NoReport { number: lab.number, said };
    let unreadable = |source| CourseError::Read { path: program.to_owned(), source };
    // Files, and not pipes, which block a program that prints more than they hold.
    let (mut out, mut errors) = (tempfile::tempfile().map_err(unreadable)?, tempfile::tempfile().map_err(unreadable)?);
    let mut checks = Command::new(program);
    checks
        .args(["check", "--json"])
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(unreadable)?)
        .stderr(errors.try_clone().map_err(unreadable)?);
    let mut checks = Running::start(&mut checks).map_err(unreadable)?;
    let is_cancelled = || cancel.load(Ordering::Relaxed);
    let started = Instant::now();
    let status = checks.wait(|| is_cancelled() || started.elapsed() > TIME_LIMIT).map_err(unreadable)?;
    let Some(status) = status else {
        return Err(if is_cancelled() {
            CourseError::Cancelled
        } else {
            let limit = TIME_LIMIT.as_secs();
            no_report(format!("its checks did not end in {limit} s; is there a loop that never ends?"))
        });
    };
    let said = all_of(&mut out).map_err(unreadable)?;
    let report = said.lines().last().and_then(|line| serde_json::from_str(line).ok());
    // A stack overflow or an endless allocation ends the program; nothing in it can say so.
    let errors = all_of(&mut errors).map_err(unreadable)?;
    report.ok_or_else(|| no_report(format!("its program ended with {status}. {}", errors.trim()).trim().to_owned()))
}

fn all_of(file: &mut File) -> io::Result<String> {
    let mut bytes = vec![];
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Outcome {
    /// What somebody is told who checks lab `lab`.
    ///
    /// # Errors
    /// Those of writing.
    pub fn print(&self, lab: u8, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::NotStarted(todo) => writeln!(
                out,
                "Not started: {todo}\n\nThat is expected. `kvlab lab start {lab}` says where your work is."
            ),
            Self::DoesNotCompile(errors) => {
                writeln!(out, "{errors}\n\nIt does not compile yet. Nothing was checked.")
            }
            Self::Open(report) => {
                report.print(out)?;
                let task = report.first_open().map_or(1, |found| found.task);
                writeln!(out, "`kvlab lab hint {lab} {task}` gives a hint.")
            }
            Self::Passes(report) => {
                report.print(out)?;
                let checks = report.results.len();
                writeln!(out, "\nAll {checks} checks pass. `kvlab lab open {lab}` shows it in the window.")
            }
        }
    }
}

/// An outcome in one line.
#[must_use]
pub fn short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NotStarted(_) => "not started".into(),
        Outcome::DoesNotCompile(_) => "does not compile".into(),
        Outcome::Passes(report) => format!("passes: {} checks", report.counts().1),
        Outcome::Open(report) => {
            let (passed, of) = report.counts();
            let what = match report.first_open().map(|found| (&found.name, &found.verdict)) {
                Some((_, Verdict::NotWritten(text))) => format!("next: {text}"),
                Some((name, _)) => format!("wrong: {name}"),
                None => String::new(),
            };
            format!("{passed} of {of} checks; {what}")
        }
    }
}
