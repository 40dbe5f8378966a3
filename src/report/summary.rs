//! One lane in a few numbers.

use serde::Serialize;

use crate::{
    engine::{
        Phase, StepRecord,
        record::{Counts, GpuStep},
    },
    experiment::LaneEnd,
    measure::stats::percentile,
};

/// What a lane did.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneResult {
    pub lane: String,
    pub records: Vec<StepRecord>,
    pub text: String,
    /// `None` while it runs, or where the run was cancelled.
    pub end: Option<LaneEnd>,
    /// It goes on where the result before it stopped: the same lane in another cache.
    pub goes_on: bool,
}

impl LaneResult {
    #[must_use]
    pub fn new(lane: String) -> Self {
        Self { lane, records: vec![], text: String::new(), end: None, goes_on: false }
    }

    /// The generated tokens.
    #[must_use]
    pub fn token_ids(&self) -> Vec<u32> {
        self.records.iter().map(|r| r.token_id).collect()
    }
}

/// Latency of one lane; `None` until there is something to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Time to first token: the prefill and the first sample.
    pub ttft_secs: Option<f64>,
    /// Time per output token after the first: (end to end - TTFT) / (n - 1).
    pub tpot_secs: Option<f64>,
    /// Inter-token latency: half of the later tokens took at most this.
    pub itl_p50_secs: Option<f64>,
    pub itl_p90_secs: Option<f64>,
    pub itl_p99_secs: Option<f64>,
}

impl Latency {
    #[must_use]
    pub fn of(records: &[StepRecord]) -> Self {
        let itl = inter_token_secs(records);
        #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
        let n = itl.len() as f64;
        Self {
            ttft_secs: records.first().filter(|r| r.phase == Phase::Prefill).map(|r| r.total_secs),
            tpot_secs: (!itl.is_empty()).then(|| itl.iter().sum::<f64>() / n),
            itl_p50_secs: percentile(&itl, 50.0),
            itl_p90_secs: percentile(&itl, 90.0),
            itl_p99_secs: percentile(&itl, 99.0),
        }
    }
}

/// Seconds of every decode step.
fn inter_token_secs(records: &[StepRecord]) -> Vec<f64> {
    records.iter().filter(|r| r.phase == Phase::Decode).map(|r| r.total_secs).collect()
}

/// The numbers of one lane, as in `summary.json`. [`DEFINITIONS`] says what they mean.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaneSummary {
    pub lane: String,
    pub tokens: usize,
    #[serde(flatten)]
    pub latency: Latency,
    /// Median ITL of the first and of the last 64 decode steps, and the second over the first: what a
    /// growing context costs. Present from 128 decode steps on, so that the two never overlap.
    pub itl_first_64_median_secs: Option<f64>,
    pub itl_last_64_median_secs: Option<f64>,
    pub itl_last_over_first: Option<f64>,
    /// Bytes as the last record has them; `None` for a lane without a step, which measured nothing.
    pub reserved_bytes: Option<u64>,
    pub held_bytes: Option<u64>,
    pub used_bytes: Option<u64>,
    /// Rows of evicted tokens in what is held.
    pub dead_bytes: Option<u64>,
    pub formula_bytes: Option<u64>,
    pub metadata_bytes: Option<u64>,
    pub copied_bytes: Option<u64>,
    /// On a GPU: what a decoded token (or the prompt, where there is none) asked of it at most, and what its driver counts as used at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuStep>,
    pub same_tokens_as_first_lane: bool,
    /// The first generated token (0 is the first) that differs from the first lane's.
    pub first_divergence: Option<usize>,
    pub end: Option<LaneEnd>,
    pub text: String,
}

/// Printed under every table.
pub const DEFINITIONS: &str = "\
TTFT      time to first token: prefill and its sample
ITL       inter-token latency: the time of one later token (forward pass and sample); percentiles over them;
          a cached lane runs each token untimed before, until it gets no faster (not with --no-rehearsal, nor over 64 MiB)
TPOT      time per output token: (end to end - TTFT) / (tokens - 1), the lane's own time only
reserved  bytes allocated for keys, values and scales        used  of those, filled with rows of live tokens
dead      bytes of rows of evicted tokens in blocks that are still held
copied    bytes of rows moved to other places; concat moves every row, the new one too, at each token
same      the tokens of the first lane, or where they part";

/// Decode steps on either side of `itl_last_over_first`.
const EDGE: usize = 64;

/// The numbers of every lane; divergence is against the first.
#[must_use]
pub fn summarise(lanes: &[LaneResult]) -> Vec<LaneSummary> {
    let mut first_ids = lanes.first().map(LaneResult::token_ids).unwrap_or_default();
    first_ids.extend(lanes.iter().skip(1).take_while(|lane| lane.goes_on).flat_map(LaneResult::token_ids));
    let goes_on = lanes.iter().skip(1).map(|lane| lane.goes_on).chain([false]);
    lanes.iter().zip(goes_on).map(|(lane, goes_on)| summarise_lane(lane, goes_on, &first_ids)).collect()
}

