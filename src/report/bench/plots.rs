//! Figures of benchmarks: time and memory against context, throughput against batch, prefill, the roofline.

use std::{collections::BTreeMap, path::Path};

use crate::{
    experiment::bench::{ArmResult, Work},
    report::{
        canvas,
        chart::{Chart, Scale, Series, Style},
        files::WriteError,
    },
};

/// What runs an arm, as a figure's legend calls it.
type Line = String;

/// All figures that `arms` have the numbers for, as SVG and PNG in `folder`; returns their names.
///
/// # Errors
/// [`WriteError`]
pub fn write_plots(folder: &Path, arms: &[ArmResult]) -> Result<Vec<String>, WriteError> {
    let measured: Vec<&ArmResult> = arms.iter().filter(|arm| arm.median_secs.is_some()).collect();
    let mut models: Vec<&str> = vec![];
    for arm in &measured {
        if !models.contains(&arm.model.as_str()) {
            models.push(&arm.model);
        }
    }
    let mut written = vec![];
    for model in models {
        let of_model: Vec<&ArmResult> = measured.iter().filter(|arm| arm.model == model).copied().collect();
        for (name, chart) in charts(model, &of_model) {
            for extension in ["svg", "png"] {
                let file = format!("{name}-{}.{extension}", file_name(model));
                canvas::write(&folder.join(&file), &chart)?;
                written.push(file);
            }
        }
    }
    Ok(written)
}

/// A model's name without what file systems dislike.
fn file_name(model: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    model.chars().map(|c| if is_kept(c) { c } else { '-' }).collect::<String>().trim_matches('-').to_owned()
}

fn charts(model: &str, arms: &[&ArmResult]) -> Vec<(String, Chart)> {
    let names = Names::of(arms);
    let decode: Vec<&ArmResult> = of(arms, Work::Decode);
    let single: Vec<&ArmResult> = decode.iter().filter(|arm| arm.batch == 1).copied().collect();
    let context = || ("tokens in the context".to_owned(), Scale::Log2);
    let mut charts = vec![];
    let mut add =
        |name: &str, title: String, x: (String, Scale), y: (String, Scale), series: Vec<Series>, least: usize| {
            // A line needs two points, and a figure one line.
            let longest =
                series.iter().filter(|series| series.style == Style::Line).map(|series| series.points.len()).max();
            if longest.is_some_and(|longest| longest >= least) {
                charts.push((name.to_owned(), Chart { title, x, y, series }));
            }
        };
    let millis = |arm: &ArmResult| arm.median_secs.map(|secs| secs * 1e3);
    add(
        "latency",
        format!("Time of a decoded token against context, {model}"),
        context(),
        ("milliseconds a token".into(), Scale::Log10),
        lines(&names, &single, on_average, millis),
        2,
    );
    add(
        "memory",
        format!("Keys, values and scales in use against context, {model}"),
        context(),
        ("MiB".into(), Scale::Log10),
        lines(&names, &single, |arm| as_f64(arm.depth), |arm| arm.used_bytes.filter(|bytes| *bytes > 0).map(mebibytes)),
        2,
    );
    let mut depths: Vec<usize> = decode.iter().filter(|arm| arm.batch > 1).map(|arm| arm.depth).collect();
    depths.sort_unstable();
    depths.dedup();
    for depth in depths {
        let at_depth: Vec<&ArmResult> = decode.iter().filter(|arm| arm.depth == depth).copied().collect();
        add(
            &format!("throughput-d{depth}"),
            format!("Decoded tokens a second against batch, {depth} cached tokens a sequence, {model}"),
            ("sequences in the batch".into(), Scale::Log2),
            ("tokens a second, all sequences".into(), Scale::Linear),
            lines(&names, &at_depth, |arm| as_f64(arm.batch), |arm| arm.tokens_per_sec),
            2,
        );
    }
    let prefill: Vec<&ArmResult> = of(arms, Work::Prefill).into_iter().filter(|arm| arm.batch == 1).collect();
    add(
        "prefill",
        format!("Time of a prompt, {model}"),
        ("tokens of the prompt".into(), Scale::Log2),
        ("milliseconds".into(), Scale::Log10),
        lines(&names, &prefill, |arm| as_f64(arm.tokens), millis),
        2,
    );
    if let Some(chart) = roofline(model, &names, arms) {
        charts.push(("roofline".into(), chart));
    }
    charts
}

fn of<'a>(arms: &[&'a ArmResult], work: Work) -> Vec<&'a ArmResult> {
    arms.iter().filter(|arm| arm.work == Some(work)).copied().collect()
}

/// Tokens of the context on average over the test, whose mean step is drawn.
fn on_average(arm: &ArmResult) -> f64 {
    as_f64(arm.depth) + as_f64(arm.tokens) / 2.0
}

#[expect(clippy::cast_precision_loss, reason = "a plot has a thousand pixels")]
fn as_f64(n: usize) -> f64 {
    n as f64
}

fn mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a plot has a thousand pixels")]
    let bytes = bytes as f64;
    bytes / f64::from(1 << 20)
}

/// What distinguishes the lines: weights and threads are named only where they differ.
struct Names {
    weights: bool,
    threads: bool,
}

impl Names {
    fn of(arms: &[&ArmResult]) -> Self {
        let differ = |of: &dyn Fn(&ArmResult) -> String| arms.windows(2).any(|pair| of(pair[0]) != of(pair[1]));
        Self { weights: differ(&|arm| arm.weights.clone()), threads: differ(&|arm| arm.threads.to_string()) }
    }

