//! An arm of kvlab's own: a model and a cache in this process.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use candle_core::Tensor;
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, StandardNormal};

use super::{
    BenchError,
    candle_kv::{CandleCache, CandleKv, likeliest},
    result::Repeat,
    test::{Test, Work},
};
use crate::{
    cache::{CacheError, CacheSpec, KvShape, KvStore, Lane, SeqId, StoreConfig, Uncached},
    engine::record::forward_flops,
    measure::{floor::read_secs, threads::Threads},
    model::{Calibrating, LoadedModel, Logits},
};

/// What a lane of the matrix may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Lane(Lane),
    Candle(CandleCache),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lane(lane) => lane.fmt(f),
            Self::Candle(cache) => cache.fmt(f),
        }
    }
}

/// How a repeat is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At most so many steps.
    pub steps: usize,
    /// No further step once so much time has gone by.
    pub time: Duration,
    /// Every step is made this share longer, by waiting: to see that a comparison finds it.
    pub handicap: f64,
}

/// What a cache takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CacheSize {
    pub reserved_bytes: u64,
    pub held_bytes: u64,
    pub used_bytes: u64,
    pub bytes_per_token: f64,
}

enum Cache {
    None,
    Store {
        store: Box<KvStore>,
        seqs: Vec<SeqId>,
    },
    /// Filled to the test's depth; a repeat works on a clone, which shares the filled part.
    Candle(CandleKv),
}

/// A subject that is ready to run its test, again and again.
pub struct LocalArm {
    model: Arc<LoadedModel>,
    threads: Threads,
    test: Test,
    cache: Cache,
    noise: Vec<f32>,
}

/// Tokens that are stored at once when a cache is filled.
const FILL_TOKENS: usize = 256;
/// Blocks of a pool are mixed by this seed, and rows drawn from it.
const SEED: u64 = 2026;
/// Any token that every vocabulary has.
const FIRST_TOKEN: u32 = 7;

impl LocalArm {
    /// Builds the cache and fills it to the test's depth, with normal random rows that are stored but not computed: what it costs to attend
    /// to a row does not depend on what is in it.
    ///
    /// # Errors
    /// Those of the store, and of levels that it needs.
    pub fn new(
        model: Arc<LoadedModel>,
        threads: Threads,
        subject: Subject,
        test: Test,
        calibrating: &mut dyn FnMut(Calibrating),
        cancel: &AtomicBool,
    ) -> Result<Self, BenchError> {
        let shape = model.model.config().kv_shape();
        let cache = match subject {
            Subject::Lane(Lane::None) => Cache::None,
            Subject::Lane(Lane::Mine) => {
                return Err(BenchError::Matrix(
                    "`mine` is a learner's own cache; `kvlab lab open N` measures it".into(),
                ));
            }
            Subject::Candle(cache) => Cache::Candle(CandleKv::new(cache, shape, test.batch)),
            Subject::Lane(Lane::Cache(spec)) => {
                let store = Box::new(store(&model, spec, test, calibrating, cancel)?);
                Cache::Store { store, seqs: vec![] }
            }
        };
        let mut rng = StdRng::seed_from_u64(SEED);
        let width = shape.heads.n_kv_head * shape.heads.head_dim;
        // More than is stored at once: every piece begins somewhere else in it.
        let noise =
            (0..(FILL_TOKENS + FILL_TOKENS.max(test.batch)) * width).map(|_| StandardNormal.sample(&mut rng)).collect();
        let mut arm = Self { model, threads, test, cache, noise };
        arm.open(cancel)?;
        Ok(arm)
    }

    /// All sequences at the test's depth.
    fn open(&mut self, cancel: &AtomicBool) -> Result<(), BenchError> {
        if let Cache::Store { store, seqs } = &mut self.cache {
            seqs.drain(..).try_for_each(|seq| store.close(seq))?;
            for _ in 0..self.test.batch {
                seqs.push(store.open()?);
            }
        }
        let (depth, batch) = (self.test.depth, self.test.batch);
        let at_once = (FILL_TOKENS / batch).max(1);
        let threads = self.threads.clone();
        threads.run(|| {
            for first in (0..depth).step_by(at_once) {
                if cancel.load(std::sync::atomic::Ordering::Relaxed) {
                    return Err(BenchError::Cancelled);
                }
                self.fill(at_once.min(depth - first), first + at_once >= depth)?;
            }
            Ok(())
        })
    }

