//! How the whole window looks: dark, light, or for a projector.

use std::{fmt, str::FromStr};

use egui::{
    Color32, Context, FontFamily, FontId, Stroke, Style, TextStyle, Theme, Visuals,
    style::{Selection, Widgets},
};
use serde::{Deserialize, Serialize};

/// Strokes of widgets for a projector, in points. Plots draw lines twice as wide as the strokes of text and widgets.
const PROJECTOR_STROKE: f32 = 1.75;

/// What the window looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Look {
    #[default]
    Dark,
    Light,
    /// Black on white, large, with thick lines: to be read from the back of a lit room.
    Projector,
}

/// A name that no look has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown look `{0}`; looks are dark, light and projector")]
pub struct UnknownLook(pub String);

impl Look {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 3] = [Self::Dark, Self::Light, Self::Projector];

    /// The look in lower case, as in files and flags.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Projector => "projector",
        }
    }

    /// The one after it, and the first after the last.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::Projector,
            Self::Projector => Self::Dark,
        }
    }

    /// How much larger everything is than in the other looks.
    #[must_use]
    pub const fn zoom(self) -> f32 {
        if matches!(self, Self::Projector) { 1.35 } else { 1.0 }
    }

    /// The look that these visuals are of.
    #[must_use]
    pub fn of(visuals: &Visuals) -> Self {
        if visuals.dark_mode {
            Self::Dark
        } else if visuals.widgets.noninteractive.fg_stroke.width < PROJECTOR_STROKE {
            Self::Light
        } else {
            Self::Projector
        }
    }

    /// The theme of egui that holds its style; a projector's is the light one.
    pub(super) const fn theme(self) -> Theme {
        if matches!(self, Self::Dark) { Theme::Dark } else { Theme::Light }
    }

    /// Makes egui's theme of this look what the look is.
    pub(super) fn dress(self, ctx: &Context) {
        ctx.style_mut_of(self.theme(), |style| {
            self.type_and_room(style);
            style.visuals = self.visuals();
        });
    }

    /// Sizes that can be read from the back of a room.
    fn type_and_room(self, style: &mut Style) {
        let more: f32 = if self == Self::Projector { 1.0 } else { 0.0 };
        let sizes = [
            (TextStyle::Small, 13.0, FontFamily::Proportional),
            (TextStyle::Body, 15.0, FontFamily::Proportional),
            (TextStyle::Button, 15.0, FontFamily::Proportional),
            (TextStyle::Heading, 19.0, FontFamily::Proportional),
            (TextStyle::Monospace, 14.0, FontFamily::Monospace),
        ];
        let font = |(name, size, family): (TextStyle, f32, FontFamily)| (name, FontId::new(size + more, family));
        style.text_styles = sizes.into_iter().map(font).collect();
        style.spacing.item_spacing = egui::vec2(8.0, 5.0);
        style.spacing.button_padding = egui::vec2(8.0, 3.0);
    }

    fn visuals(self) -> Visuals {
        match self {
            Self::Dark => Visuals {
                panel_fill: Color32::from_rgb(24, 26, 31),
                override_text_color: Some(Color32::from_rgb(226, 228, 232)),
                ..Visuals::dark()
            },
            Self::Light => Visuals {
                panel_fill: Color32::from_rgb(240, 241, 243),
                override_text_color: Some(Color32::from_rgb(24, 26, 30)),
                weak_text_color: Some(Color32::from_rgb(92, 94, 98)),
                ..Visuals::light()
            },
            Self::Projector => Visuals {
                panel_fill: Color32::WHITE,
                window_fill: Color32::WHITE,
                window_stroke: Stroke::new(PROJECTOR_STROKE, Color32::BLACK),
                faint_bg_color: Color32::from_gray(238),
                override_text_color: Some(Color32::BLACK),
                weak_text_color: Some(Color32::from_gray(64)),
                hyperlink_color: Color32::from_rgb(0, 60, 160),
                selection: Selection {
                    bg_fill: Color32::from_rgb(160, 205, 255),
                    stroke: Stroke::new(PROJECTOR_STROKE, Color32::BLACK),
                },
                widgets: projector_widgets(),
                ..Visuals::light()
            },
        }
    }
}

/// Widgets of the light theme with black strokes, and an outline around what can be pressed.
fn projector_widgets() -> Widgets {
    let mut widgets = Widgets::light();
    widgets.noninteractive.bg_stroke = Stroke::new(1.0, Color32::from_gray(110));
    widgets.inactive.bg_stroke = Stroke::new(1.0, Color32::from_gray(90));
    widgets.hovered.bg_stroke = Stroke::new(PROJECTOR_STROKE, Color32::BLACK);
    for state in [
        &mut widgets.noninteractive,
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
    ] {
        state.fg_stroke = Stroke::new(PROJECTOR_STROKE.max(state.fg_stroke.width), Color32::BLACK);
    }
    widgets
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Look {
    type Err = UnknownLook;

    fn from_str(text: &str) -> Result<Self, UnknownLook> {
        let named = |look: &Self| look.name().eq_ignore_ascii_case(text.trim());
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownLook(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_told_by_their_names_and_by_their_visuals() {
        for look in Look::ALL {
            assert_eq!(look.to_string().parse(), Ok(look));
            assert_eq!(Look::of(&look.visuals()), look);
            assert_eq!(serde_json::to_string(&look).expect("a look"), format!("\"{look}\""));
        }
        assert_eq!(" Projector".parse(), Ok(Look::Projector));
        assert_eq!(Look::from_str("sepia"), Err(UnknownLook("sepia".into())));
    }

    #[test]
    fn the_key_goes_through_all_of_them() {
        assert_eq!(Look::ALL.map(Look::next), [Look::Light, Look::Projector, Look::Dark]);
    }
}
