//! The app: events in, panels out, buttons to the engine.

use std::{
    io,
    time::{Duration, Instant},
};

use egui::{Context, Key, Modifiers, Panel, Ui};

use super::{
    Options,
    form::Form,
    panels::{self, controls::Action, latency, memory, summary, text},
    screenshot::{Outcome, Screenshot},
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
    latency: latency::View,
    memory: memory::View,
    next_run: u64,
    screenshot: Option<Screenshot>,
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
            latency: latency::View::default(),
            memory: memory::View::default(),
            next_run: 1,
            screenshot: options.screenshot.clone().map(Screenshot::new),
        };
        if options.autorun {
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
        let settings = match self.form.check() {
            Ok(settings) => settings,
            Err(errors) => {
                self.run.fail(errors.to_string());
                return;
            }
        };
        let id = self.next_run;
        self.next_run += 1;
        let mut run = RunState::new(id, &settings.lanes, settings.tokens, settings.prompt.clone());
        for lane in &mut run.lanes {
            lane.is_hidden = self.run.lanes.iter().any(|old| old.is_hidden && old.name == lane.name);
        }
        self.run = run;
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
                self.tell(|worker| worker.forget());
            }
            Action::Dismiss => self.run.error = None,
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
                Ok(Some(event)) => self.run.apply(event),
                Ok(None) => return,
                Err(message) => {
                    if self.run.phase.is_active() {
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

    /// Space runs and pauses, the right arrow makes a step, unless a field has the keyboard.
    fn keys(&self, ctx: &Context) -> Option<Action> {
        if ctx.memory(|memory| memory.focused().is_some()) {
            return None;
        }
        let pressed = |key| ctx.input_mut(|input| input.consume_key(Modifiers::NONE, key));
        let buttons = panels::controls::Buttons::of(&self.run.phase, self.form.check().is_ok());
        if pressed(Key::Space) {
            buttons.for_space()
        } else if pressed(Key::ArrowRight) {
            buttons.step.then_some(Action::Step)
        } else {
            None
        }
    }

    fn show(&mut self, ui: &mut Ui) {
        let mut action = self.keys(ui.ctx());
        Panel::top("status").show(ui, |ui| panels::status::show(ui, &self.run));
        if let Some(error) = &self.run.error {
            Panel::top("error").show(ui, |ui| action = panels::status::error(ui, error).or(action));
        }
        let width = (ui.available_width() * 0.252).clamp(270.0, 340.0);
        Panel::left("controls").default_size(width).size_range(270.0..=440.0).show(ui, |ui| {
            action = panels::controls::show(ui, &mut self.form, &self.run.phase).or(action);
        });
        egui::CentralPanel::default().show(ui, |ui| {
            if self.run.lanes.is_empty() {
                panels::status::welcome(ui);
                return;
            }
            Panel::top("summary").show(ui, |ui| summary::show(ui, &mut self.run));
            let height = (ui.available_height() * 0.36).clamp(120.0, 260.0);
            Panel::bottom("text").resizable(true).default_size(height).size_range(100.0..=600.0).show(ui, |ui| {
                text::show(ui, &self.run);
            });
            egui::CentralPanel::default().show(ui, |ui| {
                ui.columns(2, |columns| {
                    latency::show(&mut columns[0], &self.run, &mut self.latency);
                    memory::show(&mut columns[1], &self.run, &mut self.memory);
                });
            });
        });
        if let Some(action) = action {
            self.act(action);
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        self.drain(ctx);
    }

    /// Nobody points at a window that takes its own picture: where the pointer happens to be is no part of it.
    fn raw_input_hook(&mut self, _ctx: &Context, raw_input: &mut egui::RawInput) {
        if self.screenshot.is_some() {
            raw_input.events.retain(|event| !matches!(event, egui::Event::PointerMoved(_)));
        }
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.show(ui);
        if self.run.phase.is_over()
            && let Some(screenshot) = &mut self.screenshot
        {
            screenshot.frame(ui.ctx(), self.run.failure());
        }
    }
}
