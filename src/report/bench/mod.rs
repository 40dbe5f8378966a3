//! Results of benchmarks: the table, the other formats, the folder they are kept in, their comparison and their figures.

pub mod compare;
pub mod folder;
pub mod plots;

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::units;
use crate::experiment::bench::{ArmResult, Warning, Work};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    #[default]
    Md,
    Csv,
    Json,
    Jsonl,
}

impl FromStr for OutputFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "md" => Ok(Self::Md),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "jsonl" => Ok(Self::Jsonl),
            _ => Err(format!("unknown format `{text}`; formats are md, csv, json and jsonl")),
        }
    }
}

/// `arms` in a format, as text with a newline at the end.
///
/// # Errors
/// What serde or csv cannot write.
pub fn print(arms: &[ArmResult], format: OutputFormat) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    Ok(match format {
        OutputFormat::Md => markdown(arms),
        OutputFormat::Json => format!("{}\n", serde_json::to_string_pretty(arms)?),
        OutputFormat::Jsonl => {
            let lines = arms.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
            lines.into_iter().map(|line| line + "\n").collect()
        }
        OutputFormat::Csv => csv(arms)?,
    })
}

/// A row per arm, its samples joined by spaces.
fn csv(arms: &[ArmResult]) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut csv = csv::Writer::from_writer(vec![]);
    csv.write_record([
        "model",
        "test",
        "lane",
        "engine",
        "weights",
        "threads",
        "device",
        "depth",
        "batch",
        "tokens",
        "median_secs",
        "tokens_per_sec",
        "p50_step_secs",
        "p99_step_secs",
        "floor_secs",
        "floor_ratio",
        "floor_of",
        "gflops_per_sec",
        "gbytes_per_sec",
        "percent_of_bandwidth",
        "percent_of_flops",
        "flops_per_byte",
        "used_bytes",
        "reserved_bytes",
        "samples",
        "warnings",
        "skipped",
        "commit",
        "cpu",
    ])?;
    for arm in arms {
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let bytes = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
        let joined = |texts: Vec<String>, between: &str| texts.join(between);
        csv.write_record([
            arm.model.clone(),
            arm.test.clone(),
            arm.lane.clone(),
            arm.engine.clone(),
            arm.weights.clone(),
            arm.threads.to_string(),
            arm.device.clone(),
            arm.depth.to_string(),
            arm.batch.to_string(),
            arm.tokens.to_string(),
            number(arm.median_secs),
            number(arm.tokens_per_sec),
            number(arm.p50_step_secs),
            number(arm.p99_step_secs),
            number(arm.floor_secs),
            number(arm.floor_ratio),
            arm.floor_of.clone().unwrap_or_default(),
            number(arm.gflops_per_sec),
            number(arm.gbytes_per_sec),
            number(arm.percent_of_bandwidth),
            number(arm.percent_of_flops),
            number(arm.flops_per_byte),
            bytes(arm.used_bytes),
            bytes(arm.reserved_bytes),
            joined(arm.samples.iter().map(f64::to_string).collect(), " "),
            joined(arm.warnings.iter().map(Warning::short).collect(), "; "),
            arm.skipped.clone().unwrap_or_default(),
            arm.commit.clone(),
            arm.cpu.clone(),
        ])?;
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}

/// What the columns mean; it stands under every table.
pub const DEFINITIONS: &str = "\
step: a decoded token of every sequence (tg), or the whole prompt (pp): the median over the repeats of the mean step. p99: of all single
steps. floor: the longer of reading the step's weights and cache once, as fast as the same buffers were read in the same process before and
after each repeat, and of its operations at the processor's peak; x floor: time over floor, the median over the repeats. bandwidth, FLOPs: per
cent of what these threads read from memory and compute in registers at best; a model that fits the processor's caches can exceed the first.
cache: bytes of keys, values and scales in use when the first timed step begins.";

/// Tables in Markdown, one for each model and test, with what the columns mean and every warning.
#[must_use]
pub fn markdown(arms: &[ArmResult]) -> String {
    let mut tests: Vec<(&str, &str)> = vec![];
    for arm in arms {
        let test = (arm.model.as_str(), arm.test.as_str());
        if !tests.contains(&test) {
            tests.push(test);
        }
    }
    let mut text = String::new();
    if let Some(arm) = arms.first() {
        let ArmResult { kvlab_version, commit, rustc, cpu, cpu_flags, cores, device, .. } = arm;
        text =
            format!("kvlab {kvlab_version}, commit {commit}, {rustc}; {cpu}, {cores} cores, {cpu_flags}; {device}\n\n");
    }
    for (model, test) in tests {
        let rows: Vec<&ArmResult> = arms.iter().filter(|arm| arm.model == model && arm.test == test).collect();
        text.push_str(&format!("### {model}, {test}\n\n{}\n", table(&rows)));
    }
    text.push_str(DEFINITIONS);
    text.push('\n');
    let meanings: BTreeSet<&str> = arms.iter().flat_map(|arm| &arm.warnings).map(Warning::meaning).collect();
    if !meanings.is_empty() {
        let meanings: Vec<&str> = meanings.into_iter().collect();
        text.push_str(&format!("Warnings. {}.\n", meanings.join("; ")));
    }
    text
}

