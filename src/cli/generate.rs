//! `kvlab generate`: text from one lane, as it comes.

use std::{
    collections::HashMap,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::bail;
use candle_core::Tensor;
use safetensors::{Dtype, tensor::TensorView};

use crate::{
    cache::Lane,
    experiment::{Experiment, LaneEnd, LaneEvent},
    report::files::{WriteError, write_whole},
};

use super::{
    CANCEL, CANCELLED,
    options::{CacheArgs, ModelArgs, PromptArgs, SamplingArgs},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kvlab generate --prompt \"Once upon a time there were three friends\" --temperature 0.7 --top-p 0.95
  kvlab generate --model DIR --ids 3,17,5 --lane paged:16 --tokens 40 --json --logits logits.safetensors")]
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
    /// Write the logits every token was picked from: safetensors, tensor `logits` [steps, vocab]
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
}

/// # Errors
/// Bad input, a cache that runs full, a file that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let lane: Lane = args.lane.parse()?;
    lane.check_built()?;
    let sampling = args.sampling.sampling()?;
    let model = args.model.load()?;
    let (prompt, prompt_ids) = args.prompt.encode(&model)?;
    let workload = args.cache.workload(prompt_ids, args.tokens, args.stop_eos, sampling);
    let has_tokenizer = model.tokenizer.is_some();
    let mut experiment = Experiment::new(model, &[lane], workload)?;
    if let Some(path) = &args.logits {
        // Found out now, not after the last token.
        write_whole(path, b"")?;
    }

    let mut out = io::stdout().lock();
    if !args.json && has_tokenizer {
        write!(out, "{}", prompt.unwrap_or_default())?;
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
                    write!(out, "{shown}")?;
                    out.flush()?;
                }
            }
            Ok(Some(LaneEvent::Ended { end, text: rest, .. })) => {
                text.push_str(&rest);
                if !args.json {
                    writeln!(out, "{rest}")?;
                }
                break end;
            }
            Ok(None) => bail!("the lane ended without saying why"),
            Err(error) if error.is_cancelled() => {
                writeln!(out)?;
                writeln!(io::stderr(), "cancelled after {} tokens", ids.len())?;
                return Ok(ExitCode::from(CANCELLED));
            }
            Err(error) => return Err(error.into()),
        }
    };
    if let LaneEnd::Failed(reason) = end {
        bail!("stopped after {} of {} tokens: {reason}", ids.len(), args.tokens);
    }
    if args.json {
        let text = has_tokenizer.then_some(text);
        writeln!(out, "{}", serde_json::json!({ "ids": ids, "text": text }))?;
    }
    if let Some(path) = &args.logits {
        write_logits(path, &logits)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_logits(path: &Path, rows: &[Tensor]) -> anyhow::Result<()> {
    let logits = Tensor::stack(rows, 0)?; // steps x [V] -> [steps, V]
    let values: Vec<f32> = logits.flatten_all()?.to_vec1()?;
    let view = TensorView::new(Dtype::F32, logits.dims().to_vec(), bytemuck::cast_slice(&values))?;
    let bytes = safetensors::serialize([("logits", view)], None::<HashMap<String, String>>)?;
    write_whole(path, &bytes).map_err(|e: WriteError| e.into())
}
