//! The command line, one file per subcommand.
//!
//! Everything a person can get wrong is checked before anything runs or is written. Results go to standard
//! output, progress and remarks to standard error; a run that was cancelled ends with code 130.

mod bench;
mod compare;
mod doctor;
mod generate;
mod lab;
mod models;
mod options;
mod plan;
mod plot;
mod progress;
mod quality;
mod quiz;
mod run;
mod show;
#[cfg(feature = "app")]
mod window;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::{
    measure::{device::set_pool_threshold_bytes, machine::simd_path, threads::fix_count},
    model::{HubError, ModelError},
    report::units::parse_size,
};

/// The laboratory for the KV cache: runs a real GPT-2 with and without a cache and measures every token.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    /// Freed GPU memory that stays with the program for its next allocation: keep (all of it), release (none), or a size as in 512MiB
    #[arg(long, global = true, value_name = "SIZE", default_value = "keep", value_parser = parse_pool, hide_default_value = true)]
    gpu_pool: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  kvlab                                         open the window
  kvlab run --out run1                          the default lanes on the embedded model, with files
  kvlab run --model shape:gpt2 --tokens 512 --lanes none,concat,contiguous,paged:16 --out gpt2
  kvlab generate --prompt \"Once upon a time\" --tokens 100
  kvlab generate --model gpt2 --prompt \"The cat\"  GPT-2 as published, downloaded once
  kvlab quality --out quality1                  what each lane loses: divergence, recall, bytes per token
  kvlab bench --quick                           times against the floor of this machine, in under a minute
  kvlab bench --model shape:gpt2 --depths 128,900 --out bench1
  kvlab compare bench1 bench2                   what became slower, beyond the noise
  kvlab plot bench1 --out figures
  kvlab show run1/trace.jsonl                   the table of a run, also of one that was cut off
  kvlab plan --model 7b --memory 24GB --users 10    how many users fit, nothing is loaded
  kvlab lab start 1                             learn it by building it: the first of the labs
  kvlab doctor                                  what this machine is and can";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run several lanes side by side, measure every token, write a trace, tables and plots.
    Run(run::Args),
    /// Generate text with one lane.
    Generate(generate::Args),
    /// Measure what each lane loses against the exact cache: divergence, perplexity, recall, bytes per token.
    Quality(quality::Args),
    /// Benchmark a matrix of models, weights, lanes, depths, batches and threads against this machine's floor.
    Bench(bench::Args),
    /// Compare two benchmarks; fails where an arm became slower by more than the noise.
    Compare(compare::Args),
    /// Draw the figures of benchmarks and quality runs, as SVG and PNG.
    Plot(plot::Args),
    /// Print the table of a trace.
    Show(show::Args),
    /// Say how many users fit into a memory: arithmetic, no model is loaded.
    Plan(plan::Args),
    /// List the models that can be run.
    Models,
    /// Work on the labs: check your code, get hints, see how far you are.
    Lab(lab::Args),
    /// Answer questions on the KV cache; each answer is explained.
    Quiz(quiz::Args),
    /// Describe this machine: processor, threads, SIMD, memory bandwidth, devices; check and measure a GPU.
    Doctor(doctor::Args),
    /// Open the window (what `kvlab` alone does).
    #[cfg(feature = "app")]
    App(window::Args),
}

fn parse_pool(text: &str) -> Result<u64, String> {
    match text {
        "keep" => Ok(u64::MAX),
        "release" => Ok(0),
        size => parse_size(size).map_err(|error| format!("{error}; or write keep or release")),
    }
}

impl Command {
    /// What `--threads` says, where it is one number for the whole process.
    fn threads(&self) -> Option<u16> {
        match self {
            Self::Run(args) => args.threads(),
            Self::Generate(args) => args.threads(),
            Self::Quality(args) => args.threads(),
            #[cfg(feature = "app")]
            Self::App(args) => args.threads(),
            _ => None,
        }
    }
}

/// Set by Ctrl-C and looked at between the layers of every forward pass, and while a download is waited for.
static CANCEL: AtomicBool = AtomicBool::new(false);

/// Exit code of a cancelled run: 128 + SIGINT, as shells have it.
const CANCELLED: u8 = 130;

/// Parses the arguments, runs, and says what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command, gpu_pool } = Cli::parse();
    set_pool_threshold_bytes(gpu_pool);
    // Before anything computes, and before there is a second thread.
    fix_count(command.as_ref().and_then(Command::threads));
    let result = simd_path().map_err(|reason| anyhow::anyhow!(reason)).and_then(|_| dispatch(command));
    result.unwrap_or_else(|error| {
        // A closed pipe (`kvlab models | head -1`) is no error of ours.
        let closed = error
            .chain()
            .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe));
        if closed {
            return ExitCode::SUCCESS;
        }
        for cause in error.chain() {
            let message = match cause.downcast_ref() {
                Some(ModelError::Cancelled) => "cancelled while loading; nothing was run or written".to_owned(),
                Some(ModelError::Hub(cancelled @ HubError::Cancelled { .. })) => cancelled.to_string(),
                _ => continue,
            };
            let _ = writeln!(io::stderr(), "{message}");
            return ExitCode::from(CANCELLED);
        }
        let _ = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

/// A reader that went away (`kvlab run | head -1`) is no fault: what a command still has to do and to say counts.
fn unless_closed(printed: io::Result<()>) -> io::Result<()> {
    printed.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

fn dispatch(command: Option<Command>) -> anyhow::Result<ExitCode> {
    match command {
        Some(Command::Run(args)) => with_cancel(|| run::run(&args)),
        Some(Command::Generate(args)) => with_cancel(|| generate::run(&args)),
        Some(Command::Quality(args)) => with_cancel(|| quality::run(&args)),
        Some(Command::Bench(args)) => with_cancel(|| bench::run(&args)),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Plot(args)) => plot::run(&args),
        Some(Command::Show(args)) => show::run(&args),
        Some(Command::Plan(args)) => plan::run(&args),
        Some(Command::Models) => models::run(),
        Some(Command::Lab(args)) => with_cancel(|| lab::run(&args, &CANCEL)),
        Some(Command::Quiz(args)) => quiz::run(&args),
        Some(Command::Doctor(args)) => with_cancel(|| doctor::run(&args)),
        #[cfg(feature = "app")]
        Some(Command::App(args)) => window::run(&args),
        #[cfg(feature = "app")]
        None => window::run(&window::Args::default()),
        #[cfg(not(feature = "app"))]
        None => {
            anyhow::bail!("this kvlab was built without its window; try `kvlab --help`, or build with `--features app`")
        }
    }
}

/// The first Ctrl-C asks for a clean end; a second one does not wait.
fn with_cancel(run: impl FnOnce() -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    ctrlc::set_handler(|| {
        if CANCEL.swap(true, Ordering::Relaxed) {
            crate::course::end_all();
            std::process::exit(CANCELLED.into());
        }
    })
    .context("Ctrl-C cannot be caught")?;
    run()
}

#[cfg(test)]
mod tests {
    use super::parse_pool;

    #[test]
    fn a_pool_keeps_all_none_or_a_size() {
        assert_eq!(parse_pool("keep"), Ok(u64::MAX));
        assert_eq!(parse_pool("release"), Ok(0));
        assert_eq!(parse_pool("512MiB"), Ok(512 << 20));
        assert!(parse_pool("some").is_err_and(|error| error.contains("keep or release")));
    }
}
