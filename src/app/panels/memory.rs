//! What each lane's cache takes, and what it copies.

use egui::{Align, Color32, Layout, Role, Stroke, TextStyle, Ui, WidgetInfo, vec2};
use egui_plot::{HoverPosition, Line, LineStyle, Plot, PlotPoints};

use crate::{
    app::{
        decimate::decimate,
        panels::{axes, latency::token_label},
        state::RunState,
        theme::{self, lane_color},
        units::{to_mebibytes, to_x},
    },
    engine::StepRecord,
};

const SAMPLE_WIDTH: f32 = 26.0;
/// A box and the gaps around a name.
const SWITCH_WIDTH: f32 = 30.0;

/// A quantity of every lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    Reserved,
    Held,
    Used,
    Dead,
    Formula,
    Copied,
    Driver,
}

/// Which quantities are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    shown: [bool; 7],
}

impl Default for View {
    fn default() -> Self {
        // Held is between reserved and used; with it on from the start the plot says too much. The driver's count has the weights in it, beside
        // which a cache is flat.
        Self { shown: Series::ALL.map(|series| !matches!(series, Series::Held | Series::Driver)) }
    }
}

impl Series {
    const ALL: [Self; 7] =
        [Self::Reserved, Self::Held, Self::Used, Self::Dead, Self::Formula, Self::Copied, Self::Driver];

    fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Held => "held",
            Self::Used => "used",
            Self::Dead => "dead",
            Self::Formula => "formula",
            Self::Copied => "copied",
            Self::Driver => "driver",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Reserved => "Bytes allocated for keys, values and scales",
            Self::Held => "Bytes in blocks that the lane and its forks hold: nobody else can use them",
            Self::Used => "Bytes filled with a live token's rows",
            Self::Dead => {
                "Bytes filled with rows of tokens that were evicted, in blocks that are held still: nobody reads them, and \
                 nobody else can use them until the whole block is dead (never in a contiguous region)"
            }
            Self::Formula => {
                "The textbook formula: 2 x layers x KV heads x head size x bytes per number x tokens; scales, tables \
                 and unfilled blocks not counted"
            }
            Self::Copied => "Bytes of stored rows moved since the run began; drawn below, as it only grows",
            Self::Driver => {
                "All memory of the GPU that is in use, as its driver counts it after each token (cuMemGetInfo): weights, what memory pools keep, every \
                 lane and every other program"
            }
        }
    }

    fn style(self) -> LineStyle {
        match self {
            Self::Used | Self::Copied => LineStyle::Solid,
            Self::Reserved => LineStyle::dashed_loose(),
            Self::Held | Self::Driver => LineStyle::dashed_dense(),
            Self::Dead => LineStyle::dotted_dense(),
            // Beads: where a cache takes what the formula says, they sit on its line.
            Self::Formula => LineStyle::dotted_loose(),
        }
    }

    fn bytes(self, record: &StepRecord) -> u64 {
        match self {
            Self::Reserved => record.reserved_bytes,
            Self::Held => record.held_bytes,
            Self::Used => record.used_bytes,
            Self::Dead => record.dead_bytes,
            Self::Formula => record.formula_bytes,
            Self::Copied => record.copied_bytes,
            Self::Driver => record.gpu.map_or(0, |gpu| gpu.driver_used_bytes),
        }
    }
}

/// The plots and their switches.
pub fn show(ui: &mut Ui, run: &RunState, view: &mut View) {
    ui.horizontal_wrapped(|ui| {
        ui.strong("Memory of each cache").on_hover_text("Counted from the cache's real allocations after each token");
        for (series, shown) in Series::ALL.into_iter().zip(&mut view.shown) {
            if series == Series::Driver && !run.has_gpu() {
                continue;
            }
            // Both at once, or the line could wrap away from its switch.
            let font = TextStyle::Button.resolve(ui.style());
            let name = ui.painter().layout_no_wrap(series.name().into(), font, Color32::WHITE);
            let size = vec2(name.size().x + SWITCH_WIDTH + SAMPLE_WIDTH, ui.spacing().interact_size.y);
            ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
                ui.checkbox(shown, series.name()).on_hover_text(series.help());
                sample(ui, series);
            });
        }
    });
    let shown = |series: &Series| view.shown[*series as usize];
    let has_dead = run.has_dead();
    let is_level = |series: &Series| match series {
        Series::Copied => false,
        Series::Dead => has_dead,
        Series::Driver => run.has_gpu(),
        _ => true,
    };
    let levels: Vec<Series> = Series::ALL.into_iter().filter(|series| is_level(series) && shown(series)).collect();
    let draws_copies = shown(&Series::Copied) && run.has_copied();
    let height = ui.available_height();
    let level_height = if draws_copies { (height * 0.55).max(60.0) } else { height };
    plot(ui, run, "memory", &levels, level_height, !draws_copies);
    if draws_copies {
        plot(ui, run, "copied", &[Series::Copied], ui.available_height(), true);
    }
}

