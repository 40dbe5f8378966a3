//! `kvlab run`: the experiment, headless.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};

use crate::{
    cache::{Lane, spec::parse_lanes},
    engine::MAX_FORKS,
    experiment::{
        DEFAULT_LANES, DEFAULT_TOKENS, Experiment, LaneEnd, LaneEvent, Workload, lane_names,
        trace::{Header, Outcome, TraceWriter, floor_of},
    },
    model::hub::name::short,
    report::{LaneResult, LaneSummary, Results, files, files::TRACE, plots, summarise, table},
};

use super::{
    CANCEL, CANCELLED,
    options::{CacheArgs, LANE_GRAMMAR, ModelArgs, PromptArgs, SamplingArgs, experiment},
    progress, unless_closed,
};

const EXAMPLES: &str = "\
Examples:
  kvlab run --lanes none,concat,contiguous,paged:16 --tokens 512 --out run1
  kvlab run --lanes contiguous,paged:16+q4_0,paged:32+kivi:2       what ever fewer bits cost
  kvlab run --lanes contiguous,paged:16+window:4/60,paged:16+h2o:32/32   forget all but 64 tokens
  kvlab run --prompt \"Mia has a dog. Mia fed her\" --temperature 0.7 --top-p 0.95 --seed 7
  kvlab run --lanes paged:16,contiguous --cache-memory 1MiB        see a cache run full
  kvlab run --attention contiguous --fork paged:16@40 --out run2   for `kvlab app --trace run2/trace.jsonl`";

#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n{LANE_GRAMMAR}"))]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Lanes, separated by commas
    #[arg(long, default_value = DEFAULT_LANES)]
    lanes: String,
    /// Tokens to generate in each lane, exactly
    #[arg(long, default_value_t = DEFAULT_TOKENS, allow_negative_numbers = true)]
    tokens: usize,
    /// Let a lane stop at the model's end-of-text token
    #[arg(long)]
    stop_eos: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Time a cached token as it comes, even if its lane waited for others and the processor's caches hold other data now
    #[arg(long)]
    no_rehearsal: bool,
    /// Feed every lane the first lane's tokens, whatever it would say itself, and compare each prediction with the first lane's (in the
    /// trace; the window draws it)
    #[arg(long)]
    forced: bool,
    /// Record whom the tokens of this lane look at as well (untimed; the window shows it with `app --trace`)
    #[arg(long, value_name = "LANE", requires = "out")]
    attention: Option<String>,
    /// Fork a lane at a generated token, as in paged:16@40: the fork says another 40th token (untimed; for the window)
    #[arg(long, value_name = "LANE@TOKEN", value_parser = parse_fork, requires = "out")]
    fork: Vec<(String, usize)>,
    /// Folder for trace.jsonl, records.csv, summary.json and the plots; an earlier run there is replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How the steps of a run ended.
enum Ended {
    AllLanes,
    Cancelled,
}

impl Args {
    pub fn threads(&self) -> Option<u16> {
        self.model.threads.threads
    }
}

