//! What the window knows about a run: fed by events, drawn by panels, and free of egui.

mod insight;
mod text;
mod tokens;

pub use insight::{AttentionState, ForkState};
pub use text::Piece;

use crate::{
    cache::{Lane, PoolPicture},
    engine::{LayerStep, StepRecord},
    experiment::{LaneEnd, LaneEvent, lane_names},
};

use super::{
    comparison::reference,
    recording::lane_of,
    worker::{Event, Facts, What},
};

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was run, or it was reset.
    #[default]
    Empty,
    /// Bytes of one of the model's files.
    Downloading {
        file: &'static str,
        done_bytes: u64,
        all_bytes: u64,
    },
    Loading {
        done: usize,
        all: usize,
    },
    /// Layers, see [`What::Calibrating`].
    Calibrating {
        done: usize,
        all: usize,
    },
    Running,
    /// Quality, which can be cancelled but not paused.
    Measuring,
    /// Pausing takes effect after the round under way.
    Pausing,
    Paused,
    /// A trace, up to somewhere.
    Replay,
    Finished,
    Cancelled,
    Failed,
}

impl Phase {
    /// A run that can be cancelled.
    #[must_use]
    pub fn is_active(&self) -> bool {
        match self {
            Self::Downloading { .. }
            | Self::Loading { .. }
            | Self::Calibrating { .. }
            | Self::Running
            | Self::Measuring
            | Self::Pausing
            | Self::Paused => true,
            Self::Empty | Self::Replay | Self::Finished | Self::Cancelled | Self::Failed => false,
        }
    }

    /// A run that is over, however it ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled | Self::Failed)
    }
}

/// A run as the window shows it.
#[derive(Clone, Debug, Default)]
pub struct RunState {
    pub id: u64,
    pub phase: Phase,
    pub facts: Option<Facts>,
    pub lanes: Vec<LaneState>,
    /// Tokens every lane is to generate.
    pub tokens: usize,
    pub prompt: String,
    pub error: Option<String>,
    /// It has happened, and nothing computes: a trace.
    pub is_trace: bool,
    /// Every lane is fed the first lane's tokens; texts are what each would have said.
    pub is_forced: bool,
    /// Whom the tokens of lanes look at, once a person wants to see it.
    pub attention: Vec<AttentionState>,
    /// The first layers of each lane's next token, as far as a person stepped through them.
    pub layers: Vec<Vec<(LayerStep, String)>>,
}

/// How the prediction of a token compares with the first lane's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    pub step: usize,
    pub kl_nats: f64,
    pub agrees: bool,
}

/// A lane went on in another cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// Its first token there.
    pub step: usize,
    /// What it was called before.
    pub from: String,
    pub tokens_in: usize,
    pub secs: f64,
}

/// One lane: its records, its text, and how it compares with the first lane.
#[derive(Clone, Debug)]
pub struct LaneState {
    pub name: String,
    /// True where the lane must produce what the model produces without a cache.
    pub is_lossless: bool,
    pub records: Vec<StepRecord>,
    pub text: String,
    /// Length of `text` after each token.
    text_ends: Vec<usize>,
    pub end: Option<LaneEnd>,
    /// Left out of the plots by a person.
    pub is_hidden: bool,
    /// Tokens that were compared with the first lane's and are the same.
    pub agreed: usize,
    /// The first token that is not the first lane's, counted from 0.
    pub first_divergence: Option<usize>,
    /// The pool and the tables of the lane and its forks; `None` without a cache.
    pub blocks: Option<PoolPicture>,
    pub forks: Vec<ForkState>,
    /// Its predictions beside the first lane's, for as long as both read the same tokens.
    pub compared: Vec<Compared>,
    /// Tokens that are not the first lane's, where every token is compared (forced runs).
    pub differing: Vec<usize>,
    pub switches: Vec<Switch>,
}

impl RunState {
    /// A run whose first event has not come yet.
    #[must_use]
    pub fn new(id: u64, lanes: &[Lane], tokens: usize, prompt: String) -> Self {
        let lanes = lane_names(lanes).into_iter().zip(lanes);
        let lanes = lanes.map(|(name, lane)| LaneState::new(name, lane.is_lossless())).collect();
        Self { id, phase: Phase::Loading { done: 0, all: 0 }, lanes, tokens, prompt, ..Self::default() }
    }

