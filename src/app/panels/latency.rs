//! What each token of each lane took.

use egui::{Role, Ui, WidgetInfo};
use egui_plot::{Corner, GridInput, GridMark, HoverPosition, Legend, Line, Plot, PlotPoints};

use crate::app::{
    decimate::decimate,
    state::{LaneState, RunState},
    theme::lane_color,
    units::{axis_millis, to_x},
};

/// How the latencies are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub is_log: bool,
}

const HELP: &str = "The time of each decode step as its caller sees it: the forward pass and the sampling of one \
    token (inter-token latency). Token 0 comes from the prefill, which runs over the whole prompt: its time is the \
    TTFT in the table.\nDrag moves, Ctrl and the wheel zoom, a double click fits again.";
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
        .legend(Legend::default().position(Corner::LeftTop).follow_insertion_order(true))
        .x_axis_label("generated token")
        .y_axis_label("time per token")
        .y_axis_min_width(56.0)
        .x_axis_formatter(|mark, _| whole(mark.value))
        .y_axis_formatter(move |mark, _| y_label(mark, is_log))
        .label_formatter(move |at| hover(at, is_log))
        .allow_scroll(false)
        .include_x(1.0)
        .include_x(to_x(run.tokens.saturating_sub(1).max(2)));
    plot = if is_log { plot.y_grid_spacer(log_marks) } else { plot.include_y(0.0) };
    let response = plot.show(ui, |plot| {
        for (index, lane) in run.lanes.iter().enumerate() {
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

fn whole(value: f64) -> String {
    if value >= 0.0 && value.fract().abs() < 1e-9 { format!("{value:.0}") } else { String::new() }
}

fn hover(at: &HoverPosition<'_>, is_log: bool) -> Option<String> {
    let HoverPosition::NearDataPoint { plot_name, position, .. } = at else { return None };
    let millis = if is_log { 10_f64.powf(position.y) } else { position.y };
    Some(format!("{plot_name}\ntoken {:.0}: {millis:.3} ms", position.x))
}

/// Marks at 1, 2, .. 9 of every decade in sight.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a grid spacer")]
fn log_marks(input: GridInput) -> Vec<GridMark> {
    let (low, high) = (input.bounds.0.floor().clamp(-9.0, 9.0), input.bounds.1.ceil().clamp(-9.0, 9.0));
    let mut marks = vec![];
    let mut decade = low;
    while decade <= high {
        for digit in 1..=9_u8 {
            let step_size = match digit {
                1 => 1.0,
                2 | 5 => 0.3,
                _ => 0.1,
            };
            marks.push(GridMark { value: decade + f64::from(digit).log10(), step_size });
        }
        decade += 1.0;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_marks_are_labelled_at_1_2_and_5() {
        let marks = log_marks(GridInput { bounds: (0.1, 0.9), base_step_size: 0.01 });
        let labels: Vec<String> = marks.into_iter().map(|m| y_label(m, true)).filter(|l| !l.is_empty()).collect();
        assert_eq!(labels, ["1 ms", "2 ms", "5 ms", "10 ms", "20 ms", "50 ms"]);
    }

    #[test]
    fn linear_labels_name_no_negative_time() {
        assert_eq!(y_label(GridMark { value: -1.0, step_size: 1.0 }, false), "");
        assert_eq!(y_label(GridMark { value: 0.5, step_size: 1.0 }, false), "500 \u{b5}s");
    }
}
