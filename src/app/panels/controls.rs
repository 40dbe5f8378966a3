//! The panel on the left: everything that defines a run, and its buttons.

use egui::{
    Align, Button, ComboBox, DragValue, Grid, Layout, Response, RichText, ScrollArea, TextEdit, Ui, WidgetText,
};

use crate::{
    app::{
        form::{Form, FormErrors, Optional},
        panels::lanes,
        spots,
        state::Phase,
        theme,
    },
    cache::Lane,
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
    /// One more layer of the next token.
    StepLayer,
    Cancel,
    /// What ran last, again.
    Rerun,
    Reset,
    /// The lane of a paused run goes on in another cache.
    Switch(usize, Lane),
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
    pub rerun: bool,
}

impl Buttons {
    /// `is_valid`: the form describes a run.
    /// `has_run`: there is one to repeat.
    #[must_use]
    pub fn of(phase: &Phase, is_valid: bool, has_run: bool) -> Self {
        let can_start = is_valid && !phase.is_active();
        let hold = match phase {
            Phase::Running => Some(Action::Pause),
            Phase::Paused | Phase::Pausing => Some(Action::Resume),
            _ => None,
        };
        let rerun = has_run && !phase.is_active();
        Self { run: can_start, hold, step: can_start || *phase == Phase::Paused, rerun }
    }

    /// The space bar runs, pauses and resumes.
    #[must_use]
    pub fn for_space(self) -> Option<Action> {
        if self.run { Some(Action::Run) } else { self.hold }
    }
}

/// What the panel has to know of the run.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub phase: &'a Phase,
    /// There is a run to repeat.
    pub has_run: bool,
    /// What its lanes are called.
    pub lanes: &'a [String],
}

/// Draws the form and says which button was pressed.
pub fn show(ui: &mut Ui, form: &mut Form, context: Context<'_>) -> Option<Action> {
    let errors = form.check().err();
    ui.add_space(4.0);
    let mut action = buttons(ui, context, errors.is_none());
    ui.separator();
    let errors = errors.unwrap_or_default();
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        model(ui, form, &errors);
        prompt(ui, form, &errors);
        let paused = (*context.phase == Phase::Paused).then_some(lanes::Paused { lanes: context.lanes });
        if let Some((lane, to)) = lanes::show(ui, form, &errors, paused) {
            action = Some(Action::Switch(lane, to));
        }
        numbers(ui, form, &errors);
    });
    action
}

fn buttons(ui: &mut Ui, context: Context<'_>, is_valid: bool) -> Option<Action> {
    let phase = context.phase;
    let can = Buttons::of(phase, is_valid, context.has_run);
    let mut action = None;
    let mut button = |ui: &mut Ui, text: WidgetText, enabled: bool, help: &str, then: Action| {
        let response = ui.add_enabled(enabled, Button::new(text)).on_hover_text(help).on_disabled_hover_text(help);
        if response.clicked() {
            action = Some(then);
        }
        response.rect
    };
    ui.horizontal(|ui| {
        let run = RichText::new("Run").strong();
        let help = "Starts a run with what is filled in below (space bar)";
        let rect = button(ui, run.into(), can.run, help, Action::Run);
        spots::mark(ui.ctx(), spots::RUN, rect);
        let hold = can.hold.unwrap_or(Action::Pause);
        let name = if hold == Action::Resume { "Resume" } else { "Pause" };
        let help = "Stops when every lane has the same number of tokens, and goes on from there (space bar)";
        button(ui, name.into(), can.hold.is_some(), help, hold);
        let help = "One more token of every lane, then a pause (right arrow)";
        let rect = button(ui, "Step one token".into(), can.step, help, Action::Step);
        spots::mark(ui.ctx(), spots::STEP, rect);
    });
    ui.horizontal_wrapped(|ui| {
        let help = "One more layer of the next token of every lane, shown in the pane Layers; with the last layer the token is made (L)";
        button(ui, "Step a layer".into(), can.step, help, Action::StepLayer);
        let help = "Ends the run now; what was measured stays on the screen";
        button(ui, "Cancel".into(), phase.is_active(), help, Action::Cancel);
        let help = "The last run once more, with its own settings and seed, whatever is filled in below (R)";
        button(ui, "Rerun".into(), can.rerun, help, Action::Rerun);
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

/// Six lines; a longer prompt scrolls.
const PROMPT_HEIGHT: f32 = 112.0;

fn prompt(ui: &mut Ui, form: &mut Form, errors: &FormErrors) {
    let label = caption(ui, "Prompt", "What every lane continues");
    let edit = TextEdit::multiline(&mut form.prompt).desired_rows(3).desired_width(f32::INFINITY);
    let area = ScrollArea::vertical().id_salt("prompt").max_height(PROMPT_HEIGHT);
    let edit = area.show(ui, |ui| ui.add(edit).labelled_by(label.id)).inner;
    spots::mark(ui.ctx(), spots::PROMPT, edit.rect);
    complaint(ui, errors.prompt.as_ref());
}

fn numbers(ui: &mut Ui, form: &mut Form, errors: &FormErrors) {
    Grid::new("numbers").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| {
        device(ui, form);
        number(ui, "Tokens", "Tokens that every lane generates", DragValue::new(&mut form.tokens).range(1..=1_000_000));
        let help = "Tokens of every lane in a second, at most: slows a fast model down until it can be watched. It can be changed while a run goes on";
        optional(ui, "Speed limit", help, &mut form.speed, |value| {
            DragValue::new(value).range(0.1..=10_000.0).speed(0.1).max_decimals(1).suffix("/s")
        });
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
    ui.checkbox(&mut form.forced, "Same tokens in every lane").on_hover_text(
        "Every lane reads the first lane's tokens, whatever it would say itself (teacher forcing). So every prediction can be compared with \
         the first lane's, also where texts would part; what a lane says otherwise is marked in its text",
    );
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
        assert_eq!(Buttons::of(&Phase::Empty, true, false).for_space(), Some(Action::Run));
        assert_eq!(Buttons::of(&Phase::Empty, false, false).for_space(), None);
        assert_eq!(Buttons::of(&Phase::Running, true, false).for_space(), Some(Action::Pause));
        assert_eq!(Buttons::of(&Phase::Paused, false, false).for_space(), Some(Action::Resume));
        assert_eq!(Buttons::of(&Phase::Loading { done: 0, all: 0 }, true, false).for_space(), None);
    }

    #[test]
    fn a_step_starts_or_goes_on() {
        assert!(Buttons::of(&Phase::Empty, true, false).step && Buttons::of(&Phase::Paused, false, false).step);
        assert!(!Buttons::of(&Phase::Running, true, false).step && !Buttons::of(&Phase::Empty, false, false).step);
    }
}
