//! Colours of weights and of their differences, and the bar that says which number has which colour.

use egui::{Align2, Color32, Mesh, Rect, Role, Sense, Shape, TextStyle, Ui, Visuals, WidgetInfo, pos2, vec2};

use crate::app::theme;

/// The code of no difference.
pub const NO_DIFFERENCE: u8 = 128;

/// Colours of codes.
pub struct Ramp {
    pub colors: [Color32; 256],
    /// The code of a weight, or of a difference, of 0.
    pub neutral: u8,
}

impl Ramp {
    /// Of weights, or of differences.
    pub fn of(is_difference: bool, visuals: &Visuals) -> Self {
        if is_difference {
            Self { colors: diverging(visuals), neutral: NO_DIFFERENCE }
        } else {
            Self { colors: theme::attention_ramp(visuals), neutral: 0 }
        }
    }
}

/// A difference of two weights, -1 to 1, as a byte: its root with its sign, like the codes of weights, so that small ones show too.
pub fn difference_code(difference: f32) -> u8 {
    let root = difference.abs().min(1.0).sqrt().copysign(difference);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 255")]
    let code = root.mul_add(127.0, f32::from(NO_DIFFERENCE)).round() as u8;
    code
}

/// Blue where a lane looks less than the first lane, orange where it looks more, the ground where both look the same.
fn diverging(visuals: &Visuals) -> [Color32; 256] {
    const DARK: [[u8; 3]; 5] = [[170, 220, 255], [50, 110, 225], [30, 32, 38], [220, 95, 25], [255, 205, 120]];
    const LIGHT: [[u8; 3]; 5] = [[5, 35, 110], [70, 135, 215], [246, 246, 248], [235, 125, 55], [140, 20, 5]];
    let stops = if visuals.dark_mode { DARK } else { LIGHT };
    std::array::from_fn(|code| {
        // 0 and 1 are the same colour, so that the middle is at `NO_DIFFERENCE`.
        let at = code.saturating_sub(1);
        let (stop, rest) = (at * 4 / 254, at * 4 % 254);
        let (from, to) = (stops[stop], stops[(stop + 1).min(4)]);
        let mix = |i: usize| (usize::from(from[i]) * (254 - rest) + usize::from(to[i]) * rest) / 254;
        #[expect(clippy::cast_possible_truncation, reason = "between two bytes")]
        let [r, g, b] = [0, 1, 2].map(|i| mix(i) as u8);
        Color32::from_rgb(r, g, b)
    })
}

/// The colour of something that grew or shrank: of the ramp of differences, where it can be read on the ground.
pub fn side_color(difference: f32, visuals: &Visuals) -> Color32 {
    match (difference < 0.0, visuals.dark_mode) {
        (true, true) => Color32::from_rgb(81, 138, 233),
        (true, false) => Color32::from_rgb(53, 109, 188),
        (false, true) => Color32::from_rgb(229, 124, 50),
        (false, false) => Color32::from_rgb(210, 98, 42),
    }
}

/// Numbers on the bar, and the codes where they stand.
fn ticks(is_difference: bool) -> Vec<(u8, String)> {
    if is_difference {
        let percent_points = [-100_i8, -25, -5, 0, 5, 25, 100];
        let tick = |points: i8| {
            let text = if points == 0 { "0".into() } else { format!("{points:+}") };
            (difference_code(f32::from(points) / 100.0), text)
        };
        return percent_points.map(tick).to_vec();
    }
    [0_u8, 1, 5, 25, 100].map(|percent| (code(f32::from(percent) / 100.0), percent.to_string())).to_vec()
}

fn code(weight: f32) -> u8 {
    crate::engine::Attention::code(weight)
}

/// The bar with its numbers.
pub fn scale_bar(ui: &mut Ui, is_difference: bool, width: f32) {
    let (bar_height, small) = (9.0, TextStyle::Small.resolve(ui.style()));
    let unit = if is_difference { "percentage points" } else { "%" };
    let unit_galley = ui.painter().layout_no_wrap(unit.into(), small.clone(), ui.visuals().text_color());
    let (margin, gap) = (16.0, 8.0);
    let size = vec2(width + 2.0 * margin + gap + unit_galley.size().x, bar_height + 3.0 + small.size + 2.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let bar = Rect::from_min_size(rect.min + vec2(margin, 0.0), vec2(width, bar_height));
    let Ramp { colors, .. } = Ramp::of(is_difference, ui.visuals());
    let mut mesh = Mesh::default();
    let x = |code: u8| bar.left() + width * f32::from(code) / 255.0;
    for code in 0..=254_u8 {
        let part = Rect::from_min_max(pos2(x(code), bar.top()), pos2(x(code + 1), bar.bottom()));
        mesh.add_colored_rect(part, colors[usize::from(code)]);
    }
    ui.painter().add(Shape::mesh(mesh));
    let ink = ui.visuals().text_color();
    for (code, text) in ticks(is_difference) {
        ui.painter().vline(x(code), bar.bottom()..=bar.bottom() + 3.0, egui::Stroke::new(1.0, ink));
        ui.painter().text(pos2(x(code), bar.bottom() + 3.0), Align2::CENTER_TOP, text, small.clone(), ink);
    }
    let at = pos2(bar.right() + margin + gap, bar.bottom() + 3.0);
    ui.painter().galley(at, unit_galley, ink);
    let name = if is_difference { "scale of differences" } else { "scale of weights" };
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    response.on_hover_text(
        "The colour goes with the root of the number: nearly all weights are small, and so the small ones can be told apart.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_symmetric_and_stay_in_their_byte() {
        assert_eq!([0.0, 1.0, -1.0, 7.0].map(difference_code), [128, 255, 1, 255]);
        assert_eq!(difference_code(0.04) - 128, 128 - difference_code(-0.04));
        for visuals in [Visuals::dark(), Visuals::light()] {
            let ramp = diverging(&visuals);
            let [less, same, more] = [40, 128, 216].map(|code: usize| ramp[code]);
            assert!(less.b() > less.r() && more.r() > more.b(), "{less:?} {more:?}");
            assert!(same.r().abs_diff(same.b()) < 12, "the ground is grey: {same:?}");
        }
    }

    #[test]
    fn the_numbers_stand_where_their_colours_are() {
        let weights = ticks(false);
        assert_eq!(weights.iter().map(|tick| tick.1.as_str()).collect::<Vec<_>>(), ["0", "1", "5", "25", "100"]);
        assert_eq!(weights.iter().map(|tick| tick.0).collect::<Vec<_>>(), [0, 26, 57, 128, 255]);
        let differences = ticks(true);
        assert_eq!(differences[3], (128, "0".into()));
        assert_eq!((differences[0].1.as_str(), differences[5].1.as_str()), ("-100", "+25"));
    }
}
