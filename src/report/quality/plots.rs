//! Two figures: quality against bytes (the Pareto picture), and recall against distance.

use std::path::Path;

use plotters::{coord::Shift, element::DashedPathElement, prelude::*};

use super::{
    labels::{self, Rect},
    points::{Point, front, points, power_of_two},
};
use crate::{
    experiment::quality::LaneQuality,
    report::{
        canvas::{self, DrawResult, Drawing, FONT},
        colours,
        files::WriteError,
    },
};

const SIZE: (u32, u32) = (960, 600);
const TITLE_HEIGHT: u32 = 44;
const LEGEND_WIDTH: u32 = 230;
const TITLE: (&str, i32) = (FONT, 22);
const AXIS: (&str, i32) = (FONT, 17);
const LABEL: (&str, i32) = (FONT, 15);
/// From a point to its name.
const LEADER: RGBColor = RGBColor(120, 120, 120);
/// Through the lanes that no other beats.
const FRONT: RGBColor = RGBColor(205, 205, 205);
/// Free ground around the points, in exponents.
const PAD: f64 = 0.35;

/// `pareto` and, where values were recalled, `recall`, as SVG and PNG in `folder`.
///
/// # Errors
/// [`WriteError`]
pub fn write_plots(folder: &Path, model: &str, lanes: &[LaneQuality]) -> Result<Vec<String>, WriteError> {
    let mut written = vec![];
    let mut both = |name: &str, write: &dyn Fn(&Path) -> Result<(), WriteError>| {
        for extension in ["svg", "png"] {
            let file = format!("{name}.{extension}");
            write(&folder.join(&file))?;
            written.push(file);
        }
        Ok(())
    };
    let pareto = Pareto {
        title: format!("What is lost against what is stored, {model} (grey line: lanes that no other beats)"),
        points: points(lanes),
    };
    both("pareto", &|path| canvas::write(path, &pareto))?;
    let recall = RecallChart::new(format!("Facts recalled by distance, {model}"), lanes);
    if !recall.buckets.is_empty() {
        both("recall", &|path| canvas::write(path, &recall))?;
    }
    Ok(written)
}

struct Pareto {
    title: String,
    points: Vec<Point>,
}

/// An axis of exponents: whole ones are labelled.
struct LogAxis {
    from: f64,
    to: f64,
}

impl LogAxis {
    /// From a whole exponent to another, with `exponents` between them.
    fn around(exponents: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = exponents.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        if !low.is_finite() {
            return Self { from: 0.0, to: 1.0 };
        }
        let from = low.floor();
        Self { from, to: high.ceil().max(from + 1.0) }
    }

    /// Enough for a label at each whole exponent.
    fn n_labels(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "f64 has 2,000 binary exponents")]
        let n = (self.to - self.from) as usize + 1;
        n.min(40)
    }
}

