//! Token-by-token latency of the two loops, beside kvlab's own engine.
//!
//! Each loop runs whole, as it would in use, and the loops take turns, in another order each round. Every round makes the
//! same tokens, and what else the machine does only ever adds time: of a token's times the shortest counts.

use std::{
    io::Write,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use kvlab::{
    engine::{Session, SessionConfig},
    measure::stats::median,
    report::{plots::write_latency_svg, units},
};

use crate::{
    checks::{Caught, Reference, caught},
    contract::Lab,
    given::{Model, Sampler},
};

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// New tokens of each loop.
    pub tokens: usize,
    pub rounds: usize,
}

/// A median over this many tokens at either end, fewer in short runs.
const EDGE: usize = 64;

/// One whole run of one loop.
struct Sample {
    tokens: Vec<u32>,
    times: Vec<Duration>,
    /// Tokens that went through the model.
    rows: usize,
}

/// All runs of one loop.
struct Lane<'a> {
    label: &'static str,
    run: Box<dyn Fn() -> Result<Sample> + 'a>,
    samples: Vec<Sample>,
}

/// Measures `L`'s loops, prints a table and draws the curves into `svg`. A loop that is not written yet is left out.
pub fn bench<L: Lab>(
    reference: &Reference,
    model: &Model,
    options: Options,
    svg: &Path,
    out: &mut dyn Write,
) -> Result<()> {
    let Options { tokens, rounds } = options;
    let prompt = &reference.runs[0].prompt;
    let most = model.config().n_positions - prompt.len();
    ensure!(
        (3..=most).contains(&tokens),
        "--tokens is {tokens}; from 3 to {most} fit after a prompt of {}",
        prompt.len()
    );
    ensure!((1..=100).contains(&rounds), "--rounds is {rounds}; from 1 to 100 make sense");

    let timed = |generate: &dyn Fn(&mut Sampler) -> Result<Vec<u32>>| {
        model.take_passes();
        let mut sampler = Sampler::new(tokens);
        let tokens = generate(&mut sampler)?;
        let rows = model.take_passes().iter().map(|pass| pass.tokens.len()).sum();
        Ok(Sample { tokens, times: sampler.times, rows })
    };
    let lane = |label, run| Lane { label, run, samples: vec![] };
    let mut lanes = vec![
        lane("without cache", Box::new(|| timed(&|sampler| L::generate_uncached(model, prompt, tokens, sampler)))),
        lane(
            "with cache",
            Box::new(|| timed(&|sampler| L::generate_cached(model, prompt, tokens, prompt.len(), sampler))),
        ),
        lane("kvlab contiguous", Box::new(|| kvlab_run(reference, prompt, tokens))),
    ];
    let times = if rounds == 1 { "once".into() } else { format!("{rounds} times") };
    writeln!(out, "{tokens} tokens after a prompt of {}, {times} ...", prompt.len())?;
    measure(&mut lanes, options, out)?;

    let title = format!("Latency of each token, story model: prompt of {}, best of {rounds}", prompt.len());
    let curves: Vec<_> = lanes.iter().map(|lane| (lane.label.to_owned(), lane.inter_token_secs())).collect();
    write_latency_svg(svg, &title, &curves)?; // before anything is printed: a closed pipe costs no figure
    print_table(&lanes, out)?;
    writeln!(out, "\nThe curves are in {}; a browser shows it.", svg.display())?;
    Ok(())
}

