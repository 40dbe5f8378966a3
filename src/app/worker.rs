//! The engine's thread: commands in, events out, and no frame of the window ever waits for it.
//!
//! Both channels are bounded. The window only ever tries to send; the engine waits when the window is
//! behind. Every run has an id and a cancel flag of its own, so neither a late event nor a late cancel
//! can touch the run after it. The engine pauses between rounds, where every lane has equally many
//! tokens.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

use crate::{
    cache::Lane,
    engine::Sampling,
    experiment::{Experiment, LaneEvent, Workload},
    measure::machine::{DeviceChoice, Machine},
    model::{LoadedModel, ModelSource},
};

/// A person presses few buttons; more than this many unread ones mean that the engine hangs.
const COMMANDS: usize = 64;
/// About a second of tokens of the fastest lanes.
const EVENTS: usize = 1024;

/// Everything that defines a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSettings {
    pub model: ModelSource,
    pub device: DeviceChoice,
    pub prompt: String,
    pub lanes: Vec<Lane>,
    pub tokens: usize,
    pub sampling: Sampling,
    pub prefill_chunk: Option<usize>,
    pub stop_at_eos: bool,
    /// Bytes of keys, values and scales per lane.
    pub memory_limit_bytes: Option<u64>,
}

/// How far a run goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Until every lane has ended.
    Run,
    /// One token of every lane, then a pause.
    OneRound,
    /// To the end of the round under way.
    Pause,
}

enum Command {
    Start { run: u64, settings: Box<RunSettings>, pace: Pace, cancel: Arc<AtomicBool> },
    Pace(Pace),
    Cancel,
    Forget,
}

/// What the engine says about a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub run: u64,
    pub what: What,
}

/// See [`Event`].
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Tensors of the model that are in memory.
    Loading {
        done: usize,
        all: usize,
    },
    /// The model is loaded and every lane's cache is built.
    Ready(Box<Facts>),
    Lane(LaneEvent),
    Running,
    Paused,
    Finished,
    Cancelled,
    /// The run is over, or never began; the engine is ready for the next one.
    Failed(String),
}

/// What runs where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub model: String,
    pub hash: String,
    pub n_params: u64,
    pub n_layer: usize,
    pub n_head: usize,
    pub n_embd: usize,
    pub n_positions: usize,
    /// Random weights: the text means nothing.
    pub is_random: bool,
    pub prompt_tokens: usize,
    pub device: String,
    /// Why `auto` did not choose another device.
    pub device_note: Option<String>,
    pub cpu: String,
    pub threads: usize,
}

/// The window's end of the engine's thread. Dropping it ends the run and the thread.
pub struct Worker {
    commands: Option<SyncSender<Command>>,
    events: Option<Receiver<Event>>,
    cancel: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// `wake` is called after each event, on the engine's thread.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn spawn(wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (commands, inbox) = sync_channel(COMMANDS);
        let (outbox, events) = sync_channel(EVENTS);
        let engine = Engine { inbox, outbox, wake: Box::new(wake), loaded: None, active: None };
        let thread = Builder::new().name("engine".into()).spawn(move || engine.serve())?;
        Ok(Self { commands: Some(commands), events: Some(events), cancel: Arc::default(), thread: Some(thread) })
    }

    /// Ends the run under way, if any, and starts another.
    ///
    /// # Errors
    /// A sentence for the window when the engine cannot take the command.
    pub fn start(&mut self, run: u64, settings: RunSettings, pace: Pace) -> Result<(), String> {
        self.cancel.store(true, Ordering::Relaxed);
        self.cancel = Arc::default();
        self.send(Command::Start { run, settings: Box::new(settings), pace, cancel: self.cancel.clone() })
    }

    /// Runs on, makes one round, or pauses after the round under way.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn pace(&self, pace: Pace) -> Result<(), String> {
        self.send(Command::Pace(pace))
    }

    /// Ends the run within a layer of the model, or a tensor of its loading.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn cancel(&self) -> Result<(), String> {
        self.cancel.store(true, Ordering::Relaxed);
        self.send(Command::Cancel)
    }

    /// Ends the run and gives back its memory; the model stays loaded.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn forget(&self) -> Result<(), String> {
        self.cancel.store(true, Ordering::Relaxed);
        self.send(Command::Forget)
    }

    /// The next event, if there is one; an error when the engine's thread is gone.
    ///
    /// # Errors
    /// A sentence for the window.
    pub fn poll(&self) -> Result<Option<Event>, String> {
        match self.events.as_ref().map(Receiver::try_recv) {
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(TryRecvError::Empty)) => Ok(None),
            Some(Err(TryRecvError::Disconnected)) | None => Err(GONE.into()),
        }
    }

    fn send(&self, command: Command) -> Result<(), String> {
        match self.commands.as_ref().map(|commands| commands.try_send(command)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err("the engine is busy and takes no more commands".into()),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(GONE.into()),
        }
    }
}

const GONE: &str = "the engine's thread has ended; start kvlab again";

impl Drop for Worker {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        // With both channels closed the engine neither waits for a command nor for room for an event.
        self.commands = None;
        self.events = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the engine was shown when it happened.
            let _ = thread.join();
        }
    }
}

/// The window closed its end of a channel.
struct Closed;

/// What a cancelled loading unwinds with: there is no other way out of the loader's progress callback.
struct LoadCancelled;

struct Active {
    run: u64,
    experiment: Experiment,
    pace: Pace,
    cancel: Arc<AtomicBool>,
}