/// `goes_on`: the lane has more tokens, in another cache.
fn summarise_lane(lane: &LaneResult, goes_on: bool, first_ids: &[u32]) -> LaneSummary {
    let itl = inter_token_secs(&lane.records);
    let last = lane.records.last();
    let bytes = |field: fn(&StepRecord) -> u64| last.map(field);
    let edges = (itl.len() >= 2 * EDGE).then(|| (&itl[..EDGE], &itl[itl.len() - EDGE..]));
    let first_median = edges.and_then(|(first, _)| percentile(first, 50.0));
    let last_median = edges.and_then(|(_, last)| percentile(last, 50.0));
    let start = if lane.goes_on { lane.records.first().map_or(0, |r| r.step) } else { 0 };
    let same_steps = first_ids.get(start..).unwrap_or_default();
    let first_divergence = divergence(same_steps, &lane.token_ids()).map(|at| start + at);
    let is_as_long = goes_on || start + lane.records.len() == first_ids.len();
    LaneSummary {
        lane: lane.lane.clone(),
        tokens: lane.records.len(),
        latency: Latency::of(&lane.records),
        itl_first_64_median_secs: first_median,
        itl_last_64_median_secs: last_median,
        itl_last_over_first: first_median.zip(last_median).map(|(first, last)| last / first),
        reserved_bytes: bytes(|r| r.reserved_bytes),
        held_bytes: bytes(|r| r.held_bytes),
        used_bytes: bytes(|r| r.used_bytes),
        dead_bytes: bytes(|r| r.dead_bytes),
        formula_bytes: bytes(|r| r.formula_bytes),
        metadata_bytes: bytes(|r| r.metadata_bytes),
        copied_bytes: bytes(|r| r.copied_bytes),
        gpu: gpu(&lane.records),
        same_tokens_as_first_lane: first_divergence.is_none() && is_as_long,
        first_divergence,
        end: lane.end.clone(),
        text: lane.text.clone(),
    }
}

fn gpu(records: &[StepRecord]) -> Option<GpuStep> {
    let counts = records.iter().filter(|r| r.phase == Phase::Decode).filter_map(|r| r.gpu).map(|gpu| gpu.counts);
    let most = counts.reduce(|a, b| Counts {
        launches: a.launches.max(b.launches),
        uploads: a.uploads.max(b.uploads),
        downloads: a.downloads.max(b.downloads),
        device_copies: a.device_copies.max(b.device_copies),
        allocations: a.allocations.max(b.allocations),
    });
    let last = records.last().and_then(|record| record.gpu)?;
    Some(GpuStep { counts: most.unwrap_or(last.counts), ..last })
}

/// Where `ids` first differ from `first`; a shorter lane that agrees so far does not diverge.
#[must_use]
pub fn divergence(first: &[u32], ids: &[u32]) -> Option<usize> {
    first.iter().zip(ids).position(|(a, b)| a != b)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::Config;

    pub fn record(step: usize, total_secs: f64, token_id: u32) -> StepRecord {
        let flops = crate::engine::record::forward_flops(&Config::shape("gpt2", None).expect("known"), step, 1);
        StepRecord {
            gpu: None,
            step,
            phase: if step == 0 { Phase::Prefill } else { Phase::Decode },
            tokens_in: 1,
            forward_secs: total_secs,
            sample_secs: 0.0,
            total_secs,
            token_id,
            reserved_bytes: 100,
            held_bytes: 50,
            used_bytes: 10,
            scale_bytes: None,
            residual_bytes: None,
            dead_bytes: 3,
            copied_bytes: step as u64,
            metadata_bytes: 1,
            cached_tokens: 1,
            formula_bytes: 9,
            flops,
            read_bytes: 0,
        }
    }

    #[test]
    fn latency_terms_are_the_defined_ones() {
        let mut lane = LaneResult::new("none".into());
        lane.records = vec![record(0, 5.0, 1), record(1, 1.0, 2), record(2, 3.0, 3)];
        let mut other = LaneResult::new("paged:16".into());
        other.records = vec![record(0, 1.0, 1), record(1, 1.0, 9), record(2, 1.0, 3)];
        let short = LaneResult { records: vec![record(0, 1.0, 1)], ..LaneResult::new("concat".into()) };
        let summary = summarise(&[lane, other, short]);
        assert_eq!(summary[0].latency.ttft_secs, Some(5.0));
        assert_eq!(summary[0].latency.tpot_secs, Some(2.0));
        assert_eq!(summary[0].latency.itl_p50_secs, Some(2.0));
        assert_eq!((summary[0].copied_bytes, summary[0].dead_bytes), (Some(2), Some(3)));
        assert_eq!(summarise(&[LaneResult::new("none".into())])[0].reserved_bytes, None);
        assert!(summary[0].same_tokens_as_first_lane);
        assert_eq!(summary[1].first_divergence, Some(1));
        assert!(!summary[2].same_tokens_as_first_lane && summary[2].first_divergence.is_none());
        assert_eq!(summary[2].latency.tpot_secs, None);
    }

    #[test]
    fn edges_never_overlap() {
        let lane = |n: usize| LaneResult {
            records: (0..=n).map(|i| record(i, if i > n / 2 { 3.0 } else { 1.0 }, 0)).collect(),
            ..LaneResult::new("none".into())
        };
        assert_eq!(summarise(&[lane(127)])[0].itl_last_over_first, None);
        assert_eq!(summarise(&[lane(128)])[0].itl_last_over_first, Some(3.0));
    }
}