fn table(arms: &[&ArmResult]) -> String {
    let is_prefill = arms.iter().any(|arm| arm.work == Some(Work::Prefill));
    let header = [
        "lane",
        "weights",
        "threads",
        if is_prefill { "prompt" } else { "step" },
        "p99",
        "tokens/s",
        "x floor",
        "bandwidth",
        "FLOPs",
        "cache",
        "notes",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for arm in arms {
        let secs = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), units::secs);
        let percent = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} %"));
        let mut remarks: Vec<String> = arm.warnings.iter().map(Warning::short).collect();
        if let Some(reason) = &arm.skipped {
            remarks.push(format!("skipped: {}", reason.replace('|', "/")));
        }
        let lane = if arm.engine == "kvlab" { arm.lane.clone() } else { format!("*{}*", arm.lane) };
        rows.push(vec![
            lane,
            arm.weights.clone(),
            arm.threads.to_string(),
            secs(arm.median_secs),
            if is_prefill { "-".into() } else { secs(arm.p99_step_secs) },
            arm.tokens_per_sec.map_or_else(|| "-".into(), |rate| format!("{rate:.1}")),
            arm.floor_ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")),
            percent(arm.percent_of_bandwidth),
            percent(arm.percent_of_flops),
            arm.used_bytes.map_or_else(|| "-".into(), units::bytes),
            remarks.join(", "),
        ]);
    }
    markdown_table(&rows)
}

/// The first row is the header; the first column stands left, the others right, all padded so that it reads as it is.
pub(crate) fn markdown_table(rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..n_columns).map(|column| width(column).unwrap_or(0).max(3)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let pad = " ".repeat(width - cell.chars().count().min(*width));
            if column == 0 || column + 1 == n_columns { format!(" {cell}{pad} ") } else { format!(" {pad}{cell} ") }
        });
        text.push_str(&format!("|{}|\n", cells.collect::<Vec<_>>().join("|")));
        if index == 0 {
            let rule = |(column, width): (usize, &usize)| {
                let is_left = column == 0 || column + 1 == n_columns;
                if is_left { "-".repeat(width + 2) } else { format!("{}:", "-".repeat(width + 1)) }
            };
            text.push_str(&format!("|{}|\n", widths.iter().enumerate().map(rule).collect::<Vec<_>>().join("|")));
        }
    }
    text
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Md => "md",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn arm(test: &str, lane: &str, secs: &[f64]) -> ArmResult {
        ArmResult {
            model: "story".into(),
            test: test.into(),
            lane: lane.into(),
            engine: "kvlab".into(),
            weights: "f32".into(),
            threads: 2,
            work: Some(Work::Decode),
            median_secs: crate::measure::stats::median(secs),
            samples: secs.into(),
            ..ArmResult::default()
        }
    }

    #[test]
    fn the_table_names_every_arm_and_explains_every_warning_once() {
        let mut arms =
            vec![arm("tg16", "contiguous", &[0.001]), arm("tg16", "paged:16", &[0.002]), arm("pp8", "none", &[])];
        arms[0].warnings = vec![Warning::CoresShared { others_percent: 12.0 }];
        arms[1].warnings = vec![Warning::CoresShared { others_percent: 12.0 }];
        arms[2].skipped = Some("too long | really".into());
        let text = print(&arms, OutputFormat::Md).expect("text");
        assert!(text.contains("### story, tg16\n") && text.contains("### story, pp8\n"), "{text}");
        assert!(
            text.contains("| contiguous |") && text.contains("1.00 ms") && text.contains("skipped: too long / really")
        );
        assert_eq!((text.matches("shared: ").count(), text.matches("shared 12 %").count()), (1, 2), "{text}");
        let widths: Vec<usize> = text
            .lines()
            .filter(|line| line.contains("contiguous") || line.contains("paged"))
            .map(|line| line.chars().count())
            .collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn every_format_holds_every_sample() {
        let arms = vec![arm("tg16", "contiguous", &[0.125, 0.25]), arm("tg16", "paged,16", &[0.5])];
        let of = |format: &str| print(&arms, format.parse().expect("a format")).expect("text");
        assert_eq!(serde_json::from_str::<Vec<ArmResult>>(&of("json")).expect("json"), arms);
        let lines: Vec<ArmResult> = of("jsonl").lines().map(|line| serde_json::from_str(line).expect("json")).collect();
        assert_eq!(lines, arms);
        assert!(
            of("csv").lines().count() == 3 && of("csv").contains("0.125 0.25") && of("csv").contains("\"paged,16\"")
        );
        assert!("xml".parse::<OutputFormat>().is_err());
    }
}
