//! The rounds of a group: every arm once, then again, beginning with another.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{
    BenchError,
    local::{Limits, LocalArm},
    matrix::{Arm, Engine, Group, reason_to_skip},
    peer::{Hello, PeerArm, PeerModel, Peers},
    result::{ArmResult, Circumstances, Repeat},
    test::{Test, Work},
};
use crate::{
    cache::Format,
    engine::record::forward_flops,
    measure::{
        floor::{flops_per_sec, read_secs},
        load::Load,
        machine::{available_memory_bytes, read_bandwidth_bytes_per_sec},
    },
    model::{Calibrating, LoadedModel, WeightType},
};

/// What a number of threads can do at best.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Peaks {
    pub threads: usize,
    pub flops_per_sec: f64,
    /// From a buffer larger than any cache.
    pub bytes_per_sec: f64,
}

/// Threads to run arms on, with what they can do.
pub struct Threads {
    pub pool: Arc<ThreadPool>,
    pub peaks: Peaks,
}

impl Threads {
    /// Measures their peaks, which takes a second.
    ///
    /// # Errors
    /// [`BenchError::Threads`]
    pub fn new(threads: usize) -> Result<Self, BenchError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
        let peaks = pool.install(|| Peaks {
            threads,
            flops_per_sec: flops_per_sec(),
            bytes_per_sec: read_bandwidth_bytes_per_sec(),
        });
        Ok(Self { pool: Arc::new(pool), peaks })
    }
}

/// How a group is run.
#[derive(Clone, Copy, Debug)]
pub struct GroupSettings {
    pub repeats: usize,
    /// A repeat makes no further step after so much time.
    pub repeat_limit: Duration,
    /// Per cent by which every step of [`Self::handicapped`] is made longer.
    pub handicap_percent: f64,
}

/// What a group needs.
pub struct GroupRun<'a> {
    pub group: &'a Group,
    pub settings: GroupSettings,
    /// A model for each type of weights in the group that an arm of ours has; the first also gives peers their floor.
    pub models: &'a [Arc<LoadedModel>],
    pub peers: &'a mut Peers,
    /// What peers are to load.
    pub peer_model: &'a PeerModel,
    pub threads: &'a [Threads],
    /// Every step of this lane is made longer.
    pub handicapped: Option<&'a str>,
    /// What all results say of where they come from.
    pub template: &'a ArmResult,
}

/// Warm-up of an arm: so many steps, untimed.
const WARM_UP_STEPS: usize = 4;
/// Filling the memory to the brim would measure the swap.
const MOST_MEMORY: f64 = 0.85;

enum Runner {
    Local(Box<LocalArm>),
    Peer { arm: PeerArm, bytes: u64 },
    Skipped,
}

