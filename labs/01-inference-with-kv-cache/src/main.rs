//! `check` and `bench`: parse, run, exit code.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use lab01::{
    bench::{Options, bench},
    checks::{self, Reference},
    contract::{Exercise, Solution},
    given::Model,
    wrong::WRONG,
};

/// Lab 01: GPT-2 inference without and with a KV cache. Your file is src/exercise.rs; README.md has the tasks.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check src/exercise.rs, task by task.
    Check {
        /// Check the solution instead.
        #[arg(long, conflicts_with = "wrong")]
        solution: bool,
        /// Check one of the planted mistakes instead (a file of src/wrong/, without `.rs`).
        #[arg(long)]
        wrong: Option<String>,
    },
    /// Measure your two loops token by token and draw the curves.
    Bench(Bench),
}

#[derive(Debug, Args)]
struct Bench {
    /// Measure the solution instead.
    #[arg(long)]
    solution: bool,
    /// New tokens of each loop.
    #[arg(long, default_value_t = 300)]
    tokens: usize,
    /// Runs of each loop; the shortest of a token's times counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The figure.
    #[arg(long, default_value = "latency.svg")]
    out: PathBuf,
}

fn main() -> ExitCode {
    kvlab::kernels::threads::fix_count();
    run(&Cli::parse().command, &mut io::stdout().lock()).unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "{error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode> {
    let (reference, model) = (Reference::new()?, Model::story()?);
    match command {
        Command::Check { solution, wrong } => {
            let report = match wrong {
                Some(name) => {
                    let known = || WRONG.map(|wrong| wrong.name).join(", ");
                    let found = WRONG.iter().find(|wrong| wrong.name == name);
                    let wrong = found.with_context(|| format!("no planted mistake `{name}`; there are {}", known()))?;
                    (wrong.check)(&reference, &model)
                }
                None if *solution => checks::run::<Solution>(&reference, &model),
                None => checks::run::<Exercise>(&reference, &model),
            };
            report.print(out)?;
            Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Bench(Bench { solution, tokens, rounds, out: svg }) => {
            let options = Options { tokens: *tokens, rounds: *rounds };
            if *solution {
                bench::<Solution>(&reference, &model, options, svg, out)?;
            } else {
                bench::<Exercise>(&reference, &model, options, svg, out)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
