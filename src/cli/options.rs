//! Flags that several subcommands share, turned into typed arguments once.

use std::{
    io::{self, Write},
    sync::Arc,
};

use anyhow::Context;
use clap::Args;

use crate::{
    cache::Lane,
    engine::{EngineError, Sampling},
    experiment::{DEFAULT_PROMPT, Experiment, ExperimentError, Workload},
    measure::device::{DeviceChoice, name_of},
    model::{Calibrating, HubConfig, LoadedModel, ModelError, ModelSource, WeightType},
    report::units::parse_size,
};

use super::progress;

/// What `--lane` and `--lanes` take, for the end of a help text.
pub const LANE_GRAMMAR: &str = "\
A lane is none, or a layout and then what differs from exact rows of all tokens, each with a plus, in any order:
  layout     concat, contiguous, paged[:B] (blocks of B tokens, 16 if none is given)
  format     f32, f16, bf16, f8, int8, q8_0, q4_0, int4,
             kivi:BITS[/R] (2, 4 or 8 bits; at least the newest R tokens exact, 32 if none is given; B a multiple of 32),
             kvq:BITS (2, 3 or 4 bits)
  rotation   rot
  retention  all, window:SINKS/RECENT, h2o:HEAVY/RECENT, h2o-mean:HEAVY/RECENT
as in contiguous+q4_0, paged:32+kivi:2+rot, paged:16+int8+h2o:32/32";

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// story, shape:NAME[,ctx=N] (random weights of that size), a folder with config.json and
    /// model.safetensors, or a GPT-2 on the Hugging Face hub: gpt2, gpt2-medium, gpt2-large, gpt2-xl,
    /// distilgpt2, ORG/NAME, each with @REVISION if wanted
    #[arg(long, default_value = "story")]
    pub model: String,
    #[arg(long, help = "Download nothing: models of the hub come from the cache (HF_HUB_OFFLINE=1 is the same)")]
    pub offline: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// How weights are kept: f32, f16, bf16, int8 (CPU) or `q8_0`; caches and activations are the lane's and f32
    #[arg(long, default_value = "f32")]
    pub weights: String,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

