//! What the patterns of blocks mean; those that are there.

use egui::{Color32, Rect, Role, Sense, Stroke, StrokeKind, TextStyle, Ui, Vec2, WidgetInfo, pos2, vec2};

use super::{
    draw::{fresh_color, gap, slots},
    slots::{Census, Slot},
};
use crate::app::theme;

/// A row of samples. `has_fresh`: blocks were taken in the last change.
pub fn show(ui: &mut Ui, color: Color32, census: &Census, has_fresh: bool) {
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
            sample(ui, "given back to the pool", gap);
        }
        if has_fresh {
            sample(ui, "taken in the last change", |ui, cell| {
                let stroke = Stroke::new(2.0, fresh_color(ui.visuals()));
                ui.painter().rect_stroke(cell, 2.0, stroke, StrokeKind::Inside);
            });
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
    ui.painter().rect_filled(cell, 2.0, ui.visuals().extreme_bg_color);
    ui.painter().rect_stroke(cell, 2.0, Stroke::new(1.0, theme::grid_color(ui.visuals())), StrokeKind::Inside);
    draw(ui, cell);
    let at = pos2(cell.right() + 5.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, ui.visuals().text_color());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
}
