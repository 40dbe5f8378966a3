//! The window's end of the engine's thread: commands in, events out, and no frame ever waits for it.
//!
//! Both channels are bounded. The window only ever tries to send; the engine waits when the window is
//! behind. Every run has an id and a cancel flag of its own, so neither a late event nor a late cancel
//! can touch the run after it. The engine pauses between rounds, where every lane has equally many
//! tokens.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

use crate::{
    cache::Lane,
    engine::{Ask, Inspection, LayerStep, Sampling},
    experiment::{
        LaneEvent,
        trace::{Header, ModelShape, SecondPrompt},
    },
    measure::{device::DeviceChoice, floor::Floor},
    model::ModelSource,
};

use super::{
    engine_thread::Engine,
    quality::{MeasureSettings, QualityReport},
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
    /// Download nothing; models of the hub come from the cache.
    pub offline: bool,
    pub prompt: String,
    pub lanes: Vec<Lane>,
    pub tokens: usize,
    pub sampling: Sampling,
    pub prefill_chunk: Option<usize>,
    pub stop_at_eos: bool,
    /// Bytes of keys, values and scales per lane.
    pub memory_limit_bytes: Option<u64>,
    /// Every lane is fed the first lane's tokens.
    pub forced: bool,
    /// The lanes whose attention is told from the start.
    pub watched: Vec<usize>,
    /// At most so many tokens of every lane in a second; `None`: as fast as they come.
    pub rounds_per_sec: Option<f64>,
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

/// What the window asks of the engine.
pub(super) enum Command {
    Start {
        run: u64,
        settings: Box<RunSettings>,
        pace: Pace,
        cancel: Arc<AtomicBool>,
    },
    Measure {
        run: u64,
        settings: Box<MeasureSettings>,
        cancel: Arc<AtomicBool>,
    },
    Pace(Pace),
    Cancel,
    Forget,
    /// Fork a lane where it stands.
    Fork(usize),
    /// Tell the attention of these lanes.
    Watch(Vec<usize>),
    /// One more layer of the next token of every lane; with the last layer the token is made.
    Layer,
    /// At most so many tokens of every lane in a second.
    Speed(Option<f64>),
    /// Go on in another cache.
    Switch {
        lane: usize,
        to: Lane,
    },
    /// Look at the numbers of one token.
    Inspect {
        lane: usize,
        ask: Ask,
    },
}

/// What the engine says about a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub run: u64,
    pub what: What,
}

/// See [`Event`].
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "the large one, a lane's, is what nearly all events are")]
pub enum What {
    /// Bytes of one of the model's files that have come from the hub.
    Downloading {
        file: &'static str,
        done_bytes: u64,
        all_bytes: u64,
    },
    /// Tensors of the model that are in memory.
    Loading {
        done: usize,
        all: usize,
    },
    /// Layers of the model that were run or looked at to find the levels of a `kvq` cache.
    Calibrating {
        done: usize,
        all: usize,
    },
    /// The model is loaded and every lane's cache is built.
    Ready(Box<Facts>),
    /// What a trace of the run begins with, and what the machine can do at best.
    Header(Box<Header>),
    Lane(LaneEvent),
    /// The first layers of a lane's next token, and the text of what each would say.
    Layers {
        lane: usize,
        layers: Vec<(LayerStep, String)>,
    },
    /// The numbers that were asked for.
    Inspected {
        lane: usize,
        inspection: Box<Inspection>,
    },
    /// The numbers of a measurement of quality so far: a few times a second, and before its end.
    Quality(Box<QualityReport>),
    Running,
    Paused,
    Finished,
    Cancelled,
    /// What was asked for cannot be done; the run goes on.
    Refused(String),
    /// The run is over, or never began; the engine is ready for the next one.
    Failed(String),
}

