//! The table of a run: its columns, what stands in them, and the same as CSV. Free of egui.

use super::{
    comparison::Comparison,
    state::{LaneState, RunState},
    units::{digits, mebibytes, millis, to_mebibytes, to_x},
};
use crate::{
    engine::StepRecord,
    report::{Latency, quality::nats},
};

/// Columns that stand together, and the unit of them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Tokens,
    Time,
    Speed,
    Quality,
    Memory,
}

impl Group {
    /// What stands above its columns.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokens => "",
            Self::Time => "time, ms",
            Self::Speed => "tokens/s",
            Self::Quality => "vs first lane",
            Self::Memory => "memory, MiB",
        }
    }
}

/// A measured number, which knows how it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Count(usize),
    Secs(f64),
    PerSec(f64),
    Nats(f64),
    Share(f64),
    Bytes(u64),
}

impl Value {
    /// On screen, in the unit of its column.
    fn text(self) -> String {
        match self {
            Self::Count(n) => n.to_string(),
            Self::Secs(secs) => millis(secs),
            Self::PerSec(rate) => digits(rate),
            Self::Nats(kl) => nats(kl),
            Self::Share(share) => format!("{:.1}", 100.0 * share),
            Self::Bytes(bytes) => mebibytes(bytes),
        }
    }

    /// Unrounded, in the same unit.
    fn number(self) -> f64 {
        match self {
            Self::Count(n) => to_x(n),
            Self::Secs(secs) => secs * 1e3,
            Self::PerSec(number) | Self::Nats(number) => number,
            Self::Share(share) => 100.0 * share,
            Self::Bytes(bytes) => to_mebibytes(bytes),
        }
    }
}

/// What a column is made of: what is known of a lane. Times and comparisons are those of the cache that it has now.
pub struct Row {
    tokens: usize,
    latency: Latency,
    comparison: Option<Comparison>,
    newest: Option<StepRecord>,
}

/// One column of the table.
pub struct Column {
    pub name: &'static str,
    /// Of a number in it, as a CSV's header says it.
    pub unit: &'static str,
    pub group: Group,
    /// Its definition.
    pub help: &'static str,
    value: fn(&Row) -> Option<Value>,
}

impl Row {
    #[must_use]
    pub fn of(lane: &LaneState) -> Self {
        let records = lane.of_this_cache();
        let since = lane.records.len() - records.len();
        let compared = &lane.compared[lane.compared.partition_point(|token| token.step < since)..];
        Self {
            tokens: lane.records.len(),
            latency: Latency::of(records),
            comparison: Comparison::of(compared),
            newest: lane.records.last().copied(),
        }
    }

    /// Time per output token against that of the first lane, in words; `None` where one of them has none.
    #[must_use]
    pub fn pace(&self, first: &Self, first_name: &str) -> Option<String> {
        let ratio = self.latency.tpot_secs? / first.latency.tpot_secs.filter(|secs| *secs > 0.0)?;
        Some(match ratio {
            0.95..=1.05 => format!("A token takes as long as one of {first_name}, within 5 %"),
            ratio if ratio > 1.0 => format!("A token takes {} times as long as one of {first_name}", digits(ratio)),
            ratio if ratio > 0.0 => {
                format!("Tokens come {} times as fast as those of {first_name}", digits(1.0 / ratio))
            }
            _ => return None,
        })
    }
}

impl Column {
    /// What stands in the cell; `-` where there is nothing yet.
    #[must_use]
    pub fn cell(&self, row: &Row) -> String {
        (self.value)(row).map_or_else(|| "-".into(), Value::text)
    }
}

fn bytes(row: &Row, of: fn(&StepRecord) -> u64) -> Option<Value> {
    row.newest.as_ref().map(|record| Value::Bytes(of(record)))
}

const COLUMNS: [Column; 14] = [
    Column {
        name: "tokens",
        unit: "",
        group: Group::Tokens,
        help: "Tokens generated so far",
        value: |row| Some(Value::Count(row.tokens)),
    },
    Column {
        name: "TTFT",
        unit: "ms",
        group: Group::Time,
        help: "Time to first token: the prefill and the sampling of the first token",
        value: |row| row.latency.ttft_secs.map(Value::Secs),
    },
    Column {
        name: "TPOT",
        unit: "ms",
        group: Group::Time,
        help: "Time per output token after the first: (end to end - TTFT) / (n - 1). End to end counts the lane's own \
               steps, not the turns of other lanes",
        value: |row| row.latency.tpot_secs.map(Value::Secs),
    },
    Column {
        name: "ITL p50",
        unit: "ms",
        group: Group::Time,
        help: "Inter-token latency, median: half of the tokens after the first took at most this",
        value: |row| row.latency.itl_p50_secs.map(Value::Secs),
    },
    Column {
        name: "ITL p99",
        unit: "ms",
        group: Group::Time,
        help: "Inter-token latency, 99th percentile: 99 of 100 tokens after the first took at most this",
        value: |row| row.latency.itl_p99_secs.map(Value::Secs),
    },
    Column {
        name: "speed",
        unit: "tokens/s",
        group: Group::Speed,
        help: "Tokens in a second after the first: 1 / TPOT",
        value: |row| row.latency.tpot_secs.filter(|secs| *secs > 0.0).map(|secs| Value::PerSec(1.0 / secs)),
    },
    Column {
        name: "KL",
        unit: "nats",
        group: Group::Quality,
        help: "Mean of KL(first || lane) over the tokens that were compared, in nats: how far its predictions lie from the \
               first lane's. 0 where every logit is equal. The quality pane says more",
        value: |row| row.comparison.map(|compared| Value::Nats(compared.mean_kl_nats)),
    },
    Column {
        name: "agree",
        unit: "%",
        group: Group::Quality,
        help: "Share of the compared tokens, in per cent, whose likeliest token is the first lane's",
        value: |row| row.comparison.map(|compared| Value::Share(compared.agreement)),
    },
    Column {
        name: "reserved",
        unit: "MiB",
        group: Group::Memory,
        help: "Allocated for keys, values and scales",
        value: |row| bytes(row, |record| record.reserved_bytes),
    },
    Column {
        name: "held",
        unit: "MiB",
        group: Group::Memory,
        help: "In blocks that the lane and its forks hold: nobody else can use them",
        value: |row| bytes(row, |record| record.held_bytes),
    },
    Column {
        name: "used",
        unit: "MiB",
        group: Group::Memory,
        help: "Filled with a live token's rows",
        value: |row| bytes(row, |record| record.used_bytes),
    },
    Column {
        name: "dead",
        unit: "MiB",
        group: Group::Memory,
        help: "Filled with rows of tokens that were evicted, in blocks that are held still",
        value: |row| bytes(row, |record| record.dead_bytes),
    },
    Column {
        name: "formula",
        unit: "MiB",
        group: Group::Memory,
        help: "2 x layers x KV heads x head size x bytes per number x tokens; scales, tables and unfilled blocks not counted",
        value: |row| bytes(row, |record| record.formula_bytes),
    },
    Column {
        name: "copied",
        unit: "MiB",
        group: Group::Memory,
        help: "Stored rows that were moved since the lane began in this cache",
        value: |row| bytes(row, |record| record.copied_bytes),
    },
];

