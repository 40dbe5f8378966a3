//! Lanes x workload -> records. The window, the command line and the benches all run this.
//!
//! Lanes are stepped fairly: one token per lane per round, and each round starts with another lane, so
//! that none always follows the same neighbour. A cached lane rehearses each token first
//! ([`Session::rehearse`]), so that it costs in company, watched or forked what it costs alone.

pub mod bench;
mod compare;
pub mod conformance;
mod error;
mod event;
mod insight;
pub mod quality;
mod switch;
pub mod trace;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicBool},
};

use crate::{
    cache::{CacheError, KvShape, KvStore, Lane, LaneBytes, Layout, StoreConfig},
    engine::{EngineError, MAX_FORKS, Session, SessionConfig},
    measure::machine::available_memory_bytes,
    model::{Calibrating, LoadedModel, ModelError, TextStream},
};

pub use error::ExperimentError;
pub use event::{LaneEnd, LaneEvent, Workload};
use insight::Insight;

/// A story the embedded model can answer, for whoever gives no prompt.
pub const DEFAULT_PROMPT: &str = "\
Once upon a time there were three friends: Mia, Tom and Nora. Mia keeps a red key. Mia has a pet fox. \
Tom likes soup best. Tom can play the drum. Nora is wearing a green hat. Nora lives near the mill.
In the evening Mia and Nora met in the park. Mia took out her";
/// The lanes of the first demonstration: without and with a cache, in pages, and smaller.
pub const DEFAULT_LANES: &str = "none,contiguous,paged:16,paged:16+int8";
/// Tokens that show how the lanes part and still take seconds on a laptop.
pub const DEFAULT_TOKENS: usize = 200;

/// A name for each lane that no other has: a lane that is there again (to see how much two equal runs differ) gets
/// a number, `paged:16#2`.
#[must_use]
pub fn lane_names(lanes: &[Lane]) -> Vec<String> {
    let name = |(index, lane): (usize, &Lane)| match lanes[..index].iter().filter(|earlier| *earlier == lane).count() {
        0 => lane.to_string(),
        earlier => format!("{lane}#{}", earlier + 1),
    };
    lanes.iter().enumerate().map(name).collect()
}

struct LaneRun {
    session: Session,
    stream: TextStream,
    end: Option<LaneEnd>,
    insight: Insight,
    /// What it predicted in its newest step, where that is compared.
    predicted: Option<compare::Predicted>,
}

impl LaneRun {
    fn new(session: Session) -> Self {
        let (stream, insight) = (TextStream::default(), Insight::default());
        Self { session, stream, end: None, insight, predicted: None }
    }
}

/// A running experiment.
pub struct Experiment {
    model: Arc<LoadedModel>,
    workload: Workload,
    lanes: Vec<LaneRun>,
    /// What each lane is called.
    names: Vec<String>,
    round: usize,
    /// Lanes of this round that had their turn.
    turns: usize,
    session_config: SessionConfig,
    /// Whose attention is watched.
    watched: Vec<usize>,
    /// What happened and is not told yet.
    queue: VecDeque<LaneEvent>,
}

impl Experiment {
    /// Builds every lane's store, or none.
    ///
    /// # Errors
    /// [`ExperimentError`] for whatever makes no sense, before anything runs.
    pub fn new(model: Arc<LoadedModel>, lanes: &[Lane], workload: Workload) -> Result<Self, ExperimentError> {
        Self::with_progress(model, lanes, workload, &mut |_| {}, &AtomicBool::new(false))
    }

