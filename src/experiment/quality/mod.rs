//! What a cache costs in quality, on given texts: the second kind of experiment.
//!
//! Every lane reads the same passages. The prompt of each is one prefill; every later token is fed by decode whatever
//! the lane predicted (teacher forcing), because a prefill would attend to tokens that a lane has evicted by then.
//! Each prediction is compared with that of the **exact** lane, `contiguous`, which always runs and always first.
//! Afterwards each lane generates greedily from the prompts alone, to see when its text leaves the exact one.
//!
//! Passages are read together, `batch` of them in a forward pass. All lanes make the same calls, so a lane that
//! stores exactly the same has a divergence of exactly 0.

mod error;
mod lane;
mod tally;

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicBool},
};

use serde::{Deserialize, Serialize};

use crate::{
    cache::{CacheSpec, KvStore, Lane, Layout, StoreConfig},
    engine::EngineError,
    measure::{machine::available_memory_bytes, quality::Prediction},
    model::{Calibrating, LoadedModel, Passage},
};

pub use error::QualityError;
pub use tally::{LaneQuality, PositionQuality, RECALL_BUCKETS};

use super::lane_names;
use lane::LaneRun;
use tally::{Observation, Sums};

/// Lanes that show the measures at their two ends: nothing lost, and rows of 8 bits.
pub const DEFAULT_LANES: &str = "contiguous,paged:16,paged:16+int8";

/// The lane that all others are compared with: `contiguous`.
#[must_use]
pub fn exact_lane() -> Lane {
    Lane::Cache(CacheSpec::exact(Layout::Contiguous))
}

/// How passages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualitySettings {
    /// Tokens of each passage that are its prompt.
    pub prompt_tokens: usize,
    /// Tokens that each lane generates from each prompt; 0 skips that part.
    pub greedy_tokens: usize,
    /// Passages that are read together. Another number adds in another order, so figures differ in their last digits.
    pub batch: usize,
}

impl Default for QualitySettings {
    fn default() -> Self {
        Self { prompt_tokens: 64, greedy_tokens: 200, batch: 8 }
    }
}

/// What happened when a quality run made a step: one forward pass of one lane over the passages that are read together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum QualityEvent {
    /// It read their prompts.
    Prompt { lane: usize },
    /// It read the next token of each; these are the means over them.
    Position {
        lane: usize,
        #[serde(flatten)]
        means: PositionQuality,
    },
    /// It generated token `token` of each; `same` of them are still the exact lane's text.
    Greedy { lane: usize, token: usize, same: usize },
    /// It stopped with an error, and the others go on.
    Failed { lane: usize, reason: String },
}

/// What all lanes do next, each in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Prompt,
    /// Feed this token of each passage, and compare what is predicted after it.
    Feed(usize),
    /// Generate this token.
    Generate(usize),
    Done,
}

/// A running quality experiment.
pub struct QualityRun {
    model: Arc<LoadedModel>,
    passages: Vec<Passage>,
    settings: QualitySettings,
    names: Vec<String>,
    lanes: Vec<LaneRun>,
    /// The exact lane's number.
    exact: usize,
    /// Its predictions for the passages read together, in this phase.
    expected: Vec<Prediction>,
    /// The first of the passages that are read together now.
    first: usize,
    phase: Phase,
    /// Lanes that had their turn in this phase, the exact one first.
    turn: usize,
    steps_done: usize,
}

impl QualityRun {
    /// Builds every lane's store, or none. Where the exact lane is not among `lanes`, it comes before them.
    ///
    /// # Errors
    /// [`QualityError`] for whatever makes no sense, before anything runs.
    pub fn new(
        model: Arc<LoadedModel>,
        lanes: &[Lane],
        passages: Vec<Passage>,
        settings: QualitySettings,
    ) -> Result<Self, QualityError> {
        Self::with_progress(model, lanes, passages, settings, &mut |_| {}, &AtomicBool::new(false))
    }

