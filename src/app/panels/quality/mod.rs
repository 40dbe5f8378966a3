//! What each lane gets wrong: of the run that is shown, token by token, and of stories that the model was not trained on.

mod axis;
mod live;
mod pareto;
mod position;
mod recall;
mod stories;
mod table;

use egui::{TextStyle, Ui, Visuals};
use egui_plot::{Line, LineStyle, Plot, PlotPoints};

use crate::{
    app::{
        quality::{QualityForm, QualityState},
        state::RunState,
        theme,
    },
    report::colours,
};

/// Below this everything is smaller.
const NARROW_WIDTH: f32 = 760.0;

/// What the pane shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Section {
    /// The tokens of the run, as they come.
    Live,
    /// A measurement of its own, on held-out stories.
    #[default]
    Stories,
}

/// Each with its name and what it is for.
const SECTIONS: [(Section, &str, &str); 2] = [
    (Section::Live, "This run, live", "Each token of the run that is shown, beside the first lane's"),
    (
        Section::Stories,
        "Held-out stories",
        "A measurement of its own: every lane reads stories that the model was not trained on",
    ),
];

/// How the pane is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    section: Section,
    stories: stories::View,
}

impl View {
    /// Begins with the run that is shown.
    #[must_use]
    pub fn live() -> Self {
        Self { section: Section::Live, ..Self::default() }
    }
}

/// Draws the pane; returns what is to be measured, once that is asked for. `refusal` is why nothing can be measured now.
pub fn show(
    ui: &mut Ui,
    run: &RunState,
    state: &QualityState,
    form: &mut QualityForm,
    view: &mut View,
    refusal: Option<&str>,
) -> Option<QualityForm> {
    if ui.available_width() < NARROW_WIDTH {
        for (style, size) in [(TextStyle::Body, 13.0), (TextStyle::Monospace, 12.0)] {
            if let Some(font) = ui.style_mut().text_styles.get_mut(&style) {
                font.size = size;
            }
        }
    }
    let mut asked = None;
    ui.horizontal_wrapped(|ui| {
        for (section, name, help) in SECTIONS {
            ui.selectable_value(&mut view.section, section, name).on_hover_text(help);
        }
        if view.section == Section::Stories {
            ui.separator();
            asked = stories::buttons(ui, state, form, &mut view.stories, refusal);
        }
    });
    match view.section {
        Section::Live => live::show(ui, run),
        Section::Stories => stories::show(ui, state, &mut view.stories, refusal),
    }
    asked
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
        .width(theme::line_width(width(number, of), visuals))
        .style(style)
        .id(("line", number))
}
