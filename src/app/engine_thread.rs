//! The engine's thread itself: it obeys commands between tokens and tells what happened.
//!
//! Nothing here may take the window down: errors become events, and so do panics.

mod quality;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError},
    },
};

use crate::{
    experiment::{Experiment, ExperimentError, Workload, trace::ModelShape},
    measure::{
        device::{DeviceChoice, name_of},
        machine::Machine,
    },
    model::{Calibrating, HubConfig, LoadedModel, ModelSource, Progress},
};

use super::worker::{Command, Event, Facts, Pace, RunSettings, What, device_for_people};
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

    /// False for a run that waits for a command.
    fn computes(&self) -> bool {
        match self {
            Self::Run(running) => running.pace != Pace::Pause || !running.experiment.at_round_start(),
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
    cancel: Arc<AtomicBool>,
}

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
            let command = if self.active.as_ref().is_some_and(Active::computes) {
                match self.inbox.try_recv() {
                    Ok(command) => Some(command),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return,
                }
            } else {
                match self.inbox.recv() {
                    Ok(command) => Some(command),
                    Err(_) => return,
                }
            };
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
                    let cancel = cancel.clone();
                    Active::Run(Box::new(Running { run, experiment, pace, last_round: 1, cancel }))
                });
                self.begin(run, started, &cancel)
            }
            Command::Measure { run, settings, cancel } => {
                self.active = None;
                let started = self.measure(run, &settings, &cancel)?;
                self.begin(run, started, &cancel)
            }
            Command::Pace(pace) => {
                let Some(Active::Run(active)) = &mut self.active else { return Ok(()) };
                active.pace = pace;
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
            Command::Fork(lane) => {
                let Some(Active::Run(active)) = &mut self.active else { return Ok(()) };
                let (run, forked) = (active.run, active.experiment.fork(lane));
                forked.or_else(|error| self.tell(run, What::Refused(error.to_string())))
            }
            Command::Watch(lane) => {
                let Some(Active::Run(active)) = &mut self.active else { return Ok(()) };
                let (run, watched) = (active.run, active.experiment.watch(lane, &active.cancel));
                match watched {
                    // The run itself says that it was cancelled.
                    Err(ExperimentError::Engine(error)) if error.is_cancelled() => Ok(()),
                    watched => watched.or_else(|error| self.tell(run, What::Refused(error.to_string()))),
                }
            }
            Command::Forget => {
                self.active = None;
                Ok(())
            }
        }
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

    /// Loads the model if it is not the one at hand, and builds the lanes.
    fn start(
        &mut self,
        run: u64,
        settings: &RunSettings,
        cancel: &AtomicBool,
    ) -> Result<Result<Experiment, String>, Closed> {
        let (model, device_note) = match self.load(run, &settings.model, settings.device, settings.offline, cancel) {
            Ok(loaded) => loaded,
            Err(message) => return Ok(Err(message)),
        };
        let Some(tokenizer) = &model.tokenizer else {
            let message = "this model has no tokenizer, so the window cannot read a prompt for it";
            return Ok(Err(message.into()));
        };
        let prompt_ids = match tokenizer.encode(&settings.prompt) {
            Ok(ids) => ids,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut facts = facts(&model, device_note, &prompt_ids);
        let workload = Workload {
            prompt_ids,
            max_new_tokens: settings.tokens,
            sampling: settings.sampling,
            prefill_chunk: settings.prefill_chunk,
            stop_at_eos: settings.stop_at_eos,
            memory_limit_bytes: settings.memory_limit_bytes,
            rehearse: true,
            forced: false,
            compares: true,
        };
        let mut calibrating = |Calibrating { done, all, .. }| {
            let _ = self.tell(run, What::Calibrating { done, all });
        };
        match Experiment::with_progress(model, &settings.lanes, workload, &mut calibrating, cancel) {
            Ok(mut experiment) => {
                facts.model_note = facts.model_note.or_else(|| experiment.model().calibrations.note());
                let watched = experiment.watch(settings.watched, cancel);
                self.tell(run, What::Ready(Box::new(facts)))?;
                watched.or_else(|error| self.tell(run, What::Refused(error.to_string())))?;
                Ok(Ok(experiment))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    fn load(
        &mut self,
        run: u64,
        source: &ModelSource,
        device_choice: DeviceChoice,
        offline: bool,
        cancel: &AtomicBool,
    ) -> Result<(Arc<LoadedModel>, Option<String>), String> {
        if let Some((device, note, model)) = &self.loaded
            && *device == device_choice
            && model.asked == *source
        {
            return Ok((model.clone(), note.clone()));
        }
        self.loaded = None; // Two models at a time might not fit.
        let (device, note) = device_choice.open().map_err(|e| e.to_string())?;
        let mut progress = |progress| {
            let what = match progress {
                Progress::Downloading { file, done_bytes, all_bytes } => {
                    What::Downloading { file, done_bytes, all_bytes }
                }
                Progress::Loading { done, all } => What::Loading { done, all },
            };
            // A closed window is noticed too: it sets the flag.
            let _ = self.tell(run, what);
        };
        let mut hub = HubConfig::from_env();
        hub.offline |= offline;
        let model = source.load_with(&hub, &device, &mut progress, cancel).map_err(|e| e.to_string())?;
        let model = Arc::new(model);
        self.loaded = Some((device_choice, note.clone(), model.clone()));
        Ok((model, note))
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
                let is_done = active.experiment.is_done();
                if round_is_over && active.pace == Pace::OneRound && active.experiment.rounds() >= active.last_round {
                    active.pace = Pace::Pause;
                }
                let rests = round_is_over && active.pace == Pace::Pause;
                self.tell(run, What::Lane(event))?;
                if is_done {
                    self.active = None;
                    self.tell(run, What::Finished)
                } else if rests {
                    self.tell(run, What::Paused)
                } else {
                    Ok(())
                }
            }
            Ok(None) => {
                self.active = None;
                self.tell(run, What::Finished)
            }
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

fn facts(model: &LoadedModel, device_note: Option<String>, prompt_ids: &[u32]) -> Facts {
    let machine = Machine::detect();
    Facts {
        model: model.source.to_string(),
        hash: model.hash.clone(),
        shape: Some(ModelShape::of(model)),
        prompt_pieces: model.pieces(prompt_ids),
        prompt_tokens: prompt_ids.len(),
        device: device_for_people(&name_of(model.model.device())),
        device_note,
        model_note: model.note.clone(),
        cpu: machine.cpu,
        threads: machine.threads,
    }
}