    fn fill(&mut self, n_tokens: usize, is_last: bool) -> Result<(), BenchError> {
        let (KvShape { n_layer, heads, .. }, device) = (self.shape(), self.model.model.device());
        let (n_rows, width) = (n_tokens * self.test.batch, heads.n_kv_head * heads.head_dim);
        let noise = &self.noise;
        let rows = |layer: usize, part: usize| {
            // Another part of the noise for each layer, for keys and for values.
            let first = (37 * layer + 101 * part) % FILL_TOKENS * width;
            let shape = (n_rows, heads.n_kv_head, heads.head_dim);
            Tensor::from_slice(&noise[first..first + n_rows * width], shape, device).map_err(CacheError::from)
        };
        match &mut self.cache {
            Cache::None => {}
            Cache::Store { store, seqs } => {
                let requests: Vec<_> = seqs.iter().map(|seq| (*seq, n_tokens)).collect();
                let mut step = store.reserve(&requests)?;
                for layer in 0..n_layer {
                    step.append(layer, &rows(layer, 0)?, &rows(layer, 1)?)?;
                }
                step.commit(is_last)?;
            }
            Cache::Candle(cache) => {
                cache.begin(n_tokens);
                for layer in 0..n_layer {
                    cache.fill(layer, &rows(layer, 0)?, &rows(layer, 1)?)?;
                }
            }
        }
        Ok(())
    }

    fn shape(&self) -> KvShape {
        self.model.model.config().kv_shape()
    }

    /// Back to the test's depth, untimed.
    ///
    /// # Errors
    /// The store's.
    pub fn reset(&mut self, cancel: &AtomicBool) -> Result<(), BenchError> {
        if let Cache::Store { store, seqs } = &mut self.cache {
            let depth = self.test.depth;
            // What was evicted or sealed cannot be taken back: such a cache is filled anew.
            if depth == 0 || seqs.iter().any(|seq| store.truncate(*seq, depth).is_err()) {
                self.open(cancel)?;
            }
        }
        Ok(())
    }

    /// The test once, with the floors before and after it. `like_cache` is read in the place of a cache that hides its memory; it must be as large.
    ///
    /// # Errors
    /// Those of a forward pass; [`BenchError::Cancelled`].
    pub fn run(&mut self, limits: Limits, like_cache: &[u8], cancel: &AtomicBool) -> Result<Repeat, BenchError> {
        let threads = self.threads.clone();
        threads.run(|| {
            let read_before_secs = self.read_secs(like_cache)?;
            let steps_secs = self.steps(limits, cancel)?;
            Ok(Repeat { steps_secs, read_before_secs, read_after_secs: self.read_secs(like_cache)? })
        })
    }

    fn steps(&mut self, limits: Limits, cancel: &AtomicBool) -> Result<Vec<f64>, BenchError> {
        let Self { model, test, cache, .. } = self;
        let model = &model.model;
        let began = Instant::now();
        let mut scratch = match cache {
            Cache::Candle(cache) => Some(cache.clone()),
            _ => None,
        };
        let prompt: Vec<u32> = vec![FIRST_TOKEN; test.tokens];
        let mut sequence = vec![FIRST_TOKEN; test.depth + 1];
        let mut newest = vec![FIRST_TOKEN; test.batch];
        let mut steps_secs = vec![];
        while steps_secs.len() < limits.steps && (steps_secs.is_empty() || began.elapsed() < limits.time) {
            let started = Instant::now();
            let (tokens, new) = match test.work {
                Work::Prefill => (prompt.repeat(test.batch), test.tokens),
                Work::Decode => (newest.clone(), 1),
            };
            let logits = match (&mut *cache, &mut scratch) {
                (Cache::Store { store, seqs }, _) => {
                    let requests: Vec<_> = seqs.iter().map(|seq| (*seq, new)).collect();
                    let mut step = store.reserve(&requests)?;
                    let logits = model.forward(&tokens, &mut step, None, Logits::Last, cancel)?;
                    step.commit(true)?;
                    logits
                }
                (_, Some(cache)) => {
                    cache.begin(new);
                    model.forward(&tokens, cache, None, Logits::Last, cancel)?
                }
                (_, None) => {
                    let tokens = if test.work == Work::Prefill { &prompt } else { &sequence };
                    let mut kv = Uncached::new(model.config().heads(), tokens.len());
                    model.forward(tokens, &mut kv, None, Logits::Last, cancel)?
                }
            };
            // Brings the logits to the host, which waits for the device.
            newest = likeliest(&logits).map_err(CacheError::from)?;
            sequence.extend(newest.first());
            let secs = started.elapsed();
            let handicapped = secs.mul_f64(1.0 + limits.handicap);
            while limits.handicap > 0.0 && started.elapsed() < handicapped {
                std::hint::spin_loop();
            }
            steps_secs.push(if limits.handicap > 0.0 { started.elapsed() } else { secs }.as_secs_f64());
        }
        Ok(steps_secs)
    }

