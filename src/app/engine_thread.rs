//! The engine's thread itself: it obeys commands between tokens and tells what happened.
//!
//! Nothing here may take the window down: errors become events, and so do panics.

mod quality;
mod start;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError},
    },
    time::{Duration, Instant},
};

use crate::{
    experiment::{Experiment, ExperimentError},
    measure::device::DeviceChoice,
    model::{Calibrating, LoadedModel},
};

use super::worker::{Command, Event, Pace, What};
use quality::Measuring;

/// The window closed its end of a channel.
struct Closed;

/// What the thread is busy with.
enum Active {
    Run(Box<Running>),
    Quality(Box<Measuring>),
}

impl Active {
    fn run(&self) -> u64 {
        match self {
            Self::Run(running) => running.run,
            Self::Quality(measuring) => measuring.run,
        }
    }

    /// False for a run that waits for a command, or is over: what it stored can be looked at until the next begins.
    fn computes(&self) -> bool {
        match self {
            Self::Run(running) => {
                let is_at_rest = running.pace == Pace::Pause && running.experiment.at_round_start();
                !running.experiment.is_done() && !is_at_rest
            }
            Self::Quality(_) => true,
        }
    }
}

struct Running {
    run: u64,
    experiment: Experiment,
    pace: Pace,
    /// The round after which [`Pace::OneRound`] ends.
    last_round: usize,
    /// Layers of the next token that were shown one by one.
    layers: usize,
    /// The least time from one round to the next, and when the next may begin.
    round_time: Option<Duration>,
    next_round: Instant,
    cancel: Arc<AtomicBool>,
}

impl Running {
    fn new(run: u64, experiment: Experiment, pace: Pace, rounds_per_sec: Option<f64>, cancel: Arc<AtomicBool>) -> Self {
        let mut running = Self {
            run,
            experiment,
            pace,
            last_round: 1,
            layers: 0,
            round_time: None,
            next_round: Instant::now(),
            cancel,
        };
        running.limit(rounds_per_sec);
        running
    }

    fn limit(&mut self, rounds_per_sec: Option<f64>) {
        let secs = rounds_per_sec.filter(|speed| *speed > 0.0).map(|speed| (1.0 / speed).min(SLOWEST_ROUND_SECS));
        self.round_time = secs.map(Duration::from_secs_f64);
        self.next_round = Instant::now();
    }

    /// How long the next round has to wait.
    fn rest(&self) -> Option<Duration> {
        let limit = self.round_time.filter(|_| self.pace == Pace::Run && self.experiment.at_round_start());
        limit.map(|_| self.next_round.saturating_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }
}

/// A slower run looks like one that hangs.
const SLOWEST_ROUND_SECS: f64 = 60.0;

/// What the thread holds: its ends of the channels, one model, one run.
pub(super) struct Engine {
    inbox: Receiver<Command>,
    outbox: SyncSender<Event>,
    wake: Box<dyn Fn() + Send>,
    /// The device that was asked for, the note of opening it, and the model on it.
    loaded: Option<(DeviceChoice, Option<String>, Arc<LoadedModel>)>,
    active: Option<Active>,
}

impl Engine {
    pub fn new(inbox: Receiver<Command>, outbox: SyncSender<Event>, wake: Box<dyn Fn() + Send>) -> Self {
        Self { inbox, outbox, wake, loaded: None, active: None }
    }

    /// Until the window is closed.
    pub fn serve(mut self) {
        loop {
            let Ok(command) = self.next_command() else { return };
            let run = match &command {
                Some(Command::Start { run, .. } | Command::Measure { run, .. }) => Some(*run),
                _ => self.active.as_ref().map(Active::run),
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| match command {
                Some(command) => self.obey(command),
                None => self.step(),
            }));
            let told = match (outcome, run) {
                (Ok(told), _) => told,
                (Err(panic), Some(run)) => self.explain(run, panic.as_ref()),
                (Err(_), None) => Ok(()),
            };
            if told.is_err() {
                return;
            }
        }
    }

