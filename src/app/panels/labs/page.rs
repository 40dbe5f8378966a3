//! A lab's page. Running text is drawn by `egui_commonmark`; code, tables and folds are drawn here, so that code can be copied, long
//! cells wrap, and answers stay closed until somebody opens them.

use egui::{Button, CollapsingHeader, Frame, Label, RichText, ScrollArea, TextStyle, Ui, vec2};
use egui_commonmark::{CommonMarkCache, CommonMarkViewer};

use crate::app::{labs::page::Part, theme};

/// Longer lines are hard to read.
const MAX_WIDTH: f32 = 780.0;
/// Space between parts.
const GAP: f32 = 8.0;
/// Between the columns of a table.
const COLUMN_GAP: f32 = 14.0;

pub fn show(ui: &mut Ui, cache: &mut CommonMarkCache, parts: &[Part], lab: u8) {
    ui.set_max_width(ui.available_width().min(MAX_WIDTH));
    for (index, part) in parts.iter().enumerate() {
        ui.push_id((lab, index), |ui| self::part(ui, cache, part, lab));
        ui.add_space(GAP);
    }
}

fn part(ui: &mut Ui, cache: &mut CommonMarkCache, part: &Part, lab: u8) {
    match part {
        Part::Heading(level, words) => heading(ui, cache, *level, words),
        Part::Text(words) => markdown(ui, cache, words),
        Part::Code { text, is_command } => code(ui, text, *is_command),
        Part::Table(rows) => table(ui, cache, rows),
        Part::Fold { title, parts } => {
            let body = |ui: &mut Ui| show(ui, cache, parts, lab);
            // A question is read before its answer is opened.
            let title = if title.ends_with('?') {
                ui.add(Label::new(RichText::new(title.replace('`', "")).strong()).wrap());
                "Answer"
            } else {
                title
            };
            CollapsingHeader::new(title).default_open(false).show(ui, body);
        }
    }
}

fn markdown(ui: &mut Ui, cache: &mut CommonMarkCache, words: &str) {
    let id = ui.scope_id();
    CommonMarkViewer::new().indentation_spaces(2).show_with_id(id, ui, cache, words);
}

/// As strong text of another size, so that code in it is drawn as such.
fn heading(ui: &mut Ui, cache: &mut CommonMarkCache, level: usize, words: &str) {
    let more = [5.0, 3.0, 1.0].get(level - 1).copied().unwrap_or(0.0);
    ui.add_space(if level == 1 { 0.0 } else { GAP });
    ui.scope(|ui| {
        for style in [TextStyle::Body, TextStyle::Monospace] {
            if let Some(font) = ui.style_mut().text_styles.get_mut(&style) {
                font.size += more;
            }
        }
        markdown(ui, cache, &format!("**{words}**"));
    });
}

fn code(ui: &mut Ui, text: &str, is_command: bool) {
    let fill = ui.visuals().extreme_bg_color;
    Frame::new()
        .fill(fill)
        .stroke(egui::Stroke::new(1.0, theme::grid_color(ui.visuals())))
        .corner_radius(4)
        .inner_margin(8)
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                let room = if is_command { 60.0 } else { 0.0 };
                let width = (ui.available_width() - room).max(40.0);
                ui.allocate_ui(vec2(width, 0.0), |ui| {
                    ui.set_width(width);
                    ScrollArea::horizontal().auto_shrink([false, true]).show(ui, |ui| {
                        ui.add(Label::new(RichText::new(text).monospace()).extend());
                    });
                });
                if is_command {
                    let copy = ui.add(Button::new("Copy").small()).on_hover_text("Run it in a terminal, in the clone");
                    if copy.clicked() {
                        ui.ctx().copy_text(text.to_owned());
                    }
                }
            });
        });
}

/// Columns share the width by what stands in them; cells wrap.
fn table(ui: &mut Ui, cache: &mut CommonMarkCache, rows: &[Vec<String>]) {
    let widths = widths(rows, ui.available_width());
    for (n, row) in rows.iter().enumerate() {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = COLUMN_GAP;
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                ui.allocate_ui(vec2(*width, 0.0), |ui| {
                    ui.set_width(*width);
                    let words = if n == 0 && !cell.is_empty() { format!("**{cell}**") } else { cell.clone() };
                    ui.push_id((n, column), |ui| markdown(ui, cache, &words));
                });
            }
        });
        ui.separator();
    }
}

/// The width of each column.
#[expect(clippy::cast_precision_loss, reason = "lengths of cells")]
fn widths(rows: &[Vec<String>], room: f32) -> Vec<f32> {
    let n = rows.iter().map(Vec::len).max().unwrap_or(0);
    let longest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    // The root, so that a long column does not take all of it.
    let shares: Vec<f32> = (0..n).map(|column| (longest(column).unwrap_or(0).max(6) as f32).sqrt()).collect();
    let room = room - COLUMN_GAP * n.saturating_sub(1) as f32;
    let all: f32 = shares.iter().sum();
    shares.into_iter().map(|share| room * share / all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_share_the_width_by_what_stands_in_them() {
        let rows = [vec!["a".to_owned(), "b".repeat(96)], vec!["c".repeat(6)]];
        let widths = widths(&rows, 514.0);
        assert!((widths[0] - 100.0).abs() < 0.01 && (widths[1] - 400.0).abs() < 0.01, "{widths:?}");
        assert!(super::widths(&[], 100.0).is_empty());
    }
}
