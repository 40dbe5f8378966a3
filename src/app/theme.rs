//! Every colour and text size of the window, in one place. What is read on a panel has a contrast of at least 4.5 to 1 (WCAG 2.1, level AA).

mod look;

use std::ops::RangeInclusive;

use crate::{app::glossary, report::colours};
use egui::{Color32, Context, Ui, Visuals};
use egui_plot::MarkerShape;

pub use look::{Look, UnknownLook};

/// Zooms that a person can choose.
pub const ZOOMS: RangeInclusive<f32> = 0.5..=3.0;

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

/// News that is neither good nor bad.
pub const INFO: Tone = Tone::new([130, 180, 255], [20, 80, 170]);

/// What was chosen or is pointed at.
/// Unlike any lane's colour, as what it marks belongs to none.
pub const CHOSEN: Tone = Tone::new([255, 110, 225], [176, 0, 140]);

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

/// The letter of a lane, for where colours are not seen: A, B, C and so on; after Z they begin again.
#[must_use]
pub fn lane_letter(lane: usize) -> char {
    ('A'..='Z').nth(lane % 26).unwrap_or('A')
}

/// The marker of a lane's points. There is one more than there are colours, so that lanes of one colour have different markers.
#[must_use]
pub fn lane_marker(lane: usize) -> MarkerShape {
    const MARKERS: [MarkerShape; colours::LANES.len() + 1] = [
        MarkerShape::Circle,
        MarkerShape::Square,
        MarkerShape::Up,
        MarkerShape::Diamond,
        MarkerShape::Down,
        MarkerShape::Cross,
        MarkerShape::Plus,
        MarkerShape::Asterisk,
        MarkerShape::Left,
    ];
    MARKERS[lane % MARKERS.len()]
}

/// The colour of a lane's fork: another lane's, for a pane that shows one lane only.
#[must_use]
pub fn fork_color(lane: usize, fork: usize, visuals: &Visuals) -> Color32 {
    // Colours that are told apart most easily from the lane's and from each other.
    const STEPS: [usize; 3] = [2, 4, 6];
    lane_color(lane + STEPS[fork % STEPS.len()], visuals)
}

/// Lines that help the eye and stay behind the data.
#[must_use]
pub fn grid_color(visuals: &Visuals) -> Color32 {
    visuals.weak_text_color().gamma_multiply(0.45)
}

/// The dark and the light look, of which the system's or the person's choice decides.
pub fn install(ctx: &Context) {
    Look::Dark.dress(ctx);
    Look::Light.dress(ctx);
}

/// Makes the window look like this from the next frame on. How far a person has zoomed is kept: see [`zoom`].
pub fn apply(ctx: &Context, look: Look) {
    let own_zoom = zoom(ctx);
    look.dress(ctx);
    ctx.set_theme(look.theme());
    set_zoom(ctx, own_zoom);
}

/// The look that the window has.
#[must_use]
pub fn look(ctx: &Context) -> Look {
    Look::of(&ctx.global_style().visuals)
}

/// How far a person has zoomed: 1.0 unless changed, whatever the look adds.
#[must_use]
pub fn zoom(ctx: &Context) -> f32 {
    (ctx.zoom_factor() / look(ctx).zoom() * 100.0).round() / 100.0
}

/// Zooms to this much of the look's own size, within bounds in which the window can still be used. Takes effect with the next frame, so
/// of a look and a zoom that change together the look comes first.
pub fn set_zoom(ctx: &Context, zoom: f32) {
    let zoom = if zoom.is_finite() { zoom.clamp(*ZOOMS.start(), *ZOOMS.end()) } else { 1.0 };
    ctx.set_zoom_factor(zoom * look(ctx).zoom());
}

/// Zooms in by as many tenths, or out if there are fewer than none.
pub fn zoom_by(ctx: &Context, tenths: i8) {
    set_zoom(ctx, (zoom(ctx) * 10.0).round() / 10.0 + f32::from(tenths) / 10.0);
}

/// The width of a plot's line in points, of one that is `width` points wide in any look but that for a projector.
#[must_use]
pub fn line_width(width: f32, visuals: &Visuals) -> f32 {
    width * visuals.widgets.noninteractive.fg_stroke.width
}