    /// A command, at once while something is computed, within the time that a round has to wait, or whenever one comes.
    fn next_command(&self) -> Result<Option<Command>, Closed> {
        let rest = match &self.active {
            Some(Active::Run(running)) => running.rest(),
            _ => None,
        };
        if let Some(rest) = rest {
            return match self.inbox.recv_timeout(rest) {
                Ok(command) => Ok(Some(command)),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => Err(Closed),
            };
        }
        if !self.active.as_ref().is_some_and(Active::computes) {
            return self.inbox.recv().map(Some).map_err(|_| Closed);
        }
        match self.inbox.try_recv() {
            Ok(command) => Ok(Some(command)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Closed),
        }
    }

    fn tell(&self, run: u64, what: What) -> Result<(), Closed> {
        self.outbox.send(Event { run, what }).map_err(|_| Closed)?;
        (self.wake)();
        Ok(())
    }

    /// After a panic nothing of the run is trusted any more; the engine lives on.
    fn explain(&mut self, run: u64, panic: &(dyn Any + Send)) -> Result<(), Closed> {
        self.active = None;
        self.loaded = None;
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no message");
        self.tell(run, What::Failed(format!("the engine panicked, which is a bug in kvlab: {text}")))
    }

    fn obey(&mut self, command: Command) -> Result<(), Closed> {
        match command {
            Command::Start { run, settings, pace, cancel } => {
                self.active = None;
                let started = self.start(run, &settings, &cancel)?.map(|experiment| {
                    let speed = settings.rounds_per_sec;
                    Active::Run(Box::new(Running::new(run, experiment, pace, speed, cancel.clone())))
                });
                let rests = started.is_ok() && pace == Pace::Pause;
                self.begin(run, started, &cancel)?;
                if rests { self.tell(run, What::Paused) } else { Ok(()) }
            }
            Command::Measure { run, settings, cancel } => {
                self.active = None;
                let started = self.measure(run, &settings, &cancel)?;
                self.begin(run, started, &cancel)
            }
            Command::Pace(pace) => {
                let Some(Active::Run(active)) = &mut self.active else { return Ok(()) };
                active.pace = pace;
                active.layers = 0;
                active.last_round = active.experiment.rounds() + 1;
                let (run, at_rest) = (active.run, active.experiment.at_round_start());
                match pace {
                    Pace::Pause if at_rest => self.tell(run, What::Paused),
                    Pace::Pause => Ok(()),
                    Pace::Run | Pace::OneRound => self.tell(run, What::Running),
                }
            }
            Command::Cancel => match self.active.take() {
                Some(Active::Run(running)) => self.tell(running.run, What::Cancelled),
                Some(Active::Quality(measuring)) => {
                    self.tell(measuring.run, What::Quality(Box::new(measuring.report())))?;
                    self.tell(measuring.run, What::Cancelled)
                }
                None => Ok(()),
            },
            Command::Fork(lane) => self.on_run(|_, active| active.experiment.fork(lane)),
            Command::Watch(lanes) => self.on_run(|_, active| active.experiment.watch(lanes, &active.cancel)),
            Command::Layer => self.layer(),
            Command::Speed(rounds_per_sec) => {
                if let Some(Active::Run(active)) = &mut self.active {
                    active.limit(rounds_per_sec);
                }
                Ok(())
            }
            Command::Switch { lane, to } => self.on_run(|engine, active| {
                let mut calibrating = |Calibrating { done, all, .. }| {
                    let _ = engine(What::Calibrating { done, all });
                };
                let switched = active.experiment.switch(lane, to, &mut calibrating, &active.cancel);
                active.layers = 0;
                let _ = engine(if active.pace == Pace::Pause { What::Paused } else { What::Running });
                switched
            }),
            Command::Inspect { lane, ask } => self.on_run(|tell, active| {
                let inspection = active.experiment.inspect(lane, ask, &active.cancel)?;
                let _ = tell(What::Inspected { lane, inspection: Box::new(inspection) });
                Ok(())
            }),
            Command::Forget => {
                self.active = None;
                Ok(())
            }
        }
    }

