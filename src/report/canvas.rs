//! Figures as files: SVG or PNG by the name's end, the same font everywhere, whole or not at all.

use std::{path::Path, sync::Once};

use plotters::{coord::Shift, prelude::*};

use super::{
    colours,
    files::{WriteError, write_whole},
};

pub const FONT: &str = "sans-serif";

pub type DrawResult<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// A figure that can be drawn on any backend.
pub trait Drawing {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    /// Draws on an area of [`Self::size`] that is white.
    ///
    /// # Errors
    /// The backend's.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> DrawResult<B>;
}

/// egui's own text font, so that plots look the same everywhere and no system font is needed.
static REGISTER_FONT: Once = Once::new();

/// Writes `path.svg` or `path.png`.
///
/// # Errors
/// [`WriteError`]
pub fn write(path: &Path, figure: &impl Drawing) -> Result<(), WriteError> {
    let error = |e: &dyn std::fmt::Display| WriteError::new(path, e);
    REGISTER_FONT.call_once(|| {
        let _ = plotters::style::register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
    if path.extension().is_some_and(|extension| extension == "png") {
        // plotters writes PNG only to a path: let it write beside the target, then rename.
        let folder = path.parent().unwrap_or(Path::new("."));
        let folder = tempfile::tempdir_in(folder).map_err(|e| error(&e))?;
        let file = folder.path().join("plot.png");
        whole(&BitMapBackend::new(&file, figure.size()).into_drawing_area(), figure).map_err(|e| error(&e))?;
        let bytes = std::fs::read(&file).map_err(|e| error(&e))?;
        write_whole(path, &bytes)
    } else {
        let mut svg = String::new();
        whole(&SVGBackend::with_string(&mut svg, figure.size()).into_drawing_area(), figure).map_err(|e| error(&e))?;
        write_whole(path, svg.as_bytes())
    }
}

fn whole<B: DrawingBackend>(area: &DrawingArea<B, Shift>, figure: &impl Drawing) -> DrawResult<B> {
    area.fill(&WHITE)?;
    figure.draw(area)?;
    area.present()
}

/// A lane's colour on white.
#[must_use]
pub fn lane_colour(lane: usize) -> RGBColor {
    let (_, [r, g, b]) = colours::lane(lane);
    RGBColor(r, g, b)
}

/// Up to three decimals, without zeros at the end.
#[must_use]
pub fn short(x: f64) -> String {
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        assert_eq!([0.001, 0.1, 1.0, 100.0, 2.5].map(short), ["0.001", "0.1", "1", "100", "2.5"]);
    }
}
