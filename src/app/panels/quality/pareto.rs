//! Quality against bytes: a point a lane.

use egui::{FontId, Pos2, Role, Stroke, TextStyle, Ui, WidgetInfo, vec2};
use egui_plot::{HoverPosition, Line, PlotPoint, PlotPoints, PlotTransform, Points};

use super::{axis::LogAxis, plot, stories::Shown};
use crate::{
    app::{panels::axes, spots, theme},
    report::quality::{
        bytes,
        labels::{self, MARKER, Rect},
        nats,
        points::{Point, front, points, power_of_two},
    },
};

const HELP: &str = "Each lane by the bytes that a token takes and by what it loses, KL(exact || lane). Down is better, and so is \
    left. Both axes are logarithmic; the dashed line at the bottom is KL 0, where the exact lane is. The grey line joins the \
    lanes that no other beats in both. Bytes are known once a story is read.\nDrag moves, Ctrl and the wheel zoom, a double \
    click fits again.";
/// Free ground around the points, in exponents.
const PAD: f64 = 0.4;
/// The discs of lanes at the same place lie in each other.
const RADII: [f32; 3] = [5.5, 8.0, 10.5];

pub fn show(ui: &mut Ui, shown: &Shown<'_>) {
    ui.strong("Lost against stored").on_hover_text(HELP);
    let (points, numbers) = (points(&shown.report.lanes), &shown.settings.numbers);
    let y = LogAxis::around(points.iter().map(|point| point.kl));
    let (low, high) = points.iter().map(|point| point.bytes_per_token.log2()).fold(
        // Where nothing is known yet: 256 B to 8 KiB.
        if points.is_empty() { (8.0, 13.0) } else { (f64::INFINITY, f64::NEG_INFINITY) },
        |(low, high), x| (low.min(x.floor()), high.max(x.ceil())),
    );
    let at = |point: &Point| [point.bytes_per_token.log2(), y.place(point.kl)];
    let best = front(&points.iter().map(|point| (point.bytes_per_token, point.kl)).collect::<Vec<_>>());
    let best: Vec<[f64; 2]> = best.into_iter().map(|index| at(&points[index])).collect();
    let drawn = plot(ui, "pareto", shown.run)
        .x_axis_label("bytes a token")
        .y_axis_label("KL, nats")
        .x_grid_spacer(axes::tokens)
        .y_grid_spacer(move |input| y.marks(input))
        .x_axis_formatter(|mark, _| power_of_two(mark.value))
        .y_axis_formatter(move |mark, _| y.label(mark.value))
        .label_formatter(|at| hover(at).map(str::to_owned))
        .include_x(low - PAD)
        .include_x(high + PAD)
        .include_y(y.zero - PAD)
        .include_y(y.top)
        .show(ui, |plot| {
            let visuals = plot.ctx().global_style().visuals.clone();
            plot.hline(y.line(&visuals));
            let grey = theme::grid_color(&visuals);
            plot.line(Line::new("front", PlotPoints::from(best)).color(grey).width(2.0).allow_hover(false));
            for point in &points {
                let text = hover_text(point);
                // Of many lanes at one point the last have the smallest disc in common.
                let radius = |place: usize| RADII[place.min(RADII.len() - 1)];
                let rings =
                    point.lanes.iter().enumerate().map(|(place, lane)| (lane, radius(place))).collect::<Vec<_>>();
                for (lane, radius) in rings.into_iter().rev() {
                    let number = numbers.get(*lane).copied().unwrap_or(*lane);
                    let disc = Points::new(text.clone(), PlotPoints::from(vec![at(point)]));
                    plot.points(disc.radius(radius).color(theme::lane_color(number, &visuals)).id(("point", *lane)));
                }
            }
        });
    write_names(ui, &points, numbers, &drawn.transform, at);
    let names: Vec<String> = points.iter().map(|point| hover_text(point).replace('\n', ", ")).collect();
    let name =
        format!("quality against bytes: {}", if names.is_empty() { "nothing yet".into() } else { names.join("; ") });
    spots::mark(ui.ctx(), spots::PARETO, drawn.response.rect);
    drawn.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// The name of each point beside it, where there is room; hovering says the others.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "pixels of a window")]
fn write_names(
    ui: &Ui,
    points: &[Point],
    numbers: &[usize],
    transform: &PlotTransform,
    at: impl Fn(&Point) -> [f64; 2],
) {
    let font = FontId { size: TextStyle::Small.resolve(ui.style()).size, ..TextStyle::Body.resolve(ui.style()) };
    let frame = *transform.frame();
    let painter = ui.painter_at(frame);
    let pixel = |value: f32| value.round() as i32;
    let place = |point: &Point| {
        let [x, y] = at(point);
        let at = transform.position_from_point(&PlotPoint::new(x, y));
        (pixel(at.x), pixel(at.y))
    };
    let inner = frame.shrink(2.0);
    let bounds = Rect {
        x: pixel(inner.left()),
        y: pixel(inner.top()),
        width: pixel(inner.width()),
        height: pixel(inner.height()),
    };
    let names: Vec<_> = points
        .iter()
        .map(|point| {
            let color = match point.lanes[..] {
                [lane] => theme::lane_color(numbers.get(lane).copied().unwrap_or(lane), ui.visuals()),
                _ => ui.visuals().text_color(),
            };
            painter.layout_no_wrap(point.label.clone(), font.clone(), color)
        })
        .collect();
    let pixels: Vec<(i32, i32)> = points.iter().map(place).collect();
    let sizes: Vec<(i32, i32)> =
        names.iter().map(|name| (pixel(name.size().x.ceil()) + 2, pixel(name.size().y.ceil()))).collect();
    let placed = labels::place(&pixels, &sizes, bounds);
    for (index, ((name, label), point)) in names.into_iter().zip(&placed).zip(&pixels).enumerate() {
        if !label.is_inside(&bounds) || placed[..index].iter().any(|other| other.overlaps(label)) {
            continue;
        }
        let corner = |(x, y): (i32, i32)| Pos2::new(x as f32, y as f32);
        let (from, to) = (corner(*point), corner(label.nearest(*point)));
        if from.distance(to) > 2.0 * MARKER as f32 {
            painter.line_segment([from, to], Stroke::new(1.0, theme::grid_color(ui.visuals())));
        }
        painter.galley(corner((label.x, label.y)) + vec2(1.0, 0.0), name, ui.visuals().text_color());
    }
}

fn hover_text(point: &Point) -> String {
    format!("{}\n{} bytes a token\nKL {} nats", point.label, bytes(point.bytes_per_token), nats(point.kl))
}

/// The points carry what is to be said of them as their names.
fn hover<'a>(at: &HoverPosition<'a>) -> Option<&'a str> {
    match at {
        HoverPosition::NearDataPoint { plot_name, .. } => Some(plot_name),
        HoverPosition::Elsewhere { .. } => None,
    }
}
