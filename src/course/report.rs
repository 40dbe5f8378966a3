//! What the checks of a lab found, as its program writes it and the runner and the window read it.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "text", rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    /// A `todo!` was reached; its text.
    NotWritten(String),
    /// What was expected, what came, where to look.
    Failed(String),
}

/// A check that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub task: usize,
    pub name: String,
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What the checks found, in the order of the tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub results: Vec<Found>,
    /// Checks of later tasks, which were not run.
    pub waiting: usize,
}

impl Report {
    #[must_use]
    pub fn passed(&self) -> bool {
        self.waiting == 0
            && !self.results.is_empty()
            && self.results.iter().all(|found| found.verdict == Verdict::Passed)
    }

    /// True where something that is written is wrong; what is not written yet is not.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.results.iter().any(|found| matches!(found.verdict, Verdict::Failed(_)))
    }

    /// Checks that passed, and all there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let passed = self.results.iter().filter(|found| found.verdict == Verdict::Passed).count();
        (passed, self.results.len() + self.waiting)
    }

    /// One line a check, and a sentence for each that did not pass.
    ///
    /// # Errors
    /// Those of writing.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for Found { task, name, verdict } in &self.results {
            match verdict {
                Verdict::Passed => writeln!(out, "task {task}  ok      {name}")?,
                Verdict::NotWritten(text) => {
                    writeln!(out, "task {task}  to do   {name}\n\n  not written yet: {text}\n")?;
                    let begin = if *task == 1 { "your work starts here" } else { "here it goes on" };
                    writeln!(out, "This is expected: {begin}, in src/exercise.rs.")?;
                }
                Verdict::Failed(text) => {
                    writeln!(out, "task {task}  FAILED  {name}\n\n  {}\n", text.replace('\n', "\n  "))?;
                }
            }
        }
        if self.waiting > 0 {
            let wait = if self.waiting == 1 { "check waits" } else { "checks wait" };
            writeln!(out, "{} more {wait} behind this task.", self.waiting)?;
        }
        Ok(())
    }

    /// The first check that did not pass.
    #[must_use]
    pub fn first_open(&self) -> Option<&Found> {
        self.results.iter().find(|found| found.verdict != Verdict::Passed)
    }
}
