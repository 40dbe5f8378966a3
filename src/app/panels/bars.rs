//! A horizontal bar of one or more parts, for tables.

use egui::{Color32, Rect, Response, Sense, Ui, pos2, vec2};

/// Paints parts from left to right, each a share of `width` in its colour; shares beyond the width are cut off.
pub fn bar(ui: &mut Ui, width: f32, parts: &[(f32, Color32)]) -> Response {
    let height = ui.text_style_height(&egui::TextStyle::Body) * 0.8;
    let (rect, response) = ui.allocate_exact_size(vec2(width.max(1.0), height), Sense::hover());
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    let mut left = rect.left();
    for (share, color) in parts {
        let right = left + share.max(0.0) * rect.width();
        painter.rect_filled(Rect::from_min_max(pos2(left, rect.top()), pos2(right, rect.bottom())), 1.0, *color);
        left = right;
    }
    response
}

/// `part` of `whole`, 0 to 1; 0 of nothing.
#[must_use]
pub fn share(part: f64, whole: f64) -> f32 {
    let share = part / whole;
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1")]
    let share = if share.is_finite() { share.clamp(0.0, 1.0) as f32 } else { 0.0 };
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_between_nothing_and_all() {
        let shares = [share(1.0, 2.0), share(3.0, 2.0), share(-1.0, 2.0), share(1.0, 0.0), share(0.0, 0.0)];
        assert_eq!(shares.map(f32::to_bits), [0.5, 1.0, 0.0, 0.0, 0.0_f32].map(f32::to_bits));
    }
}
