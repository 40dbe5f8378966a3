//! `kvlab generate`: text from one lane, as it comes.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;
use candle_core::Tensor;
use safetensors::{Dtype, tensor::TensorView};

use crate::{
    cache::Lane,
    engine::Session,
    experiment::{Experiment, LaneEnd, LaneEvent},
    measure::memory::peak_resident_bytes,
    model::LoadedModel,
    report::{files::PendingFile, units},
};

use super::{
    CANCEL, CANCELLED,
    options::{CacheArgs, LANE_GRAMMAR, ModelArgs, PromptArgs, SamplingArgs, experiment},
    unless_closed,
};

const EXAMPLES: &str = "\
Examples:
  kvlab generate --prompt \"Once upon a time there were three friends\" --temperature 0.7 --top-p 0.95
  kvlab generate --lane paged:32+kivi:2+window:4/60 --tokens 200
  kvlab generate --model DIR --ids 3,17,5 --lane paged:16 --tokens 40 --json --logits logits.safetensors";

#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n{LANE_GRAMMAR}"))]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    /// The lane to generate with
    #[arg(long, default_value = "contiguous")]
    lane: String,
    /// Tokens to generate, exactly
    #[arg(long, default_value_t = 100, allow_negative_numbers = true)]
    tokens: usize,
    /// Stop at the model's end-of-text token
    #[arg(long)]
    stop_eos: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    cache: CacheArgs,
    /// Print {"ids": [...], "text": ...} instead of streaming the text
    #[arg(long)]
    json: bool,
    /// Also say what weights, cache and the whole process at its peak took of memory: on stderr, or as "memory" in --json
    #[arg(long)]
    memory: bool,
    /// Write the logits every token was picked from: safetensors, tensor `logits` [steps, vocab]
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
}

impl Args {
    pub fn threads(&self) -> Option<u16> {
        self.model.threads.threads
    }
}

/// # Errors
/// Bad input, a cache that runs full, a file that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let lane: Lane = args.lane.parse()?;
    let sampling = args.sampling.sampling()?;
    let model = args.model.load()?;
    let (prompt, prompt_ids) = args.prompt.encode(&model)?;
    let workload = args.cache.workload(prompt_ids, args.tokens, args.stop_eos, sampling);
    let has_tokenizer = model.tokenizer.is_some();
    let mut experiment = experiment(&model, &[lane], workload)?;
    // Whether it can be written is found out now, not after the last token.
    let file = args.logits.as_deref().map(PendingFile::create).transpose()?;

    let show = |text: &str| {
        let mut out = io::stdout().lock();
        let printed = write!(out, "{text}").and_then(|()| out.flush());
        // With a file to write, the run goes on when nobody reads the text any more.
        if args.logits.is_some() { unless_closed(printed) } else { printed }
    };
    if !args.json && has_tokenizer {
        show(&prompt.unwrap_or_default())?;
    }
    let (mut ids, mut text, mut logits) = (vec![], String::new(), vec![]);
    let end = loop {
        match experiment.step(&CANCEL) {
            Ok(Some(LaneEvent::Token { record, text: piece, .. })) => {
                ids.push(record.token_id);
                text.push_str(&piece);
                if args.logits.is_some() {
                    logits.extend(experiment.session(0).and_then(|session| session.logits().cloned()));
                }
                if !args.json {
                    let shown = if has_tokenizer { piece } else { format!("{} ", record.token_id) };
                    show(&shown)?;
                }
            }
            Ok(Some(LaneEvent::Ended { end, text: rest, .. })) => {
                text.push_str(&rest);
                if !args.json {
                    show(&format!("{rest}\n"))?;
                }
                break end;
            }
            // Its blocks: nobody looks at them here.
            Ok(Some(_)) => {}
            Ok(None) => bail!("the lane ended without saying why"),
            Err(error) if error.is_cancelled() => {
                if !args.json {
                    show("\n")?;
                }
                let kept = if args.logits.is_some() { "; no logits were written" } else { "" };
                writeln!(io::stderr(), "cancelled after {} tokens{kept}", ids.len())?;
                return Ok(ExitCode::from(CANCELLED));
            }
            Err(error) => return Err(error.into()),
        }
    };
    if let LaneEnd::Failed(reason) = end {
        bail!("stopped after {} of {} tokens: {reason}", ids.len(), args.tokens);
    }
    // The file before the ids: a closed pipe must not cost the logits.
    if let Some(file) = file {
        file.finish(&logits_bytes(&logits)?)?;
    }
    let memory = args.memory.then(|| Memory::now(&model, &experiment));
    if args.json {
        let text = has_tokenizer.then_some(text);
        let mut printed = serde_json::json!({ "ids": ids, "text": text });
        if let Some(memory) = memory {
            printed["memory"] = serde_json::json!({
                "weight_bytes": memory.weights,
                "cache_bytes": memory.cache,
                "peak_resident_bytes": memory.peak,
            });
        }
        writeln!(io::stdout(), "{printed}")?;
    } else if let Some(memory) = memory {
        writeln!(io::stderr(), "{memory}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Bytes that were taken of memory; `None` where nobody can tell (weights on a device, a lane without a cache, a system that does not say).
struct Memory {
    weights: Option<u64>,
    cache: Option<u64>,
    peak: Option<u64>,
}

impl Memory {
    fn now(model: &LoadedModel, experiment: &Experiment) -> Self {
        let weights = model.model.weight_memory();
        let footprint = experiment.session(0).and_then(Session::cache).map(|(store, _)| store.footprint());
        Self {
            weights: weights.map(|weights| weights.buffers().iter().map(|buffer| buffer.len() as u64).sum()),
            cache: footprint.map(|footprint| footprint.reserved_bytes + footprint.metadata_bytes),
            peak: peak_resident_bytes(),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".into(), units::bytes);
        let cache = self.cache.map_or_else(|| "none".into(), |cache| format!("{} (reserved)", units::bytes(cache)));
        let (weights, peak) = (shown(self.weights), shown(self.peak));
        write!(f, "memory: weights {weights}, cache {cache}, the process at its peak {peak}")
    }
}

/// A safetensors file with one tensor, `logits`.
fn logits_bytes(rows: &[Tensor]) -> anyhow::Result<Vec<u8>> {
    let logits = Tensor::stack(rows, 0)?; // steps x [V] -> [steps, V]
    let values: Vec<f32> = logits.flatten_all()?.to_vec1()?;
    let view = TensorView::new(Dtype::F32, logits.dims().to_vec(), bytemuck::cast_slice(&values))?;
    Ok(safetensors::serialize([("logits", view)], None::<HashMap<String, String>>)?)
}