    fn name(&self, arm: &ArmResult) -> Line {
        let mut name = arm.lane.clone();
        if self.weights {
            name.push_str(&format!(", {}", arm.weights));
        }
        if self.threads {
            name.push_str(&format!(", {} thr.", arm.threads));
        }
        name
    }
}

/// A series for each line, in the order of the arms, its points by `x`.
fn lines(
    names: &Names,
    arms: &[&ArmResult],
    x: impl Fn(&ArmResult) -> f64,
    y: impl Fn(&ArmResult) -> Option<f64>,
) -> Vec<Series> {
    let mut order: Vec<Line> = vec![];
    let mut points = BTreeMap::<Line, Vec<(f64, f64)>>::new();
    for arm in arms {
        let Some(y) = y(arm) else { continue };
        let name = names.name(arm);
        if !order.contains(&name) {
            order.push(name.clone());
        }
        points.entry(name).or_default().push((x(arm), y));
    }
    let series = |label: Line| {
        let mut points = points.remove(&label).unwrap_or_default();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { label, style: Style::Line, points }
    };
    order.into_iter().map(series).collect()
}

/// Points of all arms under the roofs of the machine, of the most threads (Williams et al. 2009).
fn roofline(model: &str, names: &Names, arms: &[&ArmResult]) -> Option<Chart> {
    // Measured anew for every group: the roof is the highest of them.
    let peak = |value: fn(&ArmResult) -> Option<f64>| arms.iter().filter_map(|arm| value(arm)).fold(0.0, f64::max);
    let bandwidth = peak(|arm| arm.peak_gbytes_per_sec);
    let compute = peak(|arm| arm.peak_gflops_per_sec);
    let points: Vec<(&&ArmResult, (f64, f64))> =
        arms.iter().filter_map(|arm| Some((arm, arm.flops_per_byte.zip(arm.gflops_per_sec)?))).collect();
    if bandwidth <= 0.0 || compute <= 0.0 || points.is_empty() {
        return None;
    }
    let xs = || points.iter().map(|(_, point)| point.0);
    let (low, high) = (xs().fold(0.25, f64::min), xs().fold(compute / bandwidth * 4.0, f64::max));
    let ridge = compute / bandwidth;
    let roof = vec![(low, low * bandwidth), (ridge, compute), (high, compute)];
    let mut series = vec![Series { label: String::new(), style: Style::Bound, points: roof }];
    for line in lines(names, arms, |arm| arm.flops_per_byte.unwrap_or(0.0), |arm| arm.gflops_per_sec) {
        series.push(Series { style: Style::Points, ..line });
    }
    Some(Chart {
        title: format!("Roofline, {model}: {bandwidth:.0} GB/s from memory, {compute:.0} GFLOP/s in f32"),
        x: ("operations for each byte that must be read".into(), Scale::Log2),
        y: ("GFLOP/s".into(), Scale::Log10),
        series,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::bench::tests::arm;

    fn measured(lane: &str, work: Work, tokens: usize, depth: usize, batch: usize, secs: f64) -> ArmResult {
        ArmResult {
            work: Some(work),
            tokens,
            depth,
            batch,
            tokens_per_sec: Some(as_f64(batch) / secs),
            used_bytes: Some(7680 * (depth * batch) as u64),
            flops_per_byte: Some(as_f64(batch)),
            gflops_per_sec: Some(10.0),
            peak_gflops_per_sec: Some(200.0),
            peak_gbytes_per_sec: Some(40.0),
            ..arm("t", lane, &[secs])
        }
    }

    #[test]
    fn every_figure_that_has_its_numbers_is_drawn() {
        let folder = tempfile::tempdir().expect("folder");
        let mut arms = vec![];
        for lane in ["contiguous", "paged:16+int8"] {
            for depth in [0, 128, 512] {
                arms.push(measured(lane, Work::Decode, 16, depth, 1, 0.001));
            }
            arms.push(measured(lane, Work::Decode, 16, 512, 8, 0.004));
            arms.push(measured(lane, Work::Prefill, 128, 0, 1, 0.1));
            arms.push(measured(lane, Work::Prefill, 512, 0, 1, 0.5));
        }
        let written = write_plots(folder.path(), &arms).expect("written");
        let names: Vec<&str> = written.iter().filter_map(|name| name.strip_suffix("-story.svg")).collect();
        assert_eq!(names, ["latency", "memory", "throughput-d512", "prefill", "roofline"]);
        for name in written.iter().filter(|name| name.ends_with("svg")) {
            let svg = std::fs::read_to_string(folder.path().join(name)).expect("there");
            assert!(svg.contains("contiguous") && svg.contains("paged:16+int8"), "{name}");
        }
        assert_eq!(write_plots(folder.path(), &[]).expect("nothing"), Vec::<String>::new());
    }

    #[test]
    fn names_say_what_differs_and_files_what_file_systems_allow() {
        let (mut a, b) = (arm("t", "paged", &[1.0]), arm("t", "paged", &[1.0]));
        assert_eq!(Names::of(&[&a, &b]).name(&a), "paged");
        a.weights = "bf16".into();
        assert_eq!(Names::of(&[&a, &b]).name(&a), "paged, bf16");
        assert_eq!(file_name("shape:gpt2,ctx=32768"), "shape-gpt2-ctx-32768");
    }

    #[test]
    fn the_roof_is_the_machines() {
        let arms = [measured("a", Work::Decode, 1, 1, 1, 1.0)];
        let chart = roofline("m", &Names { weights: false, threads: false }, &[&arms[0]]).expect("a chart");
        assert!(chart.title.contains("40 GB/s") && chart.title.contains("200 GFLOP/s"), "{}", chart.title);
        assert_eq!(chart.series[0].points[1], (5.0, 200.0), "the ridge");
    }
}
