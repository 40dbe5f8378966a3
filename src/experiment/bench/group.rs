//! The rounds of a group: every arm once, then again, in another order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    BenchError, Subject,
    local::{Limits, LocalArm},
    matrix::{Arm, Engine, Group, reason_to_skip},
    peer::{Hello, PeerArm, PeerModel, Peers},
    result::{ArmResult, Circumstances, Repeat},
    test::{Test, Work},
};
use crate::{
    cache::{Format, Lane, LaneBytes},
    engine::record::forward_flops,
    measure::{
        floor::{flops_per_sec, read_secs},
        load::Load,
        machine::{available_memory_bytes, read_bandwidth_bytes_per_sec},
        threads::Threads,
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

impl Peaks {
    /// What `threads` can do now, which takes a quarter of a second.
    #[must_use]
    pub fn of(threads: &Threads) -> Self {
        threads.run(|| Self {
            threads: threads.count(),
            flops_per_sec: flops_per_sec(),
            bytes_per_sec: read_bandwidth_bytes_per_sec(),
        })
    }
}

/// How a group is run.
#[derive(Clone, Copy, Debug)]
pub struct GroupSettings {
    pub repeats: usize,
    /// A repeat makes no further step after so much time.
    pub repeat_limit: Duration,
    /// Per cent by which every step of [`GroupRun::handicapped`] is made longer.
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

/// The order of the arms in a round is drawn from this seed.
const SEED: u64 = 7;

enum Runner {
    Local(Box<LocalArm>),
    Peer { arm: PeerArm, token_bytes: u64 },
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
        let needed = results.iter().filter_map(|result| result.used_bytes).max().unwrap_or(0);
        let hidden = runners.iter().any(|runner| match runner {
            Runner::Local(local) => local.hides_its_memory(),
            Runner::Peer { .. } => true,
            Runner::Skipped => false,
        });
        let like_cache = if hidden { like_cache(needed, group.test) } else { vec![] };
        let peaks: Vec<Peaks> = self.threads.iter().map(Peaks::of).collect();
        let processes = self.peers.process_ids();
        let load_before = Load::now(&processes);
        let steps = match group.test.work {
            Work::Prefill => 1,
            Work::Decode => group.test.tokens,
        };
        let mut order: Vec<usize> = (0..runners.len()).collect();
        let mut rng = StdRng::seed_from_u64(SEED);
        for round in 0..=self.settings.repeats {
            // Not always behind the same neighbour.
            order.shuffle(&mut rng);
            for &index in &order {
                if cancel.load(Ordering::Relaxed) {
                    return Err(BenchError::Cancelled);
                }
                let (warm_up, result) = (round == 0, &mut results[index]);
                let is_handicapped = self.handicapped == Some(result.lane.as_str());
                let limits = Limits {
                    steps: if warm_up { steps.min(WARM_UP_STEPS) } else { steps },
                    time: self.settings.repeat_limit,
                    handicap: if is_handicapped { self.settings.handicap_percent / 100.0 } else { 0.0 },
                };
                match self.turn(&mut runners[index], &group.arms[index], limits, &like_cache, cancel) {
                    Ok(repeat) => result.repeats.extend(repeat.filter(|_| !warm_up)),
                    // One engine that fails is no reason to lose what the others do.
                    Err(BenchError::Peer { reason, .. }) => {
                        result.skipped = Some(reason);
                        result.repeats.clear();
                        if let Runner::Peer { arm, .. } = std::mem::replace(&mut runners[index], Runner::Skipped) {
                            self.peers.end_one(&arm);
                        }
                    }
                    Err(error) => return Err(error),
                }
                turn(&results[index].lane);
            }
        }
        for runner in &runners {
            if let Runner::Peer { arm, .. } = runner {
                // It gives its cache back, or is ended.
                if self.peers.process(arm, cancel).and_then(|peer| peer.release(cancel)).is_err() {
                    self.peers.end_one(arm);
                }
            }
        }
        let others = load_before.zip(Load::now(&processes)).map(|(before, now)| now.others_since(before));
        for (arm, result) in group.arms.iter().zip(&mut results) {
            let circumstances = self.circumstances(arm, result, &peaks, steps, others);
            result.conclude(&circumstances);
        }
        Ok(results)
    }

    fn circumstances(
        &self,
        arm: &Arm,
        result: &ArmResult,
        peaks: &[Peaks],
        steps: usize,
        others: Option<f64>,
    ) -> Circumstances {
        // Another device has other peaks, which are not measured here.
        let on_host = self.models.first().is_some_and(|model| model.model.device().is_cpu());
        let peaks = peaks.iter().find(|peaks| peaks.threads == arm.threads).filter(|_| on_host);
        // Instructions for shorter numbers can compute more than f32 peaks; ours compute f16 and bf16 as f32.
        let in_f32 = match arm.engine {
            Engine::Kvlab(_) => arm.weights != WeightType::Q8_0,
            Engine::Peer { .. } => arm.weights == WeightType::F32,
        };
        let is_handicapped = self.handicapped == Some(result.lane.as_str());
        Circumstances {
            tokens_per_step: self.group.test.tokens_per_step(),
            steps,
            peak_flops_per_sec: peaks.map(|peaks| peaks.flops_per_sec).filter(|_| in_f32),
            peak_bytes_per_sec: peaks.map(|peaks| peaks.bytes_per_sec),
            others,
            handicap_percent: if is_handicapped { self.settings.handicap_percent } else { 0.0 },
            as_many: !matches!(arm.engine, Engine::Kvlab(Subject::Lane(_))),
        }
    }

    fn threads_of(&self, threads: usize) -> Option<&Threads> {
        self.threads.iter().find(|pool| pool.count() == threads)
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
        let first = self.models.first().ok_or_else(|| BenchError::Matrix("no model is loaded".into()))?;
        let config = first.model.config().clone();
        let shape = config.kv_shape();
        let hello = |peer: usize| self.peers.hellos().nth(peer);
        let (uncached, token_bytes) = match &arm.engine {
            Engine::Kvlab(Subject::Lane(Lane::None)) => (true, 0),
            Engine::Kvlab(Subject::Lane(Lane::Cache(spec))) => (
                false,
                LaneBytes::of(*spec, shape).map_or(0, |lane| lane.n_layer * lane.plane_bytes.iter().sum::<u64>()),
            ),
            Engine::Kvlab(Subject::Candle(_) | Subject::Lane(Lane::Mine)) => {
                (false, shape.formula_bytes_per_token(Format::F32))
            }
            Engine::Peer { peer, lane } => hello(*peer)
                .map_or((false, 0), |hello| (hello.is_uncached(lane), hello.token_bytes(lane, arm.weights, shape))),
        };
        let (past, new) = match test.work {
            Work::Decode if uncached => (0, test.context()),
            Work::Decode => (test.depth, 1),
            Work::Prefill => (0, test.tokens),
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let flops = (forward_flops(&config, past, new) * test.batch as u64) as f64;
        result.skipped = reason_to_skip(&arm.engine, test, flops)
            .or_else(|| too_large((test.batch * test.context()) as u64 * token_bytes));
        if result.skipped.is_some() {
            return Ok(Runner::Skipped);
        }
        match &arm.engine {
            Engine::Kvlab(subject) => {
                let model = self.model_of(arm.weights).unwrap_or(first).clone();
                let threads = self.threads_of(arm.threads).cloned();
                let threads =
                    threads.ok_or_else(|| BenchError::Matrix(format!("no pool of {} threads", arm.threads)))?;
                let local = match LocalArm::new(model, threads, *subject, test, calibrating, cancel) {
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
                result.weight_bytes = arm.weights.read_bytes(&config);
                result.reserved_bytes = cache_bytes;
                result.used_bytes = (!uncached).then_some((test.batch * test.depth) as u64 * token_bytes);
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                let as_f64 = |bytes: u64| bytes as f64;
                result.bytes_per_token = (!uncached).then_some(as_f64(token_bytes));
                let cached = match test.work {
                    Work::Prefill => test.tokens,
                    Work::Decode => test.depth + test.tokens.div_ceil(2),
                };
                result.read_bytes = as_f64(result.weight_bytes + (test.batch * cached) as u64 * token_bytes);
                result.flops = flops;
                Ok(Runner::Peer { arm: key, token_bytes })
            }
        }
    }

    /// One turn of one arm.
    fn turn(
        &mut self,
        runner: &mut Runner,
        arm: &Arm,
        limits: Limits,
        like_cache: &[u8],
        cancel: &AtomicBool,
    ) -> Result<Option<Repeat>, BenchError> {
        match runner {
            Runner::Skipped => Ok(None),
            Runner::Local(local) => {
                let repeat = local.run(limits, like_cache, cancel)?;
                local.reset(cancel)?;
                Ok(Some(repeat))
            }
            Runner::Peer { arm: key, token_bytes } => {
                let Test { work, tokens, depth, batch } = self.group.test;
                let cached = |tokens: usize| (tokens * batch) as u64 * *token_bytes;
                let before = if work == Work::Prefill { 0 } else { cached(depth) };
                let read_before_secs = self.read_secs(arm, like_cache, before);
                let steps_secs = self.peers.process(key, cancel)?.run(cancel)?;
                let read_after_secs = self.read_secs(arm, like_cache, cached(depth + tokens));
                Ok(Some(Repeat { steps_secs, read_before_secs, read_after_secs }))
            }
        }
    }

    /// A pass over our weights in the arm's type and as many bytes as a peer has cached.
    fn read_secs(&self, arm: &Arm, like_cache: &[u8], cache_bytes: u64) -> Option<f64> {
        let memory = self.model_of(arm.weights)?.model.weight_memory()?;
        let mut buffers = memory.buffers();
        let bytes = usize::try_from(cache_bytes).unwrap_or(usize::MAX);
        buffers.push(&like_cache[..bytes.min(like_cache.len())]);
        Some(self.threads_of(arm.threads)?.run(|| read_secs(&buffers)))
    }
}

/// A buffer to read in the place of caches that hide their memory, the largest of which has `bytes` at the test's depth.
fn like_cache(bytes: u64, test: Test) -> Vec<u8> {
    let depth = test.depth.max(1) as u64;
    let at_end = bytes / depth * (test.context() as u64);
    // Written, so that each page is memory of its own.
    vec![1; usize::try_from(at_end.max(bytes)).unwrap_or(0)]
}

/// Why a cache of so many bytes is not built now.
fn too_large(bytes: u64) -> Option<String> {
    let available = available_memory_bytes()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let is_too_large = bytes as f64 > MOST_MEMORY * available as f64;
    is_too_large
        .then(|| format!("its cache may take {} MiB and {} MiB of memory are free", bytes >> 20, available >> 20))
}