impl GroupRun<'_> {
    /// Runs all rounds; `turn` is called after every turn of an arm with its name (and for a skipped one as often).
    ///
    /// # Errors
    /// [`BenchError`]; nothing of the group is kept then.
    pub fn run(
        &mut self,
        calibrating: &mut dyn FnMut(Calibrating),
        turn: &mut dyn FnMut(&str),
        cancel: &AtomicBool,
    ) -> Result<Vec<ArmResult>, BenchError> {
        let group = self.group;
        let mut results: Vec<ArmResult> = group.arms.iter().map(|arm| self.result_of(arm)).collect();
        let mut runners = vec![];
        for (arm, result) in group.arms.iter().zip(&mut results) {
            runners.push(self.prepare(arm, result, calibrating, cancel)?);
        }
        let processes = self.peers.process_ids();
        let load_before = Load::now(&processes);
        let steps = match group.test.work {
            Work::Prefill => 1,
            Work::Decode => group.test.tokens,
        };
        let n_arms = runners.len();
        for round in 0..=self.settings.repeats {
            for place in 0..n_arms {
                let index = (round + place) % n_arms;
                let arm = &group.arms[index];
                let warm_up = round == 0;
                let handicap = if self.handicapped == Some(results[index].lane.as_str()) {
                    self.settings.handicap_percent / 100.0
                } else {
                    0.0
                };
                let limits = Limits {
                    steps: if warm_up { steps.min(WARM_UP_STEPS) } else { steps },
                    time: self.settings.repeat_limit,
                    handicap,
                };
                if let Some(repeat) = self.turn(&mut runners[index], arm.threads, limits, cancel)?
                    && !warm_up
                {
                    results[index].repeats.push(repeat);
                }
                turn(&results[index].lane);
            }
        }
        for runner in &runners {
            if let Runner::Peer { arm, .. } = runner {
                self.peers.process(arm, cancel)?.release(cancel)?;
            }
        }
        let others = load_before.zip(Load::now(&processes)).map(|(before, now)| now.others_since(before));
        for (arm, result) in group.arms.iter().zip(&mut results) {
            let circumstances = self.circumstances(arm, result, steps, others);
            result.conclude(&circumstances);
        }
        Ok(results)
    }

    fn circumstances(&self, arm: &Arm, result: &ArmResult, steps: usize, others: Option<f64>) -> Circumstances {
        let peaks = self.threads_of(arm.threads).map(|threads| threads.peaks);
        let is_handicapped = self.handicapped == Some(result.lane.as_str());
        // Instructions for shorter numbers can compute more than f32 peaks; ours compute f16 and bf16 as f32.
        let in_f32 = match arm.engine {
            Engine::Kvlab(_) => arm.weights != WeightType::Q8_0,
            Engine::Peer { .. } => arm.weights == WeightType::F32,
        };
        Circumstances {
            tokens_per_step: self.group.test.tokens_per_step(),
            steps,
            peak_flops_per_sec: peaks.map(|peaks| peaks.flops_per_sec).filter(|_| in_f32),
            peak_bytes_per_sec: peaks.map(|peaks| peaks.bytes_per_sec),
            others,
            handicap_percent: if is_handicapped { self.settings.handicap_percent } else { 0.0 },
            scaled: !matches!(arm.engine, Engine::Kvlab(super::Subject::Lane(_))),
        }
    }

    fn threads_of(&self, threads: usize) -> Option<&Threads> {
        self.threads.iter().find(|pool| pool.peaks.threads == threads)
    }

    fn model_of(&self, weights: WeightType) -> Option<&Arc<LoadedModel>> {
        self.models.iter().find(|model| model.model.weights() == weights)
    }

    fn result_of(&self, arm: &Arm) -> ArmResult {
        let Test { work, tokens, depth, batch } = self.group.test;
        let engine = match &arm.engine {
            Engine::Kvlab(_) => "kvlab".to_owned(),
            Engine::Peer { peer, .. } => self.peers.hellos().nth(*peer).map(Hello::engine).unwrap_or_default(),
        };
        ArmResult {
            test: self.group.test.to_string(),
            weights: arm.weights.to_string(),
            lane: arm.engine.to_string(),
            engine,
            threads: arm.threads,
            work: Some(work),
            tokens,
            depth,
            batch,
            ..self.template.clone()
        }
    }

    fn prepare(
        &mut self,
        arm: &Arm,
        result: &mut ArmResult,
        calibrating: &mut dyn FnMut(Calibrating),
        cancel: &AtomicBool,
    ) -> Result<Runner, BenchError> {
        let test = self.group.test;
        let uncached = matches!(arm.engine, Engine::Kvlab(super::Subject::Lane(crate::cache::Lane::None)));
        let first = self.models.first().ok_or_else(|| BenchError::Matrix("no model is loaded".into()))?;
        let config = first.model.config().clone();
        let (past, new) = match test.work {
            Work::Decode if uncached => (0, test.context()),
            Work::Decode => (test.depth, 1),
            Work::Prefill => (0, test.tokens),
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let flops = (forward_flops(&config, past, new) * test.batch as u64) as f64;
        let row_bytes = config.kv_shape().formula_bytes_per_token(Format::F32);
        let full_bytes = (test.batch * test.context()) as u64 * row_bytes;
        result.skipped = reason_to_skip(&arm.engine, test, flops).or_else(|| too_large(full_bytes));
        if result.skipped.is_some() {
            return Ok(Runner::Skipped);
        }
        match &arm.engine {
            Engine::Kvlab(subject) => {
                let model = self.model_of(arm.weights).unwrap_or(first).clone();
                let pool = self.threads_of(arm.threads).map(|threads| threads.pool.clone());
                let pool = pool.ok_or_else(|| BenchError::Matrix(format!("no pool of {} threads", arm.threads)))?;
                let local = match LocalArm::new(model, pool, *subject, test, calibrating, cancel) {
                    Ok(local) => local,
                    Err(BenchError::Cache(error)) => {
                        result.skipped = Some(error.to_string());
                        return Ok(Runner::Skipped);
                    }
                    Err(error) => return Err(error),
                };
                result.weight_bytes = local.weight_bytes();
                (result.flops, result.read_bytes) = local.cost_of_step()?;
                if let Some(size) = local.cache_size()? {
                    result.reserved_bytes = Some(size.reserved_bytes);
                    result.held_bytes = Some(size.held_bytes);
                    result.used_bytes = Some(size.used_bytes);
                    result.bytes_per_token = Some(size.bytes_per_token);
                }
                Ok(Runner::Local(Box::new(local)))
            }
            Engine::Peer { peer, lane } => {
                let key = (*peer, lane.clone(), arm.weights, arm.threads);
                let process = self.peers.process(&key, cancel)?;
                let cache_bytes = match process.prepare(self.peer_model, &key, test, cancel) {
                    Ok(cache_bytes) => cache_bytes,
                    Err(BenchError::Peer { reason, .. }) => {
                        result.skipped = Some(reason);
                        return Ok(Runner::Skipped);
                    }
                    Err(error) => return Err(error),
                };
                result.weight_bytes = process.weight_bytes.unwrap_or(0);
                (result.used_bytes, result.reserved_bytes) = (cache_bytes, cache_bytes);
                let bytes = result.weight_bytes + cache_bytes.unwrap_or(0);
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                let read_bytes = bytes as f64;
                (result.flops, result.read_bytes) = (flops, read_bytes);
                Ok(Runner::Peer { arm: key, bytes })
            }
        }
    }

    /// One turn of one arm.
    fn turn(
        &mut self,
        runner: &mut Runner,
        threads: usize,
        limits: Limits,
        cancel: &AtomicBool,
    ) -> Result<Option<Repeat>, BenchError> {
        match runner {
            Runner::Skipped => Ok(None),
            Runner::Local(local) => {
                let repeat = local.run(limits, cancel)?;
                local.reset(cancel)?;
                Ok(Some(repeat))
            }
            Runner::Peer { arm, bytes } => {
                let read_before_secs = self.scaled_read_secs(threads, *bytes);
                let steps_secs = self.peers.process(arm, cancel)?.run(cancel)?;
                let read_after_secs = self.scaled_read_secs(threads, *bytes);
                Ok(Some(Repeat { steps_secs, read_before_secs, read_after_secs }))
            }
        }
    }

    /// What reading so many bytes of a peer would take, by how fast our own weights are read now.
    fn scaled_read_secs(&self, threads: usize, bytes: u64) -> Option<f64> {
        let memory = self.models.first()?.model.weight_memory()?;
        let buffers = memory.buffers();
        let ours: u64 = buffers.iter().map(|buffer| buffer.len() as u64).sum();
        let secs = self.threads_of(threads)?.pool.install(|| read_secs(&buffers));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let scale = bytes as f64 / ours.max(1) as f64;
        (bytes > 0).then_some(secs * scale)
    }
}

/// Why a cache of so many bytes is not built now.
fn too_large(bytes: u64) -> Option<String> {
    let available = available_memory_bytes()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let is_too_large = bytes as f64 > MOST_MEMORY * available as f64;
    is_too_large
        .then(|| format!("its cache may take {} MiB and {} MiB of memory are free", bytes >> 20, available >> 20))
}
