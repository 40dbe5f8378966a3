//! `kvlab show`: a trace read back, whole or cut off.

use std::{
    fs::File,
    io::{self, BufReader, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;

use crate::{
    experiment::trace::{Outcome, Trace},
    report::{Results, summarise, table},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// trace.jsonl of a run
    trace: PathBuf,
}

/// # Errors
/// A file that is no trace.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.trace.display();
    let file = File::open(&args.trace).with_context(|| format!("{path}: cannot be read"))?;
    let trace = Trace::read(BufReader::new(file)).with_context(|| format!("{path}: cannot be read"))?;
    let mut results = Results::new(&trace.header.lanes);
    trace.events.iter().for_each(|event| results.apply(event));
    let header = &trace.header;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "model {} on {}, {} threads, {}",
        header.model, header.machine.cpu, header.machine.threads, header.device
    )?;
    write!(out, "{}", table::table(&summarise(&results.into_lanes())))?;
    match trace.outcome {
        Some(Outcome::Finished) => {}
        Some(Outcome::Cancelled) => writeln!(out, "\nThis run was cancelled.")?,
        Some(Outcome::Failed) => writeln!(out, "\nThis run failed; shown is what it did before.")?,
        None => writeln!(out, "\nThis trace was cut off: shown is what it holds up to its last whole line.")?,
    }
    Ok(ExitCode::SUCCESS)
}
