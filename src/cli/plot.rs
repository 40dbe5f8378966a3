//! `kvlab plot`: figures of what was measured before.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};

use crate::{
    experiment::quality::LaneQuality,
    report::{
        bench::{folder::read, plots},
        files::{PendingFile, SUMMARY},
        quality::plots::write_plots,
    },
};

use super::unless_closed;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kvlab plot bench1 --out figures                    every figure that the benchmark has the numbers for
  kvlab plot bench1 long1 quality1 --out figures     several benchmarks together, and quality against bytes
Of benchmarks: latency and memory against context, tokens a second against batch, time of a prompt, roofline; one of each for a model. Of
quality runs: quality against bytes, recall against distance. Each as SVG and PNG.")]
pub struct Args {
    /// Folders of `kvlab bench --out` or `kvlab quality --out`, or their files
    #[arg(required = true)]
    from: Vec<PathBuf>,
    /// Folder for the figures
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// # Errors
/// What cannot be read, a failing disk.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (mut arms, mut qualities) = (vec![], vec![]);
    for path in &args.from {
        match quality_of(path) {
            Some(lanes) => qualities.push((path, lanes)),
            None => arms.extend(read(path)?),
        }
    }
    if qualities.len() > 1 {
        bail!("give one quality run: lanes of several cannot be told apart in one figure");
    }
    let mut keys = BTreeSet::new();
    if let Some(twice) = arms.iter().find(|arm| !keys.insert(arm.key())) {
        bail!("`{}` is in more than one of them, and its points would be one line; plot them apart", twice.key());
    }
    let cannot = || format!("--out {}: cannot be written", args.out.display());
    fs::create_dir_all(&args.out).with_context(cannot)?;
    // Found out before anything is drawn.
    drop(PendingFile::create(&args.out.join("latency.svg")).with_context(cannot)?);
    let mut written = plots::write_plots(&args.out, &arms)?;
    for (path, lanes) in &qualities {
        written.extend(write_plots(&args.out, &model_of(path), lanes)?);
    }
    if written.is_empty() {
        bail!("there is nothing to draw: a line needs two depths, two batches or two prompts");
    }
    unless_closed(writeln!(io::stdout(), "wrote {} to {}", written.join(", "), args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The lanes of a quality run, if it is one.
fn quality_of(path: &Path) -> Option<Vec<LaneQuality>> {
    let file = if path.is_dir() { path.join(SUMMARY) } else { path.to_owned() };
    let lanes: Vec<LaneQuality> = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    lanes.iter().any(|lane| lane.kl.is_some()).then_some(lanes)
}

/// The model of a quality run, as its `run.json` names it.
fn model_of(path: &Path) -> String {
    let run = fs::read_to_string(path.join("run.json")).ok();
    let run: Option<serde_json::Value> = run.and_then(|text| serde_json::from_str(&text).ok());
    run.and_then(|run| Some(run.get("model")?.as_str()?.to_owned())).unwrap_or_else(|| "a model".into())
}
