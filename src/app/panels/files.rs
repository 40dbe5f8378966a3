//! Where a file is to be read or written: a small dialog with a path, and what the path means.

use std::path::{Path, PathBuf};

use egui::{Context, Id, Key, Modal, RichText, TextEdit};

use crate::app::theme;

/// What is done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Show a trace.
    Open,
    /// Show a trace beside the run that is shown.
    Beside,
    /// Keep the run as a trace.
    Save,
    /// Keep trace, records, summary, report and plots in a folder.
    Export,
    /// Keep a picture of the window.
    Picture,
}

impl Task {
    pub const ALL: [Self; 5] = [Self::Open, Self::Beside, Self::Save, Self::Export, Self::Picture];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "Open trace",
            Self::Beside => "Put a trace beside it",
            Self::Save => "Save trace",
            Self::Export => "Export",
            Self::Picture => "Save picture",
        }
    }

    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::Open => "Shows an earlier run, from trace.jsonl of `kvlab run --out` or of Save trace (Ctrl+O)",
            Self::Beside => {
                "The lanes of another run join those that are shown, with their machines in their names: the same run on two machines, side by side"
            }
            Self::Save => "Everything that happened in this run, as one file that this window opens again (Ctrl+S)",
            Self::Export => {
                "A folder with the trace, records.csv, summary.json, report.md and the plots as SVG and PNG, as `kvlab run --out` writes it"
            }
            Self::Picture => "This window as a PNG (Ctrl+P)",
        }
    }

    /// Reads a file that must be there.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Self::Open | Self::Beside)
    }

    fn proposal(self) -> &'static str {
        match self {
            Self::Open | Self::Beside => "trace.jsonl",
            Self::Save => "kvlab-run.jsonl",
            Self::Export => "kvlab-run",
            Self::Picture => "kvlab.png",
        }
    }

    /// What speaks against a path, as far as can be told without reading or writing.
    #[must_use]
    pub fn refusal(self, path: &str) -> Option<String> {
        let path = path.trim();
        if path.is_empty() {
            return Some("write a path".into());
        }
        let file = Path::new(path);
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        match self {
            Self::Open | Self::Beside if !file.exists() => Some(format!("there is no file {path}")),
            Self::Open | Self::Beside if file.is_dir() => Some("it is a folder; choose the trace.jsonl in it".into()),
            Self::Save | Self::Picture if file.is_dir() => Some("it is a folder; write a file's name".into()),
            Self::Save | Self::Picture if parent.is_some_and(|parent| !parent.is_dir()) => {
                Some(format!("there is no folder {}", parent.unwrap_or(file).display()))
            }
            Self::Picture if file.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) => {
                Some("a picture's name ends in .png".into())
            }
            Self::Export if file.is_file() => Some("it is a file; write a folder's name".into()),
            _ => None,
        }
    }

    fn replaces(self, path: &str) -> bool {
        let file = Path::new(path.trim());
        match self {
            Self::Save | Self::Picture => file.exists(),
            Self::Export => file.join(crate::report::files::TRACE).exists(),
            Self::Open | Self::Beside => false,
        }
    }
}

/// The dialog, open for a task or closed.
#[derive(Clone, Debug, Default)]
pub struct Dialog {
    task: Option<Task>,
    path: String,
    is_new: bool,
}

impl Dialog {
    /// Opens it with the path that was used last for the task, if there is one.
    pub fn open(&mut self, task: Task, last: Option<&Path>) {
        let proposal = || task.proposal().to_owned();
        let path = last.map_or_else(proposal, |path| path.display().to_string());
        *self = Self { task: Some(task), path, is_new: true };
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.task.is_some()
    }

    /// Draws it; a task with its path once a person agreed. `recent` are traces that were opened before.
    pub fn show(&mut self, ctx: &Context, recent: &[PathBuf]) -> Option<(Task, PathBuf)> {
        let task = self.task?;
        let mut agreed = false;
        let modal = Modal::new(Id::unique("file dialog")).show(ctx, |ui| {
            ui.set_width(480.0);
            ui.heading(task.name());
            ui.label(task.help());
            let label = ui.label("Path");
            let edit = ui.add(TextEdit::singleline(&mut self.path).desired_width(f32::INFINITY)).labelled_by(label.id);
            if self.is_new {
                edit.request_focus();
                self.is_new = false;
            }
            let entered = edit.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            if task.reads() {
                for path in recent.iter().filter(|path| path.exists()) {
                    let text = RichText::new(path.display().to_string()).small();
                    if ui.button(text).on_hover_text("Opened before").clicked() {
                        self.path = path.display().to_string();
                    }
                }
            }
            let refusal = task.refusal(&self.path);
            if let Some(refusal) = &refusal {
                ui.label(RichText::new(refusal).color(theme::WARNING.on(ui.visuals())));
            } else if task.replaces(&self.path) {
                ui.label(
                    RichText::new("it is there already and will be replaced").color(theme::WARNING.on(ui.visuals())),
                );
            }
            ui.horizontal(|ui| {
                let verb = if task.reads() { "Open" } else { "Write" };
                agreed = ui.add_enabled(refusal.is_none(), egui::Button::new(verb)).clicked();
                agreed |= entered && refusal.is_none();
                if ui.button("Close").clicked() {
                    ui.close();
                }
            });
        });
        if agreed || modal.should_close() {
            self.task = None;
        }
        agreed.then(|| (task, PathBuf::from(self.path.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_cannot_do_says_why() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("trace.jsonl"), "x").expect("writable");
        let here = folder.path().display().to_string();
        for task in Task::ALL {
            assert!(task.refusal(" ").is_some());
        }
        assert_eq!(Task::Open.refusal(&at("trace.jsonl")), None);
        assert!(Task::Open.refusal(&at("other.jsonl")).is_some_and(|why| why.contains("there is no file")));
        assert!(Task::Beside.refusal(&here).is_some_and(|why| why.contains("it is a folder")));
        assert_eq!(Task::Save.refusal(&at("new.jsonl")), None);
        assert!(Task::Save.refusal(&at("no/new.jsonl")).is_some_and(|why| why.contains("there is no folder")));
        assert!(Task::Picture.refusal(&at("new.jpg")).is_some_and(|why| why.contains(".png")));
        assert_eq!(Task::Picture.refusal(&at("new.PNG")), None);
        assert!(Task::Export.refusal(&at("trace.jsonl")).is_some_and(|why| why.contains("it is a file")));
        assert!(Task::Save.replaces(&at("trace.jsonl")) && !Task::Save.replaces(&at("new.jsonl")));
        assert!(Task::Export.replaces(&here), "a folder with a run in it");
    }
}
