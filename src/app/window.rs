//! The app: events in, panels out, buttons to the engine.

pub mod bench;
mod events;
mod files;
mod frame;
mod keys;
mod labs;
mod lanes;
mod learn;
mod looks;
mod panes;
mod quality;
mod remember;
mod timeline;

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use egui::{Context, Panel, Ui};

use crate::engine::Inspection;

use super::{
    Options,
    form::Form,
    frame_times::FrameTimes,
    learn::Learn,
    notes::{NoteKind, Notes},
    pane::Pane,
    panels::{self, attention, blocks, controls::Action, latency, memory},
    prefs::PrefsFile,
    quality::{QualityForm, QualityState},
    screenshot::{Outcome, Screenshot},
    state::{Phase, RunState},
    theme,
    timeline::Timeline,
    worker::{BUSY, Pace, RunSettings, Worker},
};

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
    /// A second pane at its right.
    beside: Option<Pane>,
    attention: attention::View,
    blocks: blocks::View,
    inside: panels::inside::View,
    /// The lane whose numbers are shown, and what was found there last.
    inside_lane: usize,
    inspection: Option<(usize, Inspection)>,
    /// Looks that were asked for: the engine is told one at a time, and of later ones only the last.
    looks: looks::Looks,
    /// The engine holds the run that is shown, and can be asked about it.
    engine_has_run: bool,
    /// The lanes that the engine was last asked to watch.
    watched: Vec<usize>,
    /// What ran last, to be run again.
    last_settings: Option<RunSettings>,
    /// All that happened in the run, and the moment of it that is shown.
    timeline: Option<Timeline>,
    /// Asks for the path of a file.
    dialog: panels::files::Dialog,
    /// Files that are being read and written.
    jobs: Vec<files::Job>,
    notes: Notes,
    help: panels::help::Help,
    glossary: panels::glossary::View,
    /// The lessons are shown, and how far somebody is with them.
    learns: bool,
    lessons: Learn,
    planner: panels::planner::View,
    labs: labs::LabsPane,
    memory_of: Option<remember::Memory>,
    /// Of a real window, for what is written when it closes.
    context: Option<Context>,
    /// Traces that were opened, the newest first.
    recent: Vec<PathBuf>,
    last_frame: Instant,
    next_run: u64,
    screenshot: Option<Screenshot>,
    bench: Option<bench::Bench>,
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
            beside: options.beside,
            attention: attention::View::default(),
            blocks: blocks::View::default(),
            inside: panels::inside::View::default(),
            inside_lane: 0,
            inspection: None,
            looks: looks::Looks::default(),
            engine_has_run: false,
            watched: vec![],
            last_settings: None,
            timeline: None,
            dialog: panels::files::Dialog::default(),
            jobs: vec![],
            notes: Notes::default(),
            help: panels::help::Help::default(),
            glossary: panels::glossary::View::default(),
            learns: options.learns,
            lessons: Learn::default(),
            planner: panels::planner::View::default(),
            labs: labs::LabsPane::new(ctx, options.labs.clone()),
            memory_of: None,
            context: options.remembers.then(|| ctx.clone()),
            recent: vec![],
            last_frame: Instant::now(),
            next_run: 1,
            screenshot: options.screenshot.clone().map(Screenshot::new),
            bench: options.bench.clone().map(|shared| bench::Bench::new(shared, options.started)),
            frame_times: options.frame_times.clone(),
        };
        if options.remembers {
            app.remember_from(ctx, options, PrefsFile::from_env());
        } else if let Some(look) = options.look {
            theme::apply(ctx, look);
        }
        if let Some(trace) = &options.trace {
            app.show_trace(trace.clone(), trace.recording().state(0, trace.last()));
            if let Some(moment) = options.moment {
                app.seek(moment);
            }
        } else if options.autorun && options.pane == Pane::Quality {
            app.measure();
        } else if options.autorun {
            app.start(Pace::Run);
        }
        Ok(app)
    }

    /// The run at the moment that the window shows.
    #[must_use]
    pub fn run_state(&self) -> &RunState {
        self.timeline.as_ref().and_then(Timeline::past).unwrap_or(&self.run)
    }

    /// The run at its newest moment.
    #[must_use]
    pub fn newest_state(&self) -> &RunState {
        &self.run
    }

    /// All that happened in the run.
    #[must_use]
    pub fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }

    /// The numbers of a token that were looked at last, and the lane they are of.
    #[must_use]
    pub fn inspection(&self) -> Option<&(usize, Inspection)> {
        self.inspection.as_ref()
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

    /// Starts what the form describes.
    fn start(&mut self, pace: Pace) {
        match self.form.check() {
            Ok(settings) => self.start_with(settings, pace),
            Err(errors) => self.run.fail(errors.to_string()),
        }
    }

    fn start_with(&mut self, mut settings: RunSettings, pace: Pace) {
        let id = self.next_run;
        self.next_run += 1;
        self.choose_lanes(&settings.lanes);
        settings.watched = self.wanted_attention();
        self.watched.clone_from(&settings.watched);
        let mut run = RunState::new(id, &settings.lanes, settings.tokens, settings.prompt.clone());
        run.is_forced = settings.forced;
        for lane in &mut run.lanes {
            lane.is_hidden = self.run.lanes.iter().any(|old| old.is_hidden && old.name == lane.name);
        }
        self.run = run;
        self.timeline = None;
        self.forget_inspection();
        self.quality.give_way();
        self.last_settings = Some(settings.clone());
        self.engine_has_run = true;
        self.tell(|worker| worker.start(id, settings, pace));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Run => self.start(Pace::Run),
            Action::Pause => {
                if self.tell(|worker| worker.pace(Pace::Pause)) {
                    self.run.phase = Phase::Pausing;
                }
            }
            Action::Resume => {
                self.tell(|worker| worker.pace(Pace::Run));
            }
            Action::Step if self.run.phase == Phase::Paused => {
                self.tell(|worker| worker.pace(Pace::OneRound));
            }
            Action::Step => self.start(Pace::OneRound),
            Action::StepLayer => {
                if self.run.phase != Phase::Paused {
                    self.start(Pace::Pause);
                }
                self.pane = Pane::Layers;
                self.tell(|worker| worker.layer());
            }
            Action::Cancel => {
                self.tell(|worker| worker.cancel());
            }
            Action::Rerun => {
                if let Some(settings) = self.last_settings.clone() {
                    self.start_with(settings, Pace::Run);
                }
            }
            Action::Reset => {
                self.forget_inspection();
                self.run = RunState::default();
                self.timeline = None;
                self.quality = QualityState::default();
                self.engine_has_run = false;
                self.tell(|worker| worker.forget());
            }
            Action::Switch(lane, to) => {
                self.tell(|worker| worker.switch(lane, to));
            }
            Action::Dismiss => (self.run.error, self.quality.error) = (None, None),
        }
    }

    /// What is shown of stored numbers belongs to a cache that is there no more.
    pub(super) fn forget_inspection(&mut self) {
        self.inspection = None;
        self.looks = looks::Looks::default();
        self.inside.forget();
    }

    /// True where the engine took the command.
    fn tell(&mut self, command: impl FnOnce(&mut Worker) -> Result<(), String>) -> bool {
        match command(&mut self.worker) {
            Ok(()) => return true,
            // The run goes on; whoever asked asks again.
            Err(message) if message == BUSY => {
                self.notes.push(NoteKind::Warning, message);
            }
            Err(message) => self.run.fail(message),
        }
        false
    }

    /// Only a pane that is looked at costs the engine anything.
    fn watch(&mut self) {
        let wanted = self.wanted_attention();
        if self.can_look() && wanted != self.watched {
            match self.worker.watch(wanted.clone()) {
                Ok(()) => self.watched = wanted,
                // The next frame tries again.
                Err(message) if message == BUSY => {}
                Err(message) => self.run.fail(message),
            }
        }
    }

    fn wanted_attention(&self) -> Vec<usize> {
        let is_shown = [Some(self.pane), self.beside].contains(&Some(Pane::Attention));
        if is_shown && !self.is_trace() { self.attention.lanes() } else { vec![] }
    }

    /// True where the engine still holds the run.
    fn can_look(&self) -> bool {
        self.engine_has_run && (self.run.phase.is_active() || self.run.phase == Phase::Finished)
    }

    /// True while a trace is shown: nothing computes.
    fn is_trace(&self) -> bool {
        self.timeline.as_ref().is_some_and(Timeline::is_trace)
    }

    /// A change of the speed limit counts at once.
    fn limit_speed(&mut self) {
        let wanted = self.form.speed.get();
        if self.run.phase.is_active()
            && let Some(settings) = &mut self.last_settings
            && settings.rounds_per_sec != wanted
        {
            match self.worker.speed(wanted) {
                Ok(()) => settings.rounds_per_sec = wanted,
                // The next frame tries again.
                Err(message) if message == BUSY => {}
                Err(message) => self.run.fail(message),
            }
        }
    }

    /// Takes in what happened since the last frame. [`App::show`] draws it.
    pub fn update(&mut self, ctx: &Context) {
        self.take_dropped(ctx);
        self.drain(ctx);
        self.labs.state.drain();
        self.watch();
        self.limit_speed();
        let elapsed = self.last_frame.elapsed();
        self.last_frame = Instant::now();
        if let Some(timeline) = &mut self.timeline
            && timeline.is_playing
        {
            timeline.play(elapsed, &self.run);
            ctx.request_repaint_after(FRAME_INTERVAL);
        }
    }

    /// Draws the window.
    pub fn show(&mut self, ui: &mut Ui) {
        self.keys(ui.ctx());
        let refuses = |task| self.refuses(task);
        let bar =
            Panel::top("status").show(ui, |ui| panels::status::show(ui, self.run_state(), &self.quality, &refuses));
        if let Some(menu) = bar.inner {
            self.choose(ui.ctx(), menu);
        }
        let mut action = None;
        if let Some(error) = self.run.error.as_ref().or(self.quality.error.as_ref()) {
            Panel::top("error").show(ui, |ui| action = panels::status::error(ui, error));
        }
        self.timeline_bar(ui);
        if !self.is_trace() {
            let width = (ui.available_width() * 0.252).clamp(270.0, 340.0);
            Panel::left("controls").default_size(width).size_range(270.0..=440.0).show(ui, |ui| {
                let phase = self.phase().clone();
                let lanes: Vec<String> = self.run.lanes.iter().map(|lane| lane.name.clone()).collect();
                let has_run = self.last_settings.is_some();
                let context = panels::controls::Context { phase: &phase, has_run, lanes: &lanes };
                action = panels::controls::show(ui, &mut self.form, context).or(action);
            });
        }
        self.learn(ui);
        egui::CentralPanel::default().show(ui, |ui| self.middle(ui));
        self.files(ui.ctx());
        panels::glossary::window(ui.ctx(), &mut self.glossary);
        panels::help::show(ui.ctx(), &mut self.help);
        panels::notes::show(ui.ctx(), &mut self.notes);
        self.remember(ui.ctx(), false);
        if let Some(action) = action {
            self.act(action);
        }
    }
}
