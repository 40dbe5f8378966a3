//! The online softmax as a table: a row for each tile, and its share of the weight as a bar.

use egui::{Align, Align2, Label, Rect, RichText, Role, ScrollArea, Sense, TextStyle, Ui, WidgetInfo, pos2, vec2};

use super::{Context, words};
use crate::{
    app::{theme, units::quoted},
    engine::{Inspection, SoftmaxTile},
};

const ROW_HEIGHT: f32 = 22.0;

/// A column: its name, where it ends as a share of the width, and what it means.
struct Column {
    name: &'static str,
    end: f32,
    help: &'static str,
}

const COLUMNS: [Column; 7] = [
    Column {
        name: "tokens",
        end: 0.16,
        help: "The tile: neighbouring tokens that are read together, first to last. Evicted ones are not read",
    },
    Column { name: "largest", end: 0.28, help: "The largest score in the tile: query * key / the root of head_dim" },
    Column {
        name: "running",
        end: 0.40,
        help: "The largest score of this tile and those before. Weights are exp(score - this), so none is above 1",
    },
    Column {
        name: "factor",
        end: 0.525,
        help: "What the earlier sums are multiplied by: exp(old largest - new largest). 1 where the tile has no larger score",
    },
    Column {
        name: "sum",
        end: 0.64,
        help: "The sum of weights so far, after the factor. At the end every weight is divided by it",
    },
    Column {
        name: "norm",
        end: 0.755,
        help: "The length of the attended value over the tokens so far; in the last row it is the head's result",
    },
    Column {
        name: "share",
        end: 1.0,
        help: "The part of the final weight that lies in the tile. All shares add up to 100 %",
    },
];

pub fn show(ui: &mut Ui, found: &Inspection, context: &Context<'_>, scrolls: bool) {
    let softmax = &found.softmax;
    let newest = found.stored_tokens;
    let title = format!("Online softmax of the newest token, {newest} {}", quoted((context.token_text)(newest)));
    ui.add(Label::new(RichText::new(title).strong()).halign(Align::LEFT).wrap())
        .on_hover_text("The newest token: the one whose step is next");
    ui.add(Label::new(words::ONLINE).halign(Align::LEFT).wrap());
    let tokens: usize = softmax.tiles.iter().map(|tile| tile.n_live).sum();
    let text = format!(
        "{tokens} tokens in {} tiles of {} positions, layer {}, head {}",
        softmax.tiles.len(),
        softmax.tile_tokens,
        found.layer + 1,
        found.head + 1
    );
    ui.add(Label::new(RichText::new(text).weak()).halign(Align::LEFT).wrap())
        .on_hover_text("Tiles are as long as the lane's blocks, from 8 to 32 tokens, so that steps can be seen. The program itself takes 128 tokens at a time");
    head(ui);
    let rows = |ui: &mut Ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        for tile in &softmax.tiles {
            row(ui, tile, found.position, context);
        }
    };
    if scrolls {
        ScrollArea::vertical().id_salt("softmax").auto_shrink([false, false]).show(ui, rows);
    } else {
        rows(ui);
    }
}

fn head(ui: &mut Ui) {
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), ROW_HEIGHT), Sense::hover());
    let mut start = 0.0;
    for Column { name, end, help } in COLUMNS {
        let cell = Rect::from_min_max(
            pos2(area.left() + area.width() * start, area.top()),
            pos2(area.left() + area.width() * end, area.bottom()),
        );
        start = end;
        let response = ui.interact(cell, ui.scope_id().with(name), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, name));
        response.on_hover_text(help);
        text(ui, area, end, name.into(), true);
    }
    ui.painter().hline(area.x_range(), area.bottom(), egui::Stroke::new(1.0, theme::grid_color(ui.visuals())));
}

