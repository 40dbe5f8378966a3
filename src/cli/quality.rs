//! `kvlab quality`: what each lane loses, and what it stores for that.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};

use crate::{
    cache::spec::parse_lanes,
    experiment::quality::{DEFAULT_LANES, LaneQuality, QualityError, QualityRun, QualitySettings},
    measure::{device::name_of, machine::Machine},
    model::{Calibrating, LoadedModel, ModelError, ModelSource, Passage, hub::name::short},
    report::{
        files::TRACE,
        files::{PendingFile, SUMMARY, remove_stale},
        quality::{
            files::{FILES, RunInfo, write_all},
            table,
        },
    },
};

use super::{
    CANCEL, CANCELLED,
    options::{ModelArgs, with_calibration_bar},
    progress, unless_closed,
};

/// Stories that are read where nobody says how many: all that are embedded.
const DEFAULT_STORIES: usize = 32;
/// No text of a book is larger, and a tokenizer takes many times its size.
const MOST_TEXT_BYTES: u64 = 16 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kvlab quality --lanes contiguous,paged:16+int8 --out quality1
  kvlab quality --lanes paged:16+int8 --stories 4 --tokens 300             a quick look
  kvlab quality --model gpt2 --text book.txt --stories 2 --batch 2         any model with a tokenizer; no recall
The exact lane, contiguous, always runs: the others are compared with it, token by token. The embedded stories have their
recalled facts marked; of another text there is no recall. `kvlab run --help` says what a lane is.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Lanes, separated by commas
    #[arg(long, default_value = DEFAULT_LANES)]
    lanes: String,
    /// Read the first N held-out stories, or pieces of --text [default: 32, or as many as there are]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    stories: Option<usize>,
    /// Read only the first N tokens of each story, or cut --text into pieces of N tokens [default: the model's context]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    tokens: Option<usize>,
    /// Tokens of each story that are its prompt: one prefill; the others are fed one by one
    #[arg(long, value_name = "N", default_value_t = QualitySettings::default().prompt_tokens, allow_negative_numbers = true)]
    prompt_tokens: usize,
    /// Tokens to generate from each prompt, to see where a lane leaves the exact text; 0 skips that
    #[arg(long, value_name = "N", default_value_t = QualitySettings::default().greedy_tokens, allow_negative_numbers = true)]
    greedy_tokens: usize,
    /// Stories that are read together: more is faster and takes more memory
    #[arg(long, value_name = "N", default_value_t = QualitySettings::default().batch, allow_negative_numbers = true)]
    batch: usize,
    /// A text to read instead of the held-out stories
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Print the numbers as JSON, as in summary.json, instead of the table
    #[arg(long)]
    json: bool,
    /// Folder for summary.json, run.json, positions.csv and the plots; an earlier quality run there is replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Args {
    pub fn threads(&self) -> Option<u16> {
        self.model.threads.threads
    }
}

/// # Errors
/// Bad input, a failing disk.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let lanes = parse_lanes(&args.lanes)?;
    if args.stories == Some(0) {
        bail!("--stories 0 reads nothing; give 1 or more");
    }
    let text = args.text.as_deref().map(read_text).transpose()?;
    let model = args.model.load()?;
    let passages = passages(args, &model, text.as_deref())?;
    let settings =
        QualitySettings { prompt_tokens: args.prompt_tokens, greedy_tokens: args.greedy_tokens, batch: args.batch };
    let build = |show: &mut dyn FnMut(Calibrating)| {
        QualityRun::with_progress(model.clone(), &lanes, passages, settings, show, &CANCEL)
    };
    let mut quality = with_calibration_bar(&model, build).map_err(|error| match error {
        QualityError::Model(error @ ModelError::Cancelled) => anyhow::Error::from(error),
        error => error.into(),
    })?;
    let info = info(args, &quality);
    args.out.as_deref().map(open_folder).transpose()?;

    if !steps(&mut quality)? {
        let (all, done) = quality.progress();
        if !args.json {
            unless_closed(print(&quality, &info))?;
        }
        let kept = match &args.out {
            Some(folder) => format!("nothing was written to {}", folder.display()),
            None => "nothing was written, since no --out was given".into(),
        };
        writeln!(io::stderr(), "cancelled after {done} of {all} steps: these are the numbers so far; {kept}")?;
        return Ok(ExitCode::from(CANCELLED));
    }
    // Files come before anything is printed: a closed pipe or a full standard output costs no result.
    let summaries = quality.summaries();
    let mut written = None;
    if let Some(folder) = &args.out {
        let positions: Vec<_> = (0..summaries.len()).map(|lane| quality.positions(lane)).collect();
        let names = write_all(folder, short(&info.model), &info, &summaries, &positions)?;
        written = Some(format!("\nwrote {} to {}", names.join(", "), folder.display()));
    }
    unless_closed(if args.json { print_json(&summaries) } else { print(&quality, &info) })?;
    if let Some(written) = written.filter(|_| !args.json) {
        unless_closed(writeln!(io::stdout(), "{written}"))?;
    }
    let has_failed = summaries.iter().any(|lane| lane.failed.is_some());
    if has_failed {
        writeln!(io::stderr(), "error: not every lane could be measured; see above")?;
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs all steps; false where it was cancelled.
fn steps(quality: &mut QualityRun) -> anyhow::Result<bool> {
    let bar = progress::bar("measuring", quality.progress().0 as u64);
    loop {
        match quality.step(&CANCEL) {
            Ok(Some(_)) => bar.set_position(quality.progress().1 as u64),
            Ok(None) => break,
            Err(error) if error.is_cancelled() => {
                bar.finish_and_clear();
                return Ok(false);
            }
            Err(error) => {
                bar.abandon();
                return Err(error).context("the exact lane failed, and nothing can be measured without it");
            }
        }
    }
    bar.finish_and_clear();
    Ok(true)
}

fn print(quality: &QualityRun, info: &RunInfo) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let commit = info.commit.as_deref().map_or_else(String::new, |commit| format!(", commit {commit}"));
    writeln!(
        out,
        "model {}, {}, {} tokens\nkvlab {}{commit} on {}, {} threads, {}\n",
        info.model, info.text, info.tokens, info.kvlab_version, info.machine.cpu, info.machine.threads, info.device
    )?;
    write!(out, "{}", table(&quality.summaries(), quality.settings()))
}