struct Engine {
    inbox: Receiver<Command>,
    outbox: SyncSender<Event>,
    wake: Box<dyn Fn() + Send>,
    /// The device that was asked for, the note of opening it, and the model on it.
    loaded: Option<(DeviceChoice, Option<String>, Arc<LoadedModel>)>,
    active: Option<Active>,
}

impl Engine {
    /// Until the window is closed.
    fn serve(mut self) {
        loop {
            let computes = self.active.as_ref().is_some_and(|active| active.pace != Pace::Pause);
            let mid_round = self.active.as_ref().is_some_and(|active| !active.experiment.at_round_start());
            let command = if computes || mid_round {
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
                Some(Command::Start { run, .. }) => Some(*run),
                _ => self.active.as_ref().map(|active| active.run),
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
        if panic.is::<LoadCancelled>() {
            return self.tell(run, What::Cancelled);
        }
        self.loaded = None;
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no message");
        self.tell(run, What::Failed(format!("the engine panicked, which is a bug in kvlab: {text}")))
    }

    fn obey(&mut self, command: Command) -> Result<(), Closed> {
        match command {
            Command::Start { run, settings, pace, cancel } => {
                self.active = None;
                match self.start(run, &settings, &cancel)? {
                    Ok(experiment) => {
                        self.active = Some(Active { run, experiment, pace, cancel });
                        self.tell(run, What::Running)
                    }
                    Err(_) if cancel.load(Ordering::Relaxed) => self.tell(run, What::Cancelled),
                    Err(message) => self.tell(run, What::Failed(message)),
                }
            }
            Command::Pace(pace) => {
                let Some(active) = &mut self.active else { return Ok(()) };
                active.pace = pace;
                let (run, at_rest) = (active.run, active.experiment.at_round_start());
                match pace {
                    Pace::Pause if at_rest => self.tell(run, What::Paused),
                    Pace::Pause => Ok(()),
                    Pace::Run | Pace::OneRound => self.tell(run, What::Running),
                }
            }
            Command::Cancel => match self.active.take() {
                Some(active) => self.tell(active.run, What::Cancelled),
                None => Ok(()),
            },
            Command::Forget => {
                self.active = None;
                Ok(())
            }
        }
    }

    /// Loads the model if it is not the one at hand, and builds the lanes.
    fn start(
        &mut self,
        run: u64,
        settings: &RunSettings,
        cancel: &AtomicBool,
    ) -> Result<Result<Experiment, String>, Closed> {
        let (model, device_note) = match self.load(run, settings, cancel) {
            Ok(loaded) => loaded,
            Err(message) => return Ok(Err(message)),
        };
        let Some(tokenizer) = &model.tokenizer else {
            let message = "this model's folder has no tokenizer.json, so the window cannot read a prompt for it";
            return Ok(Err(message.into()));
        };
        let prompt_ids = match tokenizer.encode(&settings.prompt) {
            Ok(ids) => ids,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let facts = facts(&model, device_note, prompt_ids.len());
        let workload = Workload {
            prompt_ids,
            max_new_tokens: settings.tokens,
            sampling: settings.sampling,
            prefill_chunk: settings.prefill_chunk,
            stop_at_eos: settings.stop_at_eos,
            memory_limit_bytes: settings.memory_limit_bytes,
        };
        match Experiment::new(model, &settings.lanes, workload) {
            Ok(experiment) => {
                self.tell(run, What::Ready(Box::new(facts)))?;
                Ok(Ok(experiment))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    fn load(
        &mut self,
        run: u64,
        settings: &RunSettings,
        cancel: &AtomicBool,
    ) -> Result<(Arc<LoadedModel>, Option<String>), String> {
        if let Some((device, note, model)) = &self.loaded
            && *device == settings.device
            && model.source == settings.model
        {
            return Ok((model.clone(), note.clone()));
        }
        self.loaded = None; // Two models at a time might not fit.
        let (device, note) = settings.device.open().map_err(|e| e.to_string())?;
        let mut progress = |done, all| {
            // A closed window is noticed too: it sets the flag.
            let _ = self.tell(run, What::Loading { done, all });
            if cancel.load(Ordering::Relaxed) {
                resume_unwind(Box::new(LoadCancelled));
            }
        };
        let model = Arc::new(settings.model.load(&device, &mut progress).map_err(|e| e.to_string())?);
        self.loaded = Some((settings.device, note.clone(), model.clone()));
        Ok((model, note))
    }

    /// One token of one lane.
    fn step(&mut self) -> Result<(), Closed> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let run = active.run;
        match active.experiment.step(&active.cancel) {
            Ok(Some(event)) => {
                let round_is_over = active.experiment.at_round_start();
                let is_done = active.experiment.is_done();
                if round_is_over && active.pace == Pace::OneRound {
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

fn facts(model: &LoadedModel, device_note: Option<String>, prompt_tokens: usize) -> Facts {
    let (config, machine) = (model.model.config(), Machine::detect());
    Facts {
        model: model.source.to_string(),
        hash: model.hash.clone(),
        n_params: config.n_params(),
        n_layer: config.n_layer,
        n_head: config.n_head,
        n_embd: config.n_embd,
        n_positions: config.n_positions,
        is_random: model.source.is_random(),
        prompt_tokens,
        device: if model.model.device().is_cuda() { "CUDA".into() } else { "CPU".into() },
        device_note,
        cpu: machine.cpu,
        threads: machine.threads,
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