impl Drawing for Pareto {
    fn size(&self) -> (u32, u32) {
        SIZE
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> DrawResult<B> {
        let (title, plot) = area.split_vertically(TITLE_HEIGHT);
        title.draw(&Text::new(self.title.clone(), (14, 14), TITLE))?;
        let x = LogAxis::around(self.points.iter().map(|point| point.bytes_per_token.log2()));
        let mut y = LogAxis::around(self.points.iter().filter(|point| point.kl > 0.0).map(|point| point.kl.log10()));
        // 0 has no logarithm: it has a line of its own under the lowest decade.
        let zero = y.from - 1.0;
        y.from = zero;
        let at = |point: &Point| (point.bytes_per_token.log2(), if point.kl > 0.0 { point.kl.log10() } else { zero });
        let mut chart = ChartBuilder::on(&plot)
            .margin(14)
            .margin_top(0)
            .x_label_area_size(44)
            .y_label_area_size(78)
            .build_cartesian_2d(x.from - PAD..x.to + PAD, y.from - PAD..y.to + PAD)?;
        chart
            .configure_mesh()
            .x_desc("bytes per token, scales included (each step is twice as much)")
            .y_desc("KL(exact || lane), nats")
            .x_labels(x.n_labels())
            .y_labels(y.n_labels())
            .axis_desc_style(AXIS)
            .label_style(LABEL)
            .x_label_formatter(&|x| power_of_two(*x))
            .y_label_formatter(&|y| match y - zero {
                above if above.abs() < 0.5 => "0".into(),
                _ => format!("{:.0e}", 10_f64.powf(*y)),
            })
            .light_line_style(WHITE)
            .draw()?;
        let places: Vec<(f64, f64)> = self.points.iter().map(at).collect();
        let best = front(&self.points.iter().map(|point| (point.bytes_per_token, point.kl)).collect::<Vec<_>>());
        chart.draw_series(LineSeries::new(best.into_iter().map(|index| places[index]), FRONT.stroke_width(2)))?;

        // In pixels of the whole figure from here on.
        let pixels: Vec<(i32, i32)> = places.iter().map(|place| chart.backend_coord(place)).collect();
        let (across, down) = chart.plotting_area().get_pixel_range();
        let bounds = Rect {
            x: across.start + 4,
            y: down.start + 4,
            width: across.end - across.start - 8,
            height: down.end - down.start - 8,
        };
        let style = LABEL.into_text_style(area);
        let mut sizes = vec![];
        for point in &self.points {
            let (width, height) = area.estimate_text_size(&point.label, &style)?;
            let pixels = |n: u32| i32::try_from(n).unwrap_or(i32::MAX / 4);
            sizes.push((pixels(width) + 2, pixels(height) + 2));
        }
        for ((point, pixel), label) in self.points.iter().zip(&pixels).zip(labels::place(&pixels, &sizes, bounds)) {
            let from = label.nearest(*pixel);
            let (dx, dy) = (from.0 - pixel.0, from.1 - pixel.1);
            if dx * dx + dy * dy > 2 * labels::MARKER * labels::MARKER * 2 {
                area.draw(&PathElement::new(vec![*pixel, from], LEADER))?;
            }
            draw_marker(area, *pixel, &point.lanes)?;
            area.draw(&Text::new(point.label.clone(), (label.x, label.y), LABEL))?;
        }
        Ok(())
    }
}

/// A disc in the first lane's colour; lanes at the same place show as rings around it.
fn draw_marker<B: DrawingBackend>(area: &DrawingArea<B, Shift>, at: (i32, i32), lanes: &[usize]) -> DrawResult<B> {
    let rings = lanes.len().min(3);
    for (ring, lane) in (1..).zip(lanes.iter().take(rings)).collect::<Vec<_>>().into_iter().rev() {
        let radius = if rings == 1 { labels::MARKER - 3 } else { ring * labels::MARKER / 3 };
        area.draw(&Circle::new(at, radius, canvas::lane_colour(*lane).filled()))?;
    }
    Ok(())
}

struct RecallLine {
    lane: String,
    /// The lane's number, of which its colour and stroke follow.
    index: usize,
    width: u32,
    /// Per cent by bucket; none where nothing was measured.
    percent: Vec<Option<f64>>,
}

struct RecallChart {
    title: String,
    /// Distances, and how many values were asked for.
    buckets: Vec<(String, usize)>,
    lines: Vec<RecallLine>,
}

impl RecallChart {
    fn new(title: String, lanes: &[LaneQuality]) -> Self {
        let asked = lanes.iter().find(|lane| lane.is_exact).map(|lane| &lane.recall_asked);
        let buckets: Vec<(String, usize)> =
            asked.into_iter().flatten().filter(|(_, asked)| **asked > 0).map(|(name, n)| (name.clone(), *n)).collect();
        let line = |(index, lane): (usize, &LaneQuality)| RecallLine {
            lane: lane.lane.clone(),
            index,
            // Where lines lie on each other, the earlier and wider one stays in sight behind the later.
            width: 2 + u32::try_from(3 * (lanes.len() - 1 - index) / lanes.len()).unwrap_or(0),
            percent: buckets
                .iter()
                .map(|(name, _)| lane.recall.get(name).copied().flatten().map(|share| 100.0 * share))
                .collect(),
        };
        let lines = lanes.iter().enumerate().map(line).collect();
        Self { title, buckets, lines }
    }
}

impl Drawing for RecallChart {
    fn size(&self) -> (u32, u32) {
        SIZE
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> DrawResult<B> {
        let (title, rest) = area.split_vertically(TITLE_HEIGHT);
        title.draw(&Text::new(self.title.clone(), (14, 14), TITLE))?;
        let (plot, legend) = rest.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        let last = f64::from(u32::try_from(self.buckets.len() - 1).unwrap_or(0));
        let mut chart = ChartBuilder::on(&plot)
            .margin(14)
            .margin_top(0)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(-0.4..last + 0.4, 0.0..105.0)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc("tokens since the fact was last mentioned (values asked for)")
            .y_desc("right, per cent")
            // One at each bucket.
            .x_labels(self.buckets.len())
            .x_label_formatter(&|x| self.bucket_label(*x))
            .y_labels(11)
            .y_label_formatter(&|y| canvas::short(*y))
            .axis_desc_style(AXIS)
            .label_style(LABEL)
            .light_line_style(WHITE)
            .draw()?;
        for line in &self.lines {
            let places: Vec<(f64, f64)> = (0_u32..)
                .zip(&line.percent)
                .filter_map(|(bucket, percent)| Some((f64::from(bucket), (*percent)?)))
                .collect();
            let style = canvas::lane_colour(line.index).stroke_width(line.width);
            match line.index / colours::LANES.len() {
                0 => chart.draw_series(LineSeries::new(places.clone(), style))?,
                again => chart.draw_series(DashedLineSeries::new(places.clone(), dash(again), 5, style))?,
            };
            let radius = i32::try_from(line.width).unwrap_or(2) + 1;
            chart.draw_series(places.into_iter().map(|place| Circle::new(place, radius, style.filled())))?;
        }
        let mut y = 12;
        for line in &self.lines {
            let style = canvas::lane_colour(line.index).stroke_width(line.width);
            let again = line.index / colours::LANES.len();
            if again == 0 {
                legend.draw(&PathElement::new(vec![(4, y), (34, y)], style))?;
            } else {
                let size = dash(again);
                legend.draw(&DashedPathElement::new(vec![(4, y), (34, y)], size, 5, style))?;
            }
            legend.draw(&Text::new(line.lane.clone(), (40, y - 8), LABEL))?;
            y += 22;
        }
        Ok(())
    }
}

/// Colours begin again after eight lanes; the stroke then says which round it is.
fn dash(again: usize) -> u32 {
    if again == 1 { 10 } else { 3 }
}

impl RecallChart {
    fn bucket_label(&self, x: f64) -> String {
        let near = (0_u32..).zip(&self.buckets).find(|(index, _)| (f64::from(*index) - x).abs() < 1e-6);
        near.map_or_else(String::new, |(_, (name, asked))| format!("{name} ({asked})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many lanes as a run has, of which some store the same.
    fn many_lanes() -> Vec<LaneQuality> {
        let buckets = ["0-100", "100-300", "300-600", "600-900"].map(str::to_owned);
        let lane = |(name, bytes_per_token, kl, recall): (&str, f64, f64, [f64; 4])| LaneQuality {
            lane: name.into(),
            is_exact: name == "contiguous",
            kl: Some(kl),
            bytes_per_token: Some(bytes_per_token),
            recall: buckets.clone().into_iter().zip(recall.map(Some)).collect(),
            recall_asked: buckets.clone().into_iter().zip([850, 1207, 271, 141]).collect(),
            ..LaneQuality::default()
        };
        [
            ("contiguous", 7680.0, 0.0, [1.0; 4]),
            ("concat", 7680.0, 0.0, [1.0; 4]),
            ("paged:16", 7680.0, 0.0, [1.0; 4]),
            ("paged:16+f16", 3840.0, 1.1e-8, [1.0; 4]),
            ("paged:16+bf16", 3840.0, 1e-6, [1.0; 4]),
            ("paged:16+f8", 1920.0, 1e-3, [1.0, 1.0, 0.99, 0.99]),
            ("paged:16+int8", 2160.0, 1e-5, [1.0; 4]),
            ("paged:16+q8_0", 2040.0, 1.1e-5, [1.0; 4]),
            ("paged:16+q4_0", 1080.0, 0.1, [0.96, 0.95, 0.92, 0.9]),
            ("paged:16+int4", 1200.0, 0.12, [0.94, 0.93, 0.91, 0.9]),
            ("paged:16+int4+rot", 1200.0, 0.09, [0.95, 0.94, 0.92, 0.91]),
            ("paged:32+kivi:4", 1400.0, 0.02, [0.99, 0.98, 0.98, 0.97]),
            ("paged:32+kivi:2", 900.0, 0.4, [0.8, 0.7, 0.69, 0.66]),
            ("paged:32+kvq:4", 980.0, 0.03, [0.99, 0.98, 0.96, 0.96]),
            ("paged:32+kvq:3", 740.0, 0.11, [0.95, 0.93, 0.9, 0.89]),
            ("paged:32+kvq:2", 520.0, 0.6, [0.7, 0.6, 0.5, 0.44]),
            ("paged:16+window:4/256", 1950.0, 0.5, [0.97, 0.88, 0.02, 0.03]),
            ("paged:16+window:4/512", 3870.0, 0.2, [0.99, 0.99, 0.84, 0.01]),
            ("paged:16+h2o:128/128", 1930.0, 0.4, [0.97, 0.9, 0.5, 0.4]),
            ("paged:16+int8+window:4/256", 550.0, 0.5, [0.97, 0.88, 0.02, 0.03]),
        ]
        .map(lane)
        .to_vec()
    }

    #[test]
    fn every_lane_is_named_in_both_figures() {
        let folder = tempfile::tempdir().expect("folder");
        let lanes = many_lanes();
        let written = write_plots(folder.path(), "story", &lanes).expect("written");
        assert_eq!(written, ["pareto.svg", "pareto.png", "recall.svg", "recall.png"]);
        for file in ["pareto.svg", "recall.svg"] {
            let svg = std::fs::read_to_string(folder.path().join(file)).expect("there");
            assert!(lanes.iter().all(|lane| svg.contains(&lane.lane)), "{file}");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let folder = tempfile::tempdir().expect("folder");
        let unmeasured = LaneQuality { lane: "paged:16".into(), ..LaneQuality::default() };
        let written = write_plots(folder.path(), "story", &[unmeasured]).expect("written");
        assert_eq!(written, ["pareto.svg", "pareto.png"]);
    }

    #[test]
    fn axes_reach_from_a_whole_exponent_to_another() {
        let around = |exponents: &[f64]| {
            let axis = LogAxis::around(exponents.iter().copied());
            (axis.from, axis.to, axis.n_labels())
        };
        assert_eq!(around(&[-5.5, -1.2]), (-6.0, -1.0, 6));
        assert_eq!(around(&[3.0]), (3.0, 4.0, 2));
        assert_eq!(around(&[]), (0.0, 1.0, 2));
    }
}