    /// Does something with the run under way, if there is one, that may be refused; the run goes on.
    fn on_run(
        &mut self,
        act: impl FnOnce(&dyn Fn(What) -> Result<(), Closed>, &mut Running) -> Result<(), ExperimentError>,
    ) -> Result<(), Closed> {
        let mut active = match self.active.take() {
            Some(Active::Run(active)) => active,
            // A measurement goes on.
            other => {
                self.active = other;
                return Ok(());
            }
        };
        let run = active.run;
        let acted = act(&|what| self.tell(run, what), &mut active);
        self.active = Some(Active::Run(active));
        match acted {
            Ok(()) => self.tell_queued(),
            // The run itself says that it was cancelled.
            Err(ExperimentError::Engine(error)) if error.is_cancelled() => Ok(()),
            Err(error) => self.tell(run, What::Refused(error.to_string())),
        }
    }

    /// What happened to a paused run is told at once; a run that goes on tells it itself.
    fn tell_queued(&mut self) -> Result<(), Closed> {
        let Some(Active::Run(active)) = &mut self.active else { return Ok(()) };
        let (run, events) = (active.run, active.experiment.take_queued());
        for event in events {
            self.tell(run, What::Lane(event))?;
        }
        Ok(())
    }

    /// One more layer of the next token of every lane; the last one is the token itself.
    fn layer(&mut self) -> Result<(), Closed> {
        let Some(Active::Run(active)) = &mut self.active else { return Ok(()) };
        if active.pace != Pace::Pause || !active.experiment.at_round_start() {
            return Ok(());
        }
        let (run, n_layer) = (active.run, active.experiment.model().model.config().n_layer);
        active.layers += 1;
        if active.layers >= n_layer {
            return self.obey(Command::Pace(Pace::OneRound));
        }
        let mut told = vec![];
        for lane in 0..active.experiment.names().len() {
            match active.experiment.layers(lane, active.layers, &active.cancel) {
                Ok(layers) if layers.is_empty() => {}
                Ok(layers) => told.push(What::Layers { lane, layers }),
                Err(error) if error.is_cancelled() => return Ok(()),
                Err(error) => told.push(What::Refused(error.to_string())),
            }
        }
        told.into_iter().try_for_each(|what| self.tell(run, what))
    }

    /// Takes up what was built, or says why it was not.
    fn begin(&mut self, run: u64, started: Result<Active, String>, cancel: &AtomicBool) -> Result<(), Closed> {
        match started {
            Ok(active) => {
                self.active = Some(active);
                self.tell(run, What::Running)
            }
            Err(_) if cancel.load(Ordering::Relaxed) => self.tell(run, What::Cancelled),
            Err(message) => self.tell(run, What::Failed(message)),
        }
    }

    fn step(&mut self) -> Result<(), Closed> {
        match &self.active {
            Some(Active::Quality(_)) => self.step_quality(),
            _ => self.step_run(),
        }
    }

    /// One token of one lane.
    fn step_run(&mut self) -> Result<(), Closed> {
        let Some(Active::Run(active)) = &mut self.active else { return Ok(()) };
        let run = active.run;
        match active.experiment.step(&active.cancel) {
            Ok(Some(event)) => {
                let round_is_over = active.experiment.at_round_start();
                if round_is_over && let Some(round_time) = active.round_time {
                    // A round that took longer is followed by the next at once; what was lost is not made up for.
                    active.next_round = (active.next_round + round_time).max(Instant::now());
                }
                let is_done = active.experiment.is_done();
                if round_is_over && active.pace == Pace::OneRound && active.experiment.rounds() >= active.last_round {
                    active.pace = Pace::Pause;
                }
                let rests = round_is_over && active.pace == Pace::Pause;
                self.tell(run, What::Lane(event))?;
                if is_done {
                    self.tell(run, What::Finished)
                } else if rests {
                    self.tell(run, What::Paused)
                } else {
                    Ok(())
                }
            }
            Ok(None) => self.tell(run, What::Finished),
            Err(error) if error.is_cancelled() => {
                self.active = None;
                self.tell(run, What::Cancelled)
            }
            Err(error) => {
                self.active = None;
                self.tell(run, What::Failed(error.to_string()))
            }
        }
    }
}
