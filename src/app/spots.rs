//! Named places on screen, so that a guided tour can point at what is really there.
//!
//! Panels [`mark`] a place in every frame in which they draw it; a tour asks where it is with [`find`] and draws a ring
//! around it with [`point`]. A place that is no longer drawn is forgotten after a frame.

use std::collections::HashMap;

use egui::{
    Align2, Color32, Context, CornerRadius, Id, LayerId, Order, Rect, Stroke, StrokeKind, TextStyle, Vec2, pos2, vec2,
};

use super::theme;

pub const RUN: &str = "run button";
pub const STEP: &str = "step button";
pub const LANES: &str = "lanes field";
pub const PROMPT: &str = "prompt field";
pub const STATUS: &str = "status bar";
pub const TIMELINE: &str = "timeline of a trace";
pub const SUMMARY: &str = "summary table";
pub const LATENCY: &str = "latency plot";
pub const MEMORY: &str = "memory plot";
pub const TEXT: &str = "texts of the lanes";
pub const ATTENTION_HEADS: &str = "overview of all heads";
pub const ATTENTION_HEAD: &str = "attention heatmap";
pub const FORK: &str = "fork button";
pub const BLOCK_POOL: &str = "block pool";
pub const BLOCK_TABLES: &str = "block tables";
pub const BLOCK_TEXT: &str = "text by block";
pub const MEASURE: &str = "measure button";
pub const QUALITY_TABLE: &str = "quality table";
pub const PARETO: &str = "plot of loss against bytes";
pub const RECALL: &str = "plot of recall by distance";

/// Every place and the pane that has it, `None` where the place is in sight with any pane.
pub const ALL: [(&str, Option<&str>); 20] = [
    (RUN, None),
    (STEP, None),
    (LANES, None),
    (PROMPT, None),
    (STATUS, None),
    (TIMELINE, None),
    (SUMMARY, Some("Cost")),
    (LATENCY, Some("Cost")),
    (MEMORY, Some("Cost")),
    (TEXT, Some("Cost")),
    (ATTENTION_HEADS, Some("Attention")),
    (ATTENTION_HEAD, Some("Attention")),
    (FORK, Some("Blocks")),
    (BLOCK_POOL, Some("Blocks")),
    (BLOCK_TABLES, Some("Blocks")),
    (BLOCK_TEXT, Some("Blocks")),
    (MEASURE, Some("Quality")),
    (QUALITY_TABLE, Some("Quality")),
    (PARETO, Some("Quality")),
    (RECALL, Some("Quality")),
];

/// Points between a place and the ring around it.
const RING_GAP: f32 = 3.0;
const RING_WIDTH: f32 = 3.0;
const CALLOUT_WIDTH: f32 = 260.0;
const CALLOUT_PADDING: Vec2 = vec2(8.0, 5.0);

/// Where each place was drawn last, and in which frame.
type Places = HashMap<&'static str, (Rect, u64)>;

/// The pane that has a place.
#[must_use]
pub fn pane(name: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == name).and_then(|(_, pane)| *pane)
}

/// Remembers where a place is drawn in this frame.
pub fn mark(ctx: &Context, name: &'static str, rect: Rect) {
    let frame = ctx.cumulative_frame_nr();
    ctx.data_mut(|data| {
        data.get_temp_mut_or_default::<Places>(id()).insert(name, (rect, frame));
    });
}

/// Where a place is, if it was drawn in this frame or the last one.
#[must_use]
pub fn find(ctx: &Context, name: &str) -> Option<Rect> {
    let now = ctx.cumulative_frame_nr();
    let place = ctx.data(|data| data.get_temp::<Places>(id()).and_then(|places| places.get(name).copied()));
    place.filter(|(rect, frame)| frame + 1 >= now && rect.is_positive()).map(|(rect, _)| rect)
}

