//! The quantities of a cache, and their switches.

use egui::{Align, Color32, Layout, Stroke, TextStyle, Ui, vec2};
use egui_plot::LineStyle;

use crate::{app::state::RunState, engine::StepRecord};

const SAMPLE_WIDTH: f32 = 26.0;
/// A box and the gaps around a name.
const SWITCH_WIDTH: f32 = 30.0;

/// A quantity of every lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
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
pub struct Shown([bool; 7]);

impl Default for Shown {
    fn default() -> Self {
        // Held is between reserved and used; with it on from the start the plot says too much. The driver's count has the weights in it, beside
        // which a cache is flat.
        Self(Series::ALL.map(|series| !matches!(series, Series::Held | Series::Driver)))
    }
}

impl Shown {
    /// The chosen series that this run has something to say of, without [`Series::Copied`], which has a plot of its own.
    pub fn levels(self, run: &RunState) -> Vec<Series> {
        let has_dead = run.has_dead();
        let is_level = |series: &Series| match series {
            Series::Copied => false,
            Series::Dead => has_dead,
            Series::Driver => run.has_gpu(),
            _ => true,
        };
        Series::ALL.into_iter().filter(|series| is_level(series) && self.has(*series)).collect()
    }

    pub fn has(self, series: Series) -> bool {
        self.0[series as usize]
    }
}

impl Series {
    const ALL: [Self; 7] =
        [Self::Reserved, Self::Held, Self::Used, Self::Dead, Self::Formula, Self::Copied, Self::Driver];

    pub fn name(self) -> &'static str {
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
                "The textbook formula: 2 x layers x KV heads x head size x bytes per number x tokens of the lane alone; \
                 scales, tables, unfilled blocks and forks not counted"
            }
            Self::Copied => {
                "Bytes of stored rows moved since the lane began in its cache; drawn below, as it only grows"
            }
            Self::Driver => {
                "All memory of the GPU that is in use, as its driver counts it after each token (cuMemGetInfo): weights, what memory pools keep, every \
                 lane and every other program"
            }
        }
    }

    pub fn style(self) -> LineStyle {
        match self {
            Self::Used | Self::Copied => LineStyle::Solid,
            Self::Reserved => LineStyle::dashed_loose(),
            Self::Held | Self::Driver => LineStyle::dashed_dense(),
            Self::Dead => LineStyle::dotted_dense(),
            // Beads: where a cache takes what the formula says, they sit on its line.
            Self::Formula => LineStyle::dotted_loose(),
        }
    }

    pub fn bytes(self, record: &StepRecord) -> u64 {
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

/// A switch for each quantity. Without `has_all` those are left out that are not a user's: copied bytes and the driver's count.
pub fn switches(ui: &mut Ui, run: &RunState, shown: &mut Shown, has_all: bool) {
    for (series, shown) in Series::ALL.into_iter().zip(&mut shown.0) {
        let is_left_out = match series {
            Series::Driver => !has_all || !run.has_gpu(),
            Series::Copied => !has_all,
            Series::Dead => !run.has_dead(),
            _ => false,
        };
        if is_left_out {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::series::test_runs::run;

    #[test]
    fn switches_stand_in_the_order_of_their_series() {
        for (index, series) in Series::ALL.into_iter().enumerate() {
            assert_eq!(series as usize, index);
        }
    }

    #[test]
    fn a_series_that_is_nothing_in_a_run_is_not_drawn() {
        let mut run = run(&[&[0.1, 0.1]]);
        assert_eq!(Shown::default().levels(&run), [Series::Reserved, Series::Used, Series::Formula]);
        run.lanes[0].records[1].dead_bytes = 8;
        assert!(Shown::default().levels(&run).contains(&Series::Dead));
    }
}
