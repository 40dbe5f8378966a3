//! What a step can know: the run and the measurement of quality, asked by the names of lanes.

use crate::{
    app::{
        quality::QualityState,
        state::{LaneState, Phase, RunState},
    },
    engine::StepRecord,
    experiment::{LaneEnd, quality::LaneQuality},
    measure::stats::median,
    report::units::{bytes, secs},
};

/// The run and the measurement of quality as the window shows them.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub run: &'a RunState,
    pub quality: &'a QualityState,
}

impl<'a> Seen<'a> {
    /// A lane of the run that has begun.
    pub(super) fn lane(&self, name: &str) -> Option<&'a LaneState> {
        self.run.lanes.iter().find(|lane| lane.name == name && !lane.records.is_empty())
    }

    /// The newest record of a lane.
    pub(super) fn newest(&self, name: &str) -> Option<&'a StepRecord> {
        self.lane(name)?.records.last()
    }

    /// True where all of these lanes came to their end.
    pub(super) fn has_finished(&self, names: &[&str]) -> bool {
        let finished = |lane: &LaneState| matches!(lane.end, Some(LaneEnd::Finished | LaneEnd::EndOfText));
        names.iter().all(|name| self.lane(name).is_some_and(finished))
    }

    /// The quality of a lane, once all is measured.
    pub(super) fn quality(&self, name: &str) -> Option<&'a LaneQuality> {
        let report = self.quality.report.as_ref().filter(|_| self.quality.phase == Phase::Finished)?;
        report.lanes.iter().find(|lane| lane.lane == name && lane.failed.is_none())
    }

    /// True where the quality of all of these lanes was measured.
    pub(super) fn has_measured(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.quality(name).is_some())
    }
}

/// Bytes that are used for a token that is stored.
pub(super) fn bytes_per_token(record: &StepRecord) -> f64 {
    float(record.used_bytes) / float(record.cached_tokens.max(1))
}

/// A lane and its bytes for a token: "`paged:16` 7,680 B".
pub(super) fn name_and_bytes_per_token(lane: &LaneState) -> Option<String> {
    Some(format!("{} {:.0} B", lane.name, bytes_per_token(lane.records.last()?)))
}

/// The median time of some steps.
pub(super) fn median_secs(records: &[StepRecord]) -> Option<f64> {
    let times: Vec<f64> = records.iter().map(|record| record.total_secs).collect();
    median(&times)
}

/// "4.4 times": how many times `less` is in `more`.
pub(super) fn times(more: f64, less: f64) -> String {
    let ratio = more / less;
    match ratio {
        ratio if !ratio.is_finite() => "many times".into(),
        ratio if ratio >= 20.0 => format!("{ratio:.0} times"),
        ratio => format!("{ratio:.2} times"),
    }
}

/// A part of a whole, in per cent.
pub(super) fn share(part: u64, whole: u64) -> String {
    format!("{:.0} %", 100.0 * float(part) / float(whole.max(1)))
}

/// Names with a value each, in one sentence: "a 1, b 2".
pub(super) fn list(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

/// A lane that holds bytes: what of them is filled, and what nobody else can use.
pub(super) fn held_and_used(name: &str, record: &StepRecord) -> String {
    let unused = record.held_bytes.saturating_sub(record.used_bytes);
    format!("{name} holds {} and uses {}: {} unused", bytes(record.held_bytes), bytes(record.used_bytes), bytes(unused))
}

/// Two times and their ratio: "3.6 ms and 15.7 ms, 4.36 times".
pub(super) fn from_to(first_secs: f64, last_secs: f64) -> String {
    format!("{} and {}, {}", secs(first_secs), secs(last_secs), times(last_secs, first_secs))
}

#[expect(clippy::cast_precision_loss, reason = "a text shows three digits")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_short() {
        assert_eq!([times(9.0, 2.0), times(420.0, 10.0), times(1.0, 0.0)], ["4.50 times", "42 times", "many times"]);
        assert_eq!((share(1, 3), share(1, 0)), ("33 %".into(), "100 %".into()));
        assert_eq!(from_to(0.002, 0.003), "2.00 ms and 3.00 ms, 1.50 times");
    }
}