#[derive(Debug, Default, Args)]
pub struct ThreadArgs {
    /// Threads to compute with; the results are the same for any number [default: `RAYON_NUM_THREADS`, or one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

#[derive(Debug, Args)]
pub struct PromptArgs {
    /// The text to continue
    #[arg(long, conflicts_with = "ids", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// The prompt as token ids (3,17,5), for models without a tokenizer
    #[arg(long, value_delimiter = ',', value_name = "ID,ID,...", allow_hyphen_values = true)]
    pub ids: Option<Vec<u32>>,
}

#[derive(Debug, Args)]
pub struct SamplingArgs {
    /// 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Sample from the K likeliest tokens
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<usize>,
    /// Sample from the likeliest tokens that together have probability P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// The same seed gives the same tokens
    #[arg(long, default_value_t = Sampling::DEFAULT_SEED, allow_negative_numbers = true)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct CacheArgs {
    /// Tokens per forward pass of the prefill [default: the whole prompt]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub prefill_chunk: Option<u32>,
    /// Memory for keys and values of each lane, as in 512KiB, 2MiB, 1.5GiB [default: the whole context]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, allow_hyphen_values = true)]
    pub cache_memory: Option<u64>,
}

impl SamplingArgs {
    /// # Errors
    /// A number out of range.
    pub fn sampling(&self) -> anyhow::Result<Sampling> {
        let Self { temperature, top_k, top_p, seed } = *self;
        let sampling = Sampling { temperature, top_k, top_p, seed };
        sampling.check()?;
        if temperature == 0.0 && (top_k.is_some() || top_p.is_some()) {
            let remark = "--top-k and --top-p change nothing at temperature 0, which always takes the likeliest token";
            let _ = writeln!(io::stderr(), "note: {remark}");
        }
        Ok(sampling)
    }
}

impl CacheArgs {
    pub fn workload(
        &self,
        prompt_ids: Vec<u32>,
        max_new_tokens: usize,
        stop_at_eos: bool,
        sampling: Sampling,
    ) -> Workload {
        Workload {
            prompt_ids,
            max_new_tokens,
            sampling,
            prefill_chunk: self.prefill_chunk.map(|chunk| chunk as usize),
            stop_at_eos,
            memory_limit_bytes: self.cache_memory,
            rehearse: false,
            forced: false,
            compares: false,
        }
    }
}

/// Builds something whose lanes may need levels of `model`, with a progress bar while they are found; says on standard error what a
/// person should know about them.
pub fn with_calibration_bar<T>(model: &LoadedModel, build: impl FnOnce(&mut dyn FnMut(Calibrating)) -> T) -> T {
    let mut bars = progress::ModelBars::default();
    let built = build(&mut |progress| bars.show_calibration(progress));
    bars.clear();
    if let Some(note) = model.calibrations.note() {
        let _ = writeln!(io::stderr(), "note: {note}");
    }
    built
}

/// Builds the lanes of a run.
///
/// # Errors
/// Those of [`Experiment::with_progress`]; [`ModelError::Cancelled`] by itself.
pub fn experiment(model: &Arc<LoadedModel>, lanes: &[Lane], workload: Workload) -> anyhow::Result<Experiment> {
    let build = |show: &mut dyn FnMut(Calibrating)| {
        Experiment::with_progress(model.clone(), lanes, workload, show, &super::CANCEL)
    };
    with_calibration_bar(model, build).map_err(|error| match error {
        ExperimentError::Engine(EngineError::Model(error @ ModelError::Cancelled)) => error.into(),
        error => error.into(),
    })
}

fn in_weights(weights: WeightType) -> String {
    if weights == WeightType::F32 { String::new() } else { format!(", weights in {weights}") }
}

impl ModelArgs {
    /// Opens the device and loads the model, with a progress bar; says on standard error what both are.
    ///
    /// # Errors
    /// An unknown or broken model, a device that does not work.
    pub fn load(&self) -> anyhow::Result<Arc<LoadedModel>> {
        let source: ModelSource = self.model.parse()?;
        let weights: WeightType = self.weights.parse()?;
        let (device, remark) = self.device.parse::<DeviceChoice>()?.open()?;
        let mut hub = HubConfig::from_env();
        hub.offline |= self.offline;
        let mut bars = progress::ModelBars::default();
        let model = source.load_as(weights, &hub, &device, &mut |progress| bars.show(progress), &super::CANCEL);
        bars.clear();
        let model = model.with_context(|| format!("model `{source}` cannot be loaded"))?;
        let mut err = io::stderr();
        let _ = writeln!(err, "model {} on {}{}", model.source, name_of(&device), in_weights(weights));
        if let Some(note) = &model.note {
            let _ = writeln!(err, "note: {note}");
        }
        if let Some(reason) = remark.filter(|_| cfg!(feature = "cuda")) {
            let _ = writeln!(err, "CUDA is not used: {reason}");
        }
        if source.is_random() {
            let _ = writeln!(err, "random weights: latency and memory are real, the text means nothing");
        }
        Ok(Arc::new(model))
    }
}

impl PromptArgs {
    /// The prompt's text, if it has one, and its ids.
    ///
    /// # Errors
    /// A text for a model without a tokenizer.
    pub fn encode(&self, model: &LoadedModel) -> anyhow::Result<(Option<String>, Vec<u32>)> {
        if let Some(ids) = &self.ids {
            return Ok((None, ids.clone()));
        }
        let text = self.prompt.as_deref().unwrap_or(DEFAULT_PROMPT);
        let tokenizer = model.tokenizer.as_ref().with_context(|| {
            format!(
                "`{}` has no tokenizer (tokenizer.json, or vocab.json and merges.txt); give the prompt as --ids 3,17,5",
                model.source
            )
        })?;
        Ok((Some(text.to_owned()), tokenizer.encode(text)?))
    }
}
