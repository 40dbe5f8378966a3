//! Compiles a lab's program with cargo, as a learner would.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Course, CourseError, Lab};

/// What the compiler said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// The program.
    Program(PathBuf),
    /// Its errors.
    Errors(String),
}

/// Compiles a lab in release mode; `line` is told each line of cargo's. The first time takes minutes.
///
/// # Errors
/// [`CourseError::Cargo`], [`CourseError::Cancelled`]
pub fn build(
    course: &Course,
    lab: &Lab,
    line: &mut dyn FnMut(&str),
    cancel: &AtomicBool,
) -> Result<Built, CourseError> {
    let mut child = Command::new("cargo")
        .args(["build", "--release", "--package", &lab.package(), "--bin", &lab.package()])
        .current_dir(&course.root)
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(CourseError::Cargo)?;
    let mut said = vec![];
    if let Some(stderr) = child.stderr.take() {
        for text in BufReader::new(stderr).lines().map_while(Result::ok) {
            if cancel.load(Ordering::Relaxed) {
                // What was compiled stays in the target folder; the next build goes on from there.
                let _ = child.kill();
                let _ = child.wait();
                return Err(CourseError::Cancelled);
            }
            line(&text);
            said.push(text);
        }
    }
    if child.wait().map_err(CourseError::Cargo)?.success() {
        return Ok(Built::Program(target_folder(course).join("release").join(lab.package())));
    }
    let errors: Vec<&String> =
        said.iter().skip_while(|text| is_progress(text)).filter(|text| !is_progress(text)).collect();
    Ok(Built::Errors(errors.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n").trim().to_owned()))
}

/// Lines that say what cargo does, and not what is wrong.
fn is_progress(line: &str) -> bool {
    let verbs = ["Compiling ", "Blocking ", "Finished ", "Downloading ", "Downloaded ", "Updating ", "Locking "];
    verbs.iter().any(|verb| line.trim_start().starts_with(verb))
}

fn target_folder(course: &Course) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    course.root.join(target)
}