/// What runs where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub model: String,
    pub hash: String,
    /// `None` in a trace of an older kvlab.
    pub shape: Option<ModelShape>,
    /// The text of each token of the prompt; empty in a trace of an older kvlab.
    pub prompt_pieces: Vec<String>,
    pub prompt_tokens: usize,
    /// Of two runs side by side, see [`SecondPrompt`].
    pub second_prompt: Option<SecondPrompt>,
    pub device: String,
    /// Why `auto` did not choose another device.
    pub device_note: Option<String>,
    /// What a person should know about where the model came from.
    pub model_note: Option<String>,
    pub cpu: String,
    pub threads: usize,
    /// What the machine can do at best, if that was measured.
    pub floor: Option<Floor>,
}

/// Records name candle's location, `Cpu`; people write CPU.
pub(super) fn device_for_people(name: &str) -> String {
    if name == "Cpu" { "CPU".into() } else { name.to_owned() }
}

impl Facts {
    /// True for random weights, whose text means nothing.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.shape.is_some_and(|shape| shape.is_random)
    }

    /// Tokens of the prompt of a lane, and the text of each.
    #[must_use]
    pub fn prompt_of(&self, lane: usize) -> (usize, &[String]) {
        match &self.second_prompt {
            Some(second) if lane >= second.first_lane => (second.tokens, &second.pieces),
            _ => (self.prompt_tokens, &self.prompt_pieces),
        }
    }

    /// What a trace says of its run.
    #[must_use]
    pub fn of_trace(header: &Header) -> Self {
        Self {
            model: header.model.clone(),
            hash: header.model_hash.clone(),
            shape: header.shape,
            prompt_pieces: header.prompt_pieces.clone(),
            prompt_tokens: header.workload.prompt_ids.len(),
            second_prompt: header.second_prompt.clone(),
            device: device_for_people(&header.device),
            device_note: None,
            model_note: None,
            cpu: header.machine.cpu.clone(),
            threads: header.machine.threads,
            floor: header.floor,
        }
    }
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
        let engine = Engine::new(inbox, outbox, Box::new(wake));
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

    /// Ends the run under way, if any, and measures the quality of lanes.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn measure(&mut self, run: u64, settings: MeasureSettings) -> Result<(), String> {
        self.cancel.store(true, Ordering::Relaxed);
        self.cancel = Arc::default();
        self.send(Command::Measure { run, settings: Box::new(settings), cancel: self.cancel.clone() })
    }

    /// Runs on, makes one round, or pauses after the round under way.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn pace(&self, pace: Pace) -> Result<(), String> {
        self.send(Command::Pace(pace))
    }

    /// Ends the run within a layer of the model, or a tensor of its loading, or a moment of its download, which is
    /// kept as far as it came.
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

    /// Forks a lane of the run where it stands.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn fork(&self, lane: usize) -> Result<(), String> {
        self.send(Command::Fork(lane))
    }

    /// Asks for the attention of these lanes from now on.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn watch(&self, lanes: Vec<usize>) -> Result<(), String> {
        self.send(Command::Watch(lanes))
    }

    /// Runs one more layer of the next token of every lane of a paused run.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn layer(&self) -> Result<(), String> {
        self.send(Command::Layer)
    }

    /// Limits the run to so many tokens of every lane in a second.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn speed(&self, rounds_per_sec: Option<f64>) -> Result<(), String> {
        self.send(Command::Speed(rounds_per_sec))
    }

    /// Gives a lane of a paused run another cache.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn switch(&self, lane: usize, to: Lane) -> Result<(), String> {
        self.send(Command::Switch { lane, to })
    }

    /// Asks for the numbers of one token of a lane.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub fn inspect(&self, lane: usize, ask: Ask) -> Result<(), String> {
        self.send(Command::Inspect { lane, ask })
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
            Some(Err(TrySendError::Full(_))) => Err(BUSY.into()),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(GONE.into()),
        }
    }
}

/// The engine works off what it was told before.
pub const BUSY: &str = "The engine is busy and takes no more commands for now";
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

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
