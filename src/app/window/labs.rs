//! The labs in the window: read when their pane is opened, and ended with the window.

use egui::{Context, OutputCommand, Ui};

use super::{App, FRAME_INTERVAL};
use crate::app::{
    labs::{Labs, Setup},
    notes::NoteKind,
    pane::Pane,
    panels::labs::{Ask, View, show},
};

/// The state and how it is looked at.
pub(super) struct LabsPane {
    pub state: Labs,
    view: View,
    /// The last frame that the pane was in.
    last_frame: Option<u64>,
}

impl LabsPane {
    pub fn new(ctx: &Context, setup: Setup) -> Self {
        let window = ctx.clone();
        let state = Labs::new(setup, move || window.request_repaint_after(FRAME_INTERVAL));
        Self { state, view: View::default(), last_frame: None }
    }
}

impl App {
    /// The labs as the window knows them.
    #[must_use]
    pub fn labs_state(&self) -> &Labs {
        &self.labs.state
    }

    /// True while the pane is shown and what it shows is not there yet.
    pub(super) fn waits_for_labs(&self) -> bool {
        [Some(self.pane), self.beside].contains(&Some(Pane::Labs)) && self.labs.state.shelf().is_none()
    }

    pub(super) fn show_labs(&mut self, ui: &mut Ui) {
        let LabsPane { state, view, last_frame } = &mut self.labs;
        // Whoever comes back may have worked in an editor or a terminal meanwhile.
        let now = ui.ctx().cumulative_frame_nr();
        if last_frame.replace(now).is_none_or(|last| now > last + 1) {
            state.read();
        }
        match show(ui, state, view) {
            Some(Ask::Read) => state.read(),
            Some(Ask::Begin(kind, lab)) => state.begin(kind, lab),
            Some(Ask::Cancel) => state.cancel(),
            Some(Ask::Watch(lab, is_on)) => state.watch(lab, is_on),
            None => {}
        }
        self.open_pages(ui.ctx());
    }

    /// Links into the web. Without a library for it: a system has a program that opens them.
    fn open_pages(&mut self, ctx: &Context) {
        let mut addresses = vec![];
        ctx.output_mut(|output| {
            output.commands.retain(|command| match command {
                OutputCommand::OpenUrl(page) if page.url.starts_with("https://") => {
                    addresses.push(page.url.clone());
                    false
                }
                _ => true,
            });
        });
        for address in addresses {
            let opener = if cfg!(target_os = "macos") {
                "open"
            } else if cfg!(windows) {
                "explorer"
            } else {
                "xdg-open"
            };
            if let Err(error) = std::process::Command::new(opener).arg(&address).spawn() {
                self.notes.push(NoteKind::Warning, format!("{address} could not be opened: {error}"));
            }
        }
    }
}
