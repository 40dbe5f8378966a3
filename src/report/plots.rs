//! Latency and memory as SVG and PNG, readable in print: white ground, a colour and a legend entry per lane.

use std::{path::Path, sync::Once};

use plotters::{coord::Shift, prelude::*};

use super::{
    colours,
    files::{WriteError, write_whole},
    summary::LaneResult,
};
use crate::engine::{Phase, StepRecord};

const SIZE: (u32, u32) = (960, 540);

struct Series {
    label: String,
    colour: RGBColor,
    width: u32,
    dashed: bool,
    points: Vec<(f64, f64)>,
}

struct Picture<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    log_y: bool,
    series: Vec<Series>,
}

/// `latency.svg`, `latency.png`, `memory.svg`, `memory.png` in `folder`.
///
/// # Errors
/// [`WriteError`]
pub fn write_plots(folder: &Path, model: &str, lanes: &[LaneResult]) -> Result<Vec<String>, WriteError> {
    let title = format!("Latency of each token, {model}");
    let latency = Picture {
        title: &title,
        x: "generated token",
        y: "milliseconds",
        log_y: true,
        series: series(lanes, false, |r| (r.phase == Phase::Decode).then_some(r.total_secs * 1e3)),
    };
    let title = format!("Cache memory, {model}: held by the sequence (line), of it used (dashed)");
    let mut both = series(lanes, false, |r| Some(mebibytes(r.held_bytes)));
    both.extend(series(lanes, true, |r| Some(mebibytes(r.used_bytes))));
    let memory = Picture { title: &title, x: "generated token", y: "MiB", log_y: false, series: both };

    let mut written = vec![];
    for (name, picture) in [("latency", &latency), ("memory", &memory)] {
        for extension in ["svg", "png"] {
            let file = format!("{name}.{extension}");
            write(&folder.join(&file), picture, extension == "png")?;
            written.push(file);
        }
    }
    Ok(written)
}

fn series(lanes: &[LaneResult], dashed: bool, y: impl Fn(&StepRecord) -> Option<f64>) -> Vec<Series> {
    lanes
        .iter()
        .enumerate()
        .map(|(i, lane)| {
            let (_, [r, g, b]) = colours::lane(i);
            #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
            let points = lane.records.iter().filter_map(|r| Some((r.step as f64, y(r)?))).collect();
            // Where lines lie on each other, the later and thinner one leaves the edges of the earlier in sight.
            let width = 2 + 2 * u32::try_from(lanes.len() - 1 - i).unwrap_or(0).min(3);
            Series { label: lane.lane.clone(), colour: RGBColor(r, g, b), width, dashed, points }
        })
        .collect()
}

fn mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a plot has a thousand pixels")]
    let bytes = bytes as f64;
    bytes / f64::from(1 << 20)
}

fn write(path: &Path, picture: &Picture<'_>, png: bool) -> Result<(), WriteError> {
    let error = |e: &dyn std::fmt::Display| WriteError::new(path, e);
    FONT.call_once(|| {
        let _ = plotters::style::register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
    if png {
        // plotters writes PNG only to a path: let it write beside the target, then rename.
        let folder = path.parent().unwrap_or(Path::new("."));
        let folder = tempfile::tempdir_in(folder).map_err(|e| error(&e))?;
        let file = folder.path().join("plot.png");
        draw(&BitMapBackend::new(&file, SIZE).into_drawing_area(), picture).map_err(|e| error(&e))?;
        let bytes = std::fs::read(&file).map_err(|e| error(&e))?;
        write_whole(path, &bytes)
    } else {
        let mut svg = String::new();
        draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), picture).map_err(|e| error(&e))?;
        write_whole(path, svg.as_bytes())
    }
}

/// egui's own text font, so that plots look the same everywhere and no system font is needed.
static FONT: Once = Once::new();

type DrawResult<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, picture: &Picture<'_>) -> DrawResult<B> {
    area.fill(&WHITE)?;
    let points = || picture.series.iter().flat_map(|s| &s.points);
    let max_x = points().map(|p| p.0).fold(1.0, f64::max);
    let max_y = points().map(|p| p.1).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area);
    chart.caption(picture.title, ("sans-serif", 22)).margin(14).x_label_area_size(44).y_label_area_size(64);
    if picture.log_y {
        let min_y = points().map(|p| p.1).filter(|y| *y > 0.0).fold(f64::INFINITY, f64::min);
        let (low, high) = if min_y.is_finite() { (min_y / 1.5, max_y * 1.5) } else { (0.1, 1.0) };
        let mut chart = chart.build_cartesian_2d(0.0..max_x, (low..high).log_scale())?;
        finish(&mut chart, picture)?;
    } else {
        let high = if max_y > 0.0 { max_y * 1.1 } else { 1.0 };
        let mut chart = chart.build_cartesian_2d(0.0..max_x, 0.0..high)?;
        finish(&mut chart, picture)?;
    }
    area.present()
}

fn finish<'a, B: DrawingBackend + 'a, Y>(
    chart: &mut ChartContext<'a, B, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>,
    picture: &Picture<'_>,
) -> DrawResult<B>
where
    Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    let label = ("sans-serif", 15);
    chart
        .configure_mesh()
        .x_desc(picture.x)
        .y_desc(picture.y)
        .axis_desc_style(("sans-serif", 17))
        .label_style(label)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for series in &picture.series {
        let style = series.colour.stroke_width(series.width);
        let points = series.points.iter().copied();
        if series.dashed {
            // The legend names each lane once, at its full line.
            chart.draw_series(DashedLineSeries::new(points, 7, 5, style))?;
        } else {
            chart
                .draw_series(LineSeries::new(points, style))?
                .label(series.label.clone())
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(label)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.4))
        .draw()
}
