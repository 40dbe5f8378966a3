//! Files: traces opened, runs kept, pictures taken; each on a thread of its own, so that no frame waits for a disk.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, TryRecvError},
    },
    thread,
};

use egui::Context;

use super::App;
use crate::app::{
    notes::NoteKind,
    panels::files::Task,
    prefs::MAX_RECENT,
    recording::{Recording, differences},
    screenshot,
    state::RunState,
    timeline::Timeline,
};

/// How a job ended.
pub(super) enum Done {
    Opened(Box<Opened>),
    /// A trace beside what was shown, and in what the two runs differ.
    Joined(Box<Opened>, Vec<String>),
    Written(String),
}

/// A trace, the run at its end, and the file it was read from.
pub(super) struct Opened {
    pub trace: Timeline,
    pub end: RunState,
    path: PathBuf,
}

impl Opened {
    /// Makes the run, which takes a while for a long one.
    fn new(trace: Timeline, path: PathBuf) -> Box<Self> {
        let end = trace.recording().state(0, trace.last());
        Box::new(Self { trace, end, path })
    }
}

/// A job on a thread of its own.
pub(super) type Job = Receiver<Result<Done, String>>;

impl App {
    /// Why a task cannot be done now.
    pub(super) fn refuses(&self, task: Task) -> Option<&'static str> {
        let has_run = self.timeline.as_ref().is_some_and(|timeline| timeline.last() > 0);
        match task {
            Task::Save | Task::Export if !has_run => Some("there is no run yet"),
            Task::Beside if !has_run => Some("there is nothing to put it beside: run something, or open a trace first"),
            Task::Open | Task::Beside if self.run.phase.is_active() => {
                Some("a run is under way; let it finish, or cancel it")
            }
            Task::Open | Task::Beside if self.quality.phase.is_active() => {
                Some("quality is being measured; let it finish, or cancel it")
            }
            _ => None,
        }
    }

    /// Asks for the path of a task, if it can be done now.
    pub(super) fn ask(&mut self, task: Task) {
        if let Some(refusal) = self.refuses(task) {
            self.run.error = Some(format!("{}: {refusal}", task.name()));
            return;
        }
        self.dialog.open(task, self.recent.first().filter(|_| task.reads()).map(PathBuf::as_path));
    }

    /// The dialog, what comes of it, and jobs that are done.
    pub(super) fn files(&mut self, ctx: &Context) {
        if let Some((task, path)) = self.dialog.show(ctx, &self.recent) {
            self.begin(ctx, task, path);
        }
        let mut still_running = vec![];
        for job in std::mem::take(&mut self.jobs) {
            match job.try_recv() {
                Ok(Ok(done)) => self.finish(ctx, done),
                Ok(Err(message)) => self.run.error = Some(message),
                Err(TryRecvError::Empty) => still_running.push(job),
                Err(TryRecvError::Disconnected) => {
                    self.run.error = Some("a task with files broke off without a word, which is a bug in kvlab".into());
                }
            }
        }
        self.jobs.extend(still_running);
    }

    /// Does a task with its path.
    pub(super) fn begin(&mut self, ctx: &Context, task: Task, path: PathBuf) {
        let shown = self.timeline.as_ref().map(|timeline| timeline.recording().clone());
        match (task, shown) {
            (Task::Open, _) => {
                self.job(ctx, "trace", move || open(&path).map(|it| Done::Opened(Opened::new(it, path))));
            }
            (Task::Beside, Some(recording)) => self.job(ctx, "trace", move || {
                let other = open(&path)?;
                let differs = differences(&recording.header, &other.recording().header);
                Ok(Done::Joined(Opened::new(Timeline::beside(&recording, &other), path), differs))
            }),
            (Task::Save, Some(recording)) => {
                self.job(ctx, "save", move || {
                    recording
                        .save(&path)
                        .map_err(|error| format!("{} could not be written: {error}", path.display()))?;
                    Ok(Done::Written(format!("saved {}", path.display())))
                });
            }
            (Task::Export, Some(recording)) => self.job(ctx, "export", move || export(&recording, &path)),
            (Task::Picture, _) => self.take_picture(ctx, path),
            (Task::Beside | Task::Save | Task::Export, None) => {}
        }
    }

    /// Reads a trace and shows it, unless that would end what is under way.
    pub(super) fn open(&mut self, ctx: &Context, path: PathBuf) {
        match self.refuses(Task::Open) {
            Some(refusal) => self.run.error = Some(format!("{} is not opened: {refusal}", path.display())),
            None => self.begin(ctx, Task::Open, path),
        }
    }

    fn finish(&mut self, ctx: &Context, done: Done) {
        if let Done::Opened(opened) | Done::Joined(opened, _) = &done {
            // Reading takes a while, and a run may have begun since.
            if let Some(refusal) = self.refuses(Task::Open) {
                self.notes.push(NoteKind::Warning, format!("{} is not shown: {refusal}", opened.path.display()));
                return;
            }
            self.keep_replaced(ctx);
            self.has_opened(&opened.path.clone());
        }
        match done {
            Done::Opened(opened) => self.show_trace(opened.trace, opened.end),
            Done::Joined(opened, differs) => {
                self.show_trace(opened.trace, opened.end);
                let words = if differs.is_empty() {
                    "the two runs differ in nothing that a trace knows".into()
                } else {
                    differs.join("; ")
                };
                self.say(format!("side by side: {words}"));
            }
            Done::Written(words) => self.say(words),
        }
    }

    fn take_picture(&mut self, ctx: &Context, path: PathBuf) {
        let (sender, receiver) = mpsc::channel();
        self.jobs.push(receiver);
        let window = ctx.clone();
        ctx.request_screenshot(move |image| {
            let written = screenshot::write_png(&image, &path);
            let done = written.map(|()| Done::Written(format!("saved {}", path.display())));
            let _ = sender.send(done.map_err(|reason| format!("{} could not be written: {reason}", path.display())));
            window.request_repaint();
        });
    }

    pub(super) fn job(
        &mut self,
        ctx: &Context,
        name: &str,
        job: impl FnOnce() -> Result<Done, String> + Send + 'static,
    ) {
        let (window, (sender, receiver)) = (ctx.clone(), mpsc::channel());
        let run = move || {
            let _ = sender.send(job());
            window.request_repaint();
        };
        match thread::Builder::new().name(name.into()).spawn(run) {
            Ok(_) => self.jobs.push(receiver),
            Err(error) => self.run.error = Some(format!("no thread for it: {error}")),
        }
    }

    /// The newest first, each once. A path that is no Unicode text cannot be remembered.
    pub(super) fn has_opened(&mut self, path: &Path) {
        if path.to_str().is_none() {
            return;
        }
        self.recent.retain(|known| known != path);
        self.recent.insert(0, path.into());
        self.recent.truncate(MAX_RECENT);
    }
}

fn open(path: &Path) -> Result<Timeline, String> {
    Timeline::open(path).map_err(|error| format!("{} cannot be opened: {error}", path.display()))
}

fn export(recording: &Arc<Recording>, folder: &Path) -> Result<Done, String> {
    let files = recording.export(folder)?;
    let names: Vec<_> = files.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy()).collect();
    Ok(Done::Written(format!("wrote {} to {}", names.join(", "), folder.display())))
}
