//! Every colour and text size of the window, in one place.

use crate::report::colours;
use egui::{Color32, Context, FontFamily, FontId, TextStyle, Theme, Ui, Visuals};

/// A colour on a dark and on a light background.
#[derive(Clone, Copy)]
pub struct Tone {
    dark: Color32,
    light: Color32,
}

impl Tone {
    const fn new(dark: [u8; 3], light: [u8; 3]) -> Self {
        Self {
            dark: Color32::from_rgb(dark[0], dark[1], dark[2]),
            light: Color32::from_rgb(light[0], light[1], light[2]),
        }
    }

    /// The colour in the present theme.
    #[must_use]
    pub fn on(self, visuals: &Visuals) -> Color32 {
        if visuals.dark_mode { self.dark } else { self.light }
    }
}

pub const ERROR: Tone = Tone::new([255, 120, 110], [186, 26, 26]);
pub const WARNING: Tone = Tone::new([255, 200, 90], [145, 85, 0]);
pub const SAME: Tone = Tone::new([130, 205, 150], [30, 110, 60]);
/// Behind the first token that differs from the first lane's.
pub const DIVERGENCE: Tone = Tone::new([150, 38, 52], [255, 196, 196]);

/// What was chosen or is pointed at.
pub const CHOSEN: Tone = Tone::new([255, 170, 60], [200, 95, 0]);

/// Colours of attention weights from 0 to 255: from the ground to what catches the eye, in both themes.
#[must_use]
pub fn attention_ramp(visuals: &Visuals) -> [Color32; 256] {
    const DARK: [[u8; 3]; 5] = [[24, 27, 44], [48, 74, 160], [150, 60, 140], [250, 140, 60], [255, 250, 200]];
    const LIGHT: [[u8; 3]; 5] = [[250, 250, 252], [170, 200, 235], [70, 130, 200], [80, 40, 130], [30, 0, 40]];
    let stops = if visuals.dark_mode { DARK } else { LIGHT };
    std::array::from_fn(|code| {
        let (stop, rest) = (code * 4 / 255, code * 4 % 255);
        let (from, to) = (stops[stop], stops[(stop + 1).min(4)]);
        let mix = |i: usize| (usize::from(from[i]) * (255 - rest) + usize::from(to[i]) * rest) / 255;
        #[expect(clippy::cast_possible_truncation, reason = "between two bytes")]
        let [r, g, b] = [0, 1, 2].map(|i| mix(i) as u8);
        Color32::from_rgb(r, g, b)
    })
}

/// The colour of a lane, wherever it is drawn.
#[must_use]
pub fn lane_color(lane: usize, visuals: &Visuals) -> Color32 {
    let (dark, light) = colours::lane(lane);
    Tone::new(dark, light).on(visuals)
}

/// The letter of a lane, for whoever cannot tell its colour: A for the first.
#[must_use]
pub fn lane_letter(lane: usize) -> String {
    let letter = u8::try_from(lane % 26).map_or('?', |lane| char::from(b'A' + lane));
    if lane < 26 { letter.to_string() } else { format!("{letter}{}", lane / 26) }
}

/// The colour of a lane's fork: another lane's, for a pane that shows one lane only.
#[must_use]
pub fn fork_color(lane: usize, fork: usize, visuals: &Visuals) -> Color32 {
    // Colours that are told apart most easily from the lane's and from each other.
    const STEPS: [usize; 3] = [1, 4, 6];
    lane_color(lane + STEPS[fork % STEPS.len()], visuals)
}

/// Lines that help the eye and stay behind the data.
#[must_use]
pub fn grid_color(visuals: &Visuals) -> Color32 {
    visuals.weak_text_color().gamma_multiply(0.45)
}

/// Sizes that can be read from the back of a room; Ctrl and + or - change them all.
pub fn install(ctx: &Context) {
    ctx.all_styles_mut(|style| {
        let sizes = [
            (TextStyle::Small, 13.0, FontFamily::Proportional),
            (TextStyle::Body, 15.0, FontFamily::Proportional),
            (TextStyle::Button, 15.0, FontFamily::Proportional),
            (TextStyle::Heading, 19.0, FontFamily::Proportional),
            (TextStyle::Monospace, 14.0, FontFamily::Monospace),
        ];
        style.text_styles = sizes.into_iter().map(|(name, size, family)| (name, FontId::new(size, family))).collect();
        style.spacing.item_spacing = egui::vec2(8.0, 5.0);
        style.spacing.button_padding = egui::vec2(8.0, 3.0);
    });
    ctx.style_mut_of(Theme::Dark, |style| {
        style.visuals.panel_fill = Color32::from_rgb(24, 26, 31);
        style.visuals.override_text_color = Some(Color32::from_rgb(226, 228, 232));
    });
    ctx.style_mut_of(Theme::Light, |style| {
        style.visuals.panel_fill = Color32::from_rgb(240, 241, 243);
        style.visuals.override_text_color = Some(Color32::from_rgb(24, 26, 30));
    });
}

/// The name of a lane in its colour.
pub fn lane_name(ui: &mut Ui, lane: usize, name: &str) -> egui::Response {
    let text = egui::RichText::new(name).strong().color(lane_color(lane, ui.visuals()));
    ui.add(egui::Label::new(text).wrap_mode(egui::TextWrapMode::Extend))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG's relative luminance.
    fn luminance(color: Color32) -> f32 {
        let [r, g, b, _] = egui::Rgba::from(color).to_array();
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn lanes_are_readable_and_differ_in_both_themes() {
        let ctx = Context::default();
        install(&ctx);
        for theme in [Theme::Dark, Theme::Light] {
            let visuals = ctx.style_of(theme).visuals.clone();
            let ground = luminance(visuals.panel_fill);
            for lane in 0..colours::LANES.len() {
                let color = luminance(lane_color(lane, &visuals));
                let contrast = (color.max(ground) + 0.05) / (color.min(ground) + 0.05);
                assert!(contrast >= 4.5, "lane {lane} in {theme:?}: contrast {contrast}");
                let forks: Vec<Color32> = (0..3).map(|fork| fork_color(lane, fork, &visuals)).collect();
                assert!((0..3).all(|a| forks[a] != lane_color(lane, &visuals) && !forks[..a].contains(&forks[a])));
                assert!((0..lane).all(|other| lane_color(other, &visuals) != lane_color(lane, &visuals)));
            }
        }
    }
}
