//! Where an axis has its marks: few, round, and far enough apart to be labelled.

use egui_plot::{GridInput, GridMark};

/// What the grid of a plot calls one step is this many pixels.
const BASE_PIXELS: f64 = 8.0;
/// Room for a label below an axis, and beside one.
const X_PIXELS: f64 = 84.0;
const Y_PIXELS: f64 = 34.0;
/// However far a person zooms out.
const MAX_MARKS: usize = 200;

/// Whole tokens.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a grid spacer")]
#[must_use]
pub fn tokens(input: GridInput) -> Vec<GridMark> {
    even(&input, decimal(input.base_step_size / BASE_PIXELS * X_PIXELS).max(1.0))
}

/// A token's number, as every x axis of tokens shows it.
#[must_use]
pub fn token_label(mark: GridMark) -> String {
    if mark.value < 0.0 { String::new() } else { format!("{:.0}", mark.value) }
}

/// Whole exponents on the axis that goes up.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a grid spacer")]
#[must_use]
pub fn exponents(input: GridInput) -> Vec<GridMark> {
    even(&input, (input.base_step_size / BASE_PIXELS * Y_PIXELS).ceil().max(1.0))
}

/// Steps of 1, 2 or 5 times a power of ten.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a grid spacer")]
#[must_use]
pub fn millis(input: GridInput) -> Vec<GridMark> {
    even(&input, decimal(input.base_step_size / BASE_PIXELS * Y_PIXELS))
}

/// Steps of a power of two.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a grid spacer")]
#[must_use]
pub fn mebibytes(input: GridInput) -> Vec<GridMark> {
    even(&input, (input.base_step_size / BASE_PIXELS * Y_PIXELS).log2().ceil().exp2())
}

/// 1, 2, .. 9 of every decade in sight, on an axis of logarithms.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a grid spacer")]
#[must_use]
pub fn decades(input: GridInput) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    let mut marks = vec![];
    let mut decade = low.floor().max(-9.0);
    while decade <= high.min(9.0) {
        for digit in 1..=9_u8 {
            let step_size = match digit {
                1 => 1.0,
                2 | 5 => 0.3,
                _ => 0.1,
            };
            let value = decade + f64::from(digit).log10();
            if value >= low && value <= high {
                marks.push(GridMark { value, step_size });
            }
        }
        decade += 1.0;
    }
    marks
}

/// The next larger 1, 2 or 5 times a power of ten.
fn decimal(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].map(|digit| digit * power).into_iter().find(|step| *step >= least).unwrap_or(10.0 * power)
}

fn even(input: &GridInput, step_size: f64) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    if !(step_size.is_finite() && step_size > 0.0) {
        return vec![];
    }
    let mut marks = vec![];
    // Adding 0 turns -0 into 0, which would be labelled with its sign.
    let mut value = (low / step_size).ceil() * step_size + 0.0;
    while value <= high && marks.len() < MAX_MARKS {
        marks.push(GridMark { value, step_size });
        value += step_size;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(marks: Vec<GridMark>) -> Vec<f64> {
        marks.into_iter().map(|mark| (mark.value * 1e6).round() / 1e6).collect()
    }

    fn input(low: f64, high: f64, pixels: f64) -> GridInput {
        GridInput { bounds: (low, high), base_step_size: (high - low) / pixels * BASE_PIXELS }
    }

    #[test]
    fn steps_are_round_and_labels_have_room() {
        assert_eq!(values(tokens(input(0.0, 199.0, 400.0))), [0.0, 50.0, 100.0, 150.0]);
        assert_eq!(values(tokens(input(0.0, 3.0, 400.0))), [0.0, 1.0, 2.0, 3.0], "no half tokens");
        let marks = millis(input(-0.5, 9.0, 150.0));
        assert!(marks[0].value.is_sign_positive(), "no label is -0");
        assert_eq!(values(marks), [0.0, 5.0]);
        assert_eq!(values(mebibytes(input(0.0, 6.0, 100.0))), [0.0, 4.0]);
        assert_eq!(values(mebibytes(input(0.0, 0.3, 200.0))), [0.0, 0.0625, 0.125, 0.1875, 0.25]);
    }

    #[test]
    fn decades_stay_inside_the_axis() {
        let marks = values(decades(input(-0.04, 0.45, 200.0)));
        assert_eq!(marks.len(), 2, "1 and 2, not 0.9 and 3: {marks:?}");
    }

    #[test]
    fn no_axis_makes_endless_marks() {
        assert!(values(even(&input(0.0, 1e9, 100.0), 1e-3)).len() <= MAX_MARKS);
        assert!(even(&input(0.0, 1.0, 100.0), 0.0).is_empty() && even(&input(0.0, 1.0, 1.0), f64::NAN).is_empty());
    }
}
