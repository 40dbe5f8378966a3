//! One generation through one lane.

mod attention;
mod forks;
mod inspect;
mod layers;
mod take_over;

pub use attention::Attention;
pub use forks::MAX_FORKS;
pub use inspect::{Ask, InspectedRow, Inspection, OnlineSoftmax, SoftmaxTile, Stored};
pub use layers::LayerStep;
pub use take_over::TakenOver;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use candle_core::Tensor;

use crate::{
    cache::{Footprint, Format, Guest, KvStore, Lane, SeqId, StoreConfig, Uncached},
    gpu::{Counts, memory_of},
    model::{Gpt2, LoadedModel, Logits},
};

use super::{
    EngineError, Sampling,
    record::{GpuStep, Phase, StepRecord, forward_flops, read_bytes, weight_bytes},
    rehearsal::{MOST_BYTES, rehearse},
    sampling::Sampler,
};

/// How a session runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionConfig {
    pub sampling: Sampling,
    /// Tokens per forward pass of the prefill; `None` runs the prompt in one.
    pub prefill_chunk: Option<usize>,
    pub store: StoreConfig,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { sampling: Sampling::GREEDY, prefill_chunk: None, store: StoreConfig::default() }
    }
}

/// A prompt, the tokens generated so far, and the lane's cache.
pub struct Session {
    model: Arc<LoadedModel>,
    lane: Lane,
    config: SessionConfig,
    cache: Option<(KvStore, SeqId)>,
    /// The learner's cache, in the lane `mine`.
    guest: Option<Guest>,
    sampler: Sampler,
    tokens: Vec<u32>,
    n_prompt: usize,
    logits: Option<Tensor>,
    forks: Vec<forks::Fork>,
}

impl Session {
    /// # Errors
    /// The store's, [`EngineError::BadSampling`], and those of [`LoadedModel::calibrated`], which a lane may need.
    pub fn new(model: Arc<LoadedModel>, lane: Lane, config: SessionConfig) -> Result<Self, EngineError> {
        let shape = model.model.config().kv_shape();
        let sampler = Sampler::new(&config.sampling, model.model.config().vocab_size)?;
        let guest = matches!(lane, Lane::Mine).then(|| Guest::new(shape)).transpose()?;
        let cache = match lane {
            Lane::None | Lane::Mine => None,
            Lane::Cache(spec) => {
                // Whoever wants to see it go on, or to cancel it, has asked for it before.
                let calibrated = model.calibrated(spec, &mut |_| {}, &AtomicBool::new(false))?;
                let calibration = calibrated.as_ref().map(|calibrated| &calibrated.calibration);
                let mut store = KvStore::on(model.model.device(), spec, shape, config.store, calibration)?;
                let seq = store.open()?;
                Some((store, seq))
            }
        };
        Ok(Self {
            model,
            lane,
            config,
            cache,
            guest,
            sampler,
            tokens: vec![],
            n_prompt: 0,
            logits: None,
            forks: vec![],
        })
    }

    #[must_use]
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Prompt and generated tokens.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    #[must_use]
    pub fn generated(&self) -> &[u32] {
        &self.tokens[self.n_prompt..]
    }

    /// The logits `[V]` the newest token was picked from.
    #[must_use]
    pub fn logits(&self) -> Option<&Tensor> {
        self.logits.as_ref()
    }

    /// The store and the sequence in it, unless the lane has no cache.
    #[must_use]
    pub fn cache(&self) -> Option<(&KvStore, SeqId)> {
        self.cache.as_ref().map(|(store, seq)| (store, *seq))
    }

    /// Back to before the prompt, with the same seed.
    ///
    /// # Errors
    /// The store's.
    pub fn reset(&mut self) -> Result<(), EngineError> {
        *self = Self::new(self.model.clone(), self.lane, self.config)?;
        Ok(())
    }

    /// Runs the prompt and picks the first token.
    ///
    /// # Errors
    /// [`EngineError::EmptyPrompt`], [`EngineError::AlreadyStarted`], and those of a forward pass. The session
    /// then still has no prompt.
    pub fn prefill(&mut self, prompt: &[u32], cancel: &AtomicBool) -> Result<StepRecord, EngineError> {
        if prompt.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        if !self.tokens.is_empty() {
            return Err(EngineError::AlreadyStarted);
        }
        let result = self.step(prompt, Phase::Prefill, cancel);
        if result.is_err() && self.guest.is_some() {
            self.guest = Some(Guest::new(self.model.model.config().kv_shape())?);
        }
        if result.is_err()
            && let Some((store, seq)) = &mut self.cache
        {
            store.truncate(*seq, 0)?;
        }
        let record = result?;
        self.n_prompt = prompt.len();
        self.tokens.extend_from_slice(prompt);
        self.tokens.push(record.token_id);
        Ok(record)
    }

