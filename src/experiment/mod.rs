//! Lanes x workload -> records. The window, the command line and the benches all run this.
//!
//! Lanes are stepped fairly: one token per lane per round, and each round starts with another lane, so
//! that none always follows the same neighbour. A lane that waited for the others rehearses its token first
//! ([`Session::rehearse`]), so that it costs in company what it costs alone.

pub mod trace;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    cache::{CacheError, KvStore, Lane, StoreConfig},
    engine::{EngineError, Sampling, Session, SessionConfig, StepRecord},
    measure::machine::available_memory_bytes,
    model::{LoadedModel, ModelError, TextStream},
};

/// A story the embedded model can answer, for whoever gives no prompt.
pub const DEFAULT_PROMPT: &str = "\
Once upon a time there were three friends: Mia, Tom and Nora. Mia keeps a red key. Mia has a pet fox. \
Tom likes soup best. Tom can play the drum. Nora is wearing a green hat. Nora lives near the mill.
In the evening Mia and Nora met in the park. Mia took out her";
/// The lanes of the first demonstration: without and with a cache, in pages, and smaller.
pub const DEFAULT_LANES: &str = "none,contiguous,paged:16,paged:16+int8";
/// Tokens that show how the lanes part and still take seconds on a laptop.
pub const DEFAULT_TOKENS: usize = 200;

/// What every lane of an experiment does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    pub prompt_ids: Vec<u32>,
    /// Tokens to generate; exactly so many unless `stop_at_eos`.
    pub max_new_tokens: usize,
    pub sampling: Sampling,
    pub prefill_chunk: Option<usize>,
    pub stop_at_eos: bool,
    /// Bytes of keys, values and scales per lane.
    pub memory_limit_bytes: Option<u64>,
    /// A cached lane that waited runs its token untimed before it is timed. Traces from before there was a choice did not.
    #[serde(default)]
    pub rehearse: bool,
}

/// Why an experiment could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    #[error("no lane was given; try `none,contiguous,paged:16`")]
    NoLanes,
    #[error("--tokens 0 generates nothing; give 1 or more")]
    NoTokens,
    #[error("stopping at the end of the text is impossible: `{model}` has no eos_token_id in its config.json")]
    NoEos { model: String },
    #[error(
        "the prompt has {prompt} tokens and {new} are to be generated: {} together, and the context of `{model}` \
         ends at {context}. {}",
        prompt.saturating_add(*new), match context.saturating_sub(*prompt) {
            0 => "Shorten the prompt".to_owned(),
            room => format!("Shorten the prompt or generate at most {room} tokens"),
        }
    )]
    PastContext { prompt: usize, new: usize, context: usize, model: String },
    #[error("lane `{lane}`: {reason}")]
    Lane { lane: String, reason: EngineError },
    #[error(
        "the lanes reserve {needed_bytes} bytes and {available_bytes} bytes of memory are free; use fewer lanes, a \
         shorter context or --cache-memory"
    )]
    TooLarge { needed_bytes: u64, available_bytes: u64 },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How a lane ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneEnd {
    /// All tokens were generated.
    Finished,
    /// The model ended its text (`--stop-eos`).
    EndOfText,
    /// An error; what was generated before it stands.
    Failed(String),
}

/// What happened when an experiment made a step.
#[derive(Clone, Debug, PartialEq)]
pub enum LaneEvent {
    /// A lane generated a token. `text` is what the token completes, maybe nothing yet.
    Token { lane: usize, record: StepRecord, text: String },
    /// A lane ended; `text` is what its stream still held.
    Ended { lane: usize, end: LaneEnd, text: String },
}

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

/// More than lies between two tokens of a lane alone: decoding its text, writing its line of a trace.
const LONGEST_PAUSE: Duration = Duration::from_micros(100);

struct LaneRun {
    session: Session,
    stream: TextStream,
    end: Option<LaneEnd>,
    /// When its last step ended.
    stepped: Option<Instant>,
}

/// A running experiment.
pub struct Experiment {
    model: Arc<LoadedModel>,
    workload: Workload,
    lanes: Vec<LaneRun>,
    round: usize,
    /// Lanes of this round that had their turn.
    turns: usize,
}

impl Experiment {
    /// Builds every lane's store, or none.
    ///
    /// # Errors
    /// [`ExperimentError`] for whatever makes no sense, before anything runs.
    pub fn new(model: Arc<LoadedModel>, lanes: &[Lane], workload: Workload) -> Result<Self, ExperimentError> {
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
        let store = StoreConfig { max_sequences: 1, memory_limit_bytes: workload.memory_limit_bytes };
        let in_lane = |lane: &Lane, reason: EngineError| ExperimentError::Lane { lane: lane.to_string(), reason };

        let mut needed_bytes = 0_u64;
        for lane in lanes {
            if let Lane::Cache(spec) = lane {
                let bytes: Result<u64, CacheError> = KvStore::pool_bytes(*spec, config.kv_shape(), store);
                needed_bytes = needed_bytes.saturating_add(bytes.map_err(|e| in_lane(lane, e.into()))?);
            }
        }
        if let Some(available_bytes) = available_memory_bytes().filter(|free| *free < needed_bytes) {
            return Err(ExperimentError::TooLarge { needed_bytes, available_bytes });
        }

        let session = SessionConfig { sampling: workload.sampling, prefill_chunk: workload.prefill_chunk, store };
        let lanes = lanes
            .iter()
            .map(|lane| {
                let session = Session::new(model.clone(), *lane, session).map_err(|e| in_lane(lane, e))?;
                Ok(LaneRun { session, stream: TextStream::default(), end: None, stepped: None })
            })
            .collect::<Result<_, ExperimentError>>()?;
        Ok(Self { model, workload, lanes, round: 0, turns: 0 })
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

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.lanes.iter().all(|lane| lane.end.is_some())
    }

    /// True when the next step is the first of a round.
    #[must_use]
    pub fn at_round_start(&self) -> bool {
        self.turns == 0
    }

    /// One token of the lane whose turn it is; `None` when all lanes have ended. A lane that fails ends
    /// and the others go on.
    ///
    /// # Errors
    /// A cancelled step ([`EngineError::is_cancelled`]): nothing changed, and the step can be made again. A token
    /// that the tokenizer cannot decode ends the experiment.
    pub fn step(&mut self, cancel: &AtomicBool) -> Result<Option<LaneEvent>, EngineError> {
        while !self.is_done() {
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
        if self.workload.stop_at_eos && generated.last().is_some_and(|id| Some(*id) == eos) {
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
        let lane = &mut self.lanes[index];
        let result = if lane.session.tokens().is_empty() {
            lane.session.prefill(&self.workload.prompt_ids, cancel)
        } else {
            let waited = lane.stepped.is_none_or(|stepped| stepped.elapsed() > LONGEST_PAUSE);
            let rehearsed = if self.workload.rehearse && waited { lane.session.rehearse(cancel) } else { Ok(()) };
            rehearsed.and_then(|()| lane.session.decode(cancel))
        };
        lane.stepped = Some(Instant::now());
        match result {
            Ok(record) => {
                let text = match &self.model.tokenizer {
                    Some(tokenizer) => lane.stream.push(tokenizer, record.token_id)?,
                    None => String::new(),
                };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lanes_have_different_names() {
        let lanes = crate::cache::spec::parse_lanes("none,paged:16,none,paged:8,none").expect("lanes");
        assert_eq!(lane_names(&lanes), ["none", "paged:16", "none#2", "paged:8", "none#3"]);
    }
}
