//! The app: events in, panels out, buttons to the engine.

mod quality;
mod traces;

use std::{
    io,
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use egui::{Context, Key, Modifiers, Panel, Ui};

use crate::{
    cache::{Lane, Layout},
    engine::MAX_FORKS,
};

use super::{
    Options,
    form::Form,
    frame_times::FrameTimes,
    pane::Pane,
    panels::{self, attention, blocks, controls::Action, latency, memory, summary, text},
    quality::{QualityForm, QualityState},
    replay::Replay,
    screenshot::{Outcome, Screenshot},
    shared::Shared,
    state::{Phase, RunState},
    theme,
    worker::{Pace, Worker},
};

/// A frame spends at most this long on events; what is left waits for the next frame.
const EVENT_BUDGET: Duration = Duration::from_millis(4);
/// Events ask for a frame this soon. Faster drawing would only take time from the engine it watches.
const FRAME_INTERVAL: Duration = Duration::from_millis(33);

/// The whole window.
pub struct App {
    worker: Worker,
    form: Form,
    run: RunState,
    quality_form: QualityForm,
    quality: QualityState,
    quality_view: panels::quality::View,
    latency: latency::View,
    memory: memory::View,
    pane: Pane,
    attention: attention::View,
    blocks: blocks::View,
    /// The lane that the engine was last asked to watch.
    watched: Option<usize>,
    replay: Option<Replay>,
    /// A trace that is being read.
    opening: Option<Receiver<Result<Replay, String>>>,
    last_frame: Instant,
    next_run: u64,
    screenshot: Option<Screenshot>,
    frame_times: Option<FrameTimes>,
}

impl App {
    /// Starts the engine's thread, and a run if the options ask for one.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn new(ctx: &Context, options: &Options) -> io::Result<Self> {
        theme::install(ctx);
        let window = ctx.clone();
        let worker = Worker::spawn(move || window.request_repaint_after(FRAME_INTERVAL))?;
        let mut app = Self {
            worker,
            form: options.form(),
            run: RunState::default(),
            quality_form: options.quality,
            quality: QualityState::default(),
            quality_view: panels::quality::View::default(),
            latency: latency::View::default(),
            memory: memory::View::default(),
            pane: options.pane,
            attention: attention::View::default(),
            blocks: blocks::View::default(),
            watched: None,
            replay: None,
            opening: None,
            last_frame: Instant::now(),
            next_run: 1,
            screenshot: options.screenshot.clone().map(Screenshot::new),
            frame_times: options.frame_times.clone(),
        };
        if let Some(replay) = &options.trace {
            app.show_replay(replay.clone());
        } else if options.autorun && options.pane == Pane::Quality {
            app.measure();
        } else if options.autorun {
            app.start(Pace::Run);
        }
        Ok(app)
    }

    /// The run as the window shows it.
    #[must_use]
    pub fn run_state(&self) -> &RunState {
        &self.run
    }

    /// What is filled in for the next run.
    pub fn form_mut(&mut self) -> &mut Form {
        &mut self.form
    }

    pub(super) fn report_screenshot_to(&mut self, outcome: Outcome) {
        if let Some(screenshot) = &mut self.screenshot {
            screenshot.outcome = outcome;
        }
    }

    fn start(&mut self, pace: Pace) {
        let mut settings = match self.form.check() {
            Ok(settings) => settings,
            Err(errors) => {
                self.run.fail(errors.to_string());
                return;
            }
        };
        let id = self.next_run;
        self.next_run += 1;
        self.choose_lanes(&settings.lanes);
        settings.watched = (self.pane == Pane::Attention).then_some(self.attention.lane);
        self.watched = settings.watched;
        let mut run = RunState::new(id, &settings.lanes, settings.tokens, settings.prompt.clone());
        for lane in &mut run.lanes {
            lane.is_hidden = self.run.lanes.iter().any(|old| old.is_hidden && old.name == lane.name);
        }
        self.run = run;
        self.quality.give_way();
        self.tell(|worker| worker.start(id, settings, pace));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Run => self.start(Pace::Run),
            Action::Pause => {
                self.run.phase = Phase::Pausing;
                self.tell(|worker| worker.pace(Pace::Pause));
            }
            Action::Resume => self.tell(|worker| worker.pace(Pace::Run)),
            Action::Step if self.run.phase == Phase::Paused => self.tell(|worker| worker.pace(Pace::OneRound)),
            Action::Step => self.start(Pace::OneRound),
            Action::Cancel => self.tell(|worker| worker.cancel()),
            Action::Reset => {
                self.run = RunState::default();
                self.quality = QualityState::default();
                self.tell(|worker| worker.forget());
            }
            Action::Dismiss => (self.run.error, self.quality.error) = (None, None),
        }
    }

    fn tell(&mut self, command: impl FnOnce(&mut Worker) -> Result<(), String>) {
        if let Err(message) = command(&mut self.worker) {
            self.run.fail(message);
        }
    }

    fn drain(&mut self, ctx: &Context) {
        let started = Instant::now();
        loop {
            match self.worker.poll() {
                Ok(Some(event)) if event.run == self.quality.id => self.quality.apply(event),
                Ok(Some(event)) => self.run.apply(event),
                Ok(None) => return,
                Err(message) => {
                    if self.quality.phase.is_active() {
                        self.quality.fail(message);
                    } else if self.run.phase.is_active() {
                        self.run.fail(message);
                    }
                    return;
                }
            }
            if started.elapsed() > EVENT_BUDGET {
                ctx.request_repaint();
                return;
            }
        }
    }

    /// The lanes that the panes of one lane begin with: one that has something to show there.
    fn choose_lanes(&mut self, lanes: &[Lane]) {
        let is_cached = |lane: &Lane| matches!(lane, Lane::Cache(_));
        let is_paged = |lane: &Lane| matches!(lane, Lane::Cache(spec) if matches!(spec.layout, Layout::Paged { .. }));
        let first = |wanted: &dyn Fn(&Lane) -> bool| lanes.iter().position(wanted);
        let cached = first(&is_cached).unwrap_or(0);
        if !lanes.get(self.attention.lane).is_some_and(is_cached) {
            self.attention.lane = cached;
        }
        if !lanes.get(self.blocks.lane).is_some_and(is_paged) {
            self.blocks.lane = first(&is_paged).unwrap_or(cached);
        }
    }

    /// Only a pane that is looked at costs the engine anything.
    fn watch(&mut self) {
        let wanted = (self.pane == Pane::Attention && self.replay.is_none()).then_some(self.attention.lane);
        if self.run.phase.is_active() && wanted != self.watched {
            self.watched = wanted;
            self.tell(|worker| worker.watch(wanted));
        }
    }

    fn fork(&mut self) {
        let lane = self.blocks.lane;
        self.tell(|worker| worker.fork(lane));
    }

    /// Why the lane that is shown cannot be forked now.
    fn fork_refusal(&self) -> Option<&'static str> {
        let lane = self.run.lanes.get(self.blocks.lane);
        if self.replay.is_some() {
            Some("A trace has happened; only a live run can be forked")
        } else if !self.run.phase.is_active() || lane.is_none_or(|lane| lane.records.is_empty() || lane.end.is_some()) {
            Some("Only a run under way can be forked; pause it to choose the moment")
        } else if lane.is_some_and(|lane| !lane.name.starts_with("paged")) {
            Some("Only blocks of a pool can be shared; choose a lane paged:B")
        } else if lane.is_some_and(|lane| lane.name.contains("+kivi")) {
            Some("kivi keeps the newest tokens of each sequence exact, and there is room for one; choose another lane")
        } else if lane.is_some_and(|lane| lane.forks.iter().filter(|fork| fork.end.is_none()).count() >= MAX_FORKS) {
            Some("The lane has as many forks as its store has room for")
        } else {
            None
        }
    }

    /// Space runs and pauses, the right arrow makes a step, unless a field has the keyboard.
    fn keys(&self, ctx: &Context) -> Option<Action> {
        if ctx.memory(|memory| memory.focused().is_some()) {
            return None;
        }
        let pressed = |key| ctx.input_mut(|input| input.consume_key(Modifiers::NONE, key));
        let buttons = panels::controls::Buttons::of(self.phase(), self.form.check().is_ok());
        if pressed(Key::Space) {
            buttons.for_space()
        } else if pressed(Key::ArrowRight) {
            buttons.step.then_some(Action::Step)
        } else {
            None
        }
    }

    /// Takes in what happened since the last frame. [`App::show`] draws it.
    pub fn update(&mut self, ctx: &Context) {
        self.take_dropped(ctx);
        self.drain(ctx);
        self.watch();
        let elapsed = self.last_frame.elapsed();
        self.last_frame = Instant::now();
        if let Some(replay) = &mut self.replay
            && replay.is_playing
        {
            replay.play(elapsed, &mut self.run);
            ctx.request_repaint_after(FRAME_INTERVAL);
        }
    }

    /// Draws the window.
    pub fn show(&mut self, ui: &mut Ui) {
        Panel::top("status").show(ui, |ui| panels::status::show(ui, &self.run, &self.quality));
        let mut action = None;
        if let Some(error) = self.run.error.as_ref().or(self.quality.error.as_ref()) {
            Panel::top("error").show(ui, |ui| action = panels::status::error(ui, error));
        }
        if let Some(replay) = &self.replay {
            let mut chosen = Self::replay_keys(ui.ctx());
            Panel::top("replay").show(ui, |ui| chosen = panels::replay::show(ui, replay, &self.run).or(chosen));
            if let Some(chosen) = chosen {
                self.act_on_replay(chosen);
            }
        } else {
            action = action.or(self.keys(ui.ctx()));
            let width = (ui.available_width() * 0.252).clamp(270.0, 340.0);
            Panel::left("controls").default_size(width).size_range(270.0..=440.0).show(ui, |ui| {
                let phase = self.phase().clone();
                action = panels::controls::show(ui, &mut self.form, &phase).or(action);
            });
        }
        egui::CentralPanel::default().show(ui, |ui| {
            self.middle(ui);
        });
        if let Some(action) = action {
            self.act(action);
        }
    }

    fn middle(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            for pane in Pane::ALL {
                ui.selectable_value(&mut self.pane, pane, pane.name()).on_hover_text(pane.help());
            }
        });
        match self.pane {
            Pane::Quality => self.quality(ui),
            _ if self.run.lanes.is_empty() => panels::status::welcome(ui),
            Pane::Cost => self.cost(ui),
            Pane::Attention => attention::show(ui, &self.run, &mut self.attention),
            Pane::Blocks => {
                let refusal = self.fork_refusal();
                if blocks::show(ui, &self.run, &mut self.blocks, refusal) {
                    self.fork();
                }
            }
        }
    }

    fn quality(&mut self, ui: &mut Ui) {
        let refusal = self.check_quality().err();
        let (form, view) = (&mut self.quality_form, &mut self.quality_view);
        if panels::quality::show(ui, &self.quality, form, view, refusal.as_deref()) {
            self.measure();
        }
    }

    fn cost(&mut self, ui: &mut Ui) {
        Panel::top("summary").show(ui, |ui| summary::show(ui, &mut self.run));
        let height = (ui.available_height() * 0.36).clamp(120.0, 260.0);
        Panel::bottom("text").resizable(true).default_size(height).size_range(100.0..=600.0).show(ui, |ui| {
            text::show(ui, &self.run);
        });
        let shared = Shared::default();
        egui::CentralPanel::default().show(ui, |ui| {
            ui.columns(2, |columns| {
                latency::show(&mut columns[0], &mut self.run, &mut self.latency, &shared);
                memory::show(&mut columns[1], &mut self.run, &mut self.memory, &shared);
            });
        });
    }

    /// True when the window shows all that its options asked for.
    #[must_use]
    pub fn has_settled(&self) -> bool {
        self.run.phase.is_over() || self.quality.phase.is_over() || self.replay.is_some()
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        self.update(ctx);
    }

    /// Nobody points at a window that takes its own picture: where the pointer happens to be is no part of it.
    fn raw_input_hook(&mut self, _ctx: &Context, raw_input: &mut egui::RawInput) {
        if self.screenshot.is_some() {
            raw_input.events.retain(|event| !matches!(event, egui::Event::PointerMoved(_)));
        }
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        let is_busy = matches!(self.phase(), Phase::Running | Phase::Measuring);
        if let Some(times) = &mut self.frame_times {
            times.push(frame.info().cpu_usage, is_busy);
        }
        self.show(ui);
        if self.has_settled() {
            let failure = self.failure();
            if let Some(screenshot) = &mut self.screenshot {
                screenshot.frame(ui.ctx(), failure);
            }
        }
    }
}
