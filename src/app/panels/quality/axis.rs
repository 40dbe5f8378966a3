//! An axis of logarithms on which 0 has a place too: a line of its own under the lowest decade.

use egui::Visuals;
use egui_plot::{GridInput, GridMark, HLine, LineStyle};

use crate::app::{panels::axes, theme};

/// A divergence below this is no more than the last digits of the logits.
const LOWEST: f64 = -15.0;

/// See the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogAxis {
    /// Where 0 is, in exponents of ten: one below the lowest whole one in use.
    pub zero: f64,
    /// The highest exponent in use, rounded up.
    pub top: f64,
}

impl LogAxis {
    /// Around `values`; those that are not above 0 take no room.
    pub fn around(values: impl IntoIterator<Item = f64>) -> Self {
        let exponents = values.into_iter().filter(|value| *value > 0.0 && value.is_finite()).map(f64::log10);
        let (low, high) = exponents.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        if !low.is_finite() {
            return Self { zero: -7.0, top: 0.0 };
        }
        let low = low.floor().max(LOWEST);
        Self { zero: low - 1.0, top: high.ceil().max(low + 1.0) }
    }

    /// Where `value` is drawn.
    pub fn place(self, value: f64) -> f64 {
        if value > 0.0 { value.log10().max(self.zero + 1.0) } else { self.zero }
    }

    /// What stands at a mark.
    pub fn label(self, place: f64) -> String {
        if (place - self.zero).abs() < 0.5 {
            "0".into()
        } else if (place - place.round()).abs() < 1e-6 && place > self.zero {
            format!("{:.0e}", 10_f64.powf(place.round()))
        } else {
            String::new()
        }
    }

    /// Whole exponents with room for their labels, and 0.
    pub fn marks(self, input: GridInput) -> Vec<GridMark> {
        let mut marks = axes::exponents(input);
        marks.retain(|mark| mark.value > self.zero + 0.5);
        let step_size = marks.first().map_or(1.0, |mark| mark.step_size);
        marks.push(GridMark { value: self.zero, step_size });
        marks
    }

    /// The line of 0.
    pub fn line(self, visuals: &Visuals) -> HLine {
        HLine::new("KL 0: every logit is equal", self.zero)
            .color(theme::grid_color(visuals))
            .style(LineStyle::dashed_dense())
            .width(1.5)
            .allow_hover(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_under_the_lowest_decade() {
        let axis = LogAxis::around([0.0, 3e-6, 2e-2, f64::NAN]);
        assert_eq!(axis, LogAxis { zero: -7.0, top: -1.0 });
        assert_eq!((axis.place(0.0), axis.place(1e-3)), (-7.0, -3.0));
        assert_eq!([-7.0, -6.0, -2.0, -2.5, -8.0].map(|place| axis.label(place)), ["0", "1e-6", "1e-2", "", ""]);
    }

    #[test]
    fn nothing_and_noise_have_an_axis() {
        assert_eq!(LogAxis::around([0.0]), LogAxis { zero: -7.0, top: 0.0 });
        let axis = LogAxis::around([1e-40, 1.0]);
        assert_eq!((axis.zero, axis.place(1e-40)), (-16.0, -15.0));
    }

    #[test]
    fn marks_have_room_and_zero_is_one_of_them() {
        let axis = LogAxis { zero: -7.0, top: 0.0 };
        // 7 decades on 140 pixels: every second one.
        let marks = axis.marks(GridInput { bounds: (-7.3, 0.3), base_step_size: 7.6 / 140.0 * 8.0 });
        let values: Vec<f64> = marks.iter().map(|mark| mark.value).collect();
        assert_eq!(values, [-6.0, -4.0, -2.0, 0.0, -7.0]);
    }
}