    /// The beginning of a run in a trace. A lane that this kvlab does not know counts as lossy.
    #[must_use]
    pub fn of_trace(id: u64, lanes: &[(&str, Option<Lane>)], facts: Facts) -> Self {
        let lane = |(name, lane): &(&str, Option<Lane>)| {
            LaneState::new((*name).to_owned(), lane.is_some_and(|lane| lane.is_lossless()))
        };
        Self { id, lanes: lanes.iter().map(lane).collect(), facts: Some(facts), ..Self::default() }
    }

    /// Takes an event in; those of other runs are too late and change nothing.
    pub fn apply(&mut self, event: Event) {
        // What a run that is over has stored can still be looked at.
        let is_look = matches!(event.what, What::Lane(LaneEvent::Attention { .. }) | What::Refused(_));
        let is_open = self.phase.is_active() || (self.phase == Phase::Finished && is_look);
        if event.run != self.id || !is_open {
            return;
        }
        match event.what {
            What::Downloading { file, done_bytes, all_bytes } => {
                self.phase = Phase::Downloading { file, done_bytes, all_bytes };
            }
            What::Loading { done, all } => self.phase = Phase::Loading { done, all },
            What::Calibrating { done, all } => self.phase = Phase::Calibrating { done, all },
            What::Ready(facts) => self.facts = Some(*facts),
            What::Lane(event) => self.apply_to_lane(event),
            What::Layers { lane, layers } => {
                self.layers.resize(self.lanes.len(), vec![]);
                if let Some(shown) = self.layers.get_mut(lane) {
                    *shown = layers;
                }
            }
            What::Refused(message) => self.error = Some(message),
            // Of a measurement, which is no run, and for the window itself.
            What::Quality(_) | What::Header(_) | What::Inspected { .. } => {}
            What::Running => self.phase = Phase::Running,
            What::Paused => self.phase = Phase::Paused,
            What::Finished => self.phase = Phase::Finished,
            What::Cancelled => {
                if let Phase::Downloading { file, .. } = self.phase {
                    self.error = Some(format!(
                        "the download of {file} was cancelled; what came is kept, and Run goes on from there"
                    ));
                }
                self.phase = Phase::Cancelled;
            }
            What::Failed(message) => self.fail(message),
        }
    }

    /// Takes what happened to a lane in.
    pub fn apply_to_lane(&mut self, event: LaneEvent) {
        match event {
            LaneEvent::Token { lane, record, text } => self.push_token(lane, record, &text),
            LaneEvent::Ended { lane, end, text } => {
                if let Some(lane) = self.lanes.get_mut(lane) {
                    lane.text.push_str(&text);
                    lane.end = Some(end);
                }
            }
            LaneEvent::Attention { lane, attention } => self.look(lane, attention),
            LaneEvent::Compared { lane, step, kl_nats, agrees } => {
                if let Some(lane) = self.lanes.get_mut(lane) {
                    lane.compared.push(Compared { step, kl_nats, agrees });
                }
            }
            LaneEvent::Switched { lane, step, name, tokens_in, secs } => {
                self.layers.clear();
                if let Some(lane) = self.lanes.get_mut(lane) {
                    lane.is_lossless &= lane_of(&name).is_some_and(|lane| lane.is_lossless());
                    let from = std::mem::replace(&mut lane.name, name);
                    lane.switches.push(Switch { step, from, tokens_in, secs });
                    (lane.blocks, lane.forks) = (None, vec![]);
                }
            }
            event => self.apply_to_blocks(event),
        }
    }

    /// Ends the run with a message. A run that never began leaves no lanes behind.
    pub fn fail(&mut self, message: String) {
        if self.facts.is_none() && self.lanes.iter().all(|lane| lane.records.is_empty()) {
            self.lanes.clear();
        }
        self.phase = Phase::Failed;
        self.error = Some(message);
    }

    fn push_token(&mut self, index: usize, record: StepRecord, text: &str) {
        let prompt_tokens = self.facts.as_ref().map_or(0, |facts| facts.prompt_of(index).0);
        let Some(lane) = self.lanes.get_mut(index) else { return };
        if let Some(sequence) = lane.blocks.as_mut().and_then(|blocks| blocks.sequences.first_mut()) {
            sequence.len = prompt_tokens + record.step;
        }
        self.layers.clear();
        lane.records.push(record);
        lane.text.push_str(text);
        lane.text_ends.push(lane.text.len());
        for index in 0..self.lanes.len() {
            let first = reference(&self.lanes, index);
            match self.lanes.get_disjoint_mut([first, index]) {
                Ok([first, lane]) => lane.compare(&first.records, self.is_forced),
                // It is the first of its run itself.
                Err(_) => self.lanes[index].agreed = self.lanes[index].records.len(),
            }
        }
    }