    /// Brings what the next decoded token reads back into the processor's caches, by running it untimed and forgetting it
    /// until its time settles. It does nothing for a lane without a cache, and for a model beyond any cache. On a GPU only the first decoded
    /// token is rehearsed, which loads the kernels that decode.
    ///
    /// # Errors
    /// Those of a forward pass; the session is as it was.
    pub fn rehearse(&mut self, cancel: &AtomicBool) -> Result<(), EngineError> {
        let bytes = weight_bytes(self.model.model.config(), self.model.model.weights()) + self.footprint().used_bytes;
        let is_first = self.tokens.len() == self.n_prompt + 1;
        let (Some(&newest), Some((store, seq))) = (self.tokens.last(), &mut self.cache) else { return Ok(()) };
        let model = &self.model.model;
        let is_cold = if model.device().is_cpu() { bytes <= MOST_BYTES } else { is_first };
        if !is_cold {
            return Ok(());
        }
        rehearse(|| {
            let mut step = store.reserve(&[(*seq, 1)])?;
            model.forward(&[newest], &mut step, None, Logits::Last, cancel)?;
            model.device().synchronize()?;
            step.forget();
            Ok(())
        })
    }

    /// Runs a prompt, or its first chunk, once, untimed and forgotten, so that loading kernels does not count as part of its time. Only on a GPU.
    ///
    /// # Errors
    /// Those of a forward pass; the session is as it was.
    pub fn warm_up(&mut self, prompt: &[u32], cancel: &AtomicBool) -> Result<(), EngineError> {
        let model = &self.model.model;
        let prompt = &prompt[..self
            .config
            .prefill_chunk
            .map_or(prompt.len(), |chunk| chunk.clamp(1, prompt.len().max(1)))
            .min(prompt.len())];
        if model.device().is_cpu() || prompt.is_empty() || !self.tokens.is_empty() {
            return Ok(());
        }
        let logits = match &mut self.cache {
            None => {
                let mut kv = Uncached::new(model.config().heads(), prompt.len());
                model.forward(prompt, &mut kv, None, Logits::Last, cancel)?
            }
            Some((store, seq)) => {
                let mut step = store.reserve(&[(*seq, prompt.len())])?;
                let logits = model.forward(prompt, &mut step, None, Logits::Last, cancel)?;
                step.forget();
                logits
            }
        };
        // Another sampler: this one's random numbers are for the tokens that count.
        Sampler::new(&Sampling::GREEDY, model.config().vocab_size)?.pick(&logits.get(0)?)?;
        Ok(())
    }

    /// Runs the newest token and picks the next.
    ///
    /// # Errors
    /// [`EngineError::NotStarted`], and those of a forward pass.
    pub fn decode(&mut self, cancel: &AtomicBool) -> Result<StepRecord, EngineError> {
        let Some(&newest) = self.tokens.last() else { return Err(EngineError::NotStarted) };
        let record = match self.lane {
            Lane::None => {
                let tokens = std::mem::take(&mut self.tokens);
                let result = self.step(&tokens, Phase::Decode, cancel);
                self.tokens = tokens;
                result?
            }
            Lane::Mine | Lane::Cache(_) => self.step(&[newest], Phase::Decode, cancel)?,
        };
        self.tokens.push(record.token_id);
        Ok(record)
    }