/// Draws a ring around a place, above everything, with `text` beside it. False where the place is not in sight.
#[must_use]
pub fn point(ctx: &Context, name: &str, text: &str) -> bool {
    let screen = ctx.content_rect();
    let Some(rect) = find(ctx, name).filter(|rect| rect.intersects(screen)) else { return false };
    let style = ctx.global_style();
    let (color, ground) = (theme::CHOSEN.on(&style.visuals), style.visuals.extreme_bg_color);
    let painter = ctx.layer_painter(LayerId::new(Order::Foreground, id()));
    let ring = rect.expand(RING_GAP).intersect(screen.shrink(RING_WIDTH / 2.0));
    painter.rect_stroke(ring, CornerRadius::same(6), Stroke::new(RING_WIDTH, color), StrokeKind::Middle);
    if text.is_empty() {
        return true;
    }
    let font = TextStyle::Body.resolve(&style);
    let galley = painter.layout(text.to_owned(), font, style.visuals.strong_text_color(), CALLOUT_WIDTH);
    let callout = callout(ring, galley.size() + 2.0 * CALLOUT_PADDING, screen);
    painter.rect(callout, CornerRadius::same(5), ground, Stroke::new(1.5, color), StrokeKind::Inside);
    painter.galley(callout.min + CALLOUT_PADDING, galley, Color32::PLACEHOLDER);
    true
}

/// Where a callout of `size` lies: below the ring, or above it, or, where neither has room, inside at its lower edge.
fn callout(ring: Rect, size: Vec2, screen: Rect) -> Rect {
    let gap = 6.0;
    let left = (ring.center().x - size.x / 2.0).min(screen.right() - size.x - gap).max(screen.left() + gap);
    let below = ring.bottom() + gap;
    let above = ring.top() - gap - size.y;
    let top = if below + size.y <= screen.bottom() {
        below
    } else if above >= screen.top() {
        above
    } else {
        ring.bottom() - gap - size.y
    };
    Align2::LEFT_TOP.anchor_size(pos2(left, top), size)
}

fn id() -> Id {
    Id::unique("kvlab spots")
}

#[cfg(test)]
mod tests {
    use egui::{Pos2, RawInput};

    use super::*;

    fn frame(ctx: &Context, draw: impl FnMut(&Context)) {
        let mut draw = draw;
        let screen_rect = Some(Rect::from_min_size(Pos2::ZERO, vec2(400.0, 300.0)));
        let mut output = ctx.run_ui(RawInput { screen_rect, ..RawInput::default() }, |ui| draw(ui.ctx()));
        // Nobody looks at the frame.
        output.textures_delta.clear();
    }

    #[test]
    fn a_place_is_found_until_it_is_no_longer_drawn() {
        let ctx = Context::default();
        let place = Rect::from_min_size(pos2(10.0, 20.0), vec2(30.0, 40.0));
        frame(&ctx, |ctx| mark(ctx, RUN, place));
        frame(&ctx, |ctx| {
            assert_eq!((find(ctx, RUN), find(ctx, LANES)), (Some(place), None), "of the last frame");
            assert!(point(ctx, RUN, "Press it") && !point(ctx, LANES, ""));
        });
        frame(&ctx, |ctx| assert_eq!(find(ctx, RUN), None, "two frames ago"));
    }

    #[test]
    fn a_callout_stays_on_the_screen_and_off_its_place() {
        let screen = Rect::from_min_size(Pos2::ZERO, vec2(400.0, 300.0));
        let size = vec2(100.0, 30.0);
        for ring in [
            Rect::from_min_size(pos2(0.0, 0.0), vec2(40.0, 20.0)),
            Rect::from_min_size(pos2(370.0, 280.0), vec2(30.0, 20.0)),
            Rect::from_min_size(pos2(150.0, 100.0), vec2(100.0, 100.0)),
        ] {
            let callout = callout(ring, size, screen);
            assert!(screen.contains_rect(callout) && !callout.intersects(ring), "{callout:?} at {ring:?}");
        }
        let callout = callout(screen, size, screen);
        assert!(screen.contains_rect(callout), "a place that fills the screen has it inside");
    }

    #[test]
    fn places_have_names_of_their_own_and_panes_that_exist() {
        for (index, (name, pane)) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|(earlier, _)| earlier != name), "{name}");
            assert!(pane.is_none_or(|pane| pane.parse::<crate::app::Pane>().is_ok()), "{name}");
        }
    }
}
