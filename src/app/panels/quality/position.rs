//! KL by position: where in a story a lane begins to lose.

use egui::{Role, Ui, WidgetInfo};
use egui_plot::HoverPosition;

use super::{axis::LogAxis, line, plot, stories::Shown};
use crate::{
    app::{
        panels::axes::{self, token_label},
        units::to_x,
    },
    experiment::quality::{LaneQuality, PositionQuality},
    report::quality::nats,
};

pub const HELP: &str = "KL(exact || lane) by the position of the predicted token, averaged over the stories and over stretches of \
    a story, on a logarithmic axis. The dashed line at the bottom is 0. A lane that evicts parts from it where it begins to.";
/// Stretches that a whole story is drawn in: single positions differ by powers of ten, which hides all else.
const STRETCHES: usize = 64;

/// Tokens of a held-out story.
const CONTEXT: usize = 1024;

pub fn show(ui: &mut Ui, shown: &Shown<'_>) {
    ui.strong("KL by position").on_hover_text(HELP);
    let last = shown.lanes().filter_map(|(_, _, positions)| positions.last()).map(|at| at.position).max().unwrap_or(0);
    // Of a whole story from the start, or the stretches would grow while it is read.
    let end = shown.settings.quality.tokens.min(CONTEXT).max(last);
    let width = (end / STRETCHES).max(1);
    let line_of = |(number, lane, positions): (usize, &LaneQuality, &[PositionQuality])| {
        (number, lane.lane.clone(), stretches(positions, width))
    };
    let lines: Vec<_> = shown.lanes().map(line_of).collect();
    let y = LogAxis::around(lines.iter().flat_map(|(_, _, points)| points.iter().map(|(_, kl)| *kl)));
    let of = shown.of();
    let name = format!("KL by position: {} lanes up to token {last}", lines.len());
    let drawn = plot(ui, "position", shown.run)
        .x_axis_label("token of the story")
        .y_axis_label("KL, nats")
        .x_grid_spacer(axes::tokens)
        .y_grid_spacer(move |input| y.marks(input))
        .x_axis_formatter(|mark, _| token_label(mark))
        .y_axis_formatter(move |mark, _| y.label(mark.value))
        .label_formatter(move |at| hover(at, y))
        .include_x(0.0)
        .include_x(to_x(end))
        .include_y(y.zero - 0.3)
        .include_y(y.top)
        .show(ui, |plot| {
            let visuals = plot.ctx().global_style().visuals.clone();
            plot.hline(y.line(&visuals));
            for (number, name, points) in lines {
                let points = points.into_iter().map(|(x, kl)| [x, y.place(kl)]).collect();
                plot.line(line(&visuals, (number, &name, of), points));
            }
        });
    drawn.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// The middle and the mean of each stretch of `width` positions, over all predictions in it.
fn stretches(positions: &[PositionQuality], width: usize) -> Vec<(f64, f64)> {
    positions
        .chunk_by(|a, b| a.position / width == b.position / width)
        .filter_map(|stretch| {
            let passages: usize = stretch.iter().map(|at| at.passages).sum();
            let kl: f64 = stretch.iter().map(|at| at.kl * to_x(at.passages)).sum();
            let middle = stretch.first()?.position.midpoint(stretch.last()?.position);
            Some((to_x(middle), kl / to_x(passages)))
        })
        .collect()
}

fn hover(at: &HoverPosition<'_>, y: LogAxis) -> Option<String> {
    let HoverPosition::NearDataPoint { plot_name, position, .. } = at else { return None };
    let kl = if position.y > y.zero + 0.5 { 10_f64.powf(position.y) } else { 0.0 };
    Some(format!("{plot_name}\naround token {:.0}: KL {} nats", position.x, nats(kl)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_the_mean_of_its_predictions() {
        let at = |position, passages, kl| PositionQuality { position, passages, kl, top1_agreement: 1.0, nll: 0.0 };
        let positions = [at(9, 2, 1.0), at(10, 2, 3.0), at(11, 1, 8.0), at(16, 1, 5.0)];
        assert_eq!(stretches(&positions, 8), [(10.0, (2.0 + 6.0 + 8.0) / 5.0), (16.0, 5.0)]);
        assert!(stretches(&[], 8).is_empty());
    }
}
