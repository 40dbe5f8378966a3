//! The list of keys, over everything else.

use egui::{Color32, Context, CursorIcon, Frame, Grid, Id, Modal, RichText, ScrollArea, Stroke, Ui};

use crate::app::shortcuts::{Group, HelpLine, Shortcut, help_lines};

/// No list is wider, in points.
const MAX_WIDTH: f32 = 1140.0;
/// Of one list: below this only names are shown, and their sentences to those who point at them.
const SENTENCE_WIDTH: f32 = 520.0;

/// Whether the list is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Help {
    pub is_open: bool,
}

impl Help {
    /// Takes the shortcuts that are meant for the list, and gives the others back. While it is open only those go on that change how the
    /// window looks or close it.
    pub fn take(&mut self, shortcut: Shortcut) -> Option<Shortcut> {
        use Shortcut as S;
        match shortcut {
            S::Help => self.is_open = !self.is_open,
            S::Cancel if self.is_open => self.is_open = false,
            S::Theme | S::ZoomIn | S::ZoomOut | S::ZoomReset | S::Screenshot | S::Quit => return Some(shortcut),
            _ if self.is_open => {}
            _ => return Some(shortcut),
        }
        None
    }
}

/// Draws the list if it is open. A click beside it closes it, as Esc does.
pub fn show(ctx: &Context, help: &mut Help) {
    if !help.is_open {
        return;
    }
    let is_mac = ctx.os() == egui::os::OperatingSystem::Mac;
    let (id, room) = (Id::unique("help"), ctx.content_rect().size());
    let area = Modal::default_area(id).default_size([(room.x - 60.0).clamp(280.0, MAX_WIDTH), room.y - 40.0]);
    let modal = Modal::new(id).area(area).show(ctx, |ui| {
        let mut is_closed = false;
        ui.horizontal(|ui| {
            ui.heading("Keyboard");
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                is_closed = ui.button("Close").on_hover_cursor(CursorIcon::PointingHand).clicked();
            });
        });
        ui.weak("While a field is written in, keys without Ctrl belong to the field. F1 always works.");
        ui.separator();
        ScrollArea::vertical().max_height((room.y - 140.0).max(120.0)).show(ui, |ui| lists(ui, is_mac));
        is_closed
    });
    if modal.inner || modal.should_close() {
        help.is_open = false;
    }
}

/// Beside each other where there is room for two.
fn lists(ui: &mut Ui, is_mac: bool) {
    if ui.available_width() < 700.0 {
        for group in Group::ALL {
            list(ui, group, is_mac);
        }
        return;
    }
    ui.columns(2, |columns| {
        list(&mut columns[0], Group::Run, is_mac);
        list(&mut columns[0], Group::Files, is_mac);
        list(&mut columns[1], Group::Window, is_mac);
    });
}

fn list(ui: &mut Ui, group: Group, is_mac: bool) {
    ui.add_space(4.0);
    ui.strong(group.name());
    let has_sentences = ui.available_width() >= SENTENCE_WIDTH;
    Grid::new(group.name()).spacing([14.0, 5.0]).show(ui, |ui| {
        for HelpLine { keys, name, what } in help_lines(group, is_mac) {
            ui.horizontal(|ui| keys.iter().for_each(|key| key_cap(ui, key)));
            let label = ui.label(name);
            if has_sentences {
                ui.weak(what);
            } else {
                label.on_hover_text(what);
            }
            ui.end_row();
        }
    });
    ui.add_space(8.0);
}

/// A key as it looks on a keyboard.
fn key_cap(ui: &mut Ui, key: &str) {
    let visuals = ui.visuals();
    let frame = Frame::new()
        .fill(visuals.widgets.inactive.weak_bg_fill)
        .stroke(Stroke::new(1.0, visuals.weak_text_color()))
        .corner_radius(4)
        .inner_margin(egui::vec2(6.0, 1.0));
    let color: Color32 = visuals.text_color();
    frame.show(ui, |ui| ui.label(RichText::new(key).monospace().color(color)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::{Key, Role};
    use egui_kittest::{Harness, kittest::Queryable};

    #[test]
    fn an_open_list_keeps_the_run_from_being_started_or_cancelled() {
        let mut help = Help::default();
        assert_eq!(help.take(Shortcut::RunOrPause), Some(Shortcut::RunOrPause));
        assert_eq!(help.take(Shortcut::Cancel), Some(Shortcut::Cancel));
        assert_eq!(help.take(Shortcut::Help), None);
        assert!(help.is_open);
        assert_eq!(help.take(Shortcut::RunOrPause), None);
        assert_eq!(help.take(Shortcut::Theme), Some(Shortcut::Theme));
        assert_eq!((help.take(Shortcut::Cancel), help.is_open), (None, false));
    }

    #[test]
    fn the_list_opens_and_closes_by_keys_and_by_its_button() {
        let mut window = Harness::builder().with_size([1000.0, 700.0]).build_ui_state(
            |ui, help: &mut Help| {
                if let Some(shortcut) = crate::app::shortcuts::pressed(ui.ctx()) {
                    help.take(shortcut);
                }
                show(ui.ctx(), help);
            },
            Help::default(),
        );
        for (key, is_open) in [(Key::F1, true), (Key::F1, false), (Key::Questionmark, true), (Key::Escape, false)] {
            window.key_press(key);
            window.run_steps(2);
            assert_eq!(window.state().is_open, is_open, "after {key:?}");
            assert_eq!(window.query_by_label("Page Down").is_some(), is_open);
        }
        window.key_press(Key::F1);
        window.run_steps(2);
        window.get_by_role_and_label(Role::Button, "Close").click();
        window.run_steps(2);
        assert!(!window.state().is_open);
    }
}
