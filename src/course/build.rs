//! Compiles a lab's program with cargo, as a learner would.

use std::{
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
};

use super::{
    Course, CourseError, Lab,
    running::{LOOK, Running},
};

/// What the compiler said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// The program.
    Program(PathBuf),
    /// Its errors.
    Errors(String),
}

/// What goes on while a lab is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// It is compiled; a line of what cargo says.
    Building(&'a str),
    /// Its checks run.
    Checking,
}

/// Compiles a lab in release mode; `tell` is told each line of cargo's. The first time takes minutes.
///
/// # Errors
/// [`CourseError::Cargo`], [`CourseError::Cancelled`]
pub fn build(
    course: &Course,
    lab: &Lab,
    tell: &mut dyn FnMut(Step<'_>),
    cancel: &AtomicBool,
) -> Result<Built, CourseError> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--package", &lab.package(), "--bin", &lab.package()])
        .current_dir(&course.root)
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut cargo = Running::start(&mut cargo).map_err(CourseError::Cargo)?;
    let is_cancelled = || cancel.load(Ordering::Relaxed);
    let lines = lines(cargo.take_stderr()).map_err(CourseError::Cargo)?;
    let mut said = vec![];
    // One crate may take minutes and say nothing meanwhile.
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(text) => {
                tell(Step::Building(&text));
                said.push(text);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // What was compiled stays in the target folder; the next build goes on from there.
            Err(RecvTimeoutError::Timeout) if is_cancelled() => return Err(CourseError::Cancelled),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let status = cargo.wait(is_cancelled).map_err(CourseError::Cargo)?.ok_or(CourseError::Cancelled)?;
    if status.success() {
        return Ok(Built::Program(target_folder(course).join("release").join(lab.package())));
    }
    let errors: Vec<&String> =
        said.iter().skip_while(|text| is_progress(text)).filter(|text| !is_progress(text)).collect();
    Ok(Built::Errors(errors.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n").trim().to_owned()))
}

/// Opens the window of a lab that was compiled. It is nobody's part, and stays when its caller ends.
///
/// # Errors
/// [`CourseError::Read`]
pub fn open(course: &Course, program: &Path) -> Result<Child, CourseError> {
    let mut window = Command::new(program);
    window.arg("open").current_dir(&course.root).stdin(Stdio::null()).stdout(Stdio::null());
    window.spawn().map_err(|source| CourseError::Read { path: program.to_owned(), source })
}

/// What a program says, line by line, read by a thread: whoever waits for a line must be able to give up.
fn lines(stderr: Option<ChildStderr>) -> io::Result<Receiver<String>> {
    let (sender, lines) = mpsc::channel();
    if let Some(stderr) = stderr {
        let read = move || {
            for text in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(text).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("cargo".into()).spawn(read)?;
    }
    Ok(lines)
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
