//! The bar of a trace: play, scrub, and what the trace is.

use egui::{Label, RichText, Slider, Ui};

use crate::app::{replay::Replay, spots, state::RunState};

/// What a person wants of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayAction {
    /// Play or pause.
    Toggle,
    Back,
    Forward,
    Seek(usize),
    /// Back to live runs.
    Close,
}

/// Draws the bar and says what was pressed.
pub fn show(ui: &mut Ui, replay: &Replay, run: &RunState) -> Option<ReplayAction> {
    let mut action = None;
    ui.horizontal(|ui| {
        let mut button = |ui: &mut Ui, name: &str, help: &str, then: ReplayAction| {
            // The same width whatever it says, so that the slider stays in its place.
            if ui.add(egui::Button::new(name).min_size(egui::vec2(56.0, 0.0))).on_hover_text(help).clicked() {
                action = Some(then);
            }
        };
        let name = if replay.is_playing { "Pause" } else { "Play" };
        button(ui, name, "Plays the trace at 30 tokens a second, or stops it (space bar)", ReplayAction::Toggle);
        button(ui, "Back", "One token of every lane back (left arrow)", ReplayAction::Back);
        button(ui, "Forward", "One token of every lane on (right arrow)", ReplayAction::Forward);
        button(ui, "Close trace", "Back to live runs", ReplayAction::Close);
        let mut round = replay.round();
        ui.spacing_mut().slider_width = (ui.available_width() - 560.0).max(120.0);
        let label = ui.label("Moment");
        let slider = Slider::new(&mut round, 0..=replay.last()).show_value(false);
        let slider = ui.add(slider).labelled_by(label.id);
        spots::mark(ui.ctx(), spots::TIMELINE, slider.rect);
        if slider.changed() {
            action = Some(ReplayAction::Seek(round));
        }
        ui.label(format!("{} of {} tokens", run.progress(), run.tokens));
        let name = replay.path.file_name().unwrap_or(replay.path.as_os_str()).to_string_lossy();
        let what = format!("{name} ({})", replay.ending());
        let whole = replay.path.display().to_string();
        ui.add(Label::new(RichText::new(what).weak()).truncate()).on_hover_text(whole);
    });
    action
}
