//! The panel on the left: everything that defines a run, and its buttons.

use egui::{
    Align, Button, ComboBox, DragValue, Grid, Layout, Response, RichText, ScrollArea, TextEdit, Ui, WidgetText,
};

use crate::{
    app::{
        form::{Form, FormErrors, Optional},
        panels::lanes,
        state::Phase,
        theme,
    },
    measure::device::DeviceChoice,
    model::{config::SHAPES, hub::name::FAMILY},
};

/// What a person wants to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Run,
    Pause,
    Resume,
    Step,
    Cancel,
    Reset,
    /// Takes the error message away.
    Dismiss,
}

/// Which buttons can be pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buttons {
    pub run: bool,
    /// Pause or resume, whichever is possible.
    pub hold: Option<Action>,
    pub step: bool,
}

impl Buttons {
    /// `is_valid`: the form describes a run.
    #[must_use]
    pub fn of(phase: &Phase, is_valid: bool) -> Self {
        let can_start = is_valid && !phase.is_active();
        let hold = match phase {
            Phase::Running => Some(Action::Pause),
            Phase::Paused | Phase::Pausing => Some(Action::Resume),
            _ => None,
        };
        Self { run: can_start, hold, step: can_start || *phase == Phase::Paused }
    }

    /// The space bar runs, pauses and resumes.
    #[must_use]
    pub fn for_space(self) -> Option<Action> {
        if self.run { Some(Action::Run) } else { self.hold }
    }
}

/// Draws the form and says which button was pressed.
pub fn show(ui: &mut Ui, form: &mut Form, phase: &Phase) -> Option<Action> {
    let errors = form.check().err();
    ui.add_space(4.0);
    let action = buttons(ui, phase, errors.is_none());
    ui.separator();
    let errors = errors.unwrap_or_default();
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        model(ui, form, &errors);
        prompt(ui, form, &errors);
        lanes::show(ui, form, &errors);
        numbers(ui, form, &errors);
    });
    action
}

fn buttons(ui: &mut Ui, phase: &Phase, is_valid: bool) -> Option<Action> {
    let can = Buttons::of(phase, is_valid);
    let mut action = None;
    let mut button = |ui: &mut Ui, text: WidgetText, enabled: bool, help: &str, then: Action| {
        let response = ui.add_enabled(enabled, Button::new(text)).on_hover_text(help).on_disabled_hover_text(help);
        if response.clicked() {
            action = Some(then);
        }
    };
    ui.horizontal(|ui| {
        let run = RichText::new("Run").strong();
        button(ui, run.into(), can.run, "Starts a run with what is filled in below (space bar)", Action::Run);
        let hold = can.hold.unwrap_or(Action::Pause);
        let name = if hold == Action::Resume { "Resume" } else { "Pause" };
        let help = "Stops when every lane has the same number of tokens, and goes on from there (space bar)";
        button(ui, name.into(), can.hold.is_some(), help, hold);
        let help = "One more token of every lane, then a pause (right arrow)";
        button(ui, "Step one token".into(), can.step, help, Action::Step);
    });
    ui.horizontal(|ui| {
        let help = "Ends the run now; what was measured stays on the screen";
        button(ui, "Cancel".into(), phase.is_active(), help, Action::Cancel);
        let help = "Ends the run and clears the window; what is filled in below stays";
        button(ui, "Reset".into(), *phase != Phase::Empty, help, Action::Reset);
    });
    action
}

fn model(ui: &mut Ui, form: &mut Form, errors: &FormErrors) {
    ui.horizontal(|ui| {
        let help = "story: the small model inside kvlab\nshape:NAME: random weights of the exact size of NAME, to \
                    measure what that size costs; its text means nothing\na folder: config.json, model.safetensors \
                    and tokenizer.json\nNAME or ORG/NAME, with @REVISION if wanted: a trained \
                    GPT-2 from the Hugging Face hub, downloaded once";
        let label = caption(ui, "Model", help);
        ui.menu_button("Choose", |ui| {
            let shapes = SHAPES.iter().map(|(name, ..)| format!("shape:{name}"));
            let hub = FAMILY.map(str::to_owned);
            for name in std::iter::once("story".to_owned()).chain(shapes).chain(hub) {
                if ui.button(&name).clicked() {
                    form.model = name;
                    ui.close();
                }
            }
        });
        ui.add(TextEdit::singleline(&mut form.model).desired_width(f32::INFINITY)).labelled_by(label.id);
    });
    complaint(ui, errors.model.as_ref());
}

fn prompt(ui: &mut Ui, form: &mut Form, errors: &FormErrors) {
    let label = caption(ui, "Prompt", "What every lane continues");
    let edit = TextEdit::multiline(&mut form.prompt).desired_rows(4).desired_width(f32::INFINITY);
    ui.add(edit).labelled_by(label.id);
    complaint(ui, errors.prompt.as_ref());
}

