//! What all plots over tokens have in common: one x axis and one cursor for all of them, marks of lanes, switches of lanes, and the
//! values at the cursor.

use egui::{
    Align, AsIdSalt, Button, Color32, Context, FontId, Id, Layout, Role, TextFormat, TextStyle, Ui, WidgetInfo,
    text::LayoutJob,
};
use egui_plot::{HoverPosition, LineStyle, Plot, PlotResponse, PlotUi, VLine};

use super::axes;
use crate::app::{
    comparison::called,
    series::{last_token, newest_token},
    shared::{Mark, Shared},
    state::RunState,
    theme::{self, lane_color, lane_letter, line_width},
    units::to_x,
};

/// How the plots are moved, for the help of each.
pub const MOVING: &str =
    "Drag moves, Ctrl and the wheel zoom, a double click fits again; all plots over tokens move together.";
/// Left of each plot, so that plots above each other have their tokens above each other.
const Y_AXIS_WIDTH: f32 = 80.0;
/// A pane that is lower than this leaves out what can be seen elsewhere.
const SMALL_HEIGHT: f32 = 360.0;

/// The plot that the pointer is in, and the token under it.
type Cursor = (Id, usize);

/// Plots of one run that move together.
fn group(run: &RunState) -> Id {
    Id::unique(("plots over tokens", run.id))
}

/// A plot over the tokens of a run; `name` is apart from those of all other plots.
pub fn new<'a>(ui: &Ui, run: &RunState, name: impl AsIdSalt) -> Plot<'a> {
    let group = group(run);
    Plot::new("plot over tokens")
        .id(group.with(name))
        .y_axis_min_width(Y_AXIS_WIDTH)
        .x_grid_spacer(axes::tokens)
        .x_axis_formatter(|mark, _| axes::token_label(mark))
        .allow_scroll(false)
        .grid_color(theme::grid_color(ui.visuals()))
        .include_x(0.0)
        .include_x(to_x(last_token(run)))
        .link_axis(group, [true, false])
        .link_cursor(group, [true, false])
}

/// A plot of another pane that moves with those over the tokens of this run.
pub fn linked<'a>(plot: Plot<'a>, run: &RunState) -> Plot<'a> {
    let group = group(run);
    plot.link_axis(group, [true, false]).link_cursor(group, [true, false])
}

/// The tokens that somebody has zoomed or moved to; `None` while all are shown. Of the frame before, as far as a plot knows.
pub fn x_range(plot: &PlotUi<'_>) -> Option<[f64; 2]> {
    let bounds = plot.plot_bounds();
    (!plot.auto_bounds().x).then(|| [bounds.min()[0], bounds.max()[0]])
}

/// Points that stay of a column: as many in all as the plot is wide.
const KEPT_OF_A_COLUMN: f32 = 4.0;

/// Points that a plot of this width can show.
#[must_use]
pub fn columns(ui: &Ui) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in pixels")]
    let columns = (ui.available_width() * ui.ctx().pixels_per_point() / KEPT_OF_A_COLUMN) as usize;
    columns
}

/// What a plot says where the pointer is: of a point its name and what `value` writes, and the marks nearby. A name with a line break
/// is a note that says all by itself.
pub fn hover<'a>(
    run: &RunState,
    shared: &Shared,
    value: impl Fn(f64) -> String + 'a,
) -> impl Fn(&HoverPosition<'_>) -> Option<String> + 'a {
    let lanes: Vec<(usize, String)> = run.shown_lanes().map(|(index, lane)| (index, lane.name.clone())).collect();
    let (shared, reach) = (shared.clone(), (to_x(last_token(run)) / 80.0).max(0.5));
    move |at| {
        let (x, point) = match at {
            HoverPosition::NearDataPoint { plot_name, position, .. } if plot_name.contains('\n') => {
                (position.x, Some((*plot_name).to_owned()))
            }
            HoverPosition::NearDataPoint { plot_name, position, .. } => {
                (position.x, Some(format!("{plot_name}\ntoken {:.0}: {}", position.x, value(position.y))))
            }
            HoverPosition::Elsewhere { position } => (position.x, None),
        };
        let parts: Vec<String> = [point, shared.marks_near(x, reach, &lanes)].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("\n"))
    }
}

/// Draws the marks of the lanes that are shown.
pub fn draw_marks(plot: &mut PlotUi<'_>, run: &RunState, shared: &Shared) {
    let visuals = plot.ctx().global_style().visuals.clone();
    let is_shown = |mark: &&Mark| run.lanes.get(mark.lane).is_some_and(|lane| !lane.is_hidden);
    for (index, mark) in shared.marks.iter().enumerate().filter(|(_, mark)| is_shown(mark)) {
        let line = VLine::new(mark.text.clone(), to_x(mark.step)).color(lane_color(mark.lane, &visuals));
        plot.vline(line.style(LineStyle::dashed_dense()).width(line_width(1.5, &visuals)).id(("mark", index)));
    }
}

