//! Blocks side by side, of the pool or of a table: drawn, and pointed at.

use egui::{Rect, Role, Sense, Ui, WidgetInfo};

use super::{
    Shown,
    draw::{self, Look, Mosaic, SMALL_CELL},
    grid::Grid,
    target::{Target, Touch},
};

/// Narrower slots cannot be pointed at; their block can.
const SLOT_POINTS: f32 = 3.5;

/// The largest cells that are drawn: large enough that each slot can be pointed at, where there is room.
pub fn largest(block_len: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a number of points")]
    let points = block_len.min(64) as f32 * 5.0;
    points.clamp(44.0, 88.0)
}

/// Draws `places`, each a block or a gap, in the cells of `grid`.
pub fn show(ui: &mut Ui, shown: &Shown<'_>, grid: &Grid, places: &[Target], name: &str) -> Touch {
    let (area, response) = ui.allocate_exact_size(grid.size, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let (visible, block_len) = (ui.clip_rect(), shown.picture.block_len);
    let mut mosaic = Mosaic::default();
    let mut marked = vec![];
    for (index, place) in places.iter().enumerate() {
        let cell = grid.cell(area, index);
        if !visible.intersects(cell) {
            continue;
        }
        let is_small = grid.cell < SMALL_CELL;
        if let Target::Block(block) = *place {
            let (bands, number) = (shown.bands(block), if is_small { String::new() } else { block.to_string() });
            let is_fresh = shown.fresh.is_taken(block);
            let look = Look { block_len, bands: &bands, is_fresh, number: &number };
            if is_small {
                mosaic.block(ui.visuals(), cell, &look);
            } else {
                draw::block(ui, cell, &look);
            }
            if shown.marked_block() == Some(block) {
                marked.push((cell, shown.marked_slot()));
            }
        } else {
            if is_small {
                mosaic.gap(ui.visuals(), cell);
            } else {
                draw::gap(ui, cell);
            }
            if shown.is_marked_gap(*place) {
                marked.push((cell, shown.marked_slot()));
            }
        }
    }
    mosaic.paint(ui.painter());
    for (cell, slot) in marked {
        draw::mark(ui.painter(), ui.visuals(), cell, block_len, slot);
    }
    let pointed = response.hover_pos().and_then(|at| {
        let index = grid.index_at(area, at)?;
        let cell = grid.cell(area, index);
        places.get(index).map(|place| token_at(shown, *place, cell, at).unwrap_or(*place))
    });
    Touch { pointed, clicked: response.clicked() }
}

/// The token of the slot under a point, where slots are wide enough and hold one.
fn token_at(shown: &Shown<'_>, place: Target, cell: Rect, at: egui::Pos2) -> Option<Target> {
    let block_len = shown.picture.block_len.max(1);
    let share = (at - cell.min) / cell.size();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "coordinates on the screen"
    )]
    let part = |share: f32, n: usize| ((share.max(0.0) * n as f32) as usize).min(n.saturating_sub(1));
    #[expect(clippy::cast_precision_loss, reason = "coordinates on the screen")]
    if cell.width() / (block_len as f32) < SLOT_POINTS {
        return None;
    }
    let (sequence, place) = match place {
        Target::Block(block) => {
            let holders = shown.holders(block);
            let holder = holders.get(part(share.y, holders.len()))?;
            (holder.sequence, holder.place)
        }
        Target::Gap { sequence, place } => (sequence, place),
        Target::Token { .. } => return Some(place),
    };
    let position = place.checked_mul(block_len)?.checked_add(part(share.x, block_len))?;
    let len = shown.picture.sequences.get(sequence)?.len;
    (position < len).then_some(Target::Token { sequence, position })
}