fn numbers(ui: &mut Ui, form: &mut Form, errors: &FormErrors) {
    Grid::new("numbers").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| {
        device(ui, form);
        number(ui, "Tokens", "Tokens that every lane generates", DragValue::new(&mut form.tokens).range(1..=1_000_000));
        let help = "0 always takes the likeliest token (greedy); higher is more random";
        let drag = DragValue::new(&mut form.temperature).range(0.0..=100.0).speed(0.01).max_decimals(2);
        number(ui, "Temperature", help, drag);
        let help = "Only the k likeliest tokens; needs a temperature above 0";
        optional(ui, "Top-k", help, &mut form.top_k, |value| DragValue::new(value).range(1..=1_000_000));
        let help = "Only the likeliest tokens that together have probability p; needs a temperature above 0";
        optional(ui, "Top-p", help, &mut form.top_p, |value| {
            DragValue::new(value).range(0.01..=1.0).speed(0.005).max_decimals(3)
        });
        number(ui, "Seed", "The same seed picks the same tokens", DragValue::new(&mut form.seed));
        let help = "Tokens of the prompt per forward pass; off runs the whole prompt in one";
        optional(ui, "Prefill chunk", help, &mut form.prefill_chunk, |value| {
            DragValue::new(value).range(1..=1_000_000)
        });
        let help = "The most bytes of keys, values and scales for each lane, as 2 MiB; empty is no limit. A lane \
                    whose cache is full stops with an error";
        let label = caption(ui, "Cache memory", help);
        let edit = TextEdit::singleline(&mut form.cache_memory).hint_text("no limit").desired_width(110.0);
        ui.add(edit).labelled_by(label.id);
        ui.end_row();
    });
    complaint(ui, errors.sampling.as_ref());
    complaint(ui, errors.cache_memory.as_ref());
    ui.checkbox(&mut form.stop_at_eos, "Stop at the end of the text")
        .on_hover_text("A lane ends when the model ends its text; otherwise every lane generates all tokens");
}

/// Where the next run computes.
fn device(ui: &mut Ui, form: &mut Form) {
    let help = "auto takes the first GPU if one works, and says on top why it does not; a GPU needs a kvlab that was built with the feature cuda";
    let label = caption(ui, "Device", help);
    // What somebody named on the command line stays a choice.
    let mut choices = vec![DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(0), DeviceChoice::Cuda(1)];
    if !choices.contains(&form.device) {
        choices.push(form.device);
    }
    let menu = ComboBox::from_id_salt("device").selected_text(form.device.to_string()).show_ui(ui, |ui| {
        for choice in choices {
            ui.selectable_value(&mut form.device, choice, choice.to_string());
        }
    });
    menu.response.labelled_by(label.id);
    ui.end_row();
}

fn number(ui: &mut Ui, name: &str, help: &str, drag: DragValue<'_>) {
    let label = caption(ui, name, help);
    ui.add_sized([86.0, 22.0], drag).labelled_by(label.id);
    ui.end_row();
}

fn optional<T: Copy>(
    ui: &mut Ui,
    name: &str,
    help: &str,
    field: &mut Optional<T>,
    drag: impl for<'a> FnOnce(&'a mut T) -> DragValue<'a>,
) {
    let label = ui.checkbox(&mut field.is_on, name).on_hover_text(help);
    let size = egui::vec2(86.0, 22.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.add_enabled_ui(field.is_on, |ui| ui.add_sized(size, drag(&mut field.value)).labelled_by(label.id));
    });
    ui.end_row();
}

pub(super) fn caption(ui: &mut Ui, name: &str, help: &str) -> Response {
    ui.label(name).on_hover_text(help)
}

pub(super) fn complaint(ui: &mut Ui, error: Option<&String>) {
    if let Some(error) = error {
        ui.label(RichText::new(error).color(theme::ERROR.on(ui.visuals())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_runs_pauses_and_resumes() {
        assert_eq!(Buttons::of(&Phase::Empty, true).for_space(), Some(Action::Run));
        assert_eq!(Buttons::of(&Phase::Empty, false).for_space(), None);
        assert_eq!(Buttons::of(&Phase::Running, true).for_space(), Some(Action::Pause));
        assert_eq!(Buttons::of(&Phase::Paused, false).for_space(), Some(Action::Resume));
        assert_eq!(Buttons::of(&Phase::Loading { done: 0, all: 0 }, true).for_space(), None);
    }

    #[test]
    fn a_step_starts_or_goes_on() {
        assert!(Buttons::of(&Phase::Empty, true).step && Buttons::of(&Phase::Paused, false).step);
        assert!(!Buttons::of(&Phase::Running, true).step && !Buttons::of(&Phase::Empty, false).step);
    }
}