/// To be called with what a plot over tokens returned: names it and follows the pointer in it.
pub fn finish<R>(ui: &Ui, run: &RunState, drawn: &PlotResponse<R>, name: &str) {
    drawn.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let token = drawn.response.hover_pos().map(|at| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the axis")]
        let token = drawn.transform.value_from_position(at).x.round().clamp(0.0, to_x(last_token(run))) as usize;
        token
    });
    let (key, plot) = (group(run).with("cursor"), drawn.response.id);
    let before: Option<Cursor> = ui.data(|data| data.get_temp(key)).flatten();
    let after = match (token, before) {
        (Some(token), _) => Some((plot, token)),
        // The pointer left this plot, for none or for another one.
        (None, before) => before.filter(|(owner, _)| *owner != plot),
    };
    if after != before {
        ui.data_mut(|data| data.insert_temp(key, after));
        // The other plots' readouts may be drawn already.
        ui.ctx().request_repaint();
    }
}

/// The token under the pointer, in whichever plot over tokens that is.
#[must_use]
pub fn cursor(ctx: &Context, run: &RunState) -> Option<usize> {
    let cursor: Option<Cursor> = ctx.data(|data| data.get_temp(group(run).with("cursor"))).flatten();
    cursor.map(|(_, token)| token)
}

/// The names of all lanes, in a wrapping row; a click shows or hides a lane in every plot. `pane` is where they stand.
pub fn lane_switches(ui: &mut Ui, run: &mut RunState, pane: &str) {
    let hidden = ui.visuals().weak_text_color();
    for (index, lane) in run.lanes.iter_mut().enumerate() {
        let color = if lane.is_hidden { hidden } else { lane_color(index, ui.visuals()) };
        let mut text = egui::RichText::new(format!("{} {}", lane_letter(index), lane.name)).color(color);
        if lane.is_hidden {
            text = text.strikethrough();
        }
        let name = format!("{} in {pane}", lane.name);
        let response = ui.add(Button::new(text).frame(false));
        response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, !lane.is_hidden, &name));
        if response.on_hover_text("Click to hide or show this lane in the plots").clicked() {
            lane.is_hidden = !lane.is_hidden;
        }
    }
}

/// Whether there is little room in the pane that begins here.
#[must_use]
pub fn is_small(ui: &Ui) -> bool {
    ui.available_height() < SMALL_HEIGHT
}

/// A line of values under a plot: the token, then each lane's value in its colour.
pub struct Readout<'a> {
    /// Leaves out the names of the lanes: their letters and colours say them.
    pub is_small: bool,
    pub run: &'a RunState,
    /// What the values are.
    pub title: &'a str,
    /// The value of a lane at a token, with its unit; `None` where it has none.
    pub value: &'a dyn Fn(usize, usize) -> Option<String>,
}

impl Readout<'_> {
    /// The token it speaks of: the one under the pointer, or the newest.
    fn token(&self, ctx: &Context) -> usize {
        cursor(ctx, self.run).unwrap_or_else(|| newest_token(self.run))
    }

    fn job(&self, ui: &Ui, token: usize) -> LayoutJob {
        let font = TextStyle::Small.resolve(ui.style());
        let mut pieces = vec![(format!("token {token}, {}:", self.title), ui.visuals().text_color())];
        for (index, _) in self.run.shown_lanes() {
            let value = (self.value)(index, token).unwrap_or_else(|| "-".into());
            // A value stays beside its lane when the line breaks.
            let name = if self.is_small { lane_letter(index).to_string() } else { called(self.run, index) };
            let text = format!("{name} {value}").replace(' ', "\u{a0}");
            pieces.push((text, lane_color(index, ui.visuals())));
        }
        job(pieces, &font, ui.available_width())
    }

    /// Its height, so that a plot can leave room for it. It does not change when the pointer comes and goes.
    #[must_use]
    pub fn height(&self, ui: &Ui) -> f32 {
        let height = |token| ui.painter().layout_job(self.job(ui, token)).size().y;
        height(self.token(ui.ctx())).max(height(newest_token(self.run))) + ui.spacing().item_spacing.y
    }

    /// Draws it.
    pub fn show(&self, ui: &mut Ui) {
        let job = self.job(ui, self.token(ui.ctx()));
        // Not justified, as columns would have it.
        ui.with_layout(Layout::top_down(Align::LEFT), |ui| ui.label(job));
    }
}

fn job(pieces: Vec<(String, Color32)>, font: &FontId, width: f32) -> LayoutJob {
    let mut job = LayoutJob::default();
    job.wrap.max_width = width;
    for (index, (text, color)) in pieces.into_iter().enumerate() {
        let gap = if index == 0 { "" } else { "  " };
        job.append(gap, 0.0, TextFormat::simple(font.clone(), color));
        job.append(&text, 0.0, TextFormat::simple(font.clone(), color));
    }
    job
}
