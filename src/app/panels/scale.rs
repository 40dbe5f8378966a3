//! An axis of times or rates, linear or logarithmic: where a value is drawn, and what stands at a mark.

use egui_plot::{GridInput, GridMark};

use super::axes;
use crate::app::units::{axis_millis, axis_rate, rate, time};

/// What an axis shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Values are seconds; the axis counts milliseconds.
    Time,
    /// Values are tokens per second.
    TokenRate,
}

/// An axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    pub quantity: Quantity,
    pub is_log: bool,
}

/// Nothing is smaller; it keeps the logarithm finite.
const LEAST: f64 = 1e-6;

impl Scale {
    /// Where a value is drawn.
    #[must_use]
    pub fn place(self, value: f64) -> f64 {
        let unit = match self.quantity {
            Quantity::Time => value * 1e3,
            Quantity::TokenRate => value,
        };
        if self.is_log { unit.max(LEAST).log10() } else { unit }
    }

    /// Points of a series, as they are drawn.
    #[must_use]
    pub fn places(self, points: &[[f64; 2]]) -> Vec<[f64; 2]> {
        points.iter().map(|[x, y]| [*x, self.place(*y)]).collect()
    }

    /// The value that is drawn at `place`.
    #[must_use]
    pub fn value(self, place: f64) -> f64 {
        let unit = if self.is_log { 10_f64.powf(place) } else { place };
        match self.quantity {
            Quantity::Time => unit / 1e3,
            Quantity::TokenRate => unit,
        }
    }

    /// A value with its unit.
    #[must_use]
    pub fn write(self, value: f64) -> String {
        match self.quantity {
            Quantity::Time => time(value),
            Quantity::TokenRate => format!("{} tokens/s", rate(value)),
        }
    }

    /// Where the grid has lines.
    #[must_use]
    pub fn marks(self, input: GridInput) -> Vec<GridMark> {
        if self.is_log { axes::decades(input) } else { axes::millis(input) }
    }

    /// What stands at a mark. Of each decade 1, 2 and 5 are labelled.
    #[must_use]
    pub fn label(self, mark: GridMark) -> String {
        let unit = match (self.is_log, mark) {
            (true, mark) if mark.step_size > 0.2 => 10_f64.powf(mark.value),
            (false, mark) if mark.value >= 0.0 => mark.value,
            _ => return String::new(),
        };
        match self.quantity {
            Quantity::Time => axis_millis(unit),
            Quantity::TokenRate => axis_rate(unit),
        }
    }

    /// The word for the scale.
    #[must_use]
    pub fn name(self) -> &'static str {
        if self.is_log { "log" } else { "linear" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Scale = Scale { quantity: Quantity::Time, is_log: false };
    const LOG_TIME: Scale = Scale { quantity: Quantity::Time, is_log: true };

    #[test]
    fn log_marks_are_labelled_at_1_2_and_5() {
        let marks = LOG_TIME.marks(GridInput { bounds: (0.0, 1.0), base_step_size: 0.01 });
        let labels: Vec<String> =
            marks.into_iter().map(|mark| LOG_TIME.label(mark)).filter(|l| !l.is_empty()).collect();
        assert_eq!(labels, ["1 ms", "2 ms", "5 ms", "10 ms"]);
    }

    #[test]
    fn linear_labels_name_no_negative_time() {
        assert_eq!(TIME.label(GridMark { value: -1.0, step_size: 1.0 }), "");
        assert_eq!(TIME.label(GridMark { value: 0.5, step_size: 1.0 }), "500 \u{b5}s");
    }

    #[test]
    fn a_place_gives_its_value_back() {
        for scale in [TIME, LOG_TIME, Scale { quantity: Quantity::TokenRate, is_log: true }] {
            assert!((scale.value(scale.place(0.025)) - 0.025).abs() < 1e-12, "{scale:?}");
            assert!(scale.place(0.0).is_finite(), "{scale:?}");
        }
        assert_eq!(TIME.write(0.025), "25.0 ms");
    }
}
