//! Blocks as squares: filled from the left, a stripe a slot, and a band for each sequence that holds the block.

use egui::{Align2, Color32, FontId, Mesh, Painter, Rect, Shape, Stroke, StrokeKind, Ui, Visuals, pos2, vec2};

use super::slots::{Run, Slot};
use crate::app::{theme, units::to_x};

/// Smaller blocks are drawn all in one shape, without numbers and patterns.
pub const SMALL_CELL: f32 = 14.0;
/// Points between two lines of the pattern of dead slots.
const HATCH: f32 = 4.0;
const CORNER: f32 = 2.0;

/// A block as one of its holders sees it.
pub struct Band {
    pub color: Color32,
    pub runs: Vec<Run>,
}

/// What a block looks like.
pub struct Look<'a> {
    pub block_len: usize,
    /// None: it is free.
    pub bands: &'a [Band],
    /// It was taken in the last change.
    pub is_fresh: bool,
    pub number: &'a str,
}

impl Look<'_> {
    /// The stretches of slots that are the same, over `cell`.
    fn stretches(&self, cell: Rect) -> impl Iterator<Item = (Rect, Slot, Color32)> {
        #[expect(clippy::cast_precision_loss, reason = "a handful of sequences")]
        let (n, height) = (self.bands.len(), cell.height() / self.bands.len().max(1) as f32);
        let top = move |band: usize| {
            #[expect(clippy::cast_precision_loss, reason = "a handful of sequences")]
            let band = band.min(n) as f32;
            cell.top() + band * height
        };
        self.bands.iter().enumerate().flat_map(move |(index, band)| {
            band.runs.iter().map(move |run| {
                let x = |slot: usize| cell.left() + cell.width() * share(slot, self.block_len);
                let (from, to) = (pos2(x(run.slots.start), top(index)), pos2(x(run.slots.end), top(index + 1)));
                (Rect::from_min_max(from, to), run.slot, band.color)
            })
        })
    }

    fn edge(&self, visuals: &Visuals) -> Stroke {
        if self.is_fresh {
            Stroke::new(2.0, fresh_color(visuals))
        } else {
            Stroke::new(1.0, self.bands.first().map_or(theme::grid_color(visuals), |band| band.color))
        }
    }
}

/// The outline of a block that was taken in the last change.
pub fn fresh_color(visuals: &Visuals) -> Color32 {
    visuals.strong_text_color()
}

/// A block: its slots for each of its holders, one above the other.
pub fn block(ui: &Ui, cell: Rect, look: &Look<'_>) {
    let painter = ui.painter();
    painter.rect_filled(cell, CORNER, ui.visuals().extreme_bg_color);
    for (rect, slot, color) in look.stretches(cell) {
        slots(painter, rect, slot, color);
    }
    painter.rect_stroke(cell, CORNER, look.edge(ui.visuals()), StrokeKind::Inside);
    let is_hatched = look.bands.iter().flat_map(|band| &band.runs).any(|run| run.slot == Slot::Dead);
    write(ui, cell, look.number, is_hatched);
}

/// Thousands of small blocks in one shape.
#[derive(Default)]
pub struct Mosaic {
    mesh: Mesh,
}

impl Mosaic {
    /// Adds a block: a frame, and what is in it.
    pub fn block(&mut self, visuals: &Visuals, cell: Rect, look: &Look<'_>) {
        let ground = visuals.extreme_bg_color;
        let inner = if cell.width() > 5.0 { cell.shrink(1.0) } else { cell };
        let edge = look.edge(visuals).color;
        if inner != cell || look.bands.is_empty() {
            self.mesh.add_colored_rect(cell, edge);
        }
        if inner != cell || !look.bands.is_empty() {
            self.mesh.add_colored_rect(inner, ground);
        }
        for (rect, slot, color) in look.stretches(inner) {
            let color = match slot {
                Slot::Stored => color.gamma_multiply(0.75),
                Slot::Dead => color.gamma_multiply(0.4),
                Slot::Exact => color.gamma_multiply(0.28),
                Slot::Empty => continue,
            };
            self.mesh.add_colored_rect(rect, color);
        }
    }

    /// Adds the place of a block that was given back.
    pub fn gap(&mut self, visuals: &Visuals, cell: Rect) {
        self.mesh.add_colored_rect(cell.shrink(cell.width() * 0.3), visuals.weak_text_color());
    }

    pub fn paint(self, painter: &Painter) {
        painter.add(Shape::mesh(self.mesh));
    }
}

/// Marks a block that is pointed at, and one of its slots.
pub fn mark(painter: &Painter, visuals: &Visuals, cell: Rect, block_len: usize, slot: Option<usize>) {
    let color = theme::CHOSEN.on(visuals);
    painter.rect_stroke(cell, CORNER, Stroke::new(2.0, color), StrokeKind::Outside);
    if let Some(slot) = slot.filter(|_| cell.width() >= SMALL_CELL) {
        let x = |slot: usize| cell.left() + cell.width() * share(slot, block_len);
        let rect = Rect::from_min_max(pos2(x(slot), cell.top()), pos2(x(slot + 1), cell.bottom()));
        painter.rect_filled(rect, 0.0, color);
    }
}

/// The place of a block that was given back: nothing but its outline.
pub fn gap(ui: &Ui, cell: Rect) {
    let color = ui.visuals().weak_text_color();
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
    let font = FontId::proportional((cell.width() * 0.34).clamp(10.0, 18.0));
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

/// Slots that are the same.
pub fn slots(painter: &Painter, rect: Rect, slot: Slot, color: Color32) {
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

#[expect(clippy::cast_possible_truncation, reason = "a share of a block")]
fn share(slot: usize, block_len: usize) -> f32 {
    (to_x(slot) / to_x(block_len.max(1))) as f32
}
