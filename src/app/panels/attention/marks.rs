//! What is marked on a map of attention: blocks, what was evicted, what is quantized, a window's first tokens, and a cross.

use egui::{Align2, Color32, Pos2, Rect, Role, Sense, Shape, Stroke, TextStyle, Ui, Vec2, WidgetInfo, pos2, vec2};

use super::{Scene, Zoom, ramp::Ramp, words};
use crate::{
    app::{attended::Axis, recording::lane_of, theme, units::to_f32},
    cache::SequencePicture,
};

/// Closer block boundaries than this are thinned out.
const BOUNDARY_POINTS: f32 = 12.0;

/// Where tokens lie on the screen.
pub struct Frame {
    pub rect: Rect,
    /// Column and row of the upper left corner.
    pub from: [f32; 2],
    /// Tokens along each side.
    pub span: f32,
    /// Points of a token.
    pub cell: f32,
}

impl Frame {
    pub fn new(rect: Rect, zoom: &Zoom, n_tokens: f32) -> Self {
        let span = zoom.span(n_tokens);
        Self { rect, from: zoom.from(n_tokens), span, cell: rect.width() / span }
    }

    fn at(&self, column: f32, row: f32) -> Pos2 {
        self.rect.min + vec2(column - self.from[0], row - self.from[1]) * self.cell
    }

    /// Row and column of a point.
    pub fn token_at(&self, at: Pos2) -> Option<(usize, usize)> {
        let tokens = (at - self.rect.min) / self.cell + Vec2::from(self.from);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a coordinate on the screen")]
        (self.rect.contains(at) && tokens.min_elem() >= 0.0).then_some((tokens.y as usize, tokens.x as usize))
    }
}

/// A pattern and what it means.
pub struct Mark {
    color: Color32,
    words: String,
}

/// Draws what is known of a lane's tokens over its map. The shown state is the present one: a column is marked as a whole.
pub fn draw(ui: &Ui, scene: &Scene<'_>, frame: &Frame) -> Vec<Mark> {
    let mut legend = vec![];
    if let Some(sequence) = scene.sequence() {
        let n_rows = scene.weights.n_rows;
        let [evicted, quantized] = [veil(ui), tint(ui, scene)];
        for &(start, end) in &sequence.evicted {
            columns(ui, frame, (start, end), n_rows, evicted);
        }
        if !sequence.evicted.is_empty() {
            legend.push(Mark { color: evicted, words: "evicted by now".into() });
        }
        if let Some(sealed) = sequence.sealed.filter(|sealed| *sealed > 0) {
            for part in kept(sequence, sealed) {
                columns(ui, frame, part, n_rows, quantized);
            }
            legend.push(Mark { color: quantized, words: "quantized by now".into() });
        }
    }
    legend.extend(boundaries(ui, scene, frame));
    bracket(ui, scene, frame);
    legend
}

/// Ranges of tokens below `end` that were not evicted.
fn kept(sequence: &SequencePicture, end: usize) -> Vec<(usize, usize)> {
    let mut parts = vec![];
    let mut from = 0;
    for &(start, stop) in &sequence.evicted {
        parts.push((from, start.min(end)));
        from = stop.max(from);
    }
    parts.push((from, end));
    parts.retain(|(start, stop)| start < stop);
    parts
}

fn veil(ui: &Ui) -> Color32 {
    ui.visuals().text_color().gamma_multiply(0.14)
}

fn tint(ui: &Ui, scene: &Scene<'_>) -> Color32 {
    theme::lane_color(scene.weights.attention.lane, ui.visuals()).gamma_multiply(0.2)
}

/// The columns of some tokens, from the diagonal down to the newest row.
fn columns(ui: &Ui, frame: &Frame, (start, end): (usize, usize), n_rows: usize, color: Color32) {
    let end = end.min(n_rows);
    if start >= end {
        return;
    }
    let (start, end, bottom) = (to_f32(start), to_f32(end), to_f32(n_rows));
    let corners = [(start, start), (end, end), (end, bottom), (start, bottom)];
    let corners = corners.map(|(column, row)| frame.at(column, row)).to_vec();
    ui.painter().with_clip_rect(frame.rect).add(Shape::convex_polygon(corners, color, Stroke::NONE));
}

/// Where blocks end, over the tokens that are stored.
fn boundaries(ui: &Ui, scene: &Scene<'_>, frame: &Frame) -> Option<Mark> {
    let is_paged = scene.run.lanes.get(scene.weights.attention.lane)?.name.starts_with("paged");
    let blocks = scene.blocks().filter(|blocks| is_paged && blocks.n_blocks > 0)?;
    let block_len = blocks.block_len.max(1);
    let mut every = block_len;
    while to_f32(every) * frame.cell < BOUNDARY_POINTS {
        every *= 2;
    }
    let color = theme::grid_color(ui.visuals());
    let (painter, n_rows) = (ui.painter().with_clip_rect(frame.rect), scene.weights.n_rows);
    for token in (every..n_rows).step_by(every) {
        // From the diagonal down: above it a token is not seen yet.
        let (top, bottom) = (frame.at(to_f32(token), to_f32(token)), frame.at(to_f32(token), to_f32(n_rows)));
        painter.vline(top.x, top.y..=bottom.y, Stroke::new(1.0, color));
    }
    let words = match every / block_len {
        1 => format!("lines: blocks of {block_len}"),
        blocks_per_line => format!("lines: every {blocks_per_line} blocks of {block_len}"),
    };
    Some(Mark { color: Color32::TRANSPARENT, words })
}

