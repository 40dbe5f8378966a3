//! Recall against distance: a line a lane.

use egui::{Role, ScrollArea, Ui, WidgetInfo};
use egui_plot::{GridMark, HoverPosition, PlotPoints, Points};

use super::{line, plot, stories::Shown, width};
use crate::app::{panels::axes, quality::recall::words, spots, theme, units::to_x};

pub const HELP: &str = "Of the facts that a story asks for again, how many the lane's likeliest token is right about, by the \
    number of tokens since they were last mentioned. A lane that forgets falls to the right.";

/// Distances that were asked for, and how often.
fn buckets(shown: &Shown<'_>) -> Vec<(String, usize)> {
    let exact = shown.report.lanes.iter().find(|lane| lane.is_exact);
    let asked = exact.into_iter().flat_map(|lane| &lane.recall_asked);
    asked.filter(|(_, asked)| **asked > 0).map(|(name, asked)| (name.clone(), *asked)).collect()
}

/// A sentence for each lane, and the plot as large as there is room.
pub fn large(ui: &mut Ui, shown: &Shown<'_>) {
    let exact = shown.report.lanes.iter().find(|lane| lane.is_exact);
    ScrollArea::vertical().max_height(ui.available_height() * 0.45).show(ui, |ui| {
        for (number, lane, _) in shown.lanes() {
            let words = exact.and_then(|exact| words(lane, exact));
            let words = words.unwrap_or_else(|| "was asked for no fact yet.".into());
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = 5.0;
                ui.weak(theme::lane_letter(number).to_string());
                let name = if lane.is_exact { format!("{} (exact)", lane.lane) } else { lane.lane.clone() };
                theme::lane_name(ui, number, &name);
                ui.label(words);
            });
        }
    });
    let height = ui.available_height();
    show(ui, shown, height);
}

pub fn show(ui: &mut Ui, shown: &Shown<'_>, height: f32) {
    let bottom = ui.cursor().top() + height;
    ui.strong("Recall by distance").on_hover_text(HELP);
    let (buckets, of) = (buckets(shown), shown.of());
    let marks: Vec<GridMark> = (0..buckets.len()).map(|i| GridMark { value: to_x(i), step_size: 1.0 }).collect();
    let lines: Vec<_> = shown
        .lanes()
        .map(|(number, lane, _)| {
            let share = |(i, (name, _)): (usize, &(String, usize))| {
                lane.recall.get(name).copied().flatten().map(|share| [to_x(i), 100.0 * share])
            };
            (number, lane.lane.as_str(), buckets.iter().enumerate().filter_map(share).collect::<Vec<_>>())
        })
        .collect();
    let name = format!("recall by distance: {} distances, {} lanes", buckets.len(), lines.len());
    let last = to_x(buckets.len().saturating_sub(1));
    let (names, hovered) = (buckets.clone(), buckets);
    let drawn = plot(ui, "recall", shown.run)
        .height((bottom - ui.cursor().top() - 6.0).max(60.0))
        .x_axis_label("tokens since the last mention")
        .y_axis_label("right")
        .x_grid_spacer(move |_| marks.clone())
        .y_grid_spacer(axes::millis)
        .x_axis_formatter(move |mark, _| bucket(&names, mark.value).map_or_else(String::new, |(name, _)| name.clone()))
        .y_axis_formatter(
            |mark, _| if (0.0..=100.0).contains(&mark.value) { format!("{} %", mark.value) } else { String::new() },
        )
        .label_formatter(move |at| hover(at, &hovered))
        .include_x(-0.4)
        .include_x(last + 0.4)
        .include_y(0.0)
        .include_y(100.0)
        .show(ui, |plot| {
            for (number, name, points) in lines {
                let visuals = plot.ctx().global_style().visuals.clone();
                let color = theme::lane_color(number, &visuals);
                plot.points(
                    Points::new(name.to_owned(), PlotPoints::from(points.clone()))
                        .shape(theme::lane_marker(number))
                        .radius(1.8 + 1.2 * width(number, of))
                        .color(color)
                        .id(("dot", number)),
                );
                plot.line(line(&visuals, (number, name, of), points));
            }
        });
    spots::mark(ui.ctx(), spots::RECALL, drawn.response.rect);
    drawn.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// The distance at a place of the axis.
fn bucket(buckets: &[(String, usize)], x: f64) -> Option<&(String, usize)> {
    buckets.iter().enumerate().find(|(i, _)| (to_x(*i) - x).abs() < 1e-6).map(|(_, bucket)| bucket)
}

fn hover(at: &HoverPosition<'_>, buckets: &[(String, usize)]) -> Option<String> {
    let HoverPosition::NearDataPoint { plot_name, position, .. } = at else { return None };
    let (distance, asked) = bucket(buckets, position.x)?;
    Some(format!("{plot_name}\n{distance} tokens ago: {:.1} % of {asked}", position.y))
}
