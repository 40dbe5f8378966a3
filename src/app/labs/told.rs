//! What threads tell of the labs, and what is said of it.

use super::shelf::Shelf;
use crate::course::{CourseError, Outcome, Progress, short};

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Begun,
    /// The last line of cargo's.
    Building(String),
    Checking,
    /// It was cancelled and is not over yet.
    Ending,
}

impl Stage {
    /// In one word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Begun => "beginning",
            Self::Building(_) => "building",
            Self::Checking => "checking",
            Self::Ending => "ending",
        }
    }
}

/// How a job ended that did what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Checked(Outcome),
    Said(String),
}

/// What a thread tells.
#[derive(Debug)]
pub enum What {
    Read(Result<Box<Shelf>, String>),
    Stage(Stage),
    /// A job is over; `Err(None)`: it was cancelled. What the file of the progress says now.
    Done(Result<Done, Option<String>>, Progress),
    /// The exercise that is watched was saved.
    Saved,
}

/// What a thread tells, and which one.
#[derive(Debug)]
pub struct Event {
    pub id: u64,
    pub what: What,
}

/// Whether what was said is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    /// Something is wrong.
    Bad,
}

/// What was said of a lab last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub tone: Tone,
    /// In one line.
    pub short: String,
    /// As `kvlab lab` prints it.
    pub text: String,
    /// It was a check that found that the lab does not compile.
    pub is_broken: bool,
}

impl Said {
    pub(super) fn new(tone: Tone, short: &str, text: String) -> Self {
        Self { tone, short: short.into(), text, is_broken: false }
    }

    /// What `kvlab lab check` prints.
    pub(super) fn of(lab: u8, outcome: &Outcome) -> Self {
        let mut text = vec![];
        // Nothing goes wrong where it is written into memory.
        let _ = outcome.print(lab, &mut text);
        let tone = match outcome {
            Outcome::Passes(_) => Tone::Good,
            Outcome::DoesNotCompile(_) => Tone::Bad,
            Outcome::Open(report) if report.is_wrong() => Tone::Bad,
            Outcome::NotStarted(_) | Outcome::Open(_) => Tone::Plain,
        };
        let is_broken = matches!(outcome, Outcome::DoesNotCompile(_));
        Self { tone, short: short(outcome), text: String::from_utf8_lossy(&text).into_owned(), is_broken }
    }
}

/// Why there are no labs. What helps stands below it in the window.
pub(super) fn why(error: CourseError) -> String {
    match error {
        CourseError::NoCourse { from } => {
            format!("{} and the folders above it have no folder `labs` with a `kit` in it.", from.display())
        }
        error => error.to_string(),
    }
}