    /// The text of a lane's prompt, of two runs side by side each its own.
    #[must_use]
    pub fn prompt_of(&self, lane: usize) -> String {
        match self.facts.as_ref().and_then(|facts| facts.second_prompt.as_ref()) {
            Some(second) if lane >= second.first_lane => second.pieces.concat(),
            _ => self.prompt.clone(),
        }
    }

    /// Why a run that is over did not do all that was asked.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let failed = self.lanes.iter().find_map(|lane| match &lane.end {
            Some(LaneEnd::Failed(reason)) => Some(format!("{}: {reason}", lane.name)),
            _ => None,
        });
        match self.phase {
            // What happened then is no failure of showing it.
            Phase::Replay => None,
            Phase::Failed => Some(self.error.clone().unwrap_or_else(|| "it failed".into())),
            Phase::Cancelled => Some("it was cancelled".into()),
            _ => failed,
        }
    }

    /// The lanes to plot, with their numbers.
    pub fn shown_lanes(&self) -> impl Iterator<Item = (usize, &LaneState)> {
        self.lanes.iter().enumerate().filter(|(_, lane)| !lane.is_hidden)
    }

    /// Tokens that every lane has that still runs; those of the longest lane once none does.
    #[must_use]
    pub fn progress(&self) -> usize {
        let live = self.lanes.iter().filter(|lane| lane.end.is_none()).map(|lane| lane.records.len()).min();
        live.or_else(|| self.lanes.iter().map(|lane| lane.records.len()).max()).unwrap_or(0)
    }

    /// True once a lane has held rows of evicted tokens.
    #[must_use]
    pub fn has_dead(&self) -> bool {
        self.lanes.iter().any(LaneState::has_dead)
    }

    /// True for a run on a GPU.
    #[must_use]
    pub fn has_gpu(&self) -> bool {
        self.lanes.iter().any(|lane| lane.records.last().is_some_and(|record| record.gpu.is_some()))
    }

    /// True once a lane has moved bytes that were already stored.
    #[must_use]
    pub fn has_copied(&self) -> bool {
        self.lanes.iter().any(|lane| lane.records.iter().any(|record| record.copied_bytes > 0))
    }
}

impl LaneState {
    fn new(name: String, is_lossless: bool) -> Self {
        Self {
            name,
            is_lossless,
            records: vec![],
            text: String::new(),
            text_ends: vec![],
            end: None,
            is_hidden: false,
            agreed: 0,
            first_divergence: None,
            blocks: None,
            forks: vec![],
            compared: vec![],
            differing: vec![],
            switches: vec![],
        }
    }

    /// Compares what is not compared yet. A lane that goes on with a token of its own writes another text from there on; one that is fed
    /// the first lane's tokens can differ in any.
    fn compare(&mut self, reference: &[StepRecord], is_forced: bool) {
        let both = self.records.len().min(reference.len());
        loop {
            let at = self.agreed + self.differing.len();
            if at >= both || (self.first_divergence.is_some() && !is_forced) {
                return;
            }
            if self.records[at].token_id == reference[at].token_id {
                self.agreed += 1;
            } else {
                self.first_divergence = self.first_divergence.or(Some(at));
                self.differing.push(at);
            }
        }
    }

    /// True once it has held rows of evicted tokens.
    #[must_use]
    pub fn has_dead(&self) -> bool {
        self.records.iter().any(|record| record.dead_bytes > 0)
    }

    /// The records of the cache that the lane has now: all of them, unless it was given another.
    #[must_use]
    pub fn of_this_cache(&self) -> &[StepRecord] {
        let since = self.switches.last().map_or(0, |switch| switch.step);
        self.records.get(since..).unwrap_or_default()
    }

    /// The records of decode steps; the prefill is another kind of work and stands apart.
    #[must_use]
    pub fn decode(&self) -> &[StepRecord] {
        self.records.get(1..).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
