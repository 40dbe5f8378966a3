//! A trace in the window: no model, no engine, any moment of the run.

use std::{
    fs::{self, File},
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    state::{Phase, RunState},
    worker::Facts,
};
use crate::{
    cache::spec::parse_lanes,
    experiment::{
        LaneEvent,
        trace::{Outcome, Trace},
    },
};

/// A larger trace would fill the memory of a laptop.
const MOST_BYTES: u64 = 1 << 30;
/// How fast a trace plays: tokens of every lane in a second.
const ROUNDS_PER_SEC: f64 = 30.0;

/// An opened trace and the moment that is shown.
#[derive(Clone, Debug)]
pub struct Replay {
    pub path: PathBuf,
    trace: Arc<Trace>,
    /// Events that have happened after each round.
    ends: Vec<usize>,
    /// Rounds that have happened.
    round: usize,
    /// What was not played yet, in rounds.
    fraction: f64,
    pub is_playing: bool,
    run: u64,
}

impl Replay {
    /// Reads a trace; `run` is an id that no other run of the window has.
    ///
    /// # Errors
    /// A file that cannot be read, is no trace, or is one of a newer kvlab.
    pub fn open(path: &Path, run: u64) -> io::Result<Self> {
        let refuse = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        let there = fs::metadata(path)?;
        // Others, such as pipes, may never end.
        if !there.is_file() {
            return refuse("it is not a file");
        }
        if there.len() > MOST_BYTES {
            return refuse("it is larger than 1 GiB, more than fits into a window");
        }
        let trace = Trace::read(BufReader::new(File::open(path)?))?;
        let ends = round_ends(&trace.events);
        let round = ends.len() - 1;
        Ok(Self { path: path.into(), trace: Arc::new(trace), ends, round, fraction: 0.0, is_playing: false, run })
    }

    /// Rounds that have happened.
    #[must_use]
    pub fn round(&self) -> usize {
        self.round
    }

    /// Rounds of the trace.
    #[must_use]
    pub fn last(&self) -> usize {
        self.ends.len() - 1
    }

    /// How the run ended, as a person reads it.
    #[must_use]
    pub fn ending(&self) -> &'static str {
        match self.trace.outcome {
            Some(Outcome::Finished) => "finished",
            Some(Outcome::Cancelled) => "cancelled",
            None => "cut off: shown up to its last whole line",
        }
    }

    /// The run as it was after so many rounds.
    #[must_use]
    pub fn state(&self) -> RunState {
        let header = &self.trace.header;
        let lanes: Vec<_> = header.lanes.iter().map(|name| (name.as_str(), lane_of(name))).collect();
        let mut state = RunState::of_trace(self.run, &lanes, Facts::of_trace(header));
        state.tokens = header.workload.max_new_tokens;
        state.prompt = header.prompt.clone().unwrap_or_default();
        state.phase = Phase::Replay;
        for event in &self.trace.events[..self.ends[self.round]] {
            state.apply_to_lane(event.clone());
        }
        state
    }

    /// Shows the run after `round` rounds in `state`; forwards only what is new is applied.
    pub fn seek(&mut self, round: usize, state: &mut RunState) {
        let round = round.min(self.last());
        let hidden: Vec<bool> = state.lanes.iter().map(|lane| lane.is_hidden).collect();
        if round < self.round {
            self.round = round;
            *state = self.state();
            state.lanes.iter_mut().zip(hidden).for_each(|(lane, is_hidden)| lane.is_hidden = is_hidden);
        } else {
            for event in &self.trace.events[self.ends[self.round]..self.ends[round]] {
                state.apply_to_lane(event.clone());
            }
            self.round = round;
        }
    }

    /// One token of every lane on, or back.
    pub fn step(&mut self, is_forward: bool, state: &mut RunState) {
        self.seek(if is_forward { self.round + 1 } else { self.round.saturating_sub(1) }, state);
    }

    /// Plays on for as long as a frame took; stops at the end.
    pub fn play(&mut self, elapsed: Duration, state: &mut RunState) {
        if !self.is_playing {
            return;
        }
        self.fraction += elapsed.as_secs_f64() * ROUNDS_PER_SEC;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few rounds")]
        let rounds = self.fraction as usize;
        self.fraction = self.fraction.fract();
        self.seek(self.round.saturating_add(rounds), state);
        self.is_playing = self.round < self.last();
    }

    /// Plays from here, or from the start if this is the end; or pauses.
    pub fn toggle(&mut self, state: &mut RunState) {
        self.is_playing = !self.is_playing;
        if self.is_playing && self.round == self.last() {
            self.seek(0, state);
        }
    }
}

/// How many events have happened after each round, beginning with none: a round ends where a lane makes a step that no lane made
/// before.
fn round_ends(events: &[LaneEvent]) -> Vec<usize> {
    let (mut ends, mut newest) = (vec![], None);
    for (index, event) in events.iter().enumerate() {
        if let LaneEvent::Token { record, .. } = event
            && newest.is_none_or(|newest| record.step > newest)
        {
            newest = Some(record.step);
            ends.push(index);
        }
    }
    ends.push(events.len());
    ends
}

/// The lane behind a name such as `paged:16#2`; `None` for one of a later kvlab.
pub(super) fn lane_of(name: &str) -> Option<crate::cache::Lane> {
    let spec = name.split_once('#').map_or(name, |(spec, _)| spec);
    parse_lanes(spec).ok().and_then(|lanes| lanes.first().copied())
}
