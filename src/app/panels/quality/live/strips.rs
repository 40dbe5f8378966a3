//! A strip for each lane: a cell a token, low where it agrees with the first lane and tall where it does not.

use egui::{Align2, Mesh, Rangef, Rect, Role, Sense, TextStyle, Ui, Vec2, WidgetInfo, pos2};
use egui_plot::PlotTransform;

use crate::app::{
    agreement::{Cell, cells, runs},
    comparison::{Comparison, compared_lanes, token_words},
    state::{LaneState, RunState},
    theme,
};

const ROW: f32 = 17.0;
const HELP: &str = "A cell for each token, under its place in the plot: low in the lane's colour where the likeliest token is the \
    first lane's, tall and red where it is another. Where there are more tokens than pixels, a cell is red if one of its tokens is.";

/// What all strips and their heading take.
pub fn height(ui: &Ui, n_strips: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of lanes")]
    let rows = n_strips as f32 * ROW;
    ui.text_style_height(&TextStyle::Body) + rows + 4.0 * ui.spacing().item_spacing.y
}

pub fn show(ui: &mut Ui, run: &RunState, transform: &PlotTransform) {
    ui.horizontal(|ui| {
        ui.strong("Same likeliest token as the first lane").on_hover_text(HELP);
        ui.weak("tall and red: another").on_hover_text(HELP);
    });
    ui.spacing_mut().item_spacing.y = 0.0;
    for (index, lane, _) in compared_lanes(run).filter(|(_, lane, _)| !lane.is_hidden) {
        strip(ui, run, (index, lane), transform);
    }
}

fn strip(ui: &mut Ui, run: &RunState, (index, lane): (usize, &LaneState), transform: &PlotTransform) {
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), ROW), Sense::hover());
    let frame = transform.frame();
    let bounds = transform.bounds();
    let (first, last) = (token((bounds.min()[0] - 0.5).ceil()), token(bounds.max()[0] + 0.5));
    // Beyond the newest token there is nothing to show.
    let shown = first..(last + 1).min(lane.records.len()).max(first);
    let y = Rangef::new(rect.top() + 2.0, rect.bottom() - 1.0);
    draw(ui, index, lane, &shown, transform, y);
    let font = TextStyle::Small.resolve(ui.style());
    let color = theme::lane_color(index, ui.visuals());
    let letter = theme::lane_letter(index);
    ui.painter().text(pos2(frame.left() - 6.0, rect.center().y), Align2::RIGHT_CENTER, letter, font, color);
    let name = accessible_name(lane);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    if let Some(pointer) = response.hover_pos().filter(|pointer| frame.x_range().contains(pointer.x)) {
        let step = token(transform.value_from_position(pointer).x.round());
        if step < lane.records.len() {
            response.on_hover_text_at_pointer(token_words(run, step));
        }
    }
}

/// All cells in one mesh.
fn draw(ui: &Ui, index: usize, lane: &LaneState, shown: &std::ops::Range<usize>, transform: &PlotTransform, y: Rangef) {
    let frame = transform.frame();
    let edge = |token: f64| transform.position_from_point_x(token - 0.5);
    #[expect(clippy::cast_precision_loss, reason = "tokens and pixels")]
    let (from, to) = (edge(shown.start as f64), edge(shown.end as f64));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in pixels")]
    let n_cells = (to - from).max(0.0) as usize;
    let cells = cells(&lane.compared, shown, n_cells);
    #[expect(clippy::cast_precision_loss, reason = "at most as many as pixels")]
    let x = |cell: usize| from + (to - from) * cell as f32 / cells.len().max(1) as f32;
    let (agrees, differs) = (theme::lane_color(index, ui.visuals()), theme::ERROR.on(ui.visuals()));
    let mut mesh = Mesh::default();
    for (run, cell) in runs(&cells) {
        let x = Rangef::new(x(run.start), x(run.end));
        match cell {
            Cell::Unknown => {}
            Cell::Agrees => {
                let low = Rangef::new(y.max - y.span() * 0.35, y.max);
                mesh.add_colored_rect(Rect::from_x_y_ranges(x, low), agrees.gamma_multiply(0.7));
            }
            // Seen also where a token is less than a pixel.
            Cell::Differs => {
                let x = if x.span() < 2.0 { Rangef::new(x.center() - 1.0, x.center() + 1.0) } else { x };
                mesh.add_colored_rect(Rect::from_x_y_ranges(x, y), differs);
            }
        }
    }
    let strip = Rect::from_x_y_ranges(frame.x_range(), y);
    let painter = ui.painter_at(strip);
    painter.rect_filled(strip, 0.0, theme::grid_color(ui.visuals()).gamma_multiply(0.3));
    painter.add(mesh);
}

fn accessible_name(lane: &LaneState) -> String {
    let numbers = Comparison::of(&lane.compared);
    let (agreed, compared) =
        (lane.compared.iter().filter(|token| token.agrees).count(), numbers.map_or(0, |n| n.tokens));
    format!("agreement of {}: {agreed} of {compared} tokens", lane.name)
}

/// The token at a place of the axis, the first for what is left of it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn token(x: f64) -> usize {
    x.clamp(0.0, 1e9) as usize
}
