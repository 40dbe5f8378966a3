//! Checks a learner's code.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Built, Course, CourseError, Lab, Report, Verdict, build, folder::read};

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

/// Compiles a lab and runs its checks; `line` is told what cargo says meanwhile.
///
/// # Errors
/// [`CourseError`]
pub fn check(
    course: &Course,
    lab: &Lab,
    line: &mut dyn FnMut(&str),
    cancel: &AtomicBool,
) -> Result<Outcome, CourseError> {
    let program = match build(course, lab, line, cancel)? {
        Built::Program(program) => program,
        Built::Errors(errors) => return Ok(Outcome::DoesNotCompile(errors)),
    };
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
    let mut child = Command::new(program)
        .args(["check", "--json"])
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(unreadable)?)
        .stderr(errors.try_clone().map_err(unreadable)?)
        .spawn()
        .map_err(unreadable)?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(unreadable)? {
            break status;
        }
        let is_cancelled = cancel.load(Ordering::Relaxed);
        if is_cancelled || started.elapsed() > TIME_LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(if is_cancelled {
                CourseError::Cancelled
            } else {
                no_report(format!(
                    "its checks did not end in {} s; is there a loop that never ends?",
                    TIME_LIMIT.as_secs()
                ))
            });
        }
        thread::sleep(Duration::from_millis(5));
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

/// Puts the exercise back as it was shipped. What was written is kept beside it; returns where, or `None` where nothing was written.
///
/// # Errors
/// [`CourseError::Read`], [`CourseError::Write`]
pub fn reset(lab: &Lab) -> Result<Option<PathBuf>, CourseError> {
    let (exercise, template) = (lab.exercise(), read(&lab.template())?);
    let written = |path: &PathBuf, text: &str| {
        fs::write(path, text).map_err(|source| CourseError::Write { path: path.clone(), source })
    };
    let yours = read(&exercise)?;
    if yours == template {
        return Ok(None);
    }
    let mut numbers = 1..=u32::MAX;
    let free = |n| Some(lab.folder.join(format!("src/exercise.{n}.kept"))).filter(|path| !path.exists());
    let kept = numbers.find_map(free).unwrap_or_else(|| lab.folder.join("src/exercise.kept"));
    written(&kept, &yours)?;
    written(&exercise, &template)?;
    Ok(Some(kept))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_keeps_what_was_written() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("src")).expect("folder");
        let lab = Lab { number: 7, title: String::new(), folder: folder.path().to_owned() };
        fs::write(lab.template(), "todo").expect("written");
        fs::write(lab.exercise(), "todo").expect("written");
        assert_eq!(reset(&lab).expect("nothing to do"), None);
        for (n, text) in [(1, "mine"), (2, "again")] {
            fs::write(lab.exercise(), text).expect("written");
            let kept = reset(&lab).expect("reset").expect("kept");
            assert!(kept.ends_with(format!("src/exercise.{n}.kept")));
            assert_eq!(fs::read_to_string(kept).expect("kept"), text);
            assert!(lab.is_untouched().expect("readable"));
        }
    }
}