    /// [`Self::new`], which may take a while: levels that a lane needs are found on a text first, `calibrating` is told how far that is, and
    /// `cancel` ends it.
    ///
    /// # Errors
    /// As [`Self::new`], and [`ModelError::Cancelled`](crate::model::ModelError::Cancelled).
    pub fn with_progress(
        model: Arc<LoadedModel>,
        lanes: &[Lane],
        passages: Vec<Passage>,
        settings: QualitySettings,
        calibrating: &mut dyn FnMut(Calibrating),
        cancel: &AtomicBool,
    ) -> Result<Self, QualityError> {
        let config = model.model.config();
        error::check(config, &model.source.to_string(), lanes, &passages, settings)?;
        let exact_lane = exact_lane();
        let mut lanes = lanes.to_vec();
        if !lanes.contains(&exact_lane) {
            lanes.insert(0, exact_lane);
        }
        let exact = lanes.iter().position(|lane| *lane == exact_lane).unwrap_or(0);
        let mut specs = vec![];
        for lane in &lanes {
            let Lane::Cache(spec) = lane else { return Err(QualityError::NoCache) };
            specs.push(*spec);
        }

        let store = StoreConfig { max_sequences: settings.batch.min(passages.len()), memory_limit_bytes: None };
        let in_lane = |spec: CacheSpec, reason: EngineError| QualityError::Lane { lane: spec.to_string(), reason };
        let mut needed_bytes = 0_u64;
        for spec in &specs {
            let bytes = KvStore::pool_bytes(*spec, config.kv_shape(), store).map_err(|e| in_lane(*spec, e.into()))?;
            needed_bytes = needed_bytes.saturating_add(bytes);
        }
        if let Some(available_bytes) = available_memory_bytes().filter(|free| *free < needed_bytes) {
            return Err(QualityError::TooLarge { needed_bytes, available_bytes });
        }
        for spec in &specs {
            model.calibrated(*spec, calibrating, cancel)?;
        }
        let runs = specs
            .into_iter()
            .map(|spec| LaneRun::new(&model, spec, store).map_err(|e| in_lane(spec, e)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            model,
            passages,
            settings,
            names: lane_names(&lanes),
            lanes: runs,
            exact,
            expected: vec![],
            first: 0,
            phase: Phase::Prompt,
            turn: 0,
            steps_done: 0,
        })
    }

    #[must_use]
    pub fn model(&self) -> &Arc<LoadedModel> {
        &self.model
    }

    #[must_use]
    pub fn settings(&self) -> QualitySettings {
        self.settings
    }

    #[must_use]
    pub fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// The lanes' names, those of equal lanes numbered.
    #[must_use]
    pub fn lanes(&self) -> &[String] {
        &self.names
    }

    /// The numbers of all lanes so far.
    #[must_use]
    pub fn summaries(&self) -> Vec<LaneQuality> {
        let has_marks = self.passages.iter().any(|passage| !passage.recall.is_empty());
        let lanes = self.names.iter().zip(&self.lanes).enumerate();
        lanes
            .map(|(i, (name, lane))| lane.tally.summary(name, i == self.exact, lane.failed.as_deref(), has_marks))
            .collect()
    }

    /// The numbers of one lane so far, position by position.
    #[must_use]
    pub fn positions(&self, lane: usize) -> Vec<PositionQuality> {
        self.lanes.get(lane).map(|lane| lane.tally.positions()).unwrap_or_default()
    }

