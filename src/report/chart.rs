//! A chart of lines with markers and a legend beside it, linear or logarithmic, readable in print.

use plotters::{coord::Shift, element::DashedPathElement, prelude::*};

use super::{
    canvas::{self, DrawResult, Drawing, FONT},
    colours,
};

const SIZE: (u32, u32) = (960, 600);
const TITLE_HEIGHT: u32 = 44;
const LEGEND_WIDTH: u32 = 250;
const TITLE: (&str, i32) = (FONT, 22);
const AXIS: (&str, i32) = (FONT, 17);
const LABEL: (&str, i32) = (FONT, 15);
/// Free ground around the points, as a share of the axis.
const PAD: f64 = 0.04;
const LEGEND_ROW: i32 = 22;

/// How numbers become places on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    /// Whole powers of the base are labelled. What is not positive has no place there.
    Log2,
    Log10,
}

impl Scale {
    fn place(self, value: f64) -> Option<f64> {
        match self {
            Self::Linear => Some(value),
            Self::Log2 => (value > 0.0).then(|| value.log2()),
            Self::Log10 => (value > 0.0).then(|| value.log10()),
        }
        .filter(|place| place.is_finite())
    }

    fn value(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Log2 => place.exp2(),
            Self::Log10 => 10_f64.powf(place),
        }
    }

    /// Ends of an axis with `places` between them, and how many labels it gets.
    fn range(self, places: impl Iterator<Item = f64>) -> (f64, f64, usize) {
        let (low, high) = places.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        match self {
            _ if !low.is_finite() => (0.0, 1.0, 2),
            Self::Linear => (0.0, if high > 0.0 { high * (1.0 + PAD) } else { 1.0 }, 9),
            Self::Log2 | Self::Log10 => {
                let (from, to) = (low.floor(), high.ceil().max(low.floor() + 1.0));
                let pad = PAD * (to - from);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a few hundred exponents at most"
                )]
                let labels = (to - from) as usize + 1;
                (from - pad, to + pad, labels.min(40))
            }
        }
    }

    fn label(self, place: f64) -> String {
        if self != Self::Linear && (place - place.round()).abs() > 1e-6 {
            return String::new();
        }
        let value = self.value(place);
        match value {
            v if v >= 1e6 => format!("{}M", canvas::short(v / 1e6)),
            v if v >= 1e4 && self == Self::Log2 => format!("{}k", canvas::short(v / 1024.0)),
            v if v >= 1e4 => format!("{}k", canvas::short(v / 1e3)),
            v if v > 0.0 && v < 1e-3 => format!("{v:.0e}"),
            v => canvas::short(v),
        }
    }
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line through markers, and an entry in the legend.
    Line,
    /// Markers alone, with an entry.
    Points,
    /// A grey line without either: a bound.
    Bound,
}

/// One line of the chart.
#[derive(Clone, Debug)]
pub struct Series {
    pub label: String,
    pub style: Style,
    pub points: Vec<(f64, f64)>,
}

/// The whole chart.
#[derive(Clone, Debug)]
pub struct Chart {
    pub title: String,
    pub x: (String, Scale),
    pub y: (String, Scale),
    pub series: Vec<Series>,
}

const BOUND: RGBColor = RGBColor(150, 150, 150);

impl Chart {
    fn places(&self, series: &Series) -> Vec<(f64, f64)> {
        let place = |(x, y): &(f64, f64)| Some((self.x.1.place(*x)?, self.y.1.place(*y)?));
        series.points.iter().filter_map(place).collect()
    }
}

