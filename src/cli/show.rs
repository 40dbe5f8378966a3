//! `kvlab show`: a trace read back, whole or cut off.

use std::{
    fs::File,
    io::{self, BufReader, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;

use crate::{
    experiment::{
        LaneEvent,
        trace::{Outcome, Trace},
    },
    report::{LaneResult, summarise, table},
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
    let mut lanes: Vec<LaneResult> = trace.header.lanes.iter().map(|lane| LaneResult::new(lane.clone())).collect();
    for event in trace.events {
        let index = event.lane();
        let lane = lanes.get_mut(index).with_context(|| format!("{path}: names lane {index}, which it has not"))?;
        match event {
            LaneEvent::Token { record, text, .. } => {
                lane.records.push(record);
                lane.text.push_str(&text);
            }
            LaneEvent::Ended { end, text, .. } => {
                lane.text.push_str(&text);
                lane.end = Some(end);
            }
            // For the window.
            _ => {}
        }
    }
    let header = &trace.header;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "model {} on {}, {} threads, {}",
        header.model, header.machine.cpu, header.machine.threads, header.device
    )?;
    write!(out, "{}", table::table(&summarise(&lanes)))?;
    match trace.outcome {
        Some(Outcome::Finished) => {}
        Some(Outcome::Cancelled) => writeln!(out, "\nThis run was cancelled.")?,
        None => writeln!(out, "\nThis trace was cut off: shown is what it holds up to its last whole line.")?,
    }
    Ok(ExitCode::SUCCESS)
}