/// Runs every lane whole, once a round. A lane that is not written yet goes.
fn measure(lanes: &mut Vec<Lane<'_>>, Options { tokens, rounds }: Options, out: &mut dyn Write) -> Result<()> {
    for round in 0..rounds {
        let mut left_out = vec![];
        for i in 0..lanes.len() {
            let i = if round % 2 == 0 { i } else { lanes.len() - 1 - i };
            let lane = &mut lanes[i];
            match caught(|| (lane.run)()) {
                Ok(sample) if sample.times.len() == tokens && sample.tokens.len() == tokens => {
                    lane.samples.push(sample);
                }
                Ok(sample) => bail!(
                    "{}: {tokens} tokens were asked for and {} came; `check` says more",
                    lane.label,
                    sample.tokens.len()
                ),
                Err(Caught::Todo(text)) => {
                    writeln!(out, "no curve \"{}\": not written yet: {text}", lane.label)?;
                    left_out.push(lane.label);
                }
                Err(Caught::Panic(text)) => bail!("{}: the code panicked: {text}; `check` says more", lane.label),
                Err(Caught::Error(error)) => return Err(error.context(format!("{}; `check` says more", lane.label))),
            }
        }
        lanes.retain(|lane| !left_out.contains(&lane.label));
        ensure!(lanes.len() > 1, "there is nothing of yours to measure yet; tasks 1 and 2 make the first curve");
    }
    Ok(())
}

fn kvlab_run(reference: &Reference, prompt: &[u32], n_new: usize) -> Result<Sample> {
    let never = AtomicBool::new(false);
    let mut session = Session::new(Arc::clone(&reference.kvlab), "contiguous".parse()?, SessionConfig::default())?;
    let mut records = vec![session.prefill(prompt, &never)?];
    while records.len() < n_new {
        records.push(session.decode(&never)?);
    }
    Ok(Sample {
        tokens: session.generated().to_vec(),
        times: records.iter().map(|r| Duration::from_secs_f64(r.total_secs)).collect(),
        rows: records.iter().map(|r| r.tokens_in).sum(),
    })
}

impl Lane<'_> {
    /// The shortest time over the rounds, for the prefill and each later token.
    fn secs(&self) -> Vec<f64> {
        let n = self.samples.first().map_or(0, |sample| sample.times.len());
        (0..n).filter_map(|i| self.samples.iter().map(|s| s.times[i]).min()).map(|time| time.as_secs_f64()).collect()
    }

    fn inter_token_secs(&self) -> Vec<f64> {
        self.secs().split_off(1)
    }
}

fn print_table(lanes: &[Lane<'_>], out: &mut dyn Write) -> Result<()> {
    let n = lanes.first().map_or(0, |lane| lane.inter_token_secs().len());
    let edge = EDGE.min(n / 2);
    let (first, last) = (format!("first {edge}"), format!("last {edge}"));
    writeln!(out, "\n{:<17} {:>10} {:>10} {:>10} {:>6} {:>10} {:>8}", "", "TTFT", first, last, "ratio", "sum", "rows")?;
    for lane in lanes {
        let secs = lane.secs();
        let itl = &secs[1..];
        let first = median(&itl[..edge]).context("there are at least two tokens")?;
        let last = median(&itl[n - edge..]).context("there are at least two tokens")?;
        writeln!(
            out,
            "{:<17} {:>10} {:>10} {:>10} {:>6.2} {:>10} {:>8}",
            lane.label,
            units::secs(secs[0]),
            units::secs(first),
            units::secs(last),
            last / first,
            units::secs(secs.iter().sum()),
            lane.samples[0].rows
        )?;
    }
    writeln!(
        out,
        "\nThe shortest time of each token in {} round(s).\n\
         TTFT   time to first token: the prompt and the first pick\n\
         first, last   median ITL (inter-token latency: one later token, its pass and its pick) of so many tokens\n\
         ratio  last / first: what a longer text costs a token\n\
         sum    the shortest times of all tokens, from whichever round; no run was shorter\n\
         rows   tokens that went through the model",
        lanes[0].samples.len()
    )?;
    let tokens = |lane: &Lane<'_>| lane.samples[0].tokens.clone();
    if let Some(other) = lanes.iter().find(|lane| tokens(lane) != tokens(&lanes[lanes.len() - 1])) {
        writeln!(out, "\n{} made other tokens than kvlab: it is not right yet, see `check`.", other.label)?;
    }
    Ok(())
}
