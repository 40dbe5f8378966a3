//! Held-out stories: the buttons, the table, and three plots of what each lane loses for how many bytes.

use egui::{Button, Color32, DragValue, ProgressBar, RichText, Ui};

use super::{pareto, position, recall, table};
use crate::{
    app::{
        quality::{MOST_STORIES, MeasureSettings, QualityForm, QualityReport, QualityState},
        spots,
        state::Phase,
        theme,
    },
    experiment::quality::{LaneQuality, PositionQuality},
};

const HELP: &str = "Every lane reads the stories: a prompt of 64 tokens at once, then token by token through decode, \
    whatever the lane would have said. Each of its predictions is compared with that of the exact lane, contiguous. \
    Then each lane writes on from the prompt by itself, to see where its text leaves the exact one.";
const RECALL_HELP: &str = "Every lane reads all 32 stories to their ends, and is asked again for facts that they mentioned before: how far \
    back does it recall them? The texts that lanes would write by themselves are left out. Each token of each story is a \
    step of each lane; while it runs, the time that is left is projected from the steps that are done. Cancel on the left \
    ends it.";
/// Below this there is room for one plot on the right only.
const STACKED_HEIGHT: f32 = 340.0;
/// How what was measured is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Recall alone, in large and in words.
    is_recall: bool,
    /// Which plot is on the right where there is no room for both.
    is_by_position: bool,
}

/// Lanes as the plots and the table draw them.
pub(super) struct Shown<'a> {
    pub run: u64,
    pub settings: &'a MeasureSettings,
    pub report: &'a QualityReport,
}

impl<'a> Shown<'a> {
    /// One more than the highest number of a lane.
    pub fn of(&self) -> usize {
        self.settings.numbers.iter().max().map_or(0, |highest| highest + 1)
    }

    /// Each lane with its number, of which its colour follows, and its positions.
    pub fn lanes(&self) -> impl Iterator<Item = (usize, &'a LaneQuality, &'a [PositionQuality])> {
        let lanes = self.settings.numbers.iter().zip(&self.report.lanes).zip(&self.report.positions);
        lanes.map(|((number, lane), positions)| (*number, lane, positions.as_slice()))
    }
}

/// Draws the section.
pub(super) fn show(ui: &mut Ui, state: &QualityState, view: &mut View, refusal: Option<&str>) {
    progress(ui, state, refusal);
    let (Some(settings), Some(report)) = (&state.settings, &state.report) else {
        welcome(ui, state);
        return;
    };
    let shown = Shown { run: state.id, settings, report };
    notes(ui, state, &shown);
    if view.is_recall {
        recall::large(ui, &shown);
    } else {
        overview(ui, &shown, view);
    }
}

/// All that was measured: the table, what is lost for how many bytes, and where.
fn overview(ui: &mut Ui, shown: &Shown<'_>, view: &mut View) {
    table::show(ui, shown);
    let height = ui.available_height();
    ui.columns(2, |columns| {
        pareto::show(&mut columns[0], shown);
        let right = &mut columns[1];
        if height >= STACKED_HEIGHT {
            recall::show(right, shown, height * 0.5);
            position::show(right, shown);
        } else {
            right.horizontal(|ui| {
                ui.selectable_value(&mut view.is_by_position, false, "by distance").on_hover_text(recall::HELP);
                ui.selectable_value(&mut view.is_by_position, true, "by position").on_hover_text(position::HELP);
            });
            if view.is_by_position {
                position::show(right, shown);
            } else {
                let height = right.available_height();
                recall::show(right, shown, height);
            }
        }
    });
}

/// In a line that is begun; returns what is to be measured, once that is asked for.
pub(super) fn buttons(
    ui: &mut Ui,
    state: &QualityState,
    form: &mut QualityForm,
    view: &mut View,
    refusal: Option<&str>,
) -> Option<QualityForm> {
    let is_active = state.phase.is_active();
    let mut asked = None;
    let why_not = refusal.unwrap_or("It is being measured; Cancel on the left ends that");
    let can_begin = !is_active && refusal.is_none();
    let button = |ui: &mut Ui, name: &str, help: &str| {
        let response = ui.add_enabled(can_begin, Button::new(RichText::new(name).strong()));
        response.on_hover_text(help).on_disabled_hover_text(why_not)
    };
    let measure = button(ui, "Measure quality", HELP);
    spots::mark(ui.ctx(), spots::MEASURE, measure.rect);
    if measure.clicked() {
        (view.is_recall, asked) = (false, Some(*form));
    }
    let pace = state.pace().map_or_else(String::new, |pace| format!("\nThe last measurement: {pace}."));
    if button(ui, "Recall test", &format!("{RECALL_HELP}{pace}")).clicked() {
        (view.is_recall, asked) = (true, Some(form.recall_test()));
    }
    let help = "How many held-out stories Measure quality reads: more take longer and say more. All of them are texts \
                that the model was not trained on";
    let label = ui.label("Stories").on_hover_text(help);
    let drag = DragValue::new(&mut form.stories).range(1..=MOST_STORIES);
    ui.add_enabled(!is_active, drag).labelled_by(label.id);
    if state.report.is_some() {
        ui.separator();
        ui.selectable_value(&mut view.is_recall, false, "All measures")
            .on_hover_text("Table and plots of all measures");
        ui.selectable_value(&mut view.is_recall, true, "Recall").on_hover_text(recall::HELP);
    }
    asked
}

/// How far it is, or why it cannot begin.
fn progress(ui: &mut Ui, state: &QualityState, refusal: Option<&str>) {
    let is_active = state.phase.is_active();
    if state.phase != Phase::Empty {
        ui.horizontal(|ui| {
            ui.strong(state.words());
            if let Some(pace) = state.pace() {
                ui.weak(pace);
            }
            if is_active {
                ui.add(ProgressBar::new(state.share()).desired_width(ui.available_width().min(240.0)));
            }
        });
    }
    if let Some(refusal) = refusal.filter(|_| !is_active) {
        ui.label(RichText::new(refusal).color(theme::WARNING.on(ui.visuals())));
    }
}

fn welcome(ui: &mut Ui, state: &QualityState) {
    ui.vertical_centered(|ui| {
        ui.add_space(ui.available_height() * 0.35);
        if state.phase.is_active() {
            ui.heading("Reading the first story");
            return;
        }
        ui.heading("Press Measure quality");
        ui.label("Every lane reads stories that the model was not trained on, token by token.");
        ui.label("What it predicts is compared with what the exact cache predicts.");
        ui.label("The numbers appear here while it happens.");
    });
}

/// What a person must know of the numbers.
fn notes(ui: &mut Ui, state: &QualityState, shown: &Shown<'_>) {
    let coloured = |ui: &mut Ui, text: String, color: Color32| {
        ui.label(RichText::new(text).color(color));
    };
    if matches!(state.phase, Phase::Cancelled | Phase::Failed) {
        let text = "Unfinished: these are the numbers up to where it ended".to_owned();
        coloured(ui, text, theme::WARNING.on(ui.visuals()));
    }
    let mut remarks = vec![];
    if shown.settings.skips_none {
        remarks.push("none stores nothing, so it has nothing to lose and is left out.");
    }
    if shown.settings.adds_exact {
        remarks.push("contiguous is added: the others are compared with it.");
    }
    if !remarks.is_empty() {
        ui.weak(remarks.join(" "));
    }
    for lane in &shown.report.lanes {
        if let Some(reason) = &lane.failed {
            let text = format!("{}: stopped, and has no numbers: {reason}", lane.lane);
            coloured(ui, text, theme::ERROR.on(ui.visuals()));
        }
    }
}
