//! KL of each token: faint points, and the mean of the last tokens as a line.

use egui::{Role, Ui, WidgetInfo};
use egui_plot::{HoverPosition, PlotPoints, PlotTransform, Points};

use super::super::{axis::LogAxis, line, plot};
use crate::app::{
    comparison::{compared_lanes, running_mean, token_words},
    decimate::{decimate, visible},
    panels::{
        axes::{self, token_label},
        token_plot::{linked, x_range},
    },
    state::RunState,
    theme,
    units::to_x,
};

/// Tokens that a line is the mean of. Single tokens differ by powers of ten.
const WINDOW: usize = 16;
const HELP: &str = "KL(first || lane) of each token, a point each, and the mean over 16 tokens as a line, on a logarithmic axis. \
    It says how far the lane's prediction lies from the first lane's, before a token is chosen. The dashed line at the bottom is 0.\n\
    Drag moves, Ctrl and the wheel zoom, a double click fits again.";

/// Draws the plot; returns where it has put the tokens.
pub fn show(ui: &mut Ui, run: &RunState, height: f32) -> PlotTransform {
    let top = ui.cursor().top();
    ui.horizontal(|ui| {
        ui.strong("KL of each token").on_hover_text(HELP);
        ui.weak(format!("points; the line is the mean over {WINDOW} tokens")).on_hover_text(HELP);
    });
    let lanes: Vec<_> = compared_lanes(run).filter(|(_, lane, _)| !lane.is_hidden).collect();
    let y = LogAxis::around(lanes.iter().flat_map(|(_, lane, _)| lane.compared.iter().map(|token| token.kl_nats)));
    // Four points stay of each column.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in pixels")]
    let columns = (ui.available_width() / 4.0) as usize;
    let n_tokens: usize = lanes.iter().map(|(_, lane, _)| lane.compared.len()).sum();
    let name = format!("KL of each token beside {}: {n_tokens} tokens of {} lanes", run.lanes[0].name, lanes.len());
    let drawn = linked(plot(ui, "live", run.id), run)
        .height((height - (ui.cursor().top() - top)).max(60.0))
        .x_axis_label("generated token")
        .y_axis_label("KL, nats")
        .x_grid_spacer(axes::tokens)
        .y_grid_spacer(move |input| y.marks(input))
        .x_axis_formatter(|mark, _| token_label(mark))
        .y_axis_formatter(move |mark, _| y.label(mark.value))
        .label_formatter(|at| hover(run, at))
        .include_x(0.0)
        .include_x(to_x(run.tokens.saturating_sub(1).max(2)))
        .include_y(y.zero - 0.3)
        .include_y(y.top)
        .show(ui, |plot| {
            let visuals = plot.ctx().global_style().visuals.clone();
            plot.hline(y.line(&visuals));
            for (index, lane, _) in &lanes {
                let at = |step: usize, kl: f64| [to_x(step), y.place(kl)];
                let points = lane.compared.iter().map(|token| at(token.step, token.kl_nats)).collect();
                let color = theme::lane_color(*index, &visuals).gamma_multiply(0.5);
                let points = PlotPoints::from(decimate(visible(points, x_range(plot)), columns));
                plot.points(Points::new(lane.name.clone(), points).radius(1.5).color(color).id(("token", *index)));
            }
            for (index, lane, _) in &lanes {
                let means = running_mean(&lane.compared, WINDOW).into_iter();
                let means = visible(means.map(|(step, kl)| [to_x(step), y.place(kl)]).collect(), x_range(plot));
                let means = decimate(means, columns);
                plot.line(line(&visuals, (*index, &lane.name, run.lanes.len()), means));
            }
        });
    drawn.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    drawn.transform
}

fn hover(run: &RunState, at: &HoverPosition<'_>) -> Option<String> {
    let HoverPosition::NearDataPoint { position, .. } = at else { return None };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a token of the plot")]
    let step = position.x.round().max(0.0) as usize;
    Some(token_words(run, step))
}
