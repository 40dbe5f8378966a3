//! `kvlab compare`: two benchmarks side by side.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;

use crate::report::bench::{
    compare::{Band, By, Verdict, compare, table},
    folder::read,
};

use super::unless_closed;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kvlab compare bench1 bench2                    folders of `kvlab bench --out`, or files it printed as json or jsonl
  kvlab compare main.json branch.json --band 10  only changes of more than 10 per cent
Exit code 0 where no arm became slower, 1 where one did (or a file cannot be read), so that a CI job can stop there. An arm
must be slower both in seconds and at equal bandwidth (by the floor of its own process), since the same machine can read its memory at another speed in
the next one; --by-time compares seconds alone.")]
pub struct Args {
    /// The benchmark to compare with: a folder, or a file
    before: PathBuf,
    /// The benchmark that is compared
    after: PathBuf,
    /// Changes up to so many per cent are none
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    band: f64,
    /// Compare seconds alone
    #[arg(long)]
    by_time: bool,
    /// Fail also where an arm is in one of them only
    #[arg(long)]
    strict: bool,
}

/// # Errors
/// Files that cannot be read or have nothing in common.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !(0.0..=1000.0).contains(&args.band) {
        bail!("--band {}: give 0 to 1000 per cent", args.band);
    }
    let band = Band { share: args.band / 100.0, by: if args.by_time { By::Time } else { By::Both } };
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let changes = compare(&before, &after, band);
    unless_closed(write!(io::stdout(), "{}", table(&changes, band)))?;
    let cpus: BTreeSet<&str> = before.iter().chain(&after).map(|arm| arm.cpu.as_str()).collect();
    if cpus.len() > 1 {
        let cpus: Vec<&str> = cpus.into_iter().collect();
        writeln!(io::stderr(), "note: measured on different processors: {}", cpus.join(", "))?;
    }
    let any = |verdict: Verdict| changes.iter().any(|change| change.verdict == verdict);
    if changes.iter().all(|change| matches!(change.verdict, Verdict::Missing | Verdict::NotMeasured)) {
        bail!("{} and {} have no measured arm in common", args.before.display(), args.after.display());
    }
    let fails = any(Verdict::Slower) || (args.strict && any(Verdict::Missing));
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
