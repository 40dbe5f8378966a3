//! The window: several lanes of one experiment, drawn while they run.
//!
//! [`worker`] speaks with the engine's thread. [`state`] is what the window knows about a run, [`form`] what a
//! person typed, [`quality`] both for measurements of quality, [`learn`] the guided tours, [`labs`] the course; none
//! knows egui. [`window`] joins them and hands them to [`panels`], one file each.
//! Every number shown comes from a record of the engine; the window measures nothing itself.

pub mod agreement;
pub mod attended;
pub mod board;
pub mod comparison;
mod decimate;
pub mod draft;
mod engine_thread;
pub mod floor;
pub mod form;
pub mod frame_times;
pub mod glossary;
mod heap;
pub mod labs;
pub mod learn;
pub mod notes;
mod pane;
pub mod panels;
mod picture;
pub mod prefs;
pub mod quality;
pub mod raster;
pub mod recording;
mod screenshot;
pub mod series;
pub mod shared;
pub mod shortcuts;
pub mod spots;
pub mod state;
pub mod summary;
pub mod text_spans;
pub mod theme;
pub mod timeline;
mod units;
pub mod window;
pub mod worker;

use std::path::{Path, PathBuf};

use crate::{
    experiment::{DEFAULT_LANES, DEFAULT_PROMPT, DEFAULT_TOKENS},
    measure::device::DeviceChoice,
};

use draft::LaneDraft;
use form::{Form, Optional};
use frame_times::FrameTimes;
pub use pane::Pane;
use quality::QualityForm;
use timeline::Timeline;
pub use window::App;

/// What somebody asked for, which stands against what the window remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Fields of the form: a model, a prompt, lanes, tokens.
    pub form: bool,
    /// Panes.
    pub layout: bool,
}

/// How the window opens.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches that a person may combine in any way")]
pub struct Options {
    pub model: String,
    pub prompt: String,
    pub lanes: String,
    pub tokens: usize,
    pub device: DeviceChoice,
    /// The pane that is shown first.
    pub pane: Pane,
    /// A second pane at its right.
    pub beside: Option<Pane>,
    /// What a measurement of quality reads.
    pub quality: QualityForm,
    /// Where the labs are, and what checks them.
    pub labs: labs::Setup,
    /// Opens with the lessons.
    pub learns: bool,
    /// How the window looks; `None`: as it did last.
    pub look: Option<theme::Look>,
    /// Begins as the window was left, and remembers how it is left.
    pub remembers: bool,
    /// In what it does not begin as it was left.
    pub asked: Asked,
    /// A trace to show instead of a run.
    pub trace: Option<Timeline>,
    /// The moment of the trace that is shown first, in tokens of every lane; `None`: its end.
    pub moment: Option<usize>,
    /// Every lane is fed the first lane's tokens.
    pub forced: bool,
    /// Download nothing; models of the hub come from the cache.
    pub offline: bool,
    /// Starts a run at once, or a measurement of quality where that pane is shown first.
    pub autorun: bool,
    /// Writes a picture of the window once its first run is over, and closes it.
    pub screenshot: Option<PathBuf>,
    /// Runs the script that measures the window, leaves its report here and closes.
    pub bench: Option<window::bench::Shared>,
    /// When the program began, for the time to the first frame.
    pub started: std::time::Instant,
    /// Takes the time of each frame.
    pub frame_times: Option<FrameTimes>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: "story".into(),
            prompt: DEFAULT_PROMPT.into(),
            lanes: DEFAULT_LANES.into(),
            tokens: DEFAULT_TOKENS,
            device: DeviceChoice::Auto,
            pane: Pane::default(),
            beside: None,
            quality: QualityForm::default(),
            labs: labs::Setup::default(),
            learns: false,
            look: None,
            remembers: false,
            asked: Asked::default(),
            trace: None,
            moment: None,
            forced: false,
            offline: false,
            autorun: false,
            screenshot: None,
            bench: None,
            started: std::time::Instant::now(),
            frame_times: None,
        }
    }
}