/// The columns of this run. Only lanes that evict have dead rows, and only lanes beside another are compared.
pub fn columns(run: &RunState) -> impl Iterator<Item = &'static Column> {
    static ALL: [Column; COLUMNS.len()] = COLUMNS;
    let (has_dead, is_compared) = (run.has_dead(), run.lanes.iter().any(|lane| !lane.compared.is_empty()));
    ALL.iter().filter(move |column| match column.name {
        "dead" => has_dead,
        _ => is_compared || column.group != Group::Quality,
    })
}

/// The table for a spreadsheet: units in the header, numbers unrounded, nothing where nothing was measured.
#[must_use]
pub fn csv(run: &RunState) -> String {
    let mut text = String::from("lane");
    for Column { name, unit, .. } in columns(run) {
        text.push_str(&if unit.is_empty() { format!(",{name}") } else { format!(",{name} ({unit})") });
    }
    for lane in &run.lanes {
        text.push('\n');
        text.push_str(&field(&lane.name));
        let row = Row::of(lane);
        for column in columns(run) {
            text.push_str(&(column.value)(&row).map_or_else(|| ",".into(), |value| format!(",{}", value.number())));
        }
    }
    text.push('\n');
    text
}

/// RFC 4180: in quotes where it has a comma or a quote.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::comparison::tests::run;

    #[test]
    fn a_cell_is_the_measured_number() {
        let run = run("none,paged:16", true, &[&[1, 2, 3], &[1, 2, 4]], &[&[0.0, 0.0, 0.3]]);
        let cells = |lane: usize| -> Vec<(&str, String)> {
            let row = Row::of(&run.lanes[lane]);
            columns(&run).map(|column| (column.name, column.cell(&row))).collect()
        };
        let cells_of_second = cells(1);
        for (name, text) in [
            ("tokens", "3"),
            ("TPOT", "2.00"),
            ("speed", "500"),
            ("KL", "0.100"),
            ("agree", "66.7"),
            ("reserved", "4.00"),
            ("copied", "0"),
        ] {
            assert!(cells_of_second.contains(&(name, text.to_owned())), "{name}: {cells_of_second:?}");
        }
        assert!(cells(0).contains(&("KL", "-".into())), "the first lane is not compared with itself");
        assert!(cells(0).iter().all(|(name, _)| *name != "dead"), "nothing was evicted");
    }

    #[test]
    fn lanes_alone_have_no_columns_of_quality() {
        let run = run("none", false, &[&[1, 2]], &[]);
        assert!(columns(&run).all(|column| column.group != Group::Quality));
    }

    #[test]
    fn the_pace_is_told_in_words() {
        let row = |millis: f64| Row {
            tokens: 2,
            latency: Latency { tpot_secs: Some(millis / 1e3), ..Latency::default() },
            comparison: None,
            newest: None,
        };
        let pace = |own: f64, first: f64| row(own).pace(&row(first), "A none");
        assert_eq!(pace(2.0, 50.0).as_deref(), Some("Tokens come 25.0 times as fast as those of A none"));
        assert_eq!(pace(3.0, 2.0).as_deref(), Some("A token takes 1.50 times as long as one of A none"));
        assert_eq!(pace(2.0, 2.02).as_deref(), Some("A token takes as long as one of A none, within 5 %"));
        assert_eq!(pace(2.0, 0.0), None);
    }

    #[test]
    fn csv_has_units_and_gaps() {
        let mut run = run("none,paged:16", true, &[&[1, 2, 3], &[1]], &[&[0.5]]);
        run.lanes[1].name = "a,b".into();
        let csv = csv(&run);
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].starts_with("lane,tokens,TTFT (ms),TPOT (ms),"), "{}", lines[0]);
        assert!(lines[0].ends_with(",formula (MiB),copied (MiB)"), "{}", lines[0]);
        assert!(lines[2].starts_with("\"a,b\",1,2,,,"), "{}", lines[2]);
        let commas = |line: &str| line.matches(',').count();
        assert_eq!(commas(lines[0]), commas(lines[1]));
        assert_eq!((commas(lines[0]) + 1, lines.len()), (commas(lines[2]), 3));
    }
}
