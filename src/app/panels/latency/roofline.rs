//! Every step under the machine's roofs, see [`crate::app::series::roofline`].

use egui::{Align2, RichText, Role, Ui, WidgetInfo};
use egui_plot::{GridMark, HoverPosition, Line, Plot, PlotPoint, PlotPoints, Points, Text};

use crate::app::{
    floor::MachineFloor,
    panels::axes,
    series::roofline::{Work, roofs},
    shared::Shared,
    state::RunState,
    theme::{self, lane_color},
    units::{axis_rate, rate},
};

/// Free ground around the points, in decades.
const PAD: f64 = 0.25;
const PREFILL_RADIUS: f32 = 7.0;
const DECODE_RADIUS: f32 = 2.5;
const GIGA: f64 = 1e9;

/// The works of one lane.
struct Lane<'a> {
    index: usize,
    name: &'a str,
    prefill: Option<Work>,
    decode: Vec<Work>,
}

/// The plot.
pub fn show(ui: &mut Ui, run: &RunState, shared: &Shared) {
    let of = |(index, lane)| {
        let lane: &crate::app::state::LaneState = lane;
        let decode = lane.decode().iter().filter_map(Work::of).collect();
        Lane { index, name: &lane.name, prefill: lane.records.first().and_then(Work::of), decode }
    };
    let lanes: Vec<Lane<'_>> = run.shown_lanes().map(of).collect();
    let intensities =
        lanes.iter().flat_map(|lane| lane.prefill.iter().chain(&lane.decode)).map(|work| work.flops_per_byte);
    let (low, high) = around(intensities, shared.machine);
    let visuals = ui.visuals().clone();
    let mut plot = Plot::new(("roofline", run.id, shared.machine.is_some()))
        .x_axis_label("operations per byte read")
        .y_axis_label("GFLOP/s")
        .x_grid_spacer(axes::decades)
        .y_grid_spacer(axes::decades)
        .x_axis_formatter(|mark, _| label(mark))
        .y_axis_formatter(|mark, _| label(mark))
        .y_axis_min_width(64.0)
        .label_formatter(hover)
        .allow_scroll(false)
        .grid_color(theme::grid_color(&visuals));
    for x in [low, high] {
        plot = plot.include_x(x.log10());
    }
    if let Some(machine) = shared.machine {
        // Room for the words above the flat roof.
        plot = plot.include_y((machine.flops_per_sec / GIGA).log10() + PAD);
    }
    let drawn = plot.show(ui, |plot| {
        if let Some(machine) = shared.machine {
            let color = visuals.text_color();
            let anchors = [Align2::LEFT_TOP, Align2::CENTER_BOTTOM];
            for ((roof, line), anchor) in roofs(machine, low, high).into_iter().zip(roof_words(machine)).zip(anchors) {
                let points: Vec<[f64; 2]> = roof.iter().copied().map(place).collect();
                let [x, y] = [0, 1].map(|axis| f64::midpoint(points[0][axis], points[1][axis]));
                let middle = PlotPoint::new(x, y);
                plot.line(
                    Line::new(line.clone(), PlotPoints::from(points))
                        .color(color)
                        .width(theme::line_width(1.5, &visuals))
                        .allow_hover(false),
                );
                let text = RichText::new(&line).color(color).size(13.0);
                plot.text(Text::new(line, middle, text).anchor(anchor).allow_hover(false));
            }
        }
        for lane in &lanes {
            let color = lane_color(lane.index, &visuals);
            let points = |kind: &str, works: &[Work], radius| {
                let places: Vec<[f64; 2]> = works.iter().copied().map(place).collect();
                let points = Points::new(format!("{}, {kind}", lane.name), PlotPoints::from(places));
                points
                    .shape(theme::lane_marker(lane.index))
                    .color(color)
                    .radius(radius)
                    .id((kind.to_owned(), lane.index))
            };
            plot.points(points("decode", &lane.decode, DECODE_RADIUS));
            plot.points(points("prefill", lane.prefill.as_slice(), PREFILL_RADIUS).filled(false));
        }
    });
    let name = accessible_name(&lanes, shared.machine.is_some());
    drawn.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// The axis of intensities: around all points, and around the ridge where there is one.
fn around(intensities: impl Iterator<Item = f64>, machine: Option<MachineFloor>) -> (f64, f64) {
    let ridge = machine.map(|machine| machine.ridge_flops_per_byte());
    let all = intensities.chain(ridge).filter(|x| x.is_finite() && *x > 0.0);
    let (low, high) = all.fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)));
    let pad = 10_f64.powf(PAD);
    if low.is_finite() { (low / pad, high * pad) } else { (0.1, 1_000.0) }
}

fn place(work: Work) -> [f64; 2] {
    [work.flops_per_byte.log10(), (work.flops_per_sec / GIGA).log10()]
}

fn roof_words(machine: MachineFloor) -> [String; 2] {
    [
        format!("reading the weights: {} GB/s", rate(machine.read_bytes_per_sec / GIGA)),
        format!("f32 arithmetic: {} GFLOP/s", rate(machine.flops_per_sec / GIGA)),
    ]
}

fn label(mark: GridMark) -> String {
    if mark.step_size > 0.2 { axis_rate(10_f64.powf(mark.value)) } else { String::new() }
}

fn hover(at: &HoverPosition<'_>) -> Option<String> {
    let HoverPosition::NearDataPoint { plot_name, position, .. } = at else { return None };
    let [intensity, gigaflops] = [position.x, position.y].map(|place| rate(10_f64.powf(place)));
    Some(format!("{plot_name}\n{intensity} operations per byte read\n{gigaflops} GFLOP/s"))
}

fn accessible_name(lanes: &[Lane<'_>], has_roofs: bool) -> String {
    let roofs = if has_roofs { "with roofs" } else { "without roofs" };
    let count = |lane: &Lane<'_>| format!("{} {}", lane.name, lane.decode.len() + usize::from(lane.prefill.is_some()));
    format!("roofline plot, {roofs}, steps: {}", lanes.iter().map(count).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_holds_all_points_and_the_ridge() {
        let machine = MachineFloor { read_bytes_per_sec: 10.0, flops_per_sec: 100.0 };
        let (low, high) = around([0.5, 2.0].into_iter(), Some(machine));
        assert!(low < 0.5 && high > 10.0);
        assert!(around([0.5, 2.0].into_iter(), None).1 < 10.0);
        assert_eq!(around([f64::NAN, 0.0].into_iter(), None), (0.1, 1_000.0), "an axis for no points");
    }

    #[test]
    fn roofs_are_named_with_their_units() {
        let machine = MachineFloor { read_bytes_per_sec: 21e9, flops_per_sec: 130e9 };
        assert_eq!(roof_words(machine), ["reading the weights: 21.0 GB/s", "f32 arithmetic: 130 GFLOP/s"]);
    }
}
