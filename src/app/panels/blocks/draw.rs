//! Blocks as squares: filled from the left, a stripe a slot, and a band for each sequence that holds the block.

use egui::{Align2, Color32, FontId, Painter, Rect, Sense, Shape, Stroke, StrokeKind, TextStyle, Ui, Vec2, pos2, vec2};

use super::slots::{Census, Run, Slot};
use crate::app::{theme, units::to_x};

const LARGEST_CELL: f32 = 44.0;
const GAP: f32 = 3.0;
/// Points between two lines of the pattern of dead slots.
const HATCH: f32 = 4.0;
const CORNER: f32 = 2.0;

/// A block as one of its holders sees it.
pub struct Band {
    pub color: Color32,
    pub runs: Vec<Run>,
}

/// A block: its slots for each of its holders, one above the other.
pub fn block(ui: &Ui, cell: Rect, block_len: usize, bands: &[Band], is_pointed: bool, number: &str) {
    let painter = ui.painter();
    painter.rect_filled(cell, CORNER, ui.visuals().extreme_bg_color);
    #[expect(clippy::cast_precision_loss, reason = "a handful of sequences")]
    let height = cell.height() / bands.len().max(1) as f32;
    let mut top = cell.top();
    for band in bands {
        for run in &band.runs {
            let x = |slot: usize| cell.left() + cell.width() * share(slot, block_len);
            let (left, right) = (x(run.slots.start), x(run.slots.end));
            slots(painter, Rect::from_min_max(pos2(left, top), pos2(right, top + height)), run.slot, band.color);
        }
        top += height;
    }
    let edge = if is_pointed {
        Stroke::new(2.0, theme::CHOSEN.on(ui.visuals()))
    } else {
        Stroke::new(1.0, bands.first().map_or(theme::grid_color(ui.visuals()), |band| band.color))
    };
    painter.rect_stroke(cell, CORNER, edge, StrokeKind::Inside);
    let is_hatched = bands.iter().flat_map(|band| &band.runs).any(|run| run.slot == Slot::Dead);
    write(ui, cell, number, is_hatched);
}

/// The place of a block that was given back: nothing but its outline.
pub fn gap(ui: &Ui, cell: Rect, is_pointed: bool) {
    let color = if is_pointed { theme::CHOSEN.on(ui.visuals()) } else { ui.visuals().weak_text_color() };
    let inner = cell.shrink(0.5);
    let corners = [inner.left_top(), inner.right_top(), inner.right_bottom(), inner.left_bottom(), inner.left_top()];
    ui.painter().extend(Shape::dashed_line(&corners, Stroke::new(1.0, color), 3.0, 3.0));
    write(ui, cell, "\u{2013}", false);
}

/// `has_ground`: on a ground of its own, because lines would run through it.
fn write(ui: &Ui, cell: Rect, text: &str, has_ground: bool) {
    if cell.width() < 20.0 {
        return;
    }
    let font = FontId::proportional((cell.width() * 0.34).max(10.0));
    let galley = ui.painter().layout_no_wrap(text.into(), font, ui.visuals().strong_text_color());
    let rect = Align2::CENTER_CENTER.anchor_size(cell.center(), galley.size());
    if has_ground {
        ui.painter().rect_filled(
            rect.expand2(vec2(2.0, -1.0)),
            3.0,
            ui.visuals().extreme_bg_color.gamma_multiply(0.85),
        );
    }
    ui.painter().galley(rect.min, galley, ui.visuals().strong_text_color());
}

fn slots(painter: &Painter, rect: Rect, slot: Slot, color: Color32) {
    match slot {
        Slot::Stored => drop(painter.rect_filled(rect, CORNER, color.gamma_multiply(0.75))),
        Slot::Dead => hatch(painter, rect, Stroke::new(1.0, color.gamma_multiply(0.8))),
        Slot::Exact => drop(painter.rect_filled(rect, CORNER, color.gamma_multiply(0.28))),
        Slot::Empty => {}
    }
}

/// Lines that rise to the right, cut off where `rect` ends. Rectangles side by side continue each other's lines.
fn hatch(painter: &Painter, rect: Rect, stroke: Stroke) {
    // A line is the points (x, y) with x + y = sum.
    let mut sum = ((rect.left() + rect.top()) / HATCH).ceil() * HATCH;
    while sum < rect.right() + rect.bottom() {
        let left = rect.left().max(sum - rect.bottom());
        let right = rect.right().min(sum - rect.top());
        painter.line_segment([pos2(left, sum - left), pos2(right, sum - right)], stroke);
        sum += HATCH;
    }
}

/// What the patterns mean; those that are there.
pub fn legend(ui: &mut Ui, color: Color32, census: &Census) {
    ui.horizontal_wrapped(|ui| {
        sample(ui, "filled", |ui, cell| slots(ui.painter(), cell, Slot::Stored, color));
        if census.dead_slots > 0 {
            sample(ui, "dead: its token was evicted", |ui, cell| slots(ui.painter(), cell, Slot::Dead, color));
        }
        if census.exact_tokens > 0 {
            let words = "kept for a token that is exact still, outside the blocks";
            sample(ui, words, |ui, cell| slots(ui.painter(), cell, Slot::Exact, color));
        }
        sample(ui, "empty", |_, _| {});
        if census.given_back > 0 {
            sample(ui, "given back to the pool", |ui, cell| gap(ui, cell, false));
        }
    });
}

fn sample(ui: &mut Ui, words: &str, draw: impl FnOnce(&Ui, Rect)) {
    let font = TextStyle::Small.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(words.into(), font, ui.visuals().text_color());
    let side = 16.0;
    // One piece, or a pattern could wrap away from its meaning.
    let (rect, response) = ui.allocate_exact_size(vec2(side + 5.0 + galley.size().x + 6.0, side + 2.0), Sense::hover());
    let cell = Rect::from_min_size(rect.min + vec2(0.0, 1.0), Vec2::splat(side));
    ui.painter().rect_filled(cell, CORNER, ui.visuals().extreme_bg_color);
    draw(ui, cell);
    ui.painter().rect_stroke(cell, CORNER, Stroke::new(1.0, theme::grid_color(ui.visuals())), StrokeKind::Inside);
    let at = pos2(cell.right() + 5.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, ui.visuals().text_color());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, words));
}

#[expect(clippy::cast_possible_truncation, reason = "a share of a block")]
fn share(slot: usize, block_len: usize) -> f32 {
    (to_x(slot) / to_x(block_len.max(1))) as f32
}

/// Equal cells in rows that fill the width.
pub struct Grid {
    cell: f32,
    columns: usize,
    pub size: Vec2,
}

impl Grid {
    /// The largest cells with which `n` of them fit the room there is.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "coordinates on the screen"
    )]
    pub fn new(width: f32, height: f32, n: usize) -> Self {
        let (width, height) = (width.max(1.0), height.max(1.0));
        let mut cell = LARGEST_CELL;
        loop {
            let columns = (((width + GAP) / (cell + GAP)) as usize).max(1);
            let rows = n.div_ceil(columns);
            let size = vec2(columns as f32 * (cell + GAP) - GAP, rows as f32 * (cell + GAP));
            if size.y <= height || cell <= 4.0 {
                return Self { cell, columns, size };
            }
            cell -= 1.0;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "coordinates on the screen")]
    pub fn cell(&self, area: Rect, index: usize) -> Rect {
        let (column, row) = ((index % self.columns) as f32, (index / self.columns) as f32);
        Rect::from_min_size(area.min + vec2(column, row) * (self.cell + GAP), Vec2::splat(self.cell))
    }
}
