//! What every lab does, and `generate` and `bench`.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use lab01::{
    LAB,
    bench::{Options, bench},
    checks::{PROMPTS, Reference},
    contract::{Exercise, Solution},
    generate,
    given::Model,
    variants::generator,
};

/// Lab 01: GPT-2 inference without and with a KV cache. Your file is src/exercise.rs; README.md has the tasks.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Lab(labkit::Command),
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
    #[arg(long, default_value = PROMPTS[0])]
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
    match command {
        Command::Lab(command) => return labkit::dispatch(&LAB, command, out),
        Command::Generate(Generate { solution, wrong, prompt, tokens, chunk }) => {
            let name = wrong.as_deref().unwrap_or(if *solution { "solution" } else { "exercise" });
            let (generate, mistake_in) = generator(name)?;
            let options = generate::Options { prompt: prompt.clone(), tokens: *tokens, chunk: *chunk, mistake_in };
            generate(&Reference::new()?, &Model::story()?, &options, out)?;
        }
        Command::Bench(Bench { solution, tokens, rounds, out: svg }) => {
            let (reference, model) = (Reference::new()?, Model::story()?);
            let options = Options { tokens: *tokens, rounds: *rounds };
            if *solution {
                bench::<Solution>(&reference, &model, options, svg, out)?;
            } else {
                bench::<Exercise>(&reference, &model, options, svg, out)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
