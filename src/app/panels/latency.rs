//! What each token of each lane took.

use egui::{Role, Ui, WidgetInfo};
use egui_plot::{GridMark, HoverPosition, Line, Plot, PlotPoints};

use crate::app::{
    decimate::decimate,
    panels::axes,
    state::{LaneState, RunState},
    theme::{self, lane_color},
    units::{axis_millis, to_x},
};

/// How the latencies are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub is_log: bool,
}

const HELP: &str = "The time of each decode step as its caller sees it: the forward pass and the sampling of one \
    token (inter-token latency). Token 0 comes from the prefill, which runs over the whole prompt: its time is the \
    TTFT in the table. A square in the table hides its lane.\nDrag moves, Ctrl and the wheel zoom, a double click fits again.";
/// Nothing is faster; it also keeps the logarithm finite.
const MIN_MILLIS: f64 = 1e-6;

/// The plot and its switch.
pub fn show(ui: &mut Ui, run: &RunState, view: &mut View) {
    ui.horizontal(|ui| {
        ui.strong("Latency of each token").on_hover_text(HELP);
        ui.checkbox(&mut view.is_log, "log scale")
            .on_hover_text("Every tenfold is equally high, so lanes of very different speed can be compared");
    });
    let is_log = view.is_log;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in pixels")]
    let columns = (ui.available_width() * ui.ctx().pixels_per_point()) as usize;
    let mut plot = Plot::new(("latency", run.id, is_log))
        .x_axis_label("generated token")
        .y_axis_label("time per token")
        .y_axis_min_width(56.0)
        .x_grid_spacer(axes::tokens)
        .x_axis_formatter(|mark, _| token_label(mark))
        .y_axis_formatter(move |mark, _| y_label(mark, is_log))
        .label_formatter(move |at| hover(at, is_log))
        .allow_scroll(false)
        .grid_color(theme::grid_color(ui.visuals()))
        .include_x(1.0)
        .include_x(to_x(run.tokens.saturating_sub(1).max(2)));
    plot = if is_log { plot.y_grid_spacer(axes::decades) } else { plot.y_grid_spacer(axes::millis).include_y(0.0) };
    let response = plot.show(ui, |plot| {
        for (index, lane) in run.shown_lanes() {
            let points = decimate(points(lane, is_log), columns);
            let color = lane_color(index, &plot.ctx().global_style().visuals);
            plot.line(Line::new(lane.name.clone(), PlotPoints::from(points)).color(color).width(2.0).id(index));
        }
    });
    let name = accessible_name(run, is_log);
    response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// One point per decode step: the token's number and its milliseconds, or their logarithm.
fn points(lane: &LaneState, is_log: bool) -> Vec<[f64; 2]> {
    let millis = |secs: f64| if is_log { (secs * 1e3).max(MIN_MILLIS).log10() } else { secs * 1e3 };
    lane.decode().iter().map(|record| [to_x(record.step), millis(record.total_secs)]).collect()
}

fn accessible_name(run: &RunState, is_log: bool) -> String {
    let points = run.lanes.iter().map(|lane| lane.decode().len().to_string()).collect::<Vec<_>>().join(", ");
    let scale = if is_log { "log" } else { "linear" };
    format!("latency plot, {scale} scale, decode points of each lane: {points}")
}

fn y_label(mark: GridMark, is_log: bool) -> String {
    if !is_log {
        return if mark.value < 0.0 { String::new() } else { axis_millis(mark.value) };
    }
    // Of each decade 1, 2 and 5 are labelled.
    if mark.step_size > 0.2 { axis_millis(10_f64.powf(mark.value)) } else { String::new() }
}

/// A token's number, as every x axis shows it.
pub(super) fn token_label(mark: GridMark) -> String {
    if mark.value < 0.0 { String::new() } else { format!("{:.0}", mark.value) }
}

fn hover(at: &HoverPosition<'_>, is_log: bool) -> Option<String> {
    let HoverPosition::NearDataPoint { plot_name, position, .. } = at else { return None };
    let millis = if is_log { 10_f64.powf(position.y) } else { position.y };
    Some(format!("{plot_name}\ntoken {:.0}: {millis:.3} ms", position.x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_marks_are_labelled_at_1_2_and_5() {
        let marks = axes::decades(egui_plot::GridInput { bounds: (0.0, 1.0), base_step_size: 0.01 });
        let labels: Vec<String> = marks.into_iter().map(|m| y_label(m, true)).filter(|l| !l.is_empty()).collect();
        assert_eq!(labels, ["1 ms", "2 ms", "5 ms", "10 ms"]);
    }

    #[test]
    fn linear_labels_name_no_negative_time() {
        assert_eq!(y_label(GridMark { value: -1.0, step_size: 1.0 }, false), "");
        assert_eq!(y_label(GridMark { value: 0.5, step_size: 1.0 }, false), "500 \u{b5}s");
    }
}
