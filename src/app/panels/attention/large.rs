//! One head, large: the map, what is marked on it, the profile of a token below, and the scale.

use egui::{Rect, Role, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};

use super::{
    Heatmap, Scene, View,
    marks::{self, Frame},
    profile, ramp, words,
};
use crate::app::{attended::Axis, units::to_f32};

/// Above the map there is room for the bracket around a window's first tokens.
const TOP: f32 = 18.0;
const PROFILE: f32 = 104.0;
const SCALE: f32 = 30.0;
const LEGEND: f32 = 22.0;
/// Height of all that is not the map itself, with the space between.
pub const HEIGHT_AROUND: f32 = TOP + PROFILE + SCALE + LEGEND + 4.0 * 5.0;
/// The wheel's points for a factor of e.
const WHEEL_POINTS: f32 = 200.0;

/// The map with everything around it, `side` points wide.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, view: &mut View, side: f32) {
    let source = scene.source(Some(scene.head));
    let n_tokens = to_f32(source.n_tokens);
    let (area, _) = ui.allocate_exact_size(vec2(side, side + TOP), Sense::hover());
    crate::app::spots::mark(ui.ctx(), crate::app::spots::ATTENTION_HEAD, area);
    let rect = Rect::from_min_max(pos2(area.left(), area.top() + TOP), area.max);
    let response = ui.interact(rect, ui.scope_id().with("map"), Sense::click_and_drag());
    let (layer, head) = scene.head;
    let from = view.is_compared().then(|| scene.run.lanes.first()).flatten();
    let less = from.map_or_else(String::new, |first| format!(" less that of {}", first.name));
    let name = format!("attention of layer {}, head {}{less}: {} rows", layer + 1, head + 1, scene.weights.n_rows);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    navigate(ui, &response, view, n_tokens);

    let frame = Frame::new(rect, &view.zoom, n_tokens);
    ui.painter().rect_filled(rect, 0.0, ui.visuals().extreme_bg_color);
    let map = Heatmap::update(&mut view.large, ui.ctx(), ui.visuals(), source);
    map.paint(ui, rect, (0, 0), Rect::from_min_size(pos2(frame.from[0], frame.from[1]), Vec2::splat(frame.span)));
    let legend = marks::draw(ui, scene, &frame);

    let at = response.hover_pos().and_then(|at| frame.token_at(at));
    let pointed = at.filter(|(query, key)| *query < scene.weights.n_rows && key <= query);
    view.pointed = pointed;
    let token = |(query, key): (usize, usize)| if view.axis == Axis::Rows { query } else { key };
    if let Some(of) = pointed.map(token).filter(|_| response.clicked()) {
        view.pin(of);
    }
    if view.pinned.is_some() || pointed.is_some() {
        marks::line(ui, &frame, view.axis, words::token(view, scene.weights.n_rows), scene.weights.n_rows);
    }
    if let Some((query, key)) = pointed {
        marks::cross(ui, &frame, query, key);
        response.on_hover_text_at_pointer(words::pointed(scene, query, key));
    }

    profile::plot(ui, scene, view, &frame, vec2(side, PROFILE));
    ramp::scale_bar(ui, scene.weights.reference.is_some(), (side - 150.0).clamp(80.0, 280.0));
    let ramp = ramp::Ramp::of(scene.weights.reference.is_some(), ui.visuals());
    marks::legend(ui, &legend, &ramp);
}

/// The wheel zooms around the pointer, dragging moves, a double click shows all.
fn navigate(ui: &Ui, response: &egui::Response, view: &mut View, n_tokens: f32) {
    let rect = response.rect;
    if response.double_clicked() {
        view.zoom = super::Zoom::default();
    }
    if response.dragged() {
        let tokens = -response.drag_delta() * view.zoom.span(n_tokens) / rect.width();
        view.zoom.pan([tokens.x, tokens.y], n_tokens);
    }
    if let Some(at) = response.hover_pos() {
        let (wheel, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        let factor = (wheel / WHEEL_POINTS).exp() * pinch;
        if (factor - 1.0).abs() > 1e-4 {
            let share = (at - rect.min) / rect.width();
            view.zoom.by(factor, [share.x, share.y], n_tokens);
        }
    }
}