    /// [`Self::new`], which may take a while: levels that a lane needs are found on a text first, `calibrating` is told how far that is, and
    /// `cancel` ends it.
    ///
    /// # Errors
    /// As [`Self::new`], and [`EngineError::is_cancelled`].
    pub fn with_progress(
        model: Arc<LoadedModel>,
        lanes: &[Lane],
        workload: Workload,
        calibrating: &mut dyn FnMut(Calibrating),
        cancel: &AtomicBool,
    ) -> Result<Self, ExperimentError> {
        let config = model.model.config();
        if lanes.is_empty() {
            return Err(ExperimentError::NoLanes);
        }
        if workload.prompt_ids.is_empty() {
            return Err(EngineError::EmptyPrompt.into());
        }
        if workload.max_new_tokens == 0 {
            return Err(ExperimentError::NoTokens);
        }
        if workload.stop_at_eos && config.eos_token_id.is_none() {
            return Err(ExperimentError::NoEos { model: model.source.to_string() });
        }
        let (prompt, new, context) = (workload.prompt_ids.len(), workload.max_new_tokens, config.n_positions);
        if prompt.saturating_add(new) > context {
            return Err(ExperimentError::PastContext { prompt, new, context, model: model.source.to_string() });
        }
        if let Some(&id) = workload.prompt_ids.iter().find(|id| **id as usize >= config.vocab_size) {
            let vocab_size = config.vocab_size;
            return Err(EngineError::from(ModelError::TokenPastVocabulary { id, vocab_size }).into());
        }
        let alone = StoreConfig { max_sequences: 1, memory_limit_bytes: workload.memory_limit_bytes };
        let in_lane = |lane: &Lane, reason: EngineError| ExperimentError::Lane { lane: lane.to_string(), reason };

        let mut needed_bytes = 0_u64;
        for lane in lanes {
            if let Lane::Cache(spec) = lane {
                let bytes: Result<u64, CacheError> = KvStore::pool_bytes(*spec, config.kv_shape(), alone);
                needed_bytes = needed_bytes.saturating_add(bytes.map_err(|e| in_lane(lane, e.into()))?);
            }
        }
        if let Some(available_bytes) = available_memory_bytes().filter(|free| *free < needed_bytes) {
            return Err(ExperimentError::TooLarge { needed_bytes, available_bytes });
        }

        for lane in lanes {
            if let Lane::Cache(spec) = lane {
                model.calibrated(*spec, calibrating, cancel).map_err(|error| match error {
                    ModelError::Cancelled => EngineError::from(error).into(),
                    error => in_lane(lane, error.into()),
                })?;
            }
        }

        let session =
            SessionConfig { sampling: workload.sampling, prefill_chunk: workload.prefill_chunk, store: alone };
        let names = lane_names(lanes);
        let lanes = lanes
            .iter()
            .map(|lane| {
                let store = with_forks(*lane, config.kv_shape(), alone).map_err(|e| in_lane(lane, e.into()))?;
                let config = SessionConfig { store, ..session };
                Session::new(model.clone(), *lane, config).map(LaneRun::new).map_err(|e| in_lane(lane, e))
            })
            .collect::<Result<_, ExperimentError>>()?;
        let (watched, queue) = (vec![], VecDeque::new());
        Ok(Self { model, workload, lanes, names, round: 0, turns: 0, session_config: session, watched, queue })
    }

    #[must_use]
    pub fn model(&self) -> &Arc<LoadedModel> {
        &self.model
    }

    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The session of a lane, for what the window shows of its cache.
    #[must_use]
    pub fn session(&self, lane: usize) -> Option<&Session> {
        self.lanes.get(lane).map(|lane| &lane.session)
    }

