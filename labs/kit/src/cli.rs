//! The command line of a lab: `check`, `hint`, `show`.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::{LEVELS, Lab, print, window::open};

/// A lab of kvlab. Your file is src/exercise.rs; README.md has the tasks.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What every lab's program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check src/exercise.rs, task by task.
    Check {
        /// Check the solution instead.
        #[arg(long, conflicts_with = "wrong")]
        solution: bool,
        /// Check one of the planted mistakes instead (a file of src/wrong/, without `.rs`).
        #[arg(long)]
        wrong: Option<String>,
        /// Write the report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// A hint for a task, from a nudge (level 1) to nearly the code (level 3).
    Hint {
        task: usize,
        #[arg(default_value_t = 1)]
        level: usize,
    },
    /// Run your code and show what it does, in numbers.
    Show {
        /// Run the solution instead.
        #[arg(long, conflicts_with = "wrong")]
        solution: bool,
        /// Run one of the planted mistakes instead.
        #[arg(long)]
        wrong: Option<String>,
    },
    /// Open kvlab's window on the lab's subject; a cache of yours is the lane `mine` in it.
    Open {
        /// With the solution's cache instead of yours.
        #[arg(long)]
        solution: bool,
        /// Write a picture of the window once the lanes have run, and open none.
        #[arg(long, value_name = "FILE.png")]
        screenshot: Option<PathBuf>,
    },
}

/// The `main` of a lab.
#[must_use]
pub fn main(lab: &Lab) -> ExitCode {
    dispatch(lab, &Cli::parse().command, &mut io::stdout().lock()).unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "{error:#}");
        ExitCode::FAILURE
    })
}

/// Does it.
///
/// # Errors
/// A sentence for the learner.
pub fn dispatch(lab: &Lab, command: &Command, out: &mut dyn Write) -> Result<ExitCode> {
    match command {
        Command::Check { solution, wrong, json } => {
            let report = lab.check(chosen(*solution, wrong.as_deref()))?;
            if *json {
                writeln!(out, "{}", serde_json::to_string(&report)?)?;
            } else {
                print(&report, out, lab.next)?;
            }
            Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Hint { task, level } => {
            let hints = lab.hints();
            let tasks = || hints.tasks().map(|task| task.to_string()).collect::<Vec<_>>().join(", ");
            let hint = hints.get(*task, *level).with_context(|| {
                format!("no hint of level {level} for task {task}; tasks {} have levels 1 to {LEVELS}", tasks())
            })?;
            writeln!(out, "{hint}")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { solution, wrong } => {
            (lab.show)(lab.variant(chosen(*solution, wrong.as_deref()))?.name, out)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Open { solution, screenshot } => {
            open(lab.window, *solution, screenshot.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn chosen(solution: bool, wrong: Option<&str>) -> &str {
    wrong.unwrap_or(if solution { "solution" } else { "exercise" })
}
