//! Keys and the menus at the top right: what they ask for is done here.

use egui::{Context, Key, ViewportCommand};

use super::App;
use crate::app::{
    notes::NoteKind,
    pane::Pane,
    panels::{
        controls::{Action, Buttons},
        files::Task,
        status::Menu,
    },
    shortcuts::{Shortcut, pressed},
    state::Phase,
    theme,
};

impl App {
    /// Does what a key asks for.
    pub(super) fn keys(&mut self, ctx: &Context) {
        // Esc is a pin's first.
        let is_for_a_pin = self.has_pin() && ctx.input(|input| input.key_pressed(Key::Escape));
        if self.dialog.is_open() || is_for_a_pin {
            return;
        }
        let Some(shortcut) = pressed(ctx).and_then(|shortcut| self.help.take(shortcut)) else { return };
        match shortcut {
            Shortcut::RunOrPause | Shortcut::StepToken | Shortcut::StepLayer | Shortcut::Cancel | Shortcut::Rerun => {
                self.run_key(shortcut);
            }
            Shortcut::Back => self.step_timeline(false),
            Shortcut::TimelineStart => self.seek(0),
            Shortcut::TimelineEnd => self.seek(usize::MAX),
            Shortcut::NextPane => self.pane = neighbour(self.pane, 1),
            Shortcut::PreviousPane => self.pane = neighbour(self.pane, Pane::ALL.len() - 1),
            Shortcut::Pane(index) => self.pane = Pane::ALL.get(index).copied().unwrap_or(self.pane),
            Shortcut::Theme => theme::apply(ctx, theme::look(ctx).next()),
            Shortcut::ZoomIn => theme::zoom_by(ctx, 1),
            Shortcut::ZoomOut => theme::zoom_by(ctx, -1),
            Shortcut::ZoomReset => theme::set_zoom(ctx, 1.0),
            Shortcut::Help => self.help.is_open = !self.help.is_open,
            Shortcut::Learn => self.toggle_learn(),
            Shortcut::Open => self.ask(Task::Open),
            Shortcut::Save => self.ask(Task::Save),
            Shortcut::Screenshot => self.ask(Task::Picture),
            Shortcut::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
        }
    }

    /// True where a pane that is shown holds on to something.
    fn has_pin(&self) -> bool {
        let shows = |pane| self.pane == pane || self.beside == Some(pane);
        (shows(Pane::Attention) && self.attention.is_pinned()) || (shows(Pane::Blocks) && self.blocks.is_pinned())
    }

    /// Keys that stand for buttons, and do what these would do now.
    fn run_key(&mut self, shortcut: Shortcut) {
        let can = Buttons::of(self.phase(), self.form.check().is_ok(), self.last_settings.is_some());
        let action = match shortcut {
            Shortcut::RunOrPause if self.is_trace() => return self.toggle_timeline(),
            Shortcut::RunOrPause => can.for_space(),
            Shortcut::StepToken if self.is_trace() || self.is_past() => return self.step_timeline(true),
            Shortcut::StepToken => can.step.then_some(Action::Step),
            Shortcut::StepLayer if !self.is_trace() => can.step.then_some(Action::StepLayer),
            Shortcut::Rerun if !self.is_trace() => can.rerun.then_some(Action::Rerun),
            Shortcut::Cancel => self.phase().is_active().then_some(Action::Cancel),
            _ => None,
        };
        if let Some(action) = action {
            self.act(action);
        }
    }

    /// Does what a menu at the top asks for.
    pub(super) fn choose(&mut self, ctx: &Context, menu: Menu) {
        match menu {
            Menu::File(task) => self.ask(task),
            Menu::Look(look) => theme::apply(ctx, look),
            Menu::Help => self.help.is_open = true,
            Menu::Glossary => self.glossary.is_open = !self.glossary.is_open,
            Menu::Learn => self.toggle_learn(),
        }
    }

    /// Tells a person something that needs no answer.
    pub(super) fn say(&mut self, words: String) {
        self.notes.push(NoteKind::Good, words);
    }

    /// Says when a run has ended by itself while somebody looks at something else.
    pub(super) fn announce(&mut self, before: &Phase) {
        if before.is_active() && self.run.phase == Phase::Finished && self.bench.is_none() && self.is_past() {
            self.notes.push(NoteKind::Info, "the run has finished; press To the end to see it");
        }
    }
}

fn neighbour(pane: Pane, steps: usize) -> Pane {
    let place = Pane::ALL.iter().position(|other| *other == pane).unwrap_or(0);
    Pane::ALL[(place + steps) % Pane::ALL.len()]
}
