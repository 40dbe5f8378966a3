//! All heads at once: a row for each layer.

use egui::{Color32, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, vec2};

use super::{Heatmap, Scene, View};
use crate::app::{state::AttentionState, theme, units::to_f32};

const GAP: f32 = 2.0;

/// A click on a head shows it large.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, view: &mut View) {
    let AttentionState { n_layer, n_head, .. } = *scene.weights.attention;
    let map = Heatmap::update(&mut view.overview, ui.ctx(), ui.visuals(), scene.source(None));
    let tokens = Rect::from_min_size(egui::Pos2::ZERO, Vec2::splat(to_f32(map.n_tokens())));
    let most = ui.available_height() * 0.5;
    let cell = ((ui.available_width() + GAP) / to_f32(n_head)).min(most / to_f32(n_layer)).floor().max(4.0);
    let (area, _) = ui.allocate_exact_size(vec2(cell * to_f32(n_head), cell * to_f32(n_layer)), Sense::hover());
    crate::app::spots::mark(ui.ctx(), crate::app::spots::ATTENTION_HEADS, area);
    for layer in 0..n_layer {
        for head in 0..n_head {
            let at = area.min + vec2(cell * to_f32(head), cell * to_f32(layer));
            let rect = Rect::from_min_size(at, Vec2::splat(cell - GAP));
            ui.painter().rect_filled(rect, 0.0, ui.visuals().extreme_bg_color);
            map.paint(ui, rect, (layer, head), tokens);
            let response = ui.interact(rect, ui.scope_id().with((layer, head)), Sense::click());
            let is_chosen = (layer, head) == scene.head;
            let name = format!("layer {}, head {}", layer + 1, head + 1);
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_chosen, &name));
            if is_chosen || response.hovered() || response.has_focus() {
                let stroke = Stroke::new(2.0, if is_chosen { theme::CHOSEN.on(ui.visuals()) } else { Color32::GRAY });
                ui.painter().rect_stroke(rect, 0.0, stroke, StrokeKind::Outside);
            }
            if response.on_hover_text(name).clicked() {
                view.head = Some((layer, head));
            }
        }
    }
}