/// The name of a lane in its colour; pointed at, it says what its words mean.
pub fn lane_name(ui: &mut Ui, lane: usize, name: &str) -> egui::Response {
    let text = egui::RichText::new(name).strong().color(lane_color(lane, ui.visuals()));
    let response = ui.add(egui::Label::new(text).wrap_mode(egui::TextWrapMode::Extend));
    let meaning = glossary::explain(name);
    if meaning.is_empty() { response } else { response.on_hover_text(meaning) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG's relative luminance.
    fn luminance(color: Color32) -> f32 {
        let [r, g, b, _] = egui::Rgba::from(color).to_array();
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// WCAG's contrast of what is drawn on a ground, from 1 to 21.
    fn contrast(color: Color32, ground: Color32) -> f32 {
        let [a, b] = [ground.blend(color), ground].map(luminance);
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn visuals(look: Look) -> Visuals {
        let ctx = Context::default();
        apply(&ctx, look);
        assert_eq!(super::look(&ctx), look);
        ctx.global_style().visuals.clone()
    }

    #[test]
    fn all_that_is_read_has_contrast_in_every_look() {
        for look in Look::ALL {
            let visuals = visuals(look);
            let least = if look == Look::Projector { 7.0 } else { 4.5 };
            let mut read = vec![
                ("text".to_owned(), visuals.text_color(), least),
                ("weak text".to_owned(), visuals.weak_text_color(), least),
                ("strong text".to_owned(), visuals.strong_text_color(), least),
            ];
            let tones = [("info", INFO), ("error", ERROR), ("warning", WARNING), ("same", SAME), ("chosen", CHOSEN)];
            read.extend(tones.map(|(name, tone)| (name.to_owned(), tone.on(&visuals), 4.5)));
            read.extend((0..8).map(|lane| (format!("lane {lane}"), lane_color(lane, &visuals), 4.5)));
            for (name, color, least) in read {
                for ground in [visuals.panel_fill, visuals.window_fill] {
                    let found = contrast(color, ground);
                    assert!(found >= least, "{name} in {look} on {ground:?}: contrast {found}");
                }
            }
            let marked = contrast(visuals.text_color(), DIVERGENCE.on(&visuals));
            assert!(marked >= 4.5, "text of a divergence in {look}: contrast {marked}");
        }
    }

    #[test]
    fn lanes_and_their_forks_have_colours_of_their_own() {
        for look in Look::ALL {
            let visuals = visuals(look);
            for lane in 0..colours::LANES.len() {
                let forks: Vec<Color32> = (0..3).map(|fork| fork_color(lane, fork, &visuals)).collect();
                assert!((0..3).all(|a| forks[a] != lane_color(lane, &visuals) && !forks[..a].contains(&forks[a])));
                assert!((0..lane).all(|other| lane_color(other, &visuals) != lane_color(lane, &visuals)));
            }
        }
    }

    #[test]
    fn lanes_are_told_apart_without_colours() {
        let letters: String = (0..28).map(lane_letter).collect();
        assert_eq!(letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZAB");
        let look_of = |lane: usize| (colours::lane(lane), lane_marker(lane));
        for lane in 0..72 {
            assert!((0..lane).all(|other| look_of(other) != look_of(lane)), "lane {lane}");
        }
    }

    #[test]
    fn only_a_projector_has_thicker_lines_and_all_of_its_strokes_are_black() {
        let widths = Look::ALL.map(|look| line_width(2.0, &visuals(look)));
        assert!(
            widths.into_iter().zip([2.0, 2.0, 3.5]).all(|(width, wanted)| (width - wanted).abs() < 1e-6),
            "{widths:?}"
        );
        assert_eq!(visuals(Look::Projector).widgets.inactive.fg_stroke.color, Color32::BLACK);
    }

    #[test]
    fn a_persons_zoom_stays_when_the_look_changes() {
        let ctx = Context::default();
        let frame = || ctx.run_ui(egui::RawInput::default(), |_| {}).textures_delta.clear();
        let check = |look: Look, own: f32, factor: f32| {
            frame();
            frame();
            assert_eq!(super::look(&ctx), look);
            assert!((zoom(&ctx) - own).abs() < 1e-4, "{look}: {}", zoom(&ctx));
            assert!((ctx.zoom_factor() - factor).abs() < 1e-4, "{look}: {}", ctx.zoom_factor());
        };
        apply(&ctx, Look::Projector);
        check(Look::Projector, 1.0, 1.35);
        zoom_by(&ctx, 2);
        check(Look::Projector, 1.2, 1.62);
        apply(&ctx, Look::Projector);
        check(Look::Projector, 1.2, 1.62);
        apply(&ctx, Look::Dark);
        check(Look::Dark, 1.2, 1.2);
        apply(&ctx, Look::Projector);
        set_zoom(&ctx, 100.0);
        check(Look::Projector, 3.0, 4.05);
        set_zoom(&ctx, f32::NAN);
        check(Look::Projector, 1.0, 1.35);
    }
}