/// A bracket over the first tokens that a window keeps.
fn bracket(ui: &Ui, scene: &Scene<'_>, frame: &Frame) {
    let lane = scene.run.lanes.get(scene.weights.attention.lane).and_then(|lane| lane_of(&lane.name));
    let n_sinks = words::window_sinks(lane);
    let (left, right) = (frame.at(0.0, 0.0).x.max(frame.rect.left()), frame.at(to_f32(n_sinks), 0.0).x);
    if n_sinks == 0 || right <= frame.rect.left() {
        return;
    }
    let color = theme::CHOSEN.on(ui.visuals());
    let (stroke, bottom) = (Stroke::new(2.0, color), frame.rect.top() - 1.0);
    let right = right.min(frame.rect.right());
    ui.painter().hline(left..=right, bottom - 5.0, stroke);
    ui.painter().vline(left + 1.0, bottom - 5.0..=bottom, stroke);
    ui.painter().vline(right - 1.0, bottom - 5.0..=bottom, stroke);
    let text = format!("{n_sinks} sinks, kept by the window");
    let font = TextStyle::Small.resolve(ui.style());
    ui.painter().text(pos2(right + 6.0, bottom), Align2::LEFT_BOTTOM, text, font, color);
}

/// The row or the column whose profile is shown.
pub fn line(ui: &Ui, frame: &Frame, axis: Axis, token: usize, n_rows: usize) {
    let (start, end, all) = (to_f32(token), to_f32(token + 1), to_f32(n_rows));
    let rect = match axis {
        Axis::Rows => Rect::from_min_max(frame.at(0.0, start), frame.at(end, end)),
        Axis::Columns => Rect::from_min_max(frame.at(start, start), frame.at(end, all)),
    };
    let stroke = Stroke::new(1.5, theme::CHOSEN.on(ui.visuals()));
    let painter = ui.painter().with_clip_rect(frame.rect.expand(1.0));
    painter.rect_stroke(rect.expand(0.5), 0.0, stroke, egui::StrokeKind::Outside);
}

/// From a weight to the row and the column that it belongs to.
pub fn cross(ui: &Ui, frame: &Frame, query: usize, key: usize) {
    let stroke = Stroke::new(1.0, theme::CHOSEN.on(ui.visuals()).gamma_multiply(0.8));
    let middle = |token: usize| to_f32(token) + 0.5;
    let painter = ui.painter().with_clip_rect(frame.rect);
    let [from, at, top] = [(0.0, query), (middle(key), query), (middle(key), key)]
        .map(|(column, row): (f32, usize)| frame.at(column, middle(row)));
    painter.line_segment([from, at], stroke);
    painter.line_segment([top, at], stroke);
}

/// The marks that are there, and what they mean.
pub fn legend(ui: &mut Ui, marks: &[Mark], ramp: &Ramp) {
    ui.horizontal(|ui| {
        for mark in marks {
            let font = TextStyle::Small.resolve(ui.style());
            let galley = ui.painter().layout_no_wrap(mark.words.clone(), font, ui.visuals().text_color());
            let swatch = if mark.color == Color32::TRANSPARENT { 0.0 } else { 17.0 };
            let (rect, response) = ui.allocate_exact_size(vec2(swatch + galley.size().x, 16.0), Sense::hover());
            if swatch > 0.0 {
                let cell = Rect::from_min_size(rect.min + vec2(0.0, 2.0), Vec2::splat(12.0));
                ui.painter().rect_filled(cell, 0.0, ramp.colors[usize::from(ramp.neutral)]);
                ui.painter().rect_filled(cell, 0.0, mark.color);
            }
            let at = pos2(rect.left() + swatch, rect.center().y - galley.size().y / 2.0);
            ui.painter().galley(at, galley, ui.visuals().text_color());
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &mark.words));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_tokens_are_each_others_inverse() {
        let rect = Rect::from_min_size(pos2(10.0, 20.0), Vec2::splat(200.0));
        let mut zoom = Zoom::default();
        zoom.by(2.0, [1.0, 0.5], 40.0);
        let frame = Frame::new(rect, &zoom, 40.0);
        assert_eq!((frame.cell, frame.from), (10.0, [20.0, 10.0]));
        assert_eq!(frame.token_at(frame.at(23.5, 12.5)), Some((12, 23)));
        assert_eq!(frame.token_at(pos2(9.0, 30.0)), None);
    }

    #[test]
    fn what_was_evicted_is_not_called_quantized() {
        let sequence =
            SequencePicture { len: 90, evicted: vec![(4, 20), (30, 33)], sealed: Some(64), ..Default::default() };
        assert_eq!(kept(&sequence, 64), [(0, 4), (20, 30), (33, 64)]);
        assert_eq!(kept(&sequence, 32), [(0, 4), (20, 30)]);
        assert_eq!(kept(&SequencePicture::default(), 0), []);
    }
}
