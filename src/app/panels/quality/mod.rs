//! What each lane gets wrong, for how many bytes: the button, the table, and three plots.

mod axis;
mod pareto;
mod position;
mod recall;
mod table;

use egui::{Button, Color32, DragValue, ProgressBar, RichText, TextStyle, Ui, Visuals};
use egui_plot::{Line, LineStyle, Plot, PlotPoints};

use crate::{
    app::{
        quality::{MOST_STORIES, MeasureSettings, QualityForm, QualityReport, QualityState},
        spots,
        state::Phase,
        theme,
    },
    experiment::quality::{LaneQuality, PositionQuality},
    report::colours,
};

const HELP: &str = "Every lane reads the stories: a prompt of 64 tokens at once, then token by token through decode, \
    whatever the lane would have said. Each of its predictions is compared with that of the exact lane, contiguous. \
    Then each lane writes on from the prompt by itself, to see where its text leaves the exact one.";
/// Below this there is room for one plot on the right only.
const STACKED_HEIGHT: f32 = 340.0;
/// Below this everything is smaller.
const NARROW_WIDTH: f32 = 760.0;

/// Which plot is on the right where there is no room for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    is_by_position: bool,
}

/// Lanes as the plots and the table draw them.
struct Shown<'a> {
    run: u64,
    settings: &'a MeasureSettings,
    report: &'a QualityReport,
}

impl<'a> Shown<'a> {
    /// One more than the highest number of a lane.
    fn of(&self) -> usize {
        self.settings.numbers.iter().max().map_or(0, |highest| highest + 1)
    }

    /// Each lane with its number, of which its colour follows, and its positions.
    fn lanes(&self) -> impl Iterator<Item = (usize, &'a LaneQuality, &'a [PositionQuality])> {
        let lanes = self.settings.numbers.iter().zip(&self.report.lanes).zip(&self.report.positions);
        lanes.map(|((number, lane), positions)| (*number, lane, positions.as_slice()))
    }
}

/// Draws the pane; true when a measurement is to begin. `refusal` is why none can begin now.
pub fn show(ui: &mut Ui, state: &QualityState, form: &mut QualityForm, view: &mut View, refusal: Option<&str>) -> bool {
    if ui.available_width() < NARROW_WIDTH {
        for (style, size) in [(TextStyle::Body, 13.0), (TextStyle::Monospace, 12.0)] {
            if let Some(font) = ui.style_mut().text_styles.get_mut(&style) {
                font.size = size;
            }
        }
    }
    let is_pressed = buttons(ui, state, form, refusal);
    let (Some(settings), Some(report)) = (&state.settings, &state.report) else {
        welcome(ui, state);
        return is_pressed;
    };
    let shown = Shown { run: state.id, settings, report };
    notes(ui, state, &shown);
    table::show(ui, &shown);
    let height = ui.available_height();
    ui.columns(2, |columns| {
        pareto::show(&mut columns[0], &shown);
        let right = &mut columns[1];
        if height >= STACKED_HEIGHT {
            recall::show(right, &shown, height * 0.5);
            position::show(right, &shown);
        } else {
            right.horizontal(|ui| {
                ui.selectable_value(&mut view.is_by_position, false, "by distance").on_hover_text(recall::HELP);
                ui.selectable_value(&mut view.is_by_position, true, "by position").on_hover_text(position::HELP);
            });
            if view.is_by_position {
                position::show(right, &shown);
            } else {
                let height = right.available_height();
                recall::show(right, &shown, height);
            }
        }
    });
    is_pressed
}

fn buttons(ui: &mut Ui, state: &QualityState, form: &mut QualityForm, refusal: Option<&str>) -> bool {
    let is_active = state.phase.is_active();
    let mut is_pressed = false;
    ui.horizontal(|ui| {
        let button = Button::new(RichText::new("Measure quality").strong());
        let why_not = refusal.unwrap_or("It is being measured; Cancel on the left ends that");
        let response = ui.add_enabled(!is_active && refusal.is_none(), button);
        spots::mark(ui.ctx(), spots::MEASURE, response.rect);
        is_pressed = response.on_hover_text(HELP).on_disabled_hover_text(why_not).clicked();
        let help = "How many held-out stories of the story model are read: more take longer and say more. All of them are \
                    texts that it was not trained on";
        let label = ui.label("Stories").on_hover_text(help);
        let drag = DragValue::new(&mut form.stories).range(1..=MOST_STORIES);
        ui.add_enabled(!is_active, drag).labelled_by(label.id);
        if state.phase != Phase::Empty {
            ui.strong(state.words());
        }
        if is_active {
            ui.add(ProgressBar::new(state.share()).desired_width(ui.available_width().min(240.0)));
        }
    });
    if let Some(refusal) = refusal.filter(|_| !is_active) {
        ui.label(RichText::new(refusal).color(theme::WARNING.on(ui.visuals())));
    }
    is_pressed
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

/// A plot in the style of all of this pane.
fn plot<'a>(ui: &Ui, name: &str, run: u64) -> Plot<'a> {
    Plot::new((name, run)).y_axis_min_width(66.0).allow_scroll(false).grid_color(theme::grid_color(ui.visuals()))
}

/// Of lanes that lie on each other the earlier is wider and stays in sight.
fn width(number: usize, of: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of lanes")]
    let (behind, others) = (of.saturating_sub(number + 1) as f32, of.saturating_sub(1).max(1) as f32);
    1.6 + behind * (3.0 / others).min(1.0)
}

/// A lane's line. After the last colour the strokes tell lanes apart.
fn line<'a>(visuals: &Visuals, (number, name, of): (usize, &str, usize), points: Vec<[f64; 2]>) -> Line<'a> {
    let style = if number < colours::LANES.len() { LineStyle::Solid } else { LineStyle::dashed_loose() };
    Line::new(name.to_owned(), PlotPoints::from(points))
        .color(theme::lane_color(number, visuals))
        .width(width(number, of))
        .style(style)
        .id(("line", number))
}
