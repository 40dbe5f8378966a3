//! `kvlab bench`: a matrix of arms, measured against the floor of this machine.

mod measure;
mod plan;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    experiment::bench::{ArmResult, BenchError, Peers},
    report::bench::{
        OutputFormat,
        folder::{BenchFolder, Header, SCHEMA, say_resumed},
        print,
    },
};

use super::{CANCEL, CANCELLED, options::LANE_GRAMMAR, progress, unless_closed};
use measure::on;
use plan::{LANES, Plan, QUICK_LANES};

/// The compiler this was built with.
const RUSTC: &str = match option_env!("KVLAB_RUSTC") {
    Some(version) => version,
    None => "unknown",
};

#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  kvlab bench --quick                                           a first look at the embedded model, under a minute
  kvlab bench --model shape:gpt2 --lanes contiguous,paged:16+int8 --depths 128,512,900 --out bench1
  kvlab bench --model shape:gpt2,ctx=32768 --lanes contiguous,paged:16 --depths 1024,8192,32000 --prompts '' --out long
  kvlab bench --model shape:gpt2 --batches 1,8,32 --threads 1,2 --weights f32,int8 --out batches
  kvlab bench --model shape:gpt2 --peer 'python3 benches/peers/transformers_peer.py' --out peers
The same command with the same --out goes on where it was interrupted. Tests are named as llama-bench names them: pp512 is a prompt of
512 tokens, tg16@d512,b8 16 tokens of each of 8 sequences behind 512 cached ones. A cache is brought to its depth with random rows that
are stored but not computed; what it costs to read them is the same. Blocks of a pool are mixed up, as after long use.
{LANE_GRAMMAR}
Besides there are candle:concat and candle:kv, the caches of candle-nn with attention of candle's own operations."))]
pub struct Args {
    /// story, shape:NAME[,ctx=N], a folder or a GPT-2 of the hub; give it again for more models
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Types that the weights are kept in, of f32, f16, bf16, int8 and `q8_0`; separated by commas
    #[arg(long, default_value = "f32")]
    weights: String,
    #[arg(long, help = format!("Lanes, separated by commas [default: {LANES}; --quick {QUICK_LANES}]"))]
    lanes: Option<String>,
    /// Lengths of prompts (pp); '' for none [default: 512; --quick 64]
    #[arg(long, value_name = "N,N,...")]
    prompts: Option<String>,
    /// Tokens that are generated (tg); 0 for none [default: 16; --quick 8]
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    /// Cached tokens in front of those [default: 0,512; --quick 128]
    #[arg(long, value_name = "N,N,...")]
    depths: Option<String>,
    /// Sequences in a batch
    #[arg(long, value_name = "N,N,...", default_value = "1")]
    batches: String,
    /// Threads to compute with [default: all, as `kvlab doctor` names them]
    #[arg(long, value_name = "N,N,...")]
    threads: Option<String>,
    /// Devices, separated by commas, of auto, cpu, cuda and cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Turns of every arm [default: 5; --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: Option<u32>,
    /// A turn makes no further step after so many seconds [default: 5; --quick 0.5]
    #[arg(long, value_name = "SECS", allow_negative_numbers = true)]
    repeat_limit: Option<f64>,
    /// A program that runs another engine on the same work (benches/peers/README.md); give it again for more
    #[arg(long = "peer", value_name = "COMMAND")]
    peers: Vec<String>,
    /// Of the caches that peers offer only these, separated by commas
    #[arg(long, value_name = "NAME,NAME,...")]
    peer_lanes: Option<String>,
    /// Small and short: the whole matrix in under a minute
    #[arg(long)]
    quick: bool,
    /// Download nothing: models of the hub come from the cache
    #[arg(long)]
    offline: bool,
    /// Make every step of a lane longer by waiting, as in 10@contiguous: to see that `kvlab compare` finds it
    #[arg(long, value_name = "PERCENT@LANE")]
    handicap: Option<String>,
    /// What is printed: md, csv, json or jsonl
    #[arg(long, short, default_value_t)]
    output: OutputFormat,
    /// Folder for arms.jsonl, summary.json, .csv and .md; an interrupted benchmark in it goes on
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace a benchmark that is in the folder already
    #[arg(long, requires = "out")]
    fresh: bool,
}

/// # Errors
/// Bad input, a model or peer that does not work, a failing disk.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(args)?;
    let mut peers = match Peers::start(&args.peers, &CANCEL) {
        Err(BenchError::Cancelled) => return say_cancelled(args, 0),
        peers => peers?,
    };
    let models = plan.models(args, &peers)?;
    let header = Header {
        schema: SCHEMA,
        command: command(),
        started_unix_secs: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        identity: plan.identity(args, &models, &peers),
    };
    let mut folder = args.out.as_deref().map(|out| BenchFolder::open(out, header, args.fresh)).transpose()?;
    let groups = || models.iter().flat_map(|model| &model.groups);
    let of_device = |device| groups().map(|group| on(group, device).arms.len()).sum::<usize>();
    let all: usize = plan.devices.iter().map(of_device).sum();
    if let (Some(folder), Some(out)) = (&folder, &args.out)
        && !folder.arms().is_empty()
    {
        say_resumed(&mut io::stderr(), out, folder.arms().len(), all)?;
    }

    let mut arms: Vec<ArmResult> = folder.as_ref().map_or(vec![], |folder| folder.arms().to_vec());
    let bar = progress::bar("measuring", (all * (plan.settings.repeats + 1)) as u64);
    let outcome = plan.measure(args, &models, &mut peers, &mut arms, folder.as_mut(), &bar);
    bar.finish_and_clear();
    match outcome {
        Ok(()) => {}
        Err(error) if matches!(error.downcast_ref(), Some(BenchError::Cancelled)) => {
            // What was measured is worth a look even so.
            unless_closed(write!(io::stdout(), "{}", text(&arms, args.output)?))?;
            return say_cancelled(args, arms.len());
        }
        Err(error) => return Err(error),
    }
    let written = folder.map(|folder| folder.finish()).transpose()?;
    unless_closed(write!(io::stdout(), "{}", text(&arms, args.output)?))?;
    if let (Some(names), Some(out)) = (written, &args.out) {
        writeln!(io::stderr(), "wrote {} to {}", names.join(", "), out.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(arms: &[ArmResult], output: OutputFormat) -> anyhow::Result<String> {
    print(arms, output).map_err(|e| anyhow::anyhow!("the results cannot be written as {output}: {e}"))
}

fn say_cancelled(args: &Args, n_arms: usize) -> anyhow::Result<ExitCode> {
    let kept = match &args.out {
        Some(out) => format!("{n_arms} arms are kept in {}; the same command goes on from there", out.display()),
        None => format!("{n_arms} arms were measured; nothing was written, since no --out was given"),
    };
    writeln!(io::stderr(), "cancelled: {kept}")?;
    Ok(ExitCode::from(CANCELLED))
}

/// What was typed, quoted where a shell would want it.
fn command() -> String {
    let quoted = |word: String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=:,.+/@".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) { word } else { format!("'{word}'") }
    };
    let words = std::env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    format!("kvlab {}", words.collect::<Vec<_>>().join(" "))
}

fn commit() -> String {
    option_env!("KVLAB_COMMIT").unwrap_or("unknown").to_owned()
}
