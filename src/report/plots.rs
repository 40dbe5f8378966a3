//! Latency and memory as SVG and PNG, readable in print: white ground, a colour and a legend entry per lane.

use std::path::Path;

use plotters::{coord::Shift, prelude::*};

use super::{
    canvas::{self, DrawResult, Drawing, FONT, short},
    files::WriteError,
    summary::LaneResult,
};
use crate::{
    engine::{Phase, StepRecord},
    measure::stats::median,
};

const SIZE: (u32, u32) = (960, 540);
const TITLE_HEIGHT: u32 = 44;
/// Added to the height for each panel after the first.
const PANEL_HEIGHT: u32 = 270;
/// The legend has a column of its own, so that it never covers a line.
const LEGEND_WIDTH: u32 = 180;
/// Figures that lie further apart than this are drawn on a logarithmic axis.
const LOG_FROM: f64 = 8.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stroke {
    Full,
    Dashed,
    Thin,
}

struct Series {
    label: String,
    colour: RGBColor,
    width: u32,
    stroke: Stroke,
    points: Vec<(u32, f64)>,
}

struct Picture<'a> {
    title: &'a str,
    y: &'a str,
    may_be_log: bool,
    series: Vec<Series>,
}

/// Pictures one under the other, with the title and the legend of the first.
struct Panels<'a>(Vec<Picture<'a>>);

/// What [`write_plots`] writes.
pub const NAMES: [&str; 4] = ["latency.svg", "latency.png", "memory.svg", "memory.png"];

/// The files [`NAMES`] in `folder`.
///
/// # Errors
/// [`WriteError`]
pub fn write_plots(folder: &Path, model: &str, lanes: &[LaneResult]) -> Result<Vec<String>, WriteError> {
    let title = format!("Latency of each token, {model}");
    let latency = Picture {
        title: &title,
        y: "milliseconds",
        may_be_log: true,
        series: series(lanes, Stroke::Full, |r| (r.phase == Phase::Decode).then_some(r.total_secs * 1e3)),
    };
    let title = format!("Cache memory, {model}: held (line), of it used (dashed), reserved (thin)");
    let memory = Picture {
        title: &title,
        y: "MiB",
        may_be_log: false,
        series: [
            series(lanes, Stroke::Thin, |r| Some(mebibytes(r.reserved_bytes))),
            series(lanes, Stroke::Full, |r| Some(mebibytes(r.held_bytes))),
            series(lanes, Stroke::Dashed, |r| Some(mebibytes(r.used_bytes))),
        ]
        .into_iter()
        .flatten()
        .collect(),
    };

    let mut written = vec![];
    for (name, picture) in [("latency", latency), ("memory", memory)] {
        let panels = Panels(vec![picture]);
        for extension in ["svg", "png"] {
            let file = format!("{name}.{extension}");
            canvas::write(&folder.join(&file), &panels)?;
            written.push(file);
        }
    }
    Ok(written)
}

/// Latency curves of any origin as one SVG: for each its label and the seconds of the tokens 1, 2, 3, ... (token 0 is
/// prefill's). The axes are linear, so that the area under a curve is the time of the whole run; curves that would lie on
/// the axis are drawn once more, enlarged, underneath.
///
/// # Errors
/// [`WriteError`]
pub fn write_latency_svg(path: &Path, title: &str, curves: &[(String, Vec<f64>)]) -> Result<(), WriteError> {
    let typical = |i: usize| median(&curves[i].1).unwrap_or(0.0);
    let highest = (0..curves.len()).map(typical).fold(0.0, f64::max);
    let panel = |y, shown: &dyn Fn(usize) -> bool| {
        let series = curves.iter().enumerate().filter(|(i, _)| shown(*i)).map(|(i, (label, inter_token_secs))| {
            let points = (1..).zip(inter_token_secs).map(|(token, secs)| (token, secs * 1e3)).collect();
            one_of((i, curves.len()), label.clone(), Stroke::Full, points)
        });
        Picture { title, y, may_be_log: false, series: series.collect() }
    };
    let mut panels = vec![panel("milliseconds", &|_| true)];
    let low = |i: usize| typical(i) * LOG_FROM < highest;
    if (0..curves.len()).any(low) {
        panels.push(panel("milliseconds, enlarged", &low));
    }
    canvas::write(path, &Panels(panels))
}

fn series(lanes: &[LaneResult], stroke: Stroke, y: impl Fn(&StepRecord) -> Option<f64>) -> Vec<Series> {
    lanes
        .iter()
        .enumerate()
        .map(|(i, lane)| {
            let step = |r: &StepRecord| u32::try_from(r.step).unwrap_or(u32::MAX);
            let points = lane.records.iter().filter_map(|r| Some((step(r), y(r)?))).collect();
            one_of((i, lanes.len()), lane.lane.clone(), stroke, points)
        })
        .collect()
}