/// # Errors
/// Bad input, a failing disk; whatever is kept is named in the message.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let lanes = parse_lanes(&args.lanes)?;
    let sampling = args.sampling.sampling()?;
    let model = args.model.load()?;
    let (prompt, prompt_ids) = args.prompt.encode(&model)?;
    let workload = args.cache.workload(prompt_ids, args.tokens, args.stop_eos, sampling);
    let workload = Workload { rehearse: !args.no_rehearsal, forced: args.forced, compares: args.forced, ..workload };
    let mut experiment = experiment(&model, &lanes, workload)?;
    let mut forks = extras(args, &lanes, &mut experiment)?;
    let mut trace = args.out.as_deref().map(|out| open_trace(out, &experiment, prompt)).transpose()?;

    let mut results = Results::new(experiment.names());
    let ended = steps(&mut experiment, trace.as_mut(), &mut results, &mut forks, args)?;
    let results = results.into_lanes();
    let summaries = summarise(&results);
    // Files come before anything is printed: a closed pipe or a full standard output costs no result.
    if matches!(ended, Ended::Cancelled) {
        if let Some(trace) = trace {
            trace.finish(Outcome::Cancelled).context("the trace could not be finished")?;
        }
        unless_closed(write!(io::stdout(), "{}", table::table(&summaries)))?;
        let done: usize = results.iter().map(|lane| lane.records.len()).sum();
        let kept = match &args.out {
            Some(folder) => {
                format!("kept: {}, whole up to there; no summary or plot was written", folder.join(TRACE).display())
            }
            None => "nothing was written, since no --out was given".into(),
        };
        writeln!(io::stderr(), "cancelled after {done} tokens over all lanes. {kept}")?;
        return Ok(ExitCode::from(CANCELLED));
    }
    if let (Some(trace), Some(folder)) = (trace, &args.out) {
        trace.finish(Outcome::Finished).context("the trace could not be finished")?;
        files::write_csv(&folder.join(files::CSV), &results)?;
        plots::write_plots(folder, short(&experiment.model().source.to_string()), &results)?;
        // Last, so that a folder with a summary is a folder with everything.
        files::write_json(&folder.join(files::SUMMARY), &summaries)?;
    }
    unless_closed(print(&mut io::stdout().lock(), &summaries, &results, args.out.as_deref()))?;
    let failed = results.iter().any(|lane| matches!(lane.end, Some(LaneEnd::Failed(_))));
    if failed {
        writeln!(io::stderr(), "error: not every lane generated its {} tokens; see above", args.tokens)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn steps(
    experiment: &mut Experiment,
    mut trace: Option<&mut TraceWriter<BufWriter<File>>>,
    results: &mut Results,
    forks: &mut Forks,
    args: &Args,
) -> anyhow::Result<Ended> {
    let bar = progress::bar("running", (experiment.names().len() * args.tokens) as u64);
    let ended = loop {
        let event = match experiment.step(&CANCEL) {
            Ok(Some(event)) => event,
            Ok(None) => break Ended::AllLanes,
            Err(error) if error.is_cancelled() => break Ended::Cancelled,
            Err(error) => return Err(error.into()),
        };
        if let Some(trace) = trace.as_deref_mut()
            && let Err(error) = trace.event(&event)
        {
            bar.abandon();
            bail!(
                "the trace could not be written any further ({error}); the run was stopped. Kept: the first {} \
                 lines of {TRACE} are whole; no summary or plot was written. Free some space and run again",
                trace.whole_lines()
            );
        }
        results.apply(&event);
        if let LaneEvent::Token { lane, .. } = event {
            bar.inc(1);
            let due = |fork: &(usize, usize)| *fork == (lane, results.tokens(lane));
            for _ in forks.extract_if(.., |fork| due(fork)) {
                if let Err(refusal) = experiment.fork(lane) {
                    bar.suspend(|| writeln!(io::stderr(), "note: {refusal}; the run goes on"))?;
                }
            }
        }
    };
    bar.finish_and_clear();
    for (lane, token) in forks.drain(..) {
        let (name, reached) = (&experiment.names()[lane], results.tokens(lane));
        writeln!(io::stderr(), "note: no fork at token {token} of {name}: it reached {reached}")?;
    }
    Ok(ended)
}

fn print(
    out: &mut impl Write,
    summaries: &[LaneSummary],
    results: &[LaneResult],
    folder: Option<&Path>,
) -> io::Result<()> {
    write!(out, "{}", table::table(summaries))?;
    texts(out, results)?;
    if let Some(folder) = folder {
        let names = [&[TRACE, files::CSV, files::SUMMARY], &plots::NAMES[..]].concat().join(", ");
        writeln!(out, "\nwrote {names} to {}", folder.display())?;
    }
    Ok(())
}

/// The text of the first lane, and of every lane that says something else.
fn texts(out: &mut impl Write, results: &[LaneResult]) -> io::Result<()> {
    for (i, lane) in results.iter().enumerate() {
        if !lane.text.is_empty() && (i == 0 || lane.text != results[0].text) {
            writeln!(out, "\n{}: {}", lane.lane, lane.text.trim())?;
        }
    }
    Ok(())
}

/// Where lanes are to be forked: `(lane, after so many tokens)`.
type Forks = Vec<(usize, usize)>;

/// Watches the lane of `--attention`, and finds those of `--fork`.
fn extras(args: &Args, lanes: &[Lane], experiment: &mut Experiment) -> anyhow::Result<Forks> {
    let names = lane_names(lanes);
    let find = |flag: &str, name: &str| {
        // As it was asked for, or in another order of its parts.
        let same = || name.parse::<Lane>().ok().and_then(|named| lanes.iter().position(|lane| *lane == named));
        let index = names.iter().position(|lane| lane == name).or_else(same);
        index.with_context(|| format!("{flag} {name}: there is no such lane; the lanes are {}", names.join(", ")))
    };
    let watched = args.attention.as_deref().map(|name| find("--attention", name)).transpose()?;
    experiment.watch(watched, &CANCEL)?;
    let mut forks = vec![];
    for (name, token) in &args.fork {
        let lane = find("--fork", name)?;
        experiment.can_fork(lane)?;
        if *token >= args.tokens {
            bail!("--fork {name}@{token}: the lane generates {} tokens; fork it before its last", args.tokens);
        }
        if forks.iter().filter(|(other, _)| *other == lane).count() == MAX_FORKS {
            bail!("--fork {name}@{token}: --fork can be given {MAX_FORKS} times for a lane");
        }
        forks.push((lane, *token));
    }
    Ok(forks)
}

fn parse_fork(text: &str) -> Result<(String, usize), String> {
    let parts = text.rsplit_once('@').and_then(|(lane, token)| Some((lane.to_owned(), token.parse().ok()?)));
    parts.filter(|(_, token)| *token > 0).ok_or_else(|| "expected LANE@TOKEN, as in paged:16@40".into())
}

fn open_trace(
    folder: &Path,
    experiment: &Experiment,
    prompt: Option<String>,
) -> anyhow::Result<TraceWriter<BufWriter<File>>> {
    let cannot = || format!("--out {}: cannot be written", folder.display());
    files::run_folder(folder).with_context(cannot)?;
    let file = File::create(folder.join(TRACE)).with_context(cannot)?;
    TraceWriter::new(BufWriter::new(file), Header::of(experiment, prompt, floor_of(experiment.model())))
        .with_context(cannot)
}
