//! Lines over tokens: the time of each, their sum, and tokens per second.

use egui::Ui;
use egui_plot::{Line, LineStyle, PlotPoints, Points};

use super::{View, What};
use crate::app::{
    decimate::{decimate, straighten, visible},
    panels::{
        scale::{Quantity, Scale},
        token_plot::{self, Readout, x_range},
    },
    series::{latency, value_at},
    shared::Shared,
    state::{LaneState, RunState},
    theme::{lane_color, lane_marker, line_width},
    units::{time, to_x},
};

/// A lane's number and its points.
type Series = (usize, Vec<[f64; 2]>);

/// The plot, and the values under the pointer.
pub fn show(ui: &mut Ui, run: &RunState, view: View, shared: &Shared, is_small: bool) {
    let scale = scale(view);
    let series: Vec<Series> = run.shown_lanes().map(|(index, lane)| (index, points(lane, view.what))).collect();
    let value = |lane: usize, token: usize| {
        let (_, points) = series.iter().find(|(index, _)| *index == lane)?;
        value_at(points, token).map(|value| scale.write(value))
    };
    let readout = Readout { is_small, run, title: title(view.what), value: &value };
    let columns = token_plot::columns(ui);
    let visuals = ui.visuals().clone();
    let mut plot = token_plot::new(ui, run, ("latency", view.what.name(), scale.is_log))
        .height((ui.available_height() - readout.height(ui)).max(60.0))
        .x_axis_label("generated token")
        .y_axis_label(y_axis(view.what))
        .y_grid_spacer(move |input| scale.marks(input))
        .y_axis_formatter(move |mark, _| scale.label(mark))
        .label_formatter(token_plot::hover(run, shared, move |y| scale.write(scale.value(y))));
    if !scale.is_log {
        plot = plot.include_y(0.0);
    }
    let drawn = plot.show(ui, |plot| {
        for (index, points) in &series {
            let Some(lane) = run.lanes.get(*index) else { continue };
            let color = lane_color(*index, &visuals);
            let line = decimate(visible(scale.places(points), x_range(plot)), columns);
            plot.line(
                Line::new(lane.name.clone(), PlotPoints::from(line))
                    .color(color)
                    .width(line_width(2.0, &visuals))
                    .id(*index),
            );
            if view.what != What::EachToken {
                continue;
            }
            if let Some(machine) = shared.machine.filter(|_| view.has_floor) {
                let floor = decimate(
                    visible(straighten(scale.places(&latency::floor_secs(lane, machine))), x_range(plot)),
                    columns,
                );
                let name = format!("{}, floor", lane.name);
                let line = Line::new(name, PlotPoints::from(floor)).color(color).width(line_width(1.5, &visuals));
                plot.line(line.style(LineStyle::dashed_dense()).id(("floor", *index)));
            }
            if let Some(record) = latency::warm_up(lane) {
                let at = [to_x(record.step), scale.place(record.total_secs)];
                // A disc of the ground under the ring hides the line in it.
                let shape = lane_marker(*index);
                let marker =
                    |name: String, radius| Points::new(name, PlotPoints::from(vec![at])).shape(shape).radius(radius);
                let ground = marker(String::new(), 5.0).color(visuals.extreme_bg_color).allow_hover(false);
                plot.points(ground.id(("warm-up ground", *index)));
                let ring = marker(warm_up_note(lane, record.total_secs), 5.0).color(color).filled(false);
                plot.points(ring.id(("warm-up", *index)));
            }
        }
        token_plot::draw_marks(plot, run, shared);
    });
    token_plot::finish(ui, run, &drawn, &accessible_name(run, view, scale));
    readout.show(ui);
}

fn scale(view: View) -> Scale {
    let quantity = if view.what == What::Throughput { Quantity::TokenRate } else { Quantity::Time };
    Scale { quantity, is_log: view.is_log }
}

fn points(lane: &LaneState, what: What) -> Vec<[f64; 2]> {
    match what {
        What::Cumulative => latency::cumulative_secs(lane),
        What::Throughput => latency::throughput(lane),
        _ => latency::inter_token_secs(lane),
    }
}

fn title(what: What) -> &'static str {
    match what {
        What::Cumulative => "since the lane's start",
        What::Throughput => "over the last 8",
        _ => "ITL",
    }
}

fn y_axis(what: What) -> String {
    match what {
        What::Cumulative => "time since start".into(),
        What::Throughput => format!("tokens/s, last {}", latency::WINDOW_TOKENS),
        _ => "time per token".into(),
    }
}

fn warm_up_note(lane: &LaneState, secs: f64) -> String {
    format!(
        "{}\ntoken 1: {}\nthe first decode step; a machine that has just begun is often slower",
        lane.name,
        time(secs)
    )
}

fn accessible_name(run: &RunState, view: View, scale: Scale) -> String {
    let points = run.lanes.iter().map(|lane| lane.decode().len().to_string()).collect::<Vec<_>>().join(", ");
    let plot = match view.what {
        What::Cumulative => "cumulative latency plot",
        What::Throughput => "tokens per second plot",
        _ => "latency plot",
    };
    format!("{plot}, {} scale, decode points of each lane: {points}", scale.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::series::test_runs::run;

    #[test]
    fn each_view_has_its_points_and_its_name() {
        let run = run(&[&[0.5, 0.25, 0.125], &[0.5]]);
        let of = |what, is_log| View { what, is_log, ..View::default() };
        let name = |view: View| accessible_name(&run, view, scale(view));
        assert_eq!(name(of(What::EachToken, false)), "latency plot, linear scale, decode points of each lane: 2, 0");
        assert_eq!(
            name(of(What::Throughput, true)),
            "tokens per second plot, log scale, decode points of each lane: 2, 0"
        );
        let counts =
            [What::EachToken, What::Cumulative, What::Throughput].map(|what| points(&run.lanes[0], what).len());
        assert_eq!(counts, [2, 3, 2], "only a sum has the prefill in it");
        assert!(warm_up_note(&run.lanes[0], 0.25).contains('\n'), "a note, see token_plot::hover");
    }
}
