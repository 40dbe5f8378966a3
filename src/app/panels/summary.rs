//! The table: what each lane cost so far.

use std::ops::Range;

use egui::{
    Align, Align2, Color32, FontId, Grid, Label, Layout, Rangef, Rect, Response, RichText, Role, ScrollArea, Sense,
    Shape, Stroke, StrokeKind, TextStyle, TextWrapMode, Ui, WidgetInfo, layers::ShapeIdx, pos2, vec2,
};

use crate::app::{
    comparison::called,
    spots,
    state::{LaneState, RunState},
    summary::{Column, Group, Row, columns, csv},
    theme,
};

/// Eight lanes and the header; more of them scroll.
const MAX_HEIGHT: f32 = 260.0;
/// Below this everything is smaller.
const WIDE: f32 = 1040.0;
/// Below this columns stand close.
const TIGHT: f32 = 880.0;

/// The whole table, with a scroll bar when there are many lanes.
pub fn show(ui: &mut Ui, run: &mut RunState) {
    let area = ScrollArea::both().auto_shrink([false, true]).max_height(MAX_HEIGHT).min_scrolled_height(MAX_HEIGHT);
    let area = area.show(ui, |ui| {
        table(ui, run);
        ui.add_space(4.0);
    });
    spots::mark(ui.ctx(), spots::SUMMARY, area.inner_rect);
}

fn table(ui: &mut Ui, run: &mut RunState) {
    let (is_narrow, is_tight) = (ui.available_width() < WIDE, ui.available_width() < TIGHT);
    if is_narrow {
        for style in [TextStyle::Body, TextStyle::Monospace] {
            if let Some(font) = ui.style_mut().text_styles.get_mut(&style) {
                font.size = 13.0;
            }
        }
    }
    let (column, gap) = match (is_tight, is_narrow) {
        (true, _) => (28.0, 5.0),
        (_, true) => (30.0, 9.0),
        _ => (44.0, 14.0),
    };
    let shown: Vec<&Column> = columns(run).collect();
    let rows: Vec<Row> = run.lanes.iter().map(Row::of).collect();
    let first = called(run, 0);
    let mut heads: Vec<Rect> = vec![];
    let mut grounds: Vec<(ShapeIdx, Rangef)> = vec![];
    let grid = Grid::new(("summary", is_narrow, is_tight)).striped(true).min_col_width(column).spacing([gap, 4.0]);
    let drawn = grid.show(ui, |ui| {
        // The names of groups are written here once it is known where their columns are.
        if ui.small_button("Copy CSV").on_hover_text("Copies this table, with units in its header").clicked() {
            ui.ctx().copy_text(csv(run));
        }
        ui.end_row();
        ui.strong("lane").on_hover_text("One cache; letter and colour are the same in every plot and text");
        for Column { name, unit, help, .. } in &shown {
            let help = if unit.is_empty() { (*help).to_owned() } else { format!("In {unit}. {help}") };
            heads.push(right(ui, RichText::new(*name).strong(), &help).rect);
        }
        ui.end_row();
        for (index, (lane, row)) in run.lanes.iter_mut().zip(&rows).enumerate() {
            let ground = ui.painter().add(Shape::Noop);
            let pace = row.pace(&rows[0], &first).filter(|_| index > 0);
            let name = ui.horizontal(|ui| {
                toggle(ui, index, lane);
                let name = theme::lane_name(ui, index, &lane.name);
                if let Some(pace) = &pace {
                    name.on_hover_text(pace);
                }
            });
            for column in &shown {
                let Column { name, unit, help, .. } = column;
                let pace = pace.as_ref().filter(|_| matches!(*name, "TPOT" | "speed"));
                let pace = pace.map_or_else(String::new, |pace| format!("{pace}\n"));
                let help = format!("{name} of {} {unit}\n{pace}{help}", lane.name);
                right(ui, RichText::new(column.cell(row)).monospace(), &help);
            }
            grounds.push((ground, name.response.rect.y_range()));
            ui.end_row();
        }
    });
    let rect = drawn.response.rect;
    write_groups(ui, &shown, &heads, rect.top());
    highlight(ui, rect, &grounds);
}

/// The name of each group in the middle above its columns, and a line under it.
fn write_groups(ui: &Ui, shown: &[&Column], heads: &[Rect], top: f32) {
    let mut start = 0;
    for group in shown.chunk_by(|a, b| a.group == b.group) {
        let columns: Range<usize> = start..start + group.len();
        start = columns.end;
        let (Some(first), Some(last)) = (heads.get(columns.start), heads.get(columns.end - 1)) else { continue };
        let name = group[0].group.name();
        if name.is_empty() {
            continue;
        }
        let x = Rangef::new(first.left() - 3.0, last.right());
        let weak = ui.visuals().weak_text_color();
        // A lone column's name ends where its numbers do.
        let (at, align) = match group[0].group {
            Group::Speed => (x.max, Align2::RIGHT_TOP),
            _ => (x.center(), Align2::CENTER_TOP),
        };
        let font = TextStyle::Small.resolve(ui.style());
        let text = ui.painter().text(pos2(at, top + 1.0), align, name, font, weak);
        ui.painter().hline(x, text.bottom() + 1.0, Stroke::new(1.0, theme::grid_color(ui.visuals())));
    }
}

/// A ground behind the row under the pointer, so that the eye stays in it.
fn highlight(ui: &Ui, table: Rect, rows: &[(ShapeIdx, Rangef)]) {
    let Some(pointer) = ui.ctx().pointer_latest_pos() else { return };
    if !ui.rect_contains_pointer(table) {
        return;
    }
    for (ground, y) in rows {
        let y = y.expand(2.0);
        if y.contains(pointer.y) {
            let rect = Rect::from_x_y_ranges(table.x_range(), y);
            let color = ui.visuals().widgets.hovered.weak_bg_fill.gamma_multiply(0.6);
            ui.painter().set(*ground, Shape::rect_filled(rect, 3.0, color));
        }
    }
}

/// A square with the lane's letter in its colour, which shows or hides it in the plots.
fn toggle(ui: &mut Ui, index: usize, lane: &mut LaneState) {
    let (rect, response) = ui.allocate_exact_size(vec2(17.0, 17.0), Sense::click());
    let color = theme::lane_color(index, ui.visuals());
    let ink: Color32 = if lane.is_hidden {
        ui.painter().rect_stroke(rect, 2.0, Stroke::new(1.5, color), StrokeKind::Inside);
        color
    } else {
        ui.painter().rect_filled(rect, 2.0, color);
        ui.visuals().panel_fill
    };
    let letter = theme::lane_letter(index);
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, letter, FontId::proportional(13.0), ink);
    let name = format!("plot {}", lane.name);
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, !lane.is_hidden, &name));
    if response.on_hover_text("Click to hide or show this lane in the plots").clicked() {
        lane.is_hidden = !lane.is_hidden;
    }
}

fn right(ui: &mut Ui, text: RichText, help: &str) -> Response {
    let cell = ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.add(Label::new(text).halign(Align::RIGHT).wrap_mode(TextWrapMode::Extend)).on_hover_text(help)
    });
    cell.inner
}