impl Drawing for Chart {
    fn size(&self) -> (u32, u32) {
        let entries = self.series.iter().filter(|series| series.style != Style::Bound).count();
        let legend = u32::try_from(entries).unwrap_or(0) * LEGEND_ROW.unsigned_abs() + TITLE_HEIGHT + 40;
        (SIZE.0, SIZE.1.max(legend))
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> DrawResult<B> {
        let (title, rest) = area.split_vertically(TITLE_HEIGHT);
        title.draw(&Text::new(self.title.clone(), (14, 14), TITLE))?;
        let (plot, legend) = rest.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        let places: Vec<Vec<(f64, f64)>> = self.series.iter().map(|series| self.places(series)).collect();
        let (x_from, x_to, x_labels) = self.x.1.range(places.iter().flatten().map(|place| place.0));
        let (y_from, y_to, y_labels) = self.y.1.range(places.iter().flatten().map(|place| place.1));
        let mut chart = ChartBuilder::on(&plot)
            .margin(14)
            .margin_top(0)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(x_from..x_to, y_from..y_to)?;
        chart
            .configure_mesh()
            .x_desc(self.x.0.as_str())
            .y_desc(self.y.0.as_str())
            .x_labels(x_labels)
            .y_labels(y_labels)
            .axis_desc_style(AXIS)
            .label_style(LABEL)
            .x_label_formatter(&|x| self.x.1.label(*x))
            .y_label_formatter(&|y| self.y.1.label(*y))
            .light_line_style(WHITE)
            .draw()?;
        let entries = self.series.iter().filter(|series| series.style != Style::Bound).count();
        let (mut entry, mut y) = (0, 12);
        for (series, places) in self.series.iter().zip(places) {
            if series.style == Style::Bound {
                chart.draw_series(LineSeries::new(places, BOUND.stroke_width(2)))?;
                continue;
            }
            // Where lines lie on each other, the earlier and wider one stays in sight behind the later.
            let width = 2 + u32::try_from(3 * (entries - 1 - entry) / entries).unwrap_or(0);
            let (style, again) = (canvas::lane_colour(entry).stroke_width(width), entry / colours::LANES.len());
            let is_line = series.style == Style::Line;
            match again {
                _ if !is_line => {}
                0 => drop(chart.draw_series(LineSeries::new(places.clone(), style))?),
                again => drop(chart.draw_series(DashedLineSeries::new(places.clone(), dash(again), 5, style))?),
            }
            let radius = i32::try_from(width).unwrap_or(2) + 1;
            // Rings instead of discs, as dashes instead of lines, when colours begin again.
            let marker = if again == 0 { style.filled() } else { style.stroke_width(2) };
            chart.draw_series(places.into_iter().map(|place| Circle::new(place, radius, marker)))?;
            match again {
                _ if !is_line => legend.draw(&Circle::new((19, y), 5, marker))?,
                0 => legend.draw(&PathElement::new(vec![(4, y), (34, y)], style))?,
                again => legend.draw(&DashedPathElement::new(vec![(4, y), (34, y)], dash(again), 5, style))?,
            }
            legend.draw(&Text::new(series.label.clone(), (40, y - 8), LABEL))?;
            (entry, y) = (entry + 1, y + LEGEND_ROW);
        }
        Ok(())
    }
}

/// Colours begin again after eight lines; the stroke then says which round it is.
fn dash(again: usize) -> u32 {
    if again == 1 { 10 } else { 3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_labelled_at_whole_powers() {
        assert_eq!([10.0, 15.0].map(|place| Scale::Log2.label(place)), ["1024", "32k"]);
        assert_eq!([-1.0, 0.5, 2.0, 7.0].map(|place| Scale::Log10.label(place)), ["0.1", "", "100", "10M"]);
        assert_eq!((Scale::Log10.place(0.0), Scale::Linear.place(0.0)), (None, Some(0.0)));
        let (from, to, labels) = Scale::Log2.range([4.5, 9.2].into_iter());
        assert!(from < 4.0 && to > 10.0 && labels == 7);
    }

    #[test]
    fn every_series_is_named_and_nothing_breaks_without_points() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.svg");
        let series = |label: String, points| Series { label, style: Style::Line, points };
        let mut lines: Vec<Series> =
            (0..30).map(|i| series(format!("line {i}"), vec![(1.0, 1.0), (2.0, f64::from(i))])).collect();
        lines.push(series("empty".into(), vec![]));
        let chart =
            |series| Chart { title: "t".into(), x: ("x".into(), Scale::Log2), y: ("y".into(), Scale::Log10), series };
        canvas::write(&path, &chart(lines.clone())).expect("written");
        let svg = std::fs::read_to_string(&path).expect("there");
        assert!(lines.iter().all(|line| svg.contains(&line.label)));
        canvas::write(&path, &chart(vec![])).expect("written");
    }
}
