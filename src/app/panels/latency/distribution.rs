//! The spread of each lane's latencies: a box a lane, and percentiles in numbers.

use egui::{Align, Grid, Label, Layout, RichText, Role, ScrollArea, Stroke, TextWrapMode, Ui, WidgetInfo};
use egui_plot::{BoxElem, BoxPlot, BoxSpread, GridInput, GridMark, Plot};

use super::View;
use crate::app::{
    panels::scale::{Quantity, Scale},
    series::spread::Spread,
    state::RunState,
    theme::{self, lane_color},
    units::{time, to_x},
};

/// Longer names are cut off beside the plot; the table has them whole.
const NAME_CHARS: usize = 14;
/// Of the pane's height, at most this much for the table.
const TABLE_SHARE: f32 = 0.5;

/// One lane.
struct Row<'a> {
    lane: usize,
    name: &'a str,
    spread: Option<Spread>,
}

/// The boxes, and the table beneath.
pub fn show(ui: &mut Ui, run: &RunState, view: View) {
    let row = |(lane, state)| {
        let state: &crate::app::state::LaneState = state;
        Row { lane, name: &state.name, spread: Spread::of(state, !view.without_warm_up) }
    };
    let rows: Vec<Row<'_>> = run.shown_lanes().map(row).collect();
    let line = ui.text_style_height(&egui::TextStyle::Body) + 6.0;
    let table_height = (line * to_f32(rows.len() + 1) + 10.0).min(ui.available_height() * TABLE_SHARE);
    let plot_height = (ui.available_height() - table_height - ui.spacing().item_spacing.y).max(60.0);
    plot(ui, run, view, &rows, plot_height);
    ScrollArea::both()
        .id_salt("percentiles")
        .auto_shrink([false, false])
        .max_height(table_height)
        .show(ui, |ui| table(ui, &rows));
}

/// The first lane is on top.
fn place(row: usize) -> f64 {
    -to_x(row)
}

fn plot(ui: &mut Ui, run: &RunState, view: View, rows: &[Row<'_>], height: f32) {
    let scale = Scale { quantity: Quantity::Time, is_log: view.is_log };
    let names: Vec<String> = rows.iter().map(|row| short(row.name)).collect();
    let marks = rows.len();
    let mut plot = Plot::new(("distribution", run.id, view.is_log))
        .height(height)
        .x_axis_label("time per token")
        .x_grid_spacer(move |input| wide(scale, &input))
        .x_axis_formatter(move |mark, _| scale.label(mark))
        .y_grid_spacer(move |_| (0..marks).map(|row| GridMark { value: place(row), step_size: 1.0 }).collect())
        .y_axis_formatter(move |mark, _| {
            let name = names.iter().enumerate().find(|(row, _)| (place(*row) - mark.value).abs() < 0.1);
            name.map_or_else(String::new, |(_, name)| name.clone())
        })
        .y_axis_min_width(64.0)
        .label_formatter(|_| None)
        .allow_scroll(false)
        .grid_color(theme::grid_color(ui.visuals()))
        .show_grid([true, false])
        .include_y(0.6)
        .include_y(place(rows.len().saturating_sub(1)) - 0.6);
    if !view.is_log {
        plot = plot.include_x(0.0);
    }
    let visuals = ui.visuals().clone();
    let drawn = plot.show(ui, |plot| {
        for (index, row) in rows.iter().enumerate() {
            let Some(s) = row.spread else { continue };
            let [p5, p25, p50, p75, p95] = [s.p5, s.p25, s.p50, s.p75, s.p95].map(|secs| scale.place(secs));
            let color = lane_color(row.lane, &visuals);
            let text = words(row.name, &s);
            let elem = BoxElem::new(place(index), BoxSpread::new(p5, p25, p50, p75, p95))
                .box_width(0.6)
                .whisker_width(0.4)
                .stroke(Stroke::new(2.0, color))
                .fill(color.gamma_multiply(0.3));
            let formatter = Box::new(move |_: &BoxElem, _: &BoxPlot| text.clone());
            plot.box_plot(BoxPlot::new(row.name, vec![elem]).horizontal().element_formatter(formatter).id(row.lane));
        }
    });
    let name = accessible_name(rows, scale);
    drawn.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// Labels beside each other need more room than labels above each other.
fn wide(scale: Scale, input: &GridInput) -> Vec<GridMark> {
    const WIDER: f64 = 2.4;
    let wider = if scale.is_log { 1.0 } else { WIDER };
    scale.marks(GridInput { bounds: input.bounds, base_step_size: input.base_step_size * wider })
}

fn table(ui: &mut Ui, rows: &[Row<'_>]) {
    Grid::new("percentiles").striped(true).spacing([14.0, 4.0]).show(ui, |ui| {
        ui.strong("lane");
        for (name, help) in [
            ("steps", "Decode steps that the percentiles are of"),
            ("p50", "Half of the steps took at most this: the median"),
            ("p90", "9 of 10 steps took at most this"),
            ("p99", "99 of 100 steps took at most this"),
        ] {
            right(ui, RichText::new(name).strong()).on_hover_text(help);
        }
        ui.end_row();
        for row in rows {
            theme::lane_name(ui, row.lane, row.name);
            right(ui, RichText::new(row.spread.map_or(0, |spread| spread.n).to_string()).monospace());
            for value in row.spread.map_or([None; 3], |s| [Some(s.p50), Some(s.p90), Some(s.p99)]) {
                right(ui, RichText::new(value.map_or_else(|| "-".into(), time)).monospace());
            }
            ui.end_row();
        }
    });
}

fn right(ui: &mut Ui, text: RichText) -> egui::Response {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.add(Label::new(text).wrap_mode(TextWrapMode::Extend)))
        .inner
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS {
        return name.to_owned();
    }
    name.chars().take(NAME_CHARS - 1).chain(['\u{2026}']).collect()
}

fn words(name: &str, s: &Spread) -> String {
    let [p5, p25, p50, p75, p95] = [s.p5, s.p25, s.p50, s.p75, s.p95].map(time);
    format!("{name}, {} steps\np5 {p5}, p25 {p25}\nmedian {p50}\np75 {p75}, p95 {p95}", s.n)
}

fn accessible_name(rows: &[Row<'_>], scale: Scale) -> String {
    let counts: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row.name, row.spread.map_or(0, |spread| spread.n))).collect();
    format!("latency distribution, {} scale, p5 p25 median p75 p95, decode steps: {}", scale.name(), counts.join(", "))
}

#[expect(clippy::cast_precision_loss, reason = "a handful of lanes")]
fn to_f32(n: usize) -> f32 {
    n as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_there_is_no_room() {
        assert_eq!(short("paged:16"), "paged:16");
        assert_eq!(short("paged:16+window:4/60"), "paged:16+wind\u{2026}");
    }
}
