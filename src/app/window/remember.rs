//! What the window remembers from one start to the next, and where it goes.

use egui::Context;
use serde::{Deserialize, Serialize};

use super::{App, files::Done};
use crate::app::{
    Options,
    form::Form,
    notes::NoteKind,
    pane::Pane,
    prefs::{Prefs, PrefsFile},
    theme,
};

/// How often the window looks whether there is something to write.
const INTERVAL_SECS: f64 = 1.0;

/// The run that the window was closed on.
const LAST_RUN: &str = "last-run.jsonl";

/// How the panes are arranged.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Layout {
    pane: Pane,
    beside: Option<Pane>,
}

/// The file, and when it was looked at last.
pub(super) struct Memory {
    file: PrefsFile,
    looked_secs: f64,
}

impl App {
    /// Begins as the window was left, unless somebody asked for something else on the command line.
    pub(super) fn remember_from(
        &mut self,
        ctx: &Context,
        options: &Options,
        opened: (PrefsFile, Prefs, Option<String>),
    ) {
        let (file, prefs, note) = opened;
        theme::apply(ctx, options.look.unwrap_or(prefs.look));
        theme::set_zoom(ctx, prefs.zoom);
        self.recent = prefs.recent_traces;
        if !options.asked.form
            && let Some(form) = prefs.form.and_then(|form| serde_json::from_value::<Form>(form).ok())
        {
            self.form = Form { device: self.form.device, offline: self.form.offline, ..form };
        }
        if !options.asked.layout
            && let Ok(layout) = serde_json::from_value::<Layout>(prefs.layout)
        {
            (self.pane, self.beside) = (layout.pane, layout.beside);
        }
        self.learn_from(prefs.learn);
        if let Some(note) = note {
            self.notes.push(NoteKind::Warning, note);
        }
        self.memory_of = Some(Memory { file, looked_secs: 0.0 });
    }

    fn prefs(&self, ctx: &Context) -> Prefs {
        let size = ctx.input(|input| input.viewport().inner_rect).map(|rect| rect.size() * ctx.zoom_factor());
        Prefs {
            look: theme::look(ctx),
            zoom: theme::zoom(ctx),
            layout: serde_json::to_value(Layout { pane: self.pane, beside: self.beside }).unwrap_or_default(),
            form: serde_json::to_value(&self.form).ok(),
            recent_traces: self.recent.clone(),
            learn: self.learn_value(),
            window_size: size.map(|size| [size.x.round(), size.y.round()]),
            ..Prefs::default()
        }
    }

    /// Keeps the run that the window is closed on, finished or not: it stands first among the traces that can be opened.
    pub(super) fn keep_run(&mut self) {
        let Some(path) = self.memory_of.as_ref().and_then(|memory| memory.file.beside(LAST_RUN)) else { return };
        let Some(timeline) = self.timeline.as_ref().filter(|timeline| !timeline.is_trace() && timeline.last() > 0)
        else {
            return;
        };
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        // The window is gone, and nobody is left to tell.
        if folder.and_then(|()| timeline.recording().save(&path)).is_ok() {
            self.has_opened(&path);
        }
    }

    /// Keeps the run that a trace takes the place of, as [`App::keep_run`] does, beside the frames.
    pub(super) fn keep_replaced(&mut self, ctx: &Context) {
        let Some(path) = self.memory_of.as_ref().and_then(|memory| memory.file.beside(LAST_RUN)) else { return };
        let Some(timeline) = self.timeline.as_ref().filter(|timeline| !timeline.is_trace() && timeline.last() > 0)
        else {
            return;
        };
        let recording = timeline.recording().clone();
        self.has_opened(&path);
        self.job(ctx, "save", move || {
            let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            folder
                .and_then(|()| recording.save(&path))
                .map_err(|error| format!("the run before is not kept: {error}"))?;
            Ok(Done::Written(format!("the run before is kept as {}", path.display())))
        });
    }

    /// Writes what has changed, now and then; `at_end`: at once.
    pub(super) fn remember(&mut self, ctx: &Context, at_end: bool) {
        let Some(mut memory) = self.memory_of.take() else { return };
        let now_secs = ctx.input(|input| input.time);
        if at_end || now_secs - memory.looked_secs >= INTERVAL_SECS {
            memory.looked_secs = now_secs;
            let prefs = self.prefs(ctx);
            let kept = if at_end { memory.file.close(&prefs) } else { memory.file.keep(&prefs, now_secs) };
            if let Err(error) = kept {
                self.notes.push(NoteKind::Warning, format!("the window will not remember its settings: {error}"));
            }
        }
        self.memory_of = Some(memory);
    }
}