/// How the line of a series looks, beside its switch.
fn sample(ui: &mut Ui, series: Series) {
    let (rect, response) = ui.allocate_exact_size(vec2(SAMPLE_WIDTH, 12.0), egui::Sense::hover());
    let stroke = Stroke::new(2.0, ui.visuals().text_color());
    let ends = [rect.left_center(), rect.right_center()];
    let shapes = match series.style() {
        LineStyle::Solid => vec![egui::Shape::line_segment(ends, stroke)],
        LineStyle::Dashed { length } => egui::Shape::dashed_line(&ends, stroke, length * 0.6, length * 0.4),
        LineStyle::Dotted { spacing } => egui::Shape::dotted_line(&ends, stroke.color, spacing * 0.8, 2.0),
    };
    ui.painter().extend(shapes);
    response.on_hover_text(series.help());
}

fn plot(ui: &mut Ui, run: &RunState, name: &'static str, series: &[Series], height: f32, has_x_label: bool) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in pixels")]
    let columns = (ui.available_width() * ui.ctx().pixels_per_point()) as usize;
    let mut plot = Plot::new((name, run.id))
        .height(height)
        .y_axis_label(name)
        .y_axis_min_width(64.0)
        .x_grid_spacer(axes::tokens)
        .y_grid_spacer(axes::mebibytes)
        .x_axis_formatter(|mark, _| token_label(mark))
        .y_axis_formatter(|mark, _| axis_mebibytes(mark.value))
        .label_formatter(hover)
        .allow_scroll(false)
        .grid_color(theme::grid_color(ui.visuals()))
        .include_x(0.0)
        .include_x(to_x(run.tokens.saturating_sub(1).max(1)))
        .include_y(0.0);
    if has_x_label {
        plot = plot.x_axis_label("generated token");
    }
    let response = plot.show(ui, |plot| {
        for (index, lane) in run.shown_lanes() {
            for series in series.iter().filter(|series| **series != Series::Dead || lane.has_dead()) {
                let points = lane.records.iter().map(|r| [to_x(r.step), to_mebibytes(series.bytes(r))]).collect();
                let color = lane_color(index, &plot.ctx().global_style().visuals);
                let line =
                    Line::new(format!("{}, {}", lane.name, series.name()), PlotPoints::from(decimate(points, columns)));
                let width = if *series == Series::Formula { 2.0 } else { width(index, run.lanes.len()) };
                plot.line(line.color(color).style(series.style()).width(width).id((index, series.name())));
            }
        }
    });
    let names: Vec<&str> = series.iter().map(|series| series.name()).collect();
    let name = format!("{name} plot: {}", names.join(", "));
    response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
}

/// Caches often take exactly the same; earlier lanes are wider, so that they show behind later ones.
fn width(index: usize, lanes: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of lanes")]
    let behind = lanes.saturating_sub(index + 1) as f32;
    (1.6 + 1.1 * behind).min(4.9)
}

fn axis_mebibytes(value: f64) -> String {
    if value < 0.0 {
        String::new()
    } else if value >= 1024.0 {
        format!("{} GiB", (value / 1024.0 * 100.0).round() / 100.0)
    } else if value >= 1.0 || value == 0.0 {
        format!("{} MiB", (value * 100.0).round() / 100.0)
    } else {
        format!("{} KiB", (value * 1024.0 * 10.0).round() / 10.0)
    }
}

fn hover(at: &HoverPosition<'_>) -> Option<String> {
    let HoverPosition::NearDataPoint { plot_name, position, .. } = at else { return None };
    Some(format!("{plot_name}\ntoken {:.0}: {:.3} MiB", position.x, position.y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_stand_in_the_order_of_their_series() {
        for (index, series) in Series::ALL.into_iter().enumerate() {
            assert_eq!(series as usize, index);
        }
    }

    #[test]
    fn axes_name_their_unit() {
        assert_eq!(axis_mebibytes(1.5), "1.5 MiB");
        assert_eq!(axis_mebibytes(0.5), "512 KiB");
        assert_eq!(axis_mebibytes(2048.0), "2 GiB");
        assert_eq!(axis_mebibytes(0.0), "0 MiB");
    }
}