    /// True when every lane has ended and all was told.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.queue.is_empty() && self.has_ended()
    }

    fn has_ended(&self) -> bool {
        self.lanes.iter().all(|lane| lane.end.is_some())
    }

    /// Rounds that are over: in each, every lane that still ran got its token.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.round
    }

    /// True when the next step is the first of a round.
    #[must_use]
    pub fn at_round_start(&self) -> bool {
        // A lane with its last token has its end still to report, in the round of that token.
        let has_all = |index: usize| self.lanes[index].end.is_none() && self.lane_is_full(index);
        self.turns == 0 && self.queue.is_empty() && !has_all(self.round % self.lanes.len())
    }

    /// What happened and was not told yet, or else one token of the lane whose turn it is; `None` when all lanes have ended. A
    /// lane that fails ends and the others go on.
    ///
    /// # Errors
    /// A cancelled step ([`EngineError::is_cancelled`]): nothing changed but forks that gave way, and the step can be made again. A token
    /// that the tokenizer cannot decode ends the experiment.
    pub fn step(&mut self, cancel: &AtomicBool) -> Result<Option<LaneEvent>, EngineError> {
        if let Some(event) = self.queue.pop_front() {
            return Ok(Some(event));
        }
        while !self.has_ended() {
            let index = (self.round + self.turns) % self.lanes.len();
            if self.lanes[index].end.is_none() {
                let event = self.step_lane(index, cancel)?;
                // A lane that has its last token reports its end in a turn of its own.
                if matches!(event, LaneEvent::Ended { .. }) || !self.lane_is_full(index) {
                    self.next_turn();
                }
                return Ok(Some(event));
            }
            self.next_turn();
        }
        Ok(None)
    }

    /// Lanes that have ended get no turns, or the end of a round would not show when they come last.
    fn next_turn(&mut self) {
        loop {
            self.turns += 1;
            if self.turns == self.lanes.len() {
                self.turns = 0;
                self.round += 1;
                return;
            }
            if self.lanes[(self.round + self.turns) % self.lanes.len()].end.is_none() {
                return;
            }
        }
    }

    fn lane_is_full(&self, index: usize) -> bool {
        self.end_by_itself(index).is_some()
    }

    fn end_by_itself(&self, index: usize) -> Option<LaneEnd> {
        let generated = self.lanes[index].session.generated();
        let eos = self.model.model.config().eos_token_id;
        // A lane that is fed another's tokens ends with that one's text.
        let newest = if self.is_fed(index) { self.fed_token(index) } else { generated.last().copied() };
        if self.workload.stop_at_eos && newest.is_some() && newest == eos {
            Some(LaneEnd::EndOfText)
        } else if generated.len() >= self.workload.max_new_tokens {
            Some(LaneEnd::Finished)
        } else {
            None
        }
    }

    fn step_lane(&mut self, index: usize, cancel: &AtomicBool) -> Result<LaneEvent, EngineError> {
        if let Some(end) = self.end_by_itself(index) {
            return Ok(self.end_lane(index, end));
        }
        if let Err(end) = self.feed(index) {
            return Ok(self.end_lane(index, end));
        }
        let attention = match self.look(index, cancel) {
            Ok(attention) => attention,
            Err(error) if error.is_cancelled() => return Err(error),
            // The step itself will meet the same error, and says so.
            Err(_) => None,
        };
        let lane = &mut self.lanes[index];
        let result = if lane.session.tokens().is_empty() {
            let prompt = &self.workload.prompt_ids;
            let warmed_up = if self.workload.rehearse { lane.session.warm_up(prompt, cancel) } else { Ok(()) };
            warmed_up.and_then(|()| lane.session.prefill(prompt, cancel))
        } else {
            let rehearsed = if self.workload.rehearse { lane.session.rehearse(cancel) } else { Ok(()) };
            rehearsed.and_then(|()| lane.session.decode(cancel))
        };
        // A fork is a guest: the lane's token comes first.
        if matches!(&result, Err(error) if error.is_cache_full()) && self.make_room(index)? {
            return self.step_lane(index, cancel);
        }
        let lane = &mut self.lanes[index];
        match result {
            Ok(record) => {
                let text = match &self.model.tokenizer {
                    Some(tokenizer) => lane.stream.push(tokenizer, record.token_id)?,
                    None => String::new(),
                };
                if let Some(attention) = attention {
                    self.tell_attention(index, attention);
                }
                self.compare(index)?;
                self.follow(index, cancel)?;
                Ok(LaneEvent::Token { lane: index, record, text })
            }
            Err(error) if error.is_cancelled() => Err(error),
            Err(error) => Ok(self.end_lane(index, LaneEnd::Failed(error.to_string()))),
        }
    }

    fn end_lane(&mut self, index: usize, end: LaneEnd) -> LaneEvent {
        let lane = &mut self.lanes[index];
        lane.end = Some(end.clone());
        let tokenizer = self.model.tokenizer.as_ref();
        let text = tokenizer.and_then(|tokenizer| lane.stream.finish(tokenizer).ok()).unwrap_or_default();
        LaneEvent::Ended { lane: index, end, text }
    }
}

/// Room for forks in the tables of a lane with a pool, in the same memory: a fork takes blocks from the lane's own.
fn with_forks(lane: Lane, shape: KvShape, alone: StoreConfig) -> Result<StoreConfig, CacheError> {
    match lane {
        Lane::Cache(spec) if matches!(spec.layout, Layout::Paged { .. }) => {
            // Whatever a sequence needs besides its blocks comes on top for each fork, and is taken once there is one.
            let on_top = MAX_FORKS as u64 * LaneBytes::of(spec, shape)?.sequence_bytes;
            let memory_limit_bytes = Some(KvStore::pool_bytes(spec, shape, alone)?.saturating_add(on_top));
            Ok(StoreConfig { max_sequences: 1 + MAX_FORKS, memory_limit_bytes })
        }
        Lane::Cache(_) | Lane::None | Lane::Mine => Ok(alone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lanes_have_different_names() {
        let lanes = crate::cache::spec::parse_lanes("none,paged:16,none,paged:8,none").expect("lanes");
        assert_eq!(lane_names(&lanes), ["none", "paged:16", "none#2", "paged:8", "none#3"]);
    }
}
