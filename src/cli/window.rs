//! `kvlab app`: the window.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use candle_core::Device;

use super::{CANCEL, options::ThreadArgs};
use crate::{
    app::{self, frame_times::FrameTimes, timeline::Timeline, window::bench},
    measure::device::DeviceChoice,
    model::ModelSource,
    report::files,
};

#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  kvlab app --model shape:gpt2 --lanes contiguous,contiguous+int8 --tokens 300
  kvlab app --lanes contiguous,paged:16+window:4/60 --pane blocks
  kvlab app --pane attention --beside blocks         two panes side by side
  kvlab app --look projector                         large type and high contrast
  kvlab app --bench-frames --out frames.json         measure this window itself
  kvlab app --trace run1/trace.jsonl                 a run again, without model or GPU
  kvlab app --screenshot window.png                  run once and draw the window, without a display
  kvlab app --screenshot quality.png --pane quality  measure what the lanes lose and draw that
  kvlab app --screenshot blocks.png --pane blocks --trace run1/trace.jsonl")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Args {
    /// story, shape:NAME[,ctx=N], a folder, or a GPT-2 on the Hugging Face hub (gpt2, ORG/NAME@REVISION)
    /// [default: story]
    #[arg(long)]
    model: Option<String>,
    #[arg(long, help = "Download nothing: models of the hub come from the cache (HF_HUB_OFFLINE=1 is the same)")]
    offline: bool,
    /// The text to continue
    #[arg(long)]
    prompt: Option<String>,
    /// Lanes, separated by commas; `kvlab run --help` and the window's menus list what there is
    #[arg(long)]
    lanes: Option<String>,
    /// Tokens to generate in each lane
    #[arg(long)]
    tokens: Option<usize>,
    /// Where to compute: auto, cpu, cuda or cuda:N [default: auto]
    #[arg(long)]
    device: Option<String>,
    #[command(flatten)]
    threads: ThreadArgs,
    /// What the window shows first: cost, attention, blocks, layers, numbers, quality, plan or labs [default: as it did last, or cost]
    #[arg(long)]
    pane: Option<String>,
    /// A second pane beside it
    #[arg(long, value_name = "PANE")]
    beside: Option<String>,
    /// How the window looks: dark, light or projector [default: as it did last]
    #[arg(long)]
    look: Option<String>,
    /// Open with the guided tours
    #[arg(long)]
    learn: bool,
    /// Feed every lane the first lane's tokens, so that every prediction can be compared
    #[arg(long)]
    forced: bool,
    /// Show trace.jsonl of a run instead of running
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "prompt", "lanes", "tokens", "device", "autorun"])]
    trace: Option<PathBuf>,
    /// The moment of that trace that is shown first, in tokens of every lane [default: its end]
    #[arg(long, value_name = "TOKENS", requires = "trace")]
    moment: Option<usize>,
    /// Start a run at once; with --pane quality, measure quality instead
    #[arg(long)]
    autorun: bool,
    /// Draw the window without a display, once its run (or measurement of quality) is over or with the trace, and
    /// write the picture
    #[arg(long, value_name = "FILE.png")]
    screenshot: Option<PathBuf>,
    /// Take the picture of a real window instead, and close it
    #[arg(long, requires = "screenshot")]
    in_window: bool,
    /// Measure this window: frames while the engine runs, a rest, an hour of replay; print a report and close
    #[arg(long, conflicts_with_all = ["screenshot", "trace", "lanes", "tokens", "model", "pane"])]
    bench_frames: bool,
    /// Also write the report of --bench-frames as JSON
    #[arg(long, value_name = "FILE.json", requires = "bench_frames")]
    out: Option<PathBuf>,
    /// Write the time of each frame of that window, and print percentiles
    #[arg(long, value_name = "FILE.csv", requires = "in_window")]
    frame_times: Option<PathBuf>,
}

impl Args {
    pub fn threads(&self) -> Option<u16> {
        self.threads.threads
    }
}

/// # Errors
/// No display, or a device that is not one.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut options = app::Options { autorun: args.autorun, ..Default::default() };
    if args.bench_frames {
        return bench_frames(options, args.out.as_deref());
    }
    for (given, option) in
        [(&args.model, &mut options.model), (&args.prompt, &mut options.prompt), (&args.lanes, &mut options.lanes)]
    {
        if let Some(given) = given {
            option.clone_from(given);
        }
    }
    options.asked = app::Asked {
        form: args.model.is_some()
            || args.prompt.is_some()
            || args.lanes.is_some()
            || args.tokens.is_some()
            || args.forced,
        layout: args.pane.is_some() || args.beside.is_some(),
    };
    options.offline = args.offline;
    options.tokens = args.tokens.unwrap_or(options.tokens);
    if let Some(device) = &args.device {
        options.device = device.parse()?;
    }
    if let Some(pane) = &args.pane {
        options.pane = pane.parse().map_err(anyhow::Error::msg)?;
    }
    if let Some(pane) = &args.beside {
        options.beside = Some(pane.parse().map_err(anyhow::Error::msg)?);
    }
    options.look = args.look.as_deref().map(str::parse).transpose()?;
    (options.forced, options.moment, options.learns) = (args.forced, args.moment, args.learn);
    if let Some(path) = &args.trace {
        let trace = Timeline::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        options.trace = Some(trace);
    }
    let Some(picture) = &args.screenshot else {
        app::run(options)?;
        return Ok(ExitCode::SUCCESS);
    };
    // A picture needs something in it.
    options.autorun = options.trace.is_none();
    app::check_picture(picture)?; // before the run, which may take long
    if args.in_window {
        options.screenshot = Some(picture.clone());
        let times = FrameTimes::default();
        options.frame_times = args.frame_times.is_some().then(|| times.clone());
        app::run(options)?;
        if let Some(path) = &args.frame_times {
            times.write_csv(path).with_context(|| format!("{} cannot be written", path.display()))?;
            times.summarise(&mut io::stdout())?;
        }
    } else {
        app::draw(&options, picture)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The script that measures the window; exit code 1 where a bar was missed.
fn bench_frames(mut options: app::Options, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let report = bench::Shared::default();
    options.lanes = bench::LANES.into();
    options.device = DeviceChoice::Cpu;
    let prompt = ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &CANCEL)?;
    let prompt = prompt.tokenizer.as_ref().context("the story model has a tokenizer")?.encode(&options.prompt)?;
    options.tokens = bench::CONTEXT - prompt.len();
    (options.pane, options.beside) = (bench::PANES.0, Some(bench::PANES.1));
    options.autorun = true;
    options.bench = Some(report.clone());
    options.started = std::time::Instant::now();
    app::run(options)?;
    let report = report.lock().ok().and_then(|mut report| report.take());
    let report = report.context("the window was closed before the script had ended")?;
    if let Some(path) = out {
        files::write_json(path, &report)?;
    }
    let met = report.print(&mut io::stdout())?;
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
