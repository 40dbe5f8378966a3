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
    /// Events before this one have happened.
    cursor: usize,
    /// What the cursor did not move yet, in events.
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
        let cursor = trace.events.len();
        Ok(Self { path: path.into(), trace: Arc::new(trace), cursor, fraction: 0.0, is_playing: false, run })
    }

    #[must_use]
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Events of the trace.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trace.events.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trace.events.is_empty()
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

    /// The run as it was at the cursor.
    #[must_use]
    pub fn state(&self) -> RunState {
        let header = &self.trace.header;
        let lanes: Vec<_> = header.lanes.iter().map(|name| (name.as_str(), lane_of(name))).collect();
        let mut state = RunState::of_trace(self.run, &lanes, Facts::of_trace(header));
        state.tokens = header.workload.max_new_tokens;
        state.prompt = header.prompt.clone().unwrap_or_default();
        state.phase = Phase::Replay;
        for event in &self.trace.events[..self.cursor] {
            state.apply_to_lane(event.clone());
        }
        state
    }

    /// Shows the moment before event `cursor` in `state`; forwards only what is new is applied.
    pub fn seek(&mut self, cursor: usize, state: &mut RunState) {
        let cursor = cursor.min(self.len());
        let hidden: Vec<bool> = state.lanes.iter().map(|lane| lane.is_hidden).collect();
        if cursor < self.cursor {
            self.cursor = cursor;
            *state = self.state();
            state.lanes.iter_mut().zip(hidden).for_each(|(lane, is_hidden)| lane.is_hidden = is_hidden);
        } else {
            for event in &self.trace.events[self.cursor..cursor] {
                state.apply_to_lane(event.clone());
            }
            self.cursor = cursor;
        }
    }

    /// One token of every lane on, or back.
    pub fn step(&mut self, is_forward: bool, state: &mut RunState) {
        let is_token = |event: &LaneEvent| matches!(event, LaneEvent::Token { .. });
        let (events, lanes) = (&self.trace.events, self.trace.header.lanes.len().max(1));
        let cursor = if is_forward {
            let mut tokens = events.iter().enumerate().skip(self.cursor).filter(|(_, event)| is_token(event));
            // Up to the next token after those, so that what belongs to them is shown.
            tokens.nth(lanes).map_or(events.len(), |(index, _)| index)
        } else {
            let mut tokens = events[..self.cursor].iter().enumerate().rev().filter(|(_, event)| is_token(event));
            tokens.nth(lanes - 1).map_or(0, |(index, _)| index)
        };
        self.seek(cursor, state);
    }

    /// Plays on for as long as a frame took; stops at the end.
    pub fn play(&mut self, elapsed: Duration, state: &mut RunState) {
        if !self.is_playing {
            return;
        }
        let tokens = self.trace.header.workload.max_new_tokens.max(1);
        #[expect(clippy::cast_precision_loss, reason = "far fewer events than 2^52")]
        let events_per_round = self.len() as f64 / tokens as f64;
        self.fraction += elapsed.as_secs_f64() * ROUNDS_PER_SEC * events_per_round;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few events")]
        let events = self.fraction as usize;
        self.fraction = self.fraction.fract();
        self.seek(self.cursor.saturating_add(events), state);
        self.is_playing = self.cursor < self.len();
    }

    /// Plays from here, or from the start if this is the end; or pauses.
    pub fn toggle(&mut self, state: &mut RunState) {
        self.is_playing = !self.is_playing;
        if self.is_playing && self.cursor == self.len() {
            self.seek(0, state);
        }
    }
}

/// The lane behind a name such as `paged:16#2`; `None` for one of a later kvlab.
fn lane_of(name: &str) -> Option<crate::cache::Lane> {
    let spec = name.split_once('#').map_or(name, |(spec, _)| spec);
    parse_lanes(spec).ok().and_then(|lanes| lanes.first().copied())
}