fn row(ui: &mut Ui, tile: &SoftmaxTile, position: usize, context: &Context<'_>) {
    let (area, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW_HEIGHT), Sense::hover());
    let has_chosen = tile.positions.contains(&position);
    if has_chosen {
        ui.painter().rect_filled(area, 2.0, theme::CHOSEN.on(ui.visuals()).gamma_multiply(0.22));
    }
    let before = COLUMNS[COLUMNS.len() - 2].end;
    let room = Rect::from_min_max(
        pos2(area.left() + area.width() * before + 10.0, area.top() + 3.0),
        area.max - vec2(0.0, 3.0),
    );
    #[expect(clippy::cast_possible_truncation, reason = "a coordinate on the screen")]
    let share = (tile.share as f32).clamp(0.0, 1.0);
    let bar = Rect::from_min_size(room.min, vec2(room.width() * share, room.height()));
    ui.painter().rect_filled(room, 2.0, ui.visuals().extreme_bg_color);
    ui.painter().rect_filled(bar, 2.0, theme::lane_color(context.lane, ui.visuals()).gamma_multiply(0.55));
    for (column, cell) in COLUMNS.iter().zip(cells(tile)) {
        text(ui, area, column.end, cell, false);
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, name(tile)));
    let live = match tile.positions.len() - tile.n_live {
        0 => String::new(),
        gone => format!("\n{gone} of them evicted"),
    };
    let chosen = if has_chosen { format!("\nthe chosen token {position} lies here") } else { String::new() };
    response.on_hover_text(format!(
        "{}{live}{chosen}\nweights before rescaling add up to {}",
        name(tile),
        words::number(tile.weight_sum)
    ));
}

/// Right-aligned in the column that ends at a share of the width; the first one to the left.
fn text(ui: &Ui, area: Rect, end: f32, text: String, is_head: bool) {
    let is_first = end <= COLUMNS[0].end;
    let (x, anchor) = if is_first {
        (area.left() + 4.0, Align2::LEFT_CENTER)
    } else {
        (area.left() + area.width() * end - 6.0, Align2::RIGHT_CENTER)
    };
    let style = if is_head || is_first { TextStyle::Small } else { TextStyle::Monospace };
    let color = if is_head { ui.visuals().weak_text_color() } else { ui.visuals().text_color() };
    ui.painter().text(pos2(x, area.center().y), anchor, text, style.resolve(ui.style()), color);
}

fn range(tile: &SoftmaxTile) -> String {
    let (first, last) = (tile.positions.start, tile.positions.end.saturating_sub(1));
    if first == last { first.to_string() } else { format!("{first}..{last}") }
}

/// What stands in each column.
fn cells(tile: &SoftmaxTile) -> [String; 7] {
    [
        range(tile),
        format!("{:.2}", tile.largest_score),
        format!("{:.2}", tile.running_largest),
        tile.rescale.map_or_else(|| "-".into(), factor),
        format!("{:.2}", tile.running_sum),
        format!("{:.2}", tile.output_norm),
        words::percent(tile.share),
    ]
}

/// 1 is said as it is; what is close to it, or to 0, is not.
fn factor(rescale: f64) -> String {
    match rescale {
        rescale if rescale.to_bits() == 1.0_f64.to_bits() => "1".into(),
        rescale if rescale < 0.001 => "<0.001".into(),
        rescale => format!("{rescale:.3}"),
    }
}

fn name(tile: &SoftmaxTile) -> String {
    format!("tokens {}: {} of the weight", range(tile), words::percent(tile.share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_said_in_seven_cells() {
        let tile = SoftmaxTile {
            positions: 16..32,
            n_live: 12,
            largest_score: 3.25,
            weight_sum: 2.5,
            running_largest: 4.5,
            running_sum: 3.125,
            rescale: Some(1.0),
            share: 0.125,
            output_norm: 0.75,
        };
        assert_eq!(cells(&tile), ["16..31", "3.25", "4.50", "1", "3.12", "0.75", "12.5 %"]);
        let first = SoftmaxTile { positions: 4..5, rescale: None, ..tile.clone() };
        assert_eq!((cells(&first)[0].as_str(), cells(&first)[3].as_str()), ("4", "-"));
        assert_eq!([0.5, 1e-6].map(factor), ["0.500", "<0.001"]);
        assert_eq!(name(&tile), "tokens 16..31: 12.5 % of the weight");
    }
}