    fn step(&mut self, new: &[u32], phase: Phase, cancel: &AtomicBool) -> Result<StepRecord, EngineError> {
        let (started, counts) = (Instant::now(), Counts::now());
        let model = self.model.clone();
        let model = &model.model;
        // Tokens that the new ones see besides themselves.
        let past = match &self.cache {
            Some((store, seq)) => store.n_live(*seq)?,
            None => self.guest.as_ref().map_or(0, Guest::len),
        };
        let keeps_rows = self.cache.is_some() || self.guest.is_some();
        let chunk = match (keeps_rows, self.config.prefill_chunk) {
            (true, Some(chunk)) => chunk.max(1),
            _ => new.len(),
        };
        let (logits, token_id, sample_secs) = {
            let (logits, mut last_step) = match &mut self.cache {
                None if let Some(guest) = &mut self.guest => (guest_pass(model, guest, new, chunk, cancel)?, None),
                None => {
                    let mut kv = Uncached::new(model.config().heads(), new.len());
                    (model.forward(new, &mut kv, None, Logits::Last, cancel)?, None)
                }
                Some((store, seq)) => {
                    let (before, last) = new.split_at((new.len() - 1) / chunk * chunk);
                    for tokens in before.chunks(chunk) {
                        let mut step = store.reserve(&[(*seq, tokens.len())])?;
                        model.hidden(tokens, &mut step, None, cancel)?;
                        step.commit(false)?;
                    }
                    let mut step = store.reserve(&[(*seq, last.len())])?;
                    (model.forward(last, &mut step, None, Logits::Last, cancel)?, Some(step))
                }
            };
            let logits = logits.get(0)?; // [1, V] -> [V]
            model.device().synchronize()?;
            let sampling = Instant::now();
            if let Some(step) = &mut last_step {
                step.settle()?;
            }
            // Before the commit: a step whose logits are no numbers is dropped, and leaves no trace.
            let token_id = self.sampler.pick(&logits)?;
            let sample_secs = sampling.elapsed().as_secs_f64();
            if let Some(step) = last_step {
                step.commit(true)?;
            }
            // What a commit asks of a device is this token's as well.
            model.device().synchronize()?;
            (logits, token_id, sample_secs)
        };
        self.logits = Some(logits);
        let total_secs = started.elapsed().as_secs_f64();
        let counts = Counts::now().since(counts);
        let gpu = memory_of(model.device())?
            .map(|(free, total)| GpuStep { counts, driver_used_bytes: total.saturating_sub(free) });

        let config = model.config();
        let mut record = StepRecord {
            step: if phase == Phase::Prefill { 0 } else { self.n_steps(new) },
            phase,
            tokens_in: new.len(),
            forward_secs: total_secs - sample_secs,
            sample_secs,
            total_secs,
            token_id,
            reserved_bytes: 0,
            held_bytes: 0,
            used_bytes: 0,
            scale_bytes: None,
            residual_bytes: None,
            dead_bytes: 0,
            copied_bytes: 0,
            metadata_bytes: 0,
            cached_tokens: 0,
            formula_bytes: 0,
            flops: forward_flops(config, past, new.len()),
            gpu,
            read_bytes: 0,
        };
        record.set_footprint(self.footprint());
        // The footprint is the store's, forks included; how much is cached is the lane's.
        if let Some((store, seq)) = &self.cache {
            record.cached_tokens = store.n_live(*seq)? as u64;
        } else if let Some(guest) = &self.guest {
            record.cached_tokens = guest.len() as u64;
        }
        let token_bytes = self.cache.as_ref().map_or(0, |(store, _)| store.token_bytes());
        let exact_bytes = self.cache.as_ref().map_or(Ok(0), |(store, seq)| store.exact_extra_bytes(*seq))?;
        record.read_bytes =
            read_bytes((config, self.model.model.weights()), past, new.len(), chunk, token_bytes) + exact_bytes;
        record.formula_bytes = record.cached_tokens * config.kv_shape().formula_bytes_per_token(self.format());
        Ok(record)
    }

    /// Decode steps done so far; without a cache the tokens of the session are on loan to `new`.
    fn n_steps(&self, new: &[u32]) -> usize {
        self.tokens.len().max(new.len()) - self.n_prompt
    }

    fn format(&self) -> Format {
        match self.lane {
            Lane::None | Lane::Mine => Format::F32,
            Lane::Cache(spec) => spec.format,
        }
    }

    fn footprint(&self) -> Footprint {
        let guest = || {
            let guest = self.guest.as_ref()?;
            let bytes = guest.bytes();
            let (reserved_bytes, used_bytes) = (bytes.reserved_bytes, bytes.used_bytes);
            let (copied_bytes, live_tokens) = (bytes.copied_bytes, guest.len() as u64);
            let told = Footprint { reserved_bytes, used_bytes, live_tokens, copied_bytes, ..Footprint::default() };
            // It tells no more: all that it allocated is its one sequence's.
            Some(Footprint { held_bytes: reserved_bytes, ..told })
        };
        self.cache.as_ref().map(|(store, _)| store.footprint()).or_else(guest).unwrap_or_default()
    }
}

/// The logits `[1, V]` of the last of `new` tokens, over a learner's cache, `chunk` tokens a pass.
fn guest_pass(
    model: &Gpt2,
    guest: &mut Guest,
    new: &[u32],
    chunk: usize,
    cancel: &AtomicBool,
) -> Result<Tensor, EngineError> {
    let (before, last) = new.split_at((new.len() - 1) / chunk * chunk);
    let heads = model.config().heads();
    for tokens in before.chunks(chunk) {
        guest.step(heads, tokens.len(), |step| model.hidden(tokens, step, None, cancel))?;
    }
    Ok(guest.step(heads, last.len(), |step| model.forward(last, step, None, Logits::Last, cancel))?)
}