/// The `i`-th of `n` lines.
fn one_of((i, n): (usize, usize), label: String, stroke: Stroke, points: Vec<(u32, f64)>) -> Series {
    // Where lines lie on each other, the later and thinner one leaves the edges of the earlier in sight (as long
    // as no more than four do).
    let later = u32::try_from(n - 1 - i).unwrap_or(0);
    let width = if stroke == Stroke::Full { 2 + later.min(3) } else { 1 };
    Series { label, colour: canvas::lane_colour(i), width, stroke, points }
}

fn mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a plot has a thousand pixels")]
    let bytes = bytes as f64;
    bytes / f64::from(1 << 20)
}

impl Drawing for Panels<'_> {
    fn size(&self) -> (u32, u32) {
        let more = u32::try_from(self.0.len().saturating_sub(1)).unwrap_or(0);
        (SIZE.0, SIZE.1 + more * PANEL_HEIGHT)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> DrawResult<B> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let (title, rest) = area.split_vertically(TITLE_HEIGHT);
        title.draw(&Text::new(first.title.to_owned(), (14, 14), (FONT, 22)))?;
        let (plots, legend) = rest.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        draw_legend(&legend, first)?;
        for (plot, picture) in plots.split_evenly((self.0.len(), 1)).iter().zip(&self.0) {
            draw_panel(plot, picture)?;
        }
        Ok(())
    }
}

fn draw_panel<B: DrawingBackend>(plot: &DrawingArea<B, Shift>, picture: &Picture<'_>) -> DrawResult<B> {
    let points = || picture.series.iter().flat_map(|s| &s.points);
    let last = points().map(|p| p.0).fold(1, u32::max);
    let high = points().map(|p| p.1).fold(0.0, f64::max);
    let low = points().map(|p| p.1).filter(|y| *y > 0.0).fold(f64::INFINITY, f64::min);
    let is_log = picture.may_be_log && low.is_finite() && high >= LOG_FROM * low;
    // A logarithmic axis is a linear one of exponents, from a power of ten to another, labelled at each.
    let (range, labels) = if is_log {
        let (from, to) = (low.log10().floor(), high.log10().ceil());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some ten decades at most")]
        let labels = (to - from) as usize + 1;
        (from..to, labels)
    } else {
        (0.0..if high > 0.0 { high * 1.1 } else { 1.0 }, 8)
    };
    let mut chart = ChartBuilder::on(plot)
        .margin(14)
        .margin_top(0)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0..last, range)?;
    chart
        .configure_mesh()
        .x_desc("generated token")
        .y_desc(picture.y)
        .y_labels(labels)
        .axis_desc_style((FONT, 17))
        .label_style((FONT, 15))
        .y_label_formatter(&|y| short(if is_log { 10_f64.powf(*y) } else { *y }))
        .light_line_style(WHITE)
        .draw()?;
    for series in &picture.series {
        let points = series.points.iter().map(|(x, y)| (*x, if is_log { y.log10() } else { *y }));
        let style = series.colour.stroke_width(series.width);
        match series.stroke {
            Stroke::Dashed => chart.draw_series(DashedLineSeries::new(points, 7, 5, style.stroke_width(2)))?,
            Stroke::Full | Stroke::Thin => chart.draw_series(LineSeries::new(points, style))?,
        };
    }
    Ok(())
}

/// A line and a name for each lane.
fn draw_legend<B: DrawingBackend>(area: &DrawingArea<B, Shift>, picture: &Picture<'_>) -> DrawResult<B> {
    let mut y = 12;
    for series in picture.series.iter().filter(|series| series.stroke == Stroke::Full) {
        let style = series.colour.stroke_width(series.width);
        area.draw(&PathElement::new(vec![(4, y), (24, y)], style))?;
        area.draw(&Text::new(series.label.clone(), (30, y - 8), (FONT, 15)))?;
        y += 22;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_that_would_lie_on_the_axis_are_drawn_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.svg");
        let drawn = |low_secs: f64| {
            let curves = [("high".to_owned(), vec![0.1; 4]), ("low".to_owned(), vec![low_secs; 4])];
            write_latency_svg(&path, "title", &curves).expect("written");
            std::fs::read_to_string(&path).expect("there")
        };
        assert!(drawn(0.05).contains("height=\"540\"") && !drawn(0.05).contains("enlarged"));
        assert!(drawn(0.001).contains("height=\"810\"") && drawn(0.001).contains("enlarged"));
    }
}
