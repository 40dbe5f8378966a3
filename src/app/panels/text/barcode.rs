//! The strip above a text: how far the lane is, and a tick where it differs or was given another cache.

use egui::{Align2, CursorIcon, Rect, Role, Sense, Stroke, TextStyle, Ui, WidgetInfo, pos2, vec2};

use crate::app::{
    comparison::token_words,
    state::{LaneState, RunState},
    text_spans::{Tick, nearest, switch_words, switched_to, ticks},
    theme,
};

const HEIGHT: f32 = 9.0;
/// A pointer this near to a tick means it.
const REACH: f32 = 6.0;

/// Draws the strip; returns the token whose tick was clicked.
pub fn show(ui: &mut Ui, run: &RunState, index: usize, lane: &LaneState) -> Option<usize> {
    let ticks = ticks(lane);
    let name_height = if lane.switches.is_empty() { 0.0 } else { TextStyle::Small.resolve(ui.style()).size + 2.0 };
    let size = vec2(ui.available_width(), HEIGHT + name_height);
    let (rect, response) = ui.allocate_exact_size(size, if ticks.is_empty() { Sense::hover() } else { Sense::click() });
    let n_tokens = run.tokens.max(lane.records.len()).max(1);
    let strip = Rect::from_min_max(pos2(rect.left(), rect.bottom() - HEIGHT), rect.max);
    let width = strip.width() / count(n_tokens);
    let x = |token: usize| strip.left() + (count(token) + 0.5) * width;
    draw(ui, index, lane, &ticks, strip, &x);
    let name = accessible_name(lane);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));

    let pointer = response.hover_pos()?;
    let at = f64::from((pointer.x - strip.left()) / width) - 0.5;
    let tick = nearest(&ticks, at, f64::from(REACH / width))?;
    let words = tick.switch.map_or_else(|| token_words(run, tick.token), |switch| switch_words(lane, switch));
    let clicked = response.clicked();
    response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text_at_pointer(words);
    clicked.then_some(tick.token)
}

fn draw(ui: &Ui, index: usize, lane: &LaneState, ticks: &[Tick], strip: Rect, x: &dyn Fn(usize) -> f32) {
    let (painter, visuals) = (ui.painter(), ui.visuals());
    painter.rect_filled(strip, 2.0, theme::grid_color(visuals).gamma_multiply(0.6));
    // To the end of the newest token.
    let done = f32::midpoint(x(lane.records.len()), x(lane.records.len().saturating_sub(1)));
    if !lane.records.is_empty() {
        let color = theme::lane_color(index, visuals).gamma_multiply(0.35);
        painter.rect_filled(strip.with_max_x(done), 2.0, color);
    }
    // Ticks in one pixel are one tick.
    let mut drawn = f32::NEG_INFINITY;
    for tick in ticks.iter().filter(|tick| tick.switch.is_none()) {
        let at = x(tick.token).round();
        if at - drawn >= 1.0 {
            painter.vline(at, strip.y_range(), Stroke::new(1.5, theme::ERROR.on(visuals)));
            drawn = at;
        }
    }
    let mut free = strip.left();
    for (tick, switch) in ticks.iter().filter_map(|tick| Some((tick, tick.switch?))) {
        let at = x(tick.token);
        let color = theme::CHOSEN.on(visuals);
        painter.vline(at, strip.y_range().expand(1.0), Stroke::new(3.0, color));
        let name = painter.layout_no_wrap(
            format!("now {}", switched_to(lane, switch)),
            TextStyle::Small.resolve(ui.style()),
            color,
        );
        // In the strip's width, and only where the name before it ends; hovering says the others.
        let left = at.min(strip.right() - name.size().x).max(strip.left());
        if left >= free {
            free = left + name.size().x + 6.0;
            let rect = Align2::LEFT_BOTTOM.anchor_size(pos2(left, strip.top()), name.size());
            painter.galley(rect.min, name, color);
        }
    }
}

fn accessible_name(lane: &LaneState) -> String {
    let mut name = format!("where {} differs: {} of {} tokens", lane.name, lane.differing.len(), lane.records.len());
    for (i, switch) in lane.switches.iter().enumerate() {
        name.push_str(&format!("; from token {} on {}", switch.step, switched_to(lane, i)));
    }
    name
}

#[expect(clippy::cast_precision_loss, reason = "a number of tokens")]
fn count(n: usize) -> f32 {
    n as f32
}