fn print_json(summaries: &[LaneQuality]) -> io::Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(summaries)?)
}

/// The passages to read: the first held-out stories, or pieces of `text`.
fn passages(args: &Args, model: &LoadedModel, text: Option<&str>) -> anyhow::Result<Vec<Passage>> {
    let context = model.model.config().n_positions;
    let len = args.tokens.unwrap_or(context);
    if args.text.is_some() && len > context {
        bail!("--tokens {len}: the context of `{}` ends at {context}", model.source);
    }
    let mut passages = match text {
        Some(text) => {
            let tokenizer = model.tokenizer.as_ref();
            let tokenizer = tokenizer.with_context(|| {
                format!(
                    "`{}` has no tokenizer (tokenizer.json, or vocab.json and merges.txt) to read --text with",
                    model.source
                )
            })?;
            let mut pieces = Passage::cut(&tokenizer.encode(text)?, len);
            // What is left at the end may be too short to be measured.
            if pieces.len() > 1
                && pieces.last().is_some_and(|last| last.ids.len() < args.prompt_tokens.saturating_add(2))
            {
                pieces.pop();
            }
            pieces
        }
        None if model.asked == ModelSource::Story => Passage::held_out_stories()?,
        None => bail!("the held-out stories are for `story`; give a text for `{}` with --text FILE", model.source),
    };
    let there = passages.len();
    if let Some(stories) = args.stories.filter(|stories| *stories > there) {
        let what = if args.text.is_some() { "the text has" } else { "held-out stories:" };
        bail!("--stories {stories}: {what} {there} of up to {len} tokens");
    }
    passages.truncate(args.stories.unwrap_or(DEFAULT_STORIES));
    for passage in &mut passages {
        passage.truncate(len);
    }
    Ok(passages)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("--text {}: cannot be read", path.display());
    let there = fs::metadata(path).with_context(cannot)?;
    if !there.is_file() {
        bail!("--text {}: is not a file", path.display());
    }
    if there.len() > MOST_TEXT_BYTES {
        bail!("--text {}: is larger than {} MiB; give a part of it", path.display(), MOST_TEXT_BYTES >> 20);
    }
    fs::read_to_string(path).with_context(cannot)
}

fn info(args: &Args, quality: &QualityRun) -> RunInfo {
    let (model, passages): (&Arc<LoadedModel>, _) = (quality.model(), quality.passages());
    let text = match &args.text {
        Some(path) => format!("{} piece(s) of {}", passages.len(), path.display()),
        None => format!("{} held-out stories", passages.len()),
    };
    RunInfo {
        kvlab_version: env!("CARGO_PKG_VERSION").into(),
        commit: option_env!("KVLAB_COMMIT").map(str::to_owned),
        started_unix_secs: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        machine: Machine::detect(),
        device: name_of(model.model.device()),
        model: model.source.to_string(),
        model_hash: model.hash.clone(),
        text,
        text_hash: Passage::hash(passages),
        passages: passages.len(),
        tokens: passages.iter().map(|passage| passage.ids.len()).sum(),
        settings: quality.settings(),
        lanes: quality.lanes().to_vec(),
    }
}

/// A folder that can be written, without an earlier run's files.
fn open_folder(folder: &Path) -> anyhow::Result<()> {
    let cannot = || format!("--out {}: cannot be written", folder.display());
    if folder.join(TRACE).exists() {
        bail!(
            "--out {}: holds a {TRACE} of `kvlab run`, whose {SUMMARY} would be lost; give another folder",
            folder.display()
        );
    }
    fs::create_dir_all(folder).with_context(cannot)?;
    remove_stale(folder, FILES).with_context(cannot)?;
    PendingFile::create(&folder.join(SUMMARY)).with_context(cannot)?;
    Ok(())
}
