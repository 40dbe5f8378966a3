//! `kvlab lab`: the course in `labs/`.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::course::{Course, Lab, Outcome, Progress, Step, check, hints::LEVELS, note, put_back, start};

const EXAMPLES: &str = "\
Examples:
  kvlab lab list                what there is, and how far you are
  kvlab lab start 2             what lab 2 is about, and which file is yours
  kvlab lab check 2             compile it and check task by task
  kvlab lab watch 2             the same, again whenever you save
  kvlab lab hint 2              a hint for the task you are at; `hint 2 3 2` for task 3, level 2
  kvlab lab reset 2             back to the beginning; what you wrote is kept beside it
  kvlab lab open 2              see it in the window

Your work is labs/NN-.../src/exercise.rs; progress is kept in labs/progress.txt. The first check compiles for
some minutes, later ones take seconds. Checks end with code 0 when all pass, 1 otherwise.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder of the clone [default: around the current one]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What labs there are, and how far you are.
    List,
    /// What a lab is about, and which file is yours.
    Start { lab: u8 },
    /// Compile a lab and check it, task by task.
    Check { lab: u8 },
    /// Check again whenever the exercise is saved; Ctrl-C ends it.
    Watch { lab: u8 },
    /// A hint: for the task you are at, or for one by its number; level 1 is a nudge, 3 nearly the code.
    Hint {
        lab: u8,
        task: Option<usize>,
        #[arg(default_value_t = 1)]
        level: usize,
    },
    /// Put the exercise back as it was; what you wrote is kept beside it.
    Reset { lab: u8 },
    /// How far you are in each lab that you began.
    Progress,
    /// See a lab's subject in the window.
    Open { lab: u8 },
}

pub fn run(args: &Args, cancel: &AtomicBool) -> Result<ExitCode> {
    let course = args.root.as_deref().map_or_else(Course::here, Course::at)?;
    let mut out = io::stdout().lock();
    match args.command {
        Command::List => list(&course, &mut out)?,
        Command::Start { lab } => write!(out, "{}", start(&course, course.lab(lab)?)?)?,
        Command::Check { lab } => {
            let outcome = check_and_note(&course, course.lab(lab)?, cancel)?;
            outcome.print(lab, &mut out)?;
            return Ok(if matches!(outcome, Outcome::Passes(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Watch { lab } => watch(&course, course.lab(lab)?, cancel, &mut out)?,
        Command::Hint { lab, task, level } => hint(&course, course.lab(lab)?, task, level, &mut out)?,
        Command::Reset { lab } => write!(out, "{}", put_back(&course, course.lab(lab)?)?)?,
        Command::Progress => progress(&course, &mut out)?,
        Command::Open { lab } => return open(&course, course.lab(lab)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(course: &Course, out: &mut dyn Write) -> Result<()> {
    let progress = Progress::read(&course.progress_path());
    for lab in &course.labs {
        let state = progress.get(lab.number).map_or_else(|| "not started".to_owned(), |entry| entry.to_string());
        writeln!(out, "{:>2}  {:<44} {state}", lab.number, lab.title)?;
    }
    writeln!(out, "\nkvlab lab start N tells what a lab is about.")?;
    Ok(())
}

/// Checks, and writes down how far it came.
fn check_and_note(course: &Course, lab: &Lab, cancel: &AtomicBool) -> Result<Outcome> {
    // A build that has nothing to say takes seconds; one that compiles says so.
    let is_terminal = io::stderr().is_terminal();
    let mut tell = |step: Step<'_>| {
        if let Step::Building(text) = step
            && is_terminal
            && text.trim().starts_with("Compiling ")
        {
            let _ = write!(io::stderr(), "\r\x1b[2K{}", text.trim());
        }
    };
    let outcome = check(course, lab, &mut tell, cancel);
    if is_terminal {
        let _ = write!(io::stderr(), "\r\x1b[2K");
    }
    let outcome = outcome?;
    note(course, lab, &outcome)?;
    Ok(outcome)
}

/// How often a file is looked at.
const LOOK: Duration = Duration::from_millis(200);

fn watch(course: &Course, lab: &Lab, cancel: &AtomicBool, out: &mut dyn Write) -> Result<()> {
    let saved = || fs::metadata(lab.exercise()).and_then(|file| file.modified()).ok();
    while !cancel.load(Ordering::Relaxed) {
        // Before the check: who saves while it runs wants another.
        let checked: Option<SystemTime> = saved();
        match check_and_note(course, lab, cancel) {
            Ok(outcome) => outcome.print(lab.number, out)?,
            Err(_) if cancel.load(Ordering::Relaxed) => break,
            Err(error) => writeln!(out, "{error:#}")?,
        }
        writeln!(out, "\nWaiting for {} to be saved; Ctrl-C ends.", lab.exercise().display())?;
        out.flush()?;
        while saved() == checked && !cancel.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
        }
    }
    Ok(())
}

fn hint(course: &Course, lab: &Lab, task: Option<usize>, level: usize, out: &mut dyn Write) -> Result<()> {
    let hints = lab.hints()?;
    let tasks: Vec<usize> = hints.tasks().collect();
    // By the last check; before it, the first.
    let next = Progress::read(&course.progress_path()).get(lab.number).and_then(|entry| entry.task);
    let task = task.or(next).or(tasks.first().copied()).context("the lab has no hints")?;
    let hint = hints.get(task, level).with_context(|| {
        let known = tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("no hint of level {level} for task {task}: tasks {known} have levels 1 to {LEVELS}")
    })?;
    writeln!(out, "Task {task}, level {level} of {LEVELS}:\n\n{hint}")?;
    if level < LEVELS {
        writeln!(out, "\nMore: kvlab lab hint {} {task} {}", lab.number, level + 1)?;
    }
    Ok(())
}

fn progress(course: &Course, out: &mut dyn Write) -> Result<()> {
    let progress = Progress::read(&course.progress_path());
    let begun: Vec<_> = course.labs.iter().filter_map(|lab| Some((lab, progress.get(lab.number)?))).collect();
    if begun.is_empty() {
        writeln!(out, "No lab was begun yet. `kvlab lab start 1` begins the first.")?;
        return Ok(());
    }
    for (lab, entry) in &begun {
        writeln!(out, "{:>2}  {:<44} {entry}", lab.number, lab.title)?;
    }
    let done = begun.iter().filter(|(_, entry)| entry.is_done()).count();
    writeln!(out, "\n{done} of {} labs passed.", course.labs.len())?;
    Ok(())
}

fn open(course: &Course, lab: &Lab) -> Result<ExitCode> {
    let status = std::process::Command::new("cargo")
        .args(["run", "--release", "--quiet", "--package", &lab.package(), "--", "open"])
        .current_dir(&course.root)
        .status()
        .context("cargo cannot be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
