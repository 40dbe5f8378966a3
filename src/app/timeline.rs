//! Any moment of a run, live or opened: where the window looks, and how it plays.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{recording::Recording, state::RunState};
use crate::experiment::{LaneEvent, trace::Outcome};

/// Rounds between two stops: going back applies the events of fewer than that, and a long run has a handful of stops.
const STOP_ROUNDS: usize = 256;

/// How fast a run plays unless somebody says otherwise: tokens of every lane in a second.
pub const ROUNDS_PER_SEC: f64 = 30.0;

/// A recording and the moment of it that is shown.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The file of an opened trace; `None` of a live run.
    pub path: Option<PathBuf>,
    recording: Arc<Recording>,
    /// The run at the moment that is shown; `None`: at the end, which the window knows itself.
    past: Option<Past>,
    /// The run at some earlier moments that were shown, in order: going back begins at one of them, and not at the start of a long run.
    stops: Vec<Past>,
    pub rounds_per_sec: f64,
    pub is_playing: bool,
    /// What was not played yet, in rounds.
    fraction: f64,
}

#[derive(Clone, Debug)]
struct Past {
    round: usize,
    state: RunState,
}

impl Timeline {
    /// Of a run that begins.
    #[must_use]
    pub fn live(recording: Recording) -> Self {
        Self::new(None, Arc::new(recording))
    }

    /// Of a trace.
    ///
    /// # Errors
    /// Those of [`Recording::open`].
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Some(path.into()), Arc::new(Recording::open(path)?)))
    }

    /// Of a run, live or opened, with a trace beside it ([`Recording::beside`]).
    #[must_use]
    pub fn beside(recording: &Recording, other: &Self) -> Self {
        Self::new(other.path.clone(), Arc::new(recording.beside(&other.recording)))
    }

    fn new(path: Option<PathBuf>, recording: Arc<Recording>) -> Self {
        Self {
            path,
            recording,
            past: None,
            stops: vec![],
            rounds_per_sec: ROUNDS_PER_SEC,
            is_playing: false,
            fraction: 0.0,
        }
    }

    #[must_use]
    pub fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    /// True for a trace, which has happened.
    #[must_use]
    pub fn is_trace(&self) -> bool {
        self.path.is_some()
    }

    /// Takes in what happened in a live run.
    pub fn push(&mut self, event: LaneEvent) {
        Arc::make_mut(&mut self.recording).push(event);
    }

    pub fn end(&mut self, outcome: Outcome) {
        Arc::make_mut(&mut self.recording).outcome = Some(outcome);
    }

    /// The run at an earlier moment; `None` at the end.
    #[must_use]
    pub fn past(&self) -> Option<&RunState> {
        self.past.as_ref().map(|past| &past.state)
    }

    pub fn past_mut(&mut self) -> Option<&mut RunState> {
        self.past.as_mut().map(|past| &mut past.state)
    }

    /// Rounds that there are.
    #[must_use]
    pub fn last(&self) -> usize {
        self.recording.rounds()
    }

    /// The round that is shown.
    #[must_use]
    pub fn round(&self) -> usize {
        self.past.as_ref().map_or(self.last(), |past| past.round)
    }

    /// Shows the run after `round` rounds; `newest` is the run at its end, whose hidden lanes stay hidden.
    pub fn seek(&mut self, round: usize, newest: &RunState) {
        let last = self.last();
        if round >= last {
            self.past = None;
            return;
        }
        let hidden_in = self.past.as_ref().map_or(newest, |past| &past.state);
        let hidden: Vec<bool> = hidden_in.lanes.iter().map(|lane| lane.is_hidden).collect();
        let mut past = match self.past.take() {
            Some(past) if past.round <= round => past,
            _ => self.stop_before(round, newest.id),
        };
        // By way of the next stops, which stay for whoever comes back.
        while past.round < round {
            let next = ((past.round / STOP_ROUNDS + 1) * STOP_ROUNDS).min(round);
            self.recording.seek(&mut past.state, past.round, next);
            past.round = next;
            if next.is_multiple_of(STOP_ROUNDS) && self.stops.last().is_none_or(|last| last.round < next) {
                self.stops.push(past.clone());
            }
        }
        past.state.lanes.iter_mut().zip(hidden).for_each(|(lane, is_hidden)| lane.is_hidden = is_hidden);
        past.state.is_trace = self.is_trace();
        past.state.attention = newest.attention_at(round);
        self.past = Some(past);
    }

    /// The last stop that is not behind `round`, or the beginning.
    fn stop_before(&self, round: usize, run: u64) -> Past {
        let stop = self.stops.iter().rfind(|stop| stop.round <= round).cloned();
        stop.unwrap_or_else(|| Past { round: 0, state: self.recording.state(run, 0) })
    }

    /// One token of every lane on, or back.
    pub fn step(&mut self, is_forward: bool, newest: &RunState) {
        self.is_playing = false;
        let round = self.round();
        self.seek(if is_forward { round + 1 } else { round.saturating_sub(1) }, newest);
    }

    /// Plays on for as long as a frame took; stops at the end.
    pub fn play(&mut self, elapsed: Duration, newest: &RunState) {
        if !self.is_playing {
            return;
        }
        self.fraction += elapsed.as_secs_f64() * self.rounds_per_sec;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few rounds")]
        let rounds = self.fraction as usize;
        self.fraction = self.fraction.fract();
        self.seek(self.round().saturating_add(rounds), newest);
        self.is_playing = self.past.is_some();
    }

    /// Plays from here, or from the start if this is the end; or pauses.
    pub fn toggle(&mut self, newest: &RunState) {
        self.is_playing = !self.is_playing;
        if self.is_playing && self.past.is_none() {
            self.seek(0, newest);
            self.is_playing = self.past.is_some();
        }
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
