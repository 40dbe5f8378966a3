//! The bar at the bottom: any moment of the run, live or opened.

use egui::{Button, DragValue, Label, RichText, Slider, Ui};

use crate::app::{spots, state::RunState, timeline::Timeline};

/// What a person wants of the timeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimelineAction {
    /// Play or pause.
    Toggle,
    Back,
    Forward,
    Seek(usize),
    /// Tokens of every lane in a second, while it plays.
    Speed(f64),
    /// Back to live runs.
    Close,
}

/// Draws the bar and says what was pressed. `shown` is the run at the moment that is shown.
pub fn show(ui: &mut Ui, timeline: &Timeline, shown: &RunState) -> Option<TimelineAction> {
    let mut action = None;
    ui.horizontal(|ui| {
        let mut button = |ui: &mut Ui, name: &str, enabled: bool, help: &str, then: TimelineAction| {
            // The same width whatever it says, so that the slider stays in its place.
            let button = Button::new(name).min_size(egui::vec2(56.0, 0.0));
            if ui.add_enabled(enabled, button).on_hover_text(help).on_disabled_hover_text(help).clicked() {
                action = Some(then);
            }
        };
        let (is_past, has_past) = (timeline.past().is_some(), timeline.round() > 0);
        let name = if timeline.is_playing { "Stop playing" } else { "Play" };
        button(ui, name, timeline.last() > 0, "Plays the run again from here, or stops", TimelineAction::Toggle);
        button(ui, "Back", has_past, "One token of every lane back (left arrow)", TimelineAction::Back);
        let help = "One token of every lane on (right arrow, in the past)";
        button(ui, "Forward", is_past, help, TimelineAction::Forward);
        if timeline.is_trace() {
            button(ui, "Close trace", true, "Back to live runs", TimelineAction::Close);
        } else {
            let help = "Back to the newest token, and along with it (End)";
            button(ui, "To the end", is_past, help, TimelineAction::Seek(usize::MAX));
        }
        let mut speed = timeline.rounds_per_sec;
        let label = ui.label("speed").on_hover_text("Tokens of every lane in a second, while it plays");
        let drag = DragValue::new(&mut speed).range(0.5..=1_000.0).max_decimals(1).speed(0.5).suffix("/s");
        if ui.add(drag).labelled_by(label.id).changed() {
            action = Some(TimelineAction::Speed(speed));
        }
        let mut round = timeline.round();
        ui.spacing_mut().slider_width = (ui.available_width() - 420.0).max(120.0);
        let label = ui.label("Moment").on_hover_text("How many tokens every lane has at the moment that is shown");
        let slider = Slider::new(&mut round, 0..=timeline.last().max(1)).show_value(false);
        let slider = ui.add(slider).labelled_by(label.id);
        spots::mark(ui.ctx(), spots::TIMELINE, slider.rect);
        if slider.changed() {
            action = Some(TimelineAction::Seek(round));
        }
        ui.label(format!("{} of {} tokens", shown.progress(), shown.tokens));
        what(ui, timeline);
    });
    action
}

fn what(ui: &mut Ui, timeline: &Timeline) {
    match &timeline.path {
        Some(path) => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            let what = format!("{name} ({})", timeline.recording().ending());
            ui.add(Label::new(RichText::new(what).weak()).truncate()).on_hover_text(path.display().to_string());
        }
        None if timeline.past().is_some() => {
            ui.add(Label::new(RichText::new("an earlier moment; To the end shows the newest").weak()).truncate());
        }
        None => {}
    }
}
