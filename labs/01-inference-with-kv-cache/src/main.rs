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
    generate::{self, generate},
    given::Model,
    wrong::{WRONG, Wrong},
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
    /// Let your two loops continue a text.
    Generate(Generate),
    /// Measure your two loops token by token and draw the curves.
    Bench(Bench),
}

#[derive(Debug, Args)]
struct Generate {
    /// Run the solution instead.
    #[arg(long, conflicts_with = "wrong")]
    solution: bool,
    /// Run one of the planted mistakes instead (a file of src/wrong/, without `.rs`).
    #[arg(long)]
    wrong: Option<String>,
    /// The text to continue.
    #[arg(long, default_value = checks::PROMPTS[0])]
    prompt: String,
    /// New tokens of each loop.
    #[arg(long, default_value_t = 24)]
    tokens: usize,
    /// Tokens of the prompt per pass of the cached loop.
    #[arg(long, default_value_t = 7)]
    chunk: usize,
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
    kvlab::kernels::threads::fix_count(None);
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
                Some(name) => (planted(name)?.check)(&reference, &model),
                None if *solution => checks::run::<Solution>(&reference, &model),
                None => checks::run::<Exercise>(&reference, &model),
            };
            report.print(out)?;
            Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Generate(Generate { solution, wrong, prompt, tokens, chunk }) => {
            let mistake = wrong.as_deref().map(planted).transpose()?;
            let mistake_in = mistake.map(Wrong::task);
            let options = generate::Options { prompt: prompt.clone(), tokens: *tokens, chunk: *chunk, mistake_in };
            match mistake {
                Some(mistake) => (mistake.generate)(&reference, &model, &options, out)?,
                None if *solution => generate::<Solution>(&reference, &model, &options, out)?,
                None => generate::<Exercise>(&reference, &model, &options, out)?,
            }
            Ok(ExitCode::SUCCESS)
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

fn planted(name: &str) -> Result<&'static Wrong> {
    let known = || WRONG.iter().map(|wrong| wrong.name).collect::<Vec<_>>().join(", ");
    let found = WRONG.iter().find(|wrong| wrong.name == name);
    found.with_context(|| format!("no planted mistake `{name}`; there are {}", known()))
}