    /// Steps of the whole run, and of those how many are behind it (done, or spared because nothing could change any more).
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        let batches = self.passages.chunks(self.settings.batch);
        let phases =
            batches.map(|batch| 1 + longest(batch) - 1 - self.settings.prompt_tokens + self.settings.greedy_tokens);
        (phases.sum::<usize>() * self.lanes.len(), self.steps_done)
    }

    /// The numbers of the passages that are being read together; empty when all is done.
    #[must_use]
    pub fn reading(&self) -> Range<usize> {
        let first = self.first.min(self.passages.len());
        first..self.passages.len().min(first.saturating_add(self.settings.batch))
    }

    /// One forward pass of the lane whose turn it is; `None` when all is done. A lane that fails ends and the others go on.
    ///
    /// # Errors
    /// A cancelled step ([`EngineError::is_cancelled`]): nothing changed, and it can be made again. An error of the exact
    /// lane, without which nothing can be compared.
    pub fn step(&mut self, cancel: &AtomicBool) -> Result<Option<QualityEvent>, EngineError> {
        while self.phase != Phase::Done {
            // The exact lane, then the others in their order.
            let lane = match self.turn {
                0 => self.exact,
                turn if turn <= self.exact => turn - 1,
                turn => turn,
            };
            let event = if self.is_idle(lane) { None } else { Some(self.step_lane(lane, cancel)?) };
            self.next_turn()?;
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// True for a lane that failed, or whose generated texts have all left the exact ones.
    fn is_idle(&self, lane: usize) -> bool {
        let run = &self.lanes[lane];
        let all_parted = || run.parted.iter().all(Option::is_some);
        run.failed.is_some()
            || (lane != self.exact && matches!(self.phase, Phase::Generate(token) if token > 0) && all_parted())
    }

    fn step_lane(&mut self, lane: usize, cancel: &AtomicBool) -> Result<QualityEvent, EngineError> {
        let result = match self.phase {
            Phase::Prompt => self.read_prompts(lane, cancel).map(|_| QualityEvent::Prompt { lane }),
            Phase::Feed(token) => self.feed(lane, token, cancel),
            Phase::Generate(token) => self.generate(lane, token, cancel),
            Phase::Done => Err(EngineError::NotStarted),
        };
        result.or_else(|error| {
            if error.is_cancelled() || lane == self.exact {
                return Err(error);
            }
            let reason = error.to_string();
            self.lanes[lane].failed = Some(reason.clone());
            Ok(QualityEvent::Failed { lane, reason })
        })
    }

    /// The passages that are read together now.
    fn together(&self) -> &[Passage] {
        &self.passages[self.reading()]
    }

    fn read_prompts(&mut self, lane: usize, cancel: &AtomicBool) -> Result<Vec<Prediction>, EngineError> {
        let n_prompt = self.settings.prompt_tokens;
        let passages = &self.passages[self.first..][..self.together().len()];
        let prompts: Vec<_> = passages.iter().map(|passage| &passage.ids[..n_prompt]).enumerate().collect();
        let run = &mut self.lanes[lane];
        run.open(prompts.len())?;
        run.predict(&self.model.model, &prompts, cancel)
    }

    fn feed(&mut self, lane: usize, token: usize, cancel: &AtomicBool) -> Result<QualityEvent, EngineError> {
        let position = token + 1;
        let passages = &self.passages[self.first..][..self.together().len()];
        let fed: Vec<_> = passages
            .iter()
            .enumerate()
            .filter(|(_, passage)| position < passage.ids.len())
            .map(|(index, passage)| (index, &passage.ids[token..position]))
            .collect();
        let run = &mut self.lanes[lane];
        let predictions = run.predict(&self.model.model, &fed, cancel)?;
        if lane == self.exact {
            self.expected.clone_from(&predictions);
        }
        let mut sums = Sums::default();
        for ((index, _), (exact, predicted)) in fed.iter().zip(self.expected.iter().zip(&predictions)) {
            let seen = observe(&passages[*index], position, exact, predicted).ok_or(EngineError::NotANumber)?;
            sums.add(seen);
            run.tally.observe(self.first + index, position, seen);
        }
        let means = sums.means(position).ok_or(EngineError::NotStarted)?;
        Ok(QualityEvent::Position { lane, means })
    }

    fn generate(&mut self, lane: usize, token: usize, cancel: &AtomicBool) -> Result<QualityEvent, EngineError> {
        let predictions = if token == 0 {
            self.read_prompts(lane, cancel)?
        } else {
            let run = &mut self.lanes[lane];
            let newest = run.picked.clone();
            let newest: Vec<_> = newest.chunks(1).enumerate().collect();
            run.predict(&self.model.model, &newest, cancel)?
        };
        let run = &mut self.lanes[lane];
        run.picked =
            predictions.iter().map(|prediction| u32::try_from(prediction.best()).unwrap_or(u32::MAX)).collect();
        run.parted.resize(predictions.len(), None);
        if lane == self.exact {
            self.expected = predictions;
        } else {
            for (parted, (exact, predicted)) in run.parted.iter_mut().zip(self.expected.iter().zip(&predictions)) {
                if exact.best() != predicted.best() {
                    parted.get_or_insert(token);
                }
            }
        }
        let same = run.parted.iter().filter(|parted| parted.is_none()).count();
        Ok(QualityEvent::Greedy { lane, token, same })
    }

    fn next_turn(&mut self) -> Result<(), EngineError> {
        self.steps_done += 1;
        self.turn += 1;
        if self.turn < self.lanes.len() {
            return Ok(());
        }
        self.turn = 0;
        let (n_prompt, n_greedy) = (self.settings.prompt_tokens, self.settings.greedy_tokens);
        self.phase = match self.phase {
            Phase::Prompt => Phase::Feed(n_prompt),
            // The last token is only a target.
            Phase::Feed(token) if token + 2 < longest(self.together()) => Phase::Feed(token + 1),
            Phase::Feed(_) => {
                for lane in self.lanes.iter_mut().filter(|lane| lane.failed.is_none()) {
                    lane.weigh()?;
                    lane.close()?;
                }
                if n_greedy > 0 { Phase::Generate(0) } else { self.next_batch()? }
            }
            Phase::Generate(token) if token + 1 < n_greedy => Phase::Generate(token + 1),
            Phase::Generate(_) => self.next_batch()?,
            Phase::Done => Phase::Done,
        };
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Phase, EngineError> {
        for lane in self.lanes.iter_mut().filter(|lane| lane.failed.is_none()) {
            lane.tally.part(std::mem::take(&mut lane.parted));
            lane.close()?;
        }
        self.first += self.settings.batch;
        Ok(if self.first < self.passages.len() { Phase::Prompt } else { Phase::Done })
    }
}

/// Tokens of the longest passage.
fn longest(passages: &[Passage]) -> usize {
    passages.iter().map(|passage| passage.ids.len()).max().unwrap_or(0)
}

/// What a lane predicted for `passage.ids[position]`, beside what the exact lane did.
fn observe(passage: &Passage, position: usize, exact: &Prediction, lane: &Prediction) -> Option<Observation> {
    let mark = passage.recall.iter().find(|mark| mark.position == position);
    Some(Observation {
        kl: exact.kl(lane)?,
        agrees: exact.best() == lane.best(),
        nll: lane.nll(passage.ids[position] as usize)?,
        recalled: mark.map(|mark| (mark.distance, lane.best() == mark.token as usize)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelSource, RecallMark};
    use candle_core::Device;

    #[test]
    fn recall_and_likelihood_are_the_lanes_own_and_of_its_position() {
        let prediction = |best: usize| {
            let mut logits = [0.0; 4];
            logits[best] = 9.0;
            Prediction::of(&logits).expect("finite")
        };
        let recall = vec![RecallMark { position: 2, distance: 7, token: 3 }];
        let passage = Passage { ids: vec![0, 1, 3, 0], recall };
        let seen = observe(&passage, 2, &prediction(3), &prediction(1)).expect("same vocabulary");
        assert_eq!((seen.agrees, seen.recalled), (false, Some((7, false))));
        assert_eq!((Some(seen.nll), Some(seen.kl)), (prediction(1).nll(3), prediction(3).kl(&prediction(1))));
        let seen = observe(&passage, 2, &prediction(1), &prediction(3)).expect("same vocabulary");
        assert_eq!((seen.agrees, seen.recalled), (false, Some((7, true))));
        assert_eq!(observe(&passage, 3, &prediction(1), &prediction(1)).expect("same vocabulary").recalled, None);
    }

    /// A lane's cache runs full in the middle: the others go on, and it has no numbers.
    #[test]
    fn a_lane_that_fails_ends_and_the_others_go_on() {
        let never = AtomicBool::new(false);
        let model = Arc::new(ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &never).expect("embedded"));
        let mut passages = Passage::held_out_stories().expect("embedded");
        passages.truncate(2);
        for passage in &mut passages {
            passage.truncate(24);
        }
        let spec = CacheSpec::exact(Layout::Paged { block_len: 4 });
        let lanes = [Lane::Cache(spec), Lane::Cache(CacheSpec::exact(Layout::Concat))];
        let settings = QualitySettings { prompt_tokens: 8, greedy_tokens: 2, batch: 1 };
        let mut run = QualityRun::new(model, &lanes, passages, settings).expect("a run");
        // 12 tokens of 7,680 bytes: the prompt and four more.
        let small = StoreConfig { max_sequences: 1, memory_limit_bytes: Some(12 * 7680) };
        run.lanes[1] = LaneRun::new(&run.model, spec, small).expect("a store");
        let mut failures = vec![];
        while let Some(event) = run.step(&never).expect("a step") {
            match event {
                QualityEvent::Failed { lane, reason } => failures.push((lane, reason)),
                QualityEvent::Position { lane: 1, means } => assert!(means.position <= 12),
                _ => {}
            }
        }
        assert!(failures.len() == 1 && failures[0].0 == 1 && failures[0].1.contains("cache is full"), "{failures:?}");
        let [exact, paged, concat] = &run.summaries()[..] else { panic!("three lanes") };
        assert_eq!((paged.kl, paged.bytes_per_token, paged.failed.as_ref()), (None, None, Some(&failures[0].1)));
        assert_eq!((concat.kl, concat.positions), (Some(0.0), exact.positions));
        let (all, done) = run.progress();
        assert_eq!(all, done);
    }
}