impl Options {
    pub(crate) fn form(&self) -> Form {
        Form {
            model: self.model.clone(),
            prompt: self.prompt.clone(),
            lanes: self.lanes.clone(),
            chosen: None,
            draft: LaneDraft::default(),
            tokens: self.tokens,
            temperature: 0.0,
            top_k: Optional::off(40),
            top_p: Optional::off(0.9),
            seed: crate::engine::Sampling::DEFAULT_SEED,
            prefill_chunk: Optional::off(64),
            stop_at_eos: false,
            forced: self.forced,
            speed: Optional::off(10.0),
            cache_memory: String::new(),
            device: self.device,
            offline: self.offline,
        }
    }
}

/// Why there is no window, or no picture of it.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("there is no display to open a window on; `kvlab --help` lists what runs without one")]
    NoDisplay,
    #[error("no window can be opened ({0}); `kvlab --help` lists what runs without one")]
    Window(String),
    #[error("no picture was written to {}: {reason}", path.display())]
    Screenshot { path: PathBuf, reason: String },
    #[error("the run in {} did not finish: {reason}", path.display())]
    Run { path: PathBuf, reason: String },
}

/// Exit code of a window that Ctrl-C has ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Opens the window and returns when it is closed.
///
/// # Errors
/// [`AppError`]
pub fn run(mut options: Options) -> Result<(), AppError> {
    if !has_display() {
        return Err(AppError::NoDisplay);
    }
    heap::keep_freed();
    // Ctrl-C in the terminal ends this process and not what checks a lab, which is in a group of its own. Where it cannot be heard, it
    // ends this process as it always does.
    let _ = ctrlc::set_handler(|| {
        crate::course::end_all();
        std::process::exit(INTERRUPTED);
    });
    // A window that is measured or pictured is the same every time.
    options.remembers = options.bench.is_none() && options.screenshot.is_none();
    let size = options.remembers.then(|| prefs::PrefsFile::from_env().1.window_size).flatten();
    let viewport = egui::ViewportBuilder::default()
        .with_title("kvlab")
        .with_app_id("kvlab")
        .with_inner_size(size.unwrap_or([1280.0, 800.0]))
        .with_min_inner_size([900.0, 600.0]);
    let native = eframe::NativeOptions { viewport, renderer: eframe::Renderer::Glow, ..Default::default() };
    let outcome = screenshot::Outcome::default();
    let (path, for_app) = (options.screenshot.clone(), outcome.clone());
    let create: eframe::AppCreator<'_> = Box::new(move |cc| {
        let mut app = App::new(&cc.egui_ctx, &options)?;
        app.report_screenshot_to(for_app);
        Ok(Box::new(app))
    });
    eframe::run_native("kvlab", native, create).map_err(|e| AppError::Window(e.to_string()))?;
    let Some(path) = path else { return Ok(()) };
    let closed = || AppError::Screenshot { path: path.clone(), reason: "the window was closed too early".into() };
    let taken = outcome.take().ok_or_else(closed)?;
    taken.written.map_err(|reason| AppError::Screenshot { path: path.clone(), reason })?;
    taken.run_failure.map_or(Ok(()), |reason| Err(AppError::Run { path, reason }))
}

/// Whether a picture can be written there, as far as can be told before there is one.
///
/// # Errors
/// [`AppError::Screenshot`]
pub fn check_picture(path: &Path) -> Result<(), AppError> {
    screenshot::check_target(path).map_err(|reason| AppError::Screenshot { path: path.into(), reason })
}

/// Draws the window without a display, on the processor, and writes its picture: of the run that the options describe once it
/// is over, or of their trace.
///
/// # Errors
/// [`AppError::Screenshot`], and [`AppError::Run`] for a run that did not finish; the picture is written then.
pub fn draw(options: &Options, path: &Path) -> Result<(), AppError> {
    let failed = |reason: String| AppError::Screenshot { path: path.into(), reason };
    let (image, run_failure) = picture::draw(options).map_err(failed)?;
    screenshot::write_png(&image, path).map_err(failed)?;
    run_failure.map_or(Ok(()), |reason| Err(AppError::Run { path: path.into(), reason }))
}

/// Elsewhere than on X11 and Wayland there always is one.
fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(target_os = "macos"))) || ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"].into_iter().any(set)
}