    /// A read-only pass over the weights and what is cached now; `None` where they are not in host memory.
    fn read_secs(&self, like_cache: &[u8]) -> Result<Option<f64>, BenchError> {
        let Some(weights) = self.model.model.weight_memory() else { return Ok(None) };
        let mut buffers = weights.buffers();
        match &self.cache {
            Cache::None => {}
            Cache::Store { store, seqs } => {
                for seq in seqs {
                    buffers.extend(store.stored(*seq)?);
                }
            }
            Cache::Candle(cache) => {
                let bytes = usize::try_from(cache.used_bytes()).unwrap_or(usize::MAX);
                buffers.push(&like_cache[..bytes.min(like_cache.len())]);
            }
        }
        Ok(Some(read_secs(&buffers)))
    }

    /// True for candle's caches: what they hold cannot be read in place.
    #[must_use]
    pub fn hides_its_memory(&self) -> bool {
        matches!(self.cache, Cache::Candle(_))
    }

    /// Bytes of the weights that a token multiplies.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        self.model.model.weights().read_bytes(self.model.model.config())
    }

    /// Operations and cached bytes of a step, on average over the test's: `(flops, read_bytes)`. To be asked at the test's depth.
    ///
    /// # Errors
    /// The store's.
    pub fn cost_of_step(&self) -> Result<(f64, f64), BenchError> {
        let (config, Test { work, tokens, depth, batch }) = (self.model.model.config(), self.test);
        let (mut cached, mut token_bytes) = (depth, 0.0);
        if let Cache::Store { store, seqs } = &self.cache
            && let Some(seq) = seqs.first()
        {
            cached = store.n_live(*seq)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let as_f64 = |n: u64| n as f64;
        if let Some(size) = self.cache_size()? {
            token_bytes = size.bytes_per_token;
        }
        // What a policy evicts while it decodes keeps the number about where it is.
        let grows = !self.evicts()?;
        let steps = if work == Work::Prefill { 1 } else { tokens };
        let (mut flops, mut bytes) = (0.0, 0.0);
        for step in 0..steps {
            let past = if grows { cached + step } else { cached };
            let (past, new) = match (&self.cache, work) {
                (Cache::None, Work::Decode) => (0, depth + step + 1),
                (Cache::None, Work::Prefill) => (0, tokens),
                (_, Work::Prefill) => (past, tokens),
                (_, Work::Decode) => (past, 1),
            };
            flops += as_f64(forward_flops(config, past, new)) * as_f64(batch as u64);
            bytes += as_f64(self.weight_bytes()) + token_bytes * as_f64(((past + new) * batch) as u64);
        }
        Ok((flops / as_f64(steps as u64), bytes / as_f64(steps as u64)))
    }

    fn evicts(&self) -> Result<bool, BenchError> {
        let Cache::Store { store, seqs } = &self.cache else { return Ok(false) };
        let live = seqs.first().map_or(Ok(self.test.depth), |seq| store.n_live(*seq))?;
        Ok(live < self.test.depth)
    }

    /// What the cache takes now.
    ///
    /// # Errors
    /// The store's.
    pub fn cache_size(&self) -> Result<Option<CacheSize>, BenchError> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_token = |bytes: u64, tokens: u64| bytes as f64 / tokens.max(1) as f64;
        Ok(match &self.cache {
            Cache::None => None,
            Cache::Store { store, .. } => {
                let footprint = store.footprint();
                let bytes_per_token = if footprint.live_tokens > 0 {
                    per_token(footprint.used_bytes, footprint.live_tokens)
                } else {
                    per_token(store.token_bytes(), 1)
                };
                Some(CacheSize {
                    reserved_bytes: footprint.reserved_bytes,
                    held_bytes: footprint.held_bytes,
                    used_bytes: footprint.used_bytes,
                    bytes_per_token,
                })
            }
            Cache::Candle(cache) => Some(CacheSize {
                reserved_bytes: cache.reserved_bytes(),
                held_bytes: cache.reserved_bytes(),
                used_bytes: cache.used_bytes(),
                bytes_per_token: per_token(self.shape().formula_bytes_per_token(crate::cache::Format::F32), 1),
            }),
        })
    }
}

/// A store for the test's sequences, its blocks mixed up as after long use.
fn store(
    model: &LoadedModel,
    spec: CacheSpec,
    test: Test,
    calibrating: &mut dyn FnMut(Calibrating),
    cancel: &AtomicBool,
) -> Result<KvStore, BenchError> {
    let calibrated = model.calibrated(spec, calibrating, cancel)?;
    let calibration = calibrated.as_ref().map(|calibrated| &calibrated.calibration);
    let config = StoreConfig { max_sequences: test.batch, memory_limit_bytes: None };
    let mut store = KvStore::on(model.model.device(), spec, model.model.config().kv_shape(), config, calibration)?;
    store.shuffle_free(SEED);
    Ok(store)
}
