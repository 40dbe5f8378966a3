//! What one arm measured, as it stands in every file of results: one flat object.

use serde::{Deserialize, Serialize};

use super::test::Work;
use crate::measure::stats::{median, percentile};

/// Repeats whose fastest and slowest lie further apart than this share of their median are noisy.
const NOISY: f64 = 0.10;
/// A first step that takes so many times the median step is a warm-up that shows.
const WARM_UP: f64 = 1.5;
/// Floors that change by more than this share while an arm is measured: the memory was faster or slower meanwhile.
const BANDWIDTH: f64 = 0.15;
/// Others may take this share of the cores unnoticed.
const SHARED: f64 = 0.05;

/// What a reader has to know before believing a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Warning {
    /// The repeats differ.
    Noisy { spread_percent: f64 },
    /// The first step of a repeat is slower than the others.
    WarmUpVisible { first_over_median: f64 },
    /// The floor, measured before and after every repeat, moved.
    BandwidthChanged { slowest_over_fastest: f64 },
    /// Other processes, or neighbours on the same host, kept the cores busy.
    CoresShared { others_percent: f64 },
    /// Faster than the floor: the floor was measured too slow, so the ratio means nothing.
    FloorInvalid { ratio: f64 },
    /// A repeat reached its limit before it had made all steps.
    FewSteps { steps: usize },
    /// Every step was made longer on purpose.
    Handicapped { percent: f64 },
}

impl Warning {
    /// A word or two for a table; [`Self::meaning`] says what they stand for.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::Noisy { spread_percent } => format!("noisy {spread_percent:.0} %"),
            Self::WarmUpVisible { first_over_median } => format!("warm-up {first_over_median:.1}x"),
            Self::BandwidthChanged { slowest_over_fastest } => format!("bandwidth {slowest_over_fastest:.1}x"),
            Self::CoresShared { others_percent } => format!("shared {others_percent:.0} %"),
            Self::FloorInvalid { ratio } => format!("floor invalid {ratio:.2}"),
            Self::FewSteps { steps } => format!("steps {steps}"),
            Self::Handicapped { percent } => format!("handicap {percent} %"),
        }
    }

    #[must_use]
    pub fn meaning(&self) -> &'static str {
        match self {
            Self::Noisy { .. } => "noisy: the slowest and the fastest repeat lie so far apart",
            Self::WarmUpVisible { .. } => "warm-up: the first step takes so many times the median step",
            Self::BandwidthChanged { .. } => {
                "bandwidth: the floor's memory pass became slower or faster by this factor meanwhile"
            }
            Self::CoresShared { .. } => "shared: other processes or neighbours on the host used so much of the cores",
            Self::FloorInvalid { .. } => {
                "floor invalid: faster than the floor is impossible, so the floor was measured too slow"
            }
            Self::FewSteps { .. } => "steps: the time limit of a repeat allowed only so many",
            Self::Handicapped { .. } => "handicap: every step was made so much longer on purpose",
        }
    }
}

/// One turn of an arm: its steps, and the floors beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// Each step, in order.
    pub steps_secs: Vec<f64>,
    /// One read-only pass over the weights and the cache, just before and just after; `None` where they are not in host memory.
    pub read_before_secs: Option<f64>,
    pub read_after_secs: Option<f64>,
}

impl Repeat {
    /// Mean seconds of a step: what somebody who waits for all of them pays.
    #[must_use]
    pub fn secs(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand steps")]
        let n = self.steps_secs.len().max(1) as f64;
        self.steps_secs.iter().sum::<f64>() / n
    }

    /// The floor of this turn: the mean of the passes before and after it.
    #[must_use]
    pub fn read_secs(&self) -> Option<f64> {
        Some(f64::midpoint(self.read_before_secs?, self.read_after_secs?))
    }
}

/// One arm: a model with its weights in some type, a lane, a number of threads, a test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmResult {
    pub test: String,
    pub model: String,
    pub weights: String,
    /// A lane of kvlab's, `candle:concat` or `candle:kv` (candle-nn's caches and operations), or what a peer calls its cache.
    pub lane: String,
    /// `kvlab`, or a peer's name and version.
    pub engine: String,
    pub device: String,
    pub threads: usize,
    pub work: Option<Work>,
    pub tokens: usize,
    pub depth: usize,
    pub batch: usize,
    /// Median over the repeats of the mean seconds of a step: a decoded token (of each sequence), or the whole prompt.
    pub median_secs: Option<f64>,
    pub tokens_per_sec: Option<f64>,
    /// Of all single steps.
    pub p50_step_secs: Option<f64>,
    pub p99_step_secs: Option<f64>,
    /// One number a repeat: the mean seconds of its steps.
    pub samples: Vec<f64>,
    /// The longer of the two floors: reading `read_bytes` as fast as the same buffers were read in the same process, before and after each
    /// repeat, and computing `flops` at the processor's peak. Median over the repeats.
    pub floor_secs: Option<f64>,
    /// Median over the repeats of their time over their floor.
    pub floor_ratio: Option<f64>,
    /// What the floor is of: `compute`, `memory` (the very bytes that the step reads), or `memory, as many bytes` (the weights and a buffer
    /// as large as the cache, where that cannot be reached: candle's, and peers').
    pub floor_of: Option<String>,
    /// A step's operations, from the shapes.
    pub flops: f64,
    /// Bytes that a step must read: weights and cache, as they are stored.
    pub read_bytes: f64,
    pub gflops_per_sec: Option<f64>,
    pub gbytes_per_sec: Option<f64>,
    /// Of what all these threads read from a buffer larger than any cache.
    pub percent_of_bandwidth: Option<f64>,
    /// Of f32 multiply-adds in registers.
    pub percent_of_flops: Option<f64>,
    /// The roofline's abscissa.
    pub flops_per_byte: Option<f64>,
    pub weight_bytes: u64,
    /// Of the cache, before the first timed step.
    pub reserved_bytes: Option<u64>,
    pub held_bytes: Option<u64>,
    pub used_bytes: Option<u64>,
    /// A token of one sequence, as stored.
    pub bytes_per_token: Option<f64>,
    pub repeats: Vec<Repeat>,
    pub warnings: Vec<Warning>,
    /// Why nothing was measured.
    pub skipped: Option<String>,
    /// What these threads can do at best, measured before the group.
    pub peak_gflops_per_sec: Option<f64>,
    pub peak_gbytes_per_sec: Option<f64>,
    pub kvlab_version: String,
    pub commit: String,
    pub rustc: String,
    pub cpu: String,
    pub cpu_flags: String,
    pub cores: usize,
}

/// What the numbers of an arm are computed from, besides its repeats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    pub tokens_per_step: usize,
    /// Steps that a repeat should have.
    pub steps: usize,
    /// f32 operations a second of these threads; `None` where the arm may compute in shorter numbers.
    pub peak_flops_per_sec: Option<f64>,
    pub peak_bytes_per_sec: Option<f64>,
    /// Share of the cores that others used meanwhile.
    pub others: Option<f64>,
    pub handicap_percent: f64,
    /// The floor is of as many bytes, not of the very ones.
    pub as_many: bool,
}

impl ArmResult {
    /// What identifies an arm among the results of two runs.
    #[must_use]
    pub fn key(&self) -> String {
        let Self { model, test, weights, lane, engine, device, threads, .. } = self;
        // Versions of a peer differ between runs that are to be compared.
        let engine = engine.split(' ').next().unwrap_or_default();
        format!("{model} {test} {weights} {lane} {engine} {device} {threads}")
    }

    /// Fills in everything that follows from the repeats.
    pub fn conclude(&mut self, circumstances: &Circumstances) {
        let Circumstances { tokens_per_step, steps, peak_flops_per_sec, peak_bytes_per_sec, others, .. } =
            *circumstances;
        self.samples = self.repeats.iter().map(Repeat::secs).collect();
        let all_steps: Vec<f64> = self.repeats.iter().flat_map(|repeat| repeat.steps_secs.iter().copied()).collect();
        self.peak_gflops_per_sec = peak_flops_per_sec.map(|peak| peak / 1e9);
        self.peak_gbytes_per_sec = peak_bytes_per_sec.map(|peak| peak / 1e9);
        let Some(median_secs) = median(&self.samples).filter(|secs| *secs > 0.0) else { return };
        self.median_secs = Some(median_secs);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let tokens = tokens_per_step as f64;
        self.tokens_per_sec = Some(tokens / median_secs);
        (self.p50_step_secs, self.p99_step_secs) = (median(&all_steps), percentile(&all_steps, 99.0));
        self.gflops_per_sec = Some(self.flops / median_secs / 1e9);
        self.gbytes_per_sec = Some(self.read_bytes / median_secs / 1e9);
        self.percent_of_bandwidth = peak_bytes_per_sec.map(|peak| 100.0 * self.read_bytes / median_secs / peak);
        self.percent_of_flops = peak_flops_per_sec.map(|peak| 100.0 * self.flops / median_secs / peak);
        self.flops_per_byte = (self.read_bytes > 0.0).then(|| self.flops / self.read_bytes);

        let compute_secs = peak_flops_per_sec.map_or(0.0, |peak| self.flops / peak);
        let floors: Vec<f64> =
            self.repeats.iter().filter_map(Repeat::read_secs).map(|secs| secs.max(compute_secs)).collect();
        let ratios: Vec<f64> = self.samples.iter().zip(&floors).map(|(secs, floor)| secs / floor).collect();
        self.floor_secs = median(&floors);
        self.floor_ratio = median(&ratios).filter(|_| floors.len() == self.samples.len());
        self.floor_of = self.floor_secs.map(|floor| {
            let of = if floor <= compute_secs { "compute" } else { "memory" };
            if circumstances.as_many && of == "memory" { format!("{of}, as many bytes") } else { of.to_owned() }
        });
        self.warnings = self.warnings(circumstances, steps, others);
    }

    fn warnings(&self, circumstances: &Circumstances, steps: usize, others: Option<f64>) -> Vec<Warning> {
        let mut warnings = vec![];
        let (low, high) = bounds(&self.samples);
        if let Some(spread) = self.median_secs.map(|median| (high - low) / median).filter(|spread| *spread > NOISY) {
            warnings.push(Warning::Noisy { spread_percent: 100.0 * spread });
        }
        let firsts: Vec<f64> = self.repeats.iter().filter_map(|repeat| repeat.steps_secs.first().copied()).collect();
        if let (Some(first), Some(step), true) = (median(&firsts), self.p50_step_secs, steps > 1)
            && first > WARM_UP * step
        {
            warnings.push(Warning::WarmUpVisible { first_over_median: first / step });
        }
        let reads: Vec<f64> = self
            .repeats
            .iter()
            .flat_map(|repeat| [repeat.read_before_secs, repeat.read_after_secs])
            .flatten()
            .collect();
        let (low, high) = bounds(&reads);
        if high > (1.0 + BANDWIDTH) * low {
            warnings.push(Warning::BandwidthChanged { slowest_over_fastest: high / low });
        }
        if let Some(share) = others.filter(|share| *share > SHARED) {
            warnings.push(Warning::CoresShared { others_percent: 100.0 * share });
        }
        if let Some(ratio) = self.floor_ratio.filter(|ratio| *ratio < 1.0) {
            warnings.push(Warning::FloorInvalid { ratio });
        }
        let fewest = self.repeats.iter().map(|repeat| repeat.steps_secs.len()).min().unwrap_or(0);
        if fewest < steps {
            warnings.push(Warning::FewSteps { steps: fewest });
        }
        if circumstances.handicap_percent > 0.0 {
            warnings.push(Warning::Handicapped { percent: circumstances.handicap_percent });
        }
        warnings
    }
}

fn bounds(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(low, high), value| (value.min(low), value.max(high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeat(steps_secs: &[f64], floors: f64) -> Repeat {
        Repeat { steps_secs: steps_secs.into(), read_before_secs: Some(floors), read_after_secs: Some(floors) }
    }

    fn concluded(repeats: Vec<Repeat>, circumstances: Circumstances) -> ArmResult {
        let mut arm = ArmResult { repeats, flops: 100.0, read_bytes: 50.0, ..ArmResult::default() };
        arm.conclude(&circumstances);
        arm
    }

    const CALM: Circumstances = Circumstances {
        tokens_per_step: 8,
        steps: 2,
        peak_flops_per_sec: Some(100.0),
        peak_bytes_per_sec: Some(50.0),
        others: Some(0.01),
        handicap_percent: 0.0,
        as_many: false,
    };

    #[test]
    fn numbers_follow_from_the_repeats() {
        let arm = concluded(vec![repeat(&[3.0, 5.0], 2.0), repeat(&[4.2, 4.0], 2.0), repeat(&[3.9, 4.0], 2.0)], CALM);
        assert_eq!((arm.median_secs, arm.tokens_per_sec, arm.floor_secs), (Some(4.0), Some(2.0), Some(2.0)));
        assert_eq!((arm.floor_ratio, arm.floor_of.as_deref()), (Some(2.0), Some("memory")));
        assert_eq!(
            (arm.percent_of_flops, arm.percent_of_bandwidth, arm.flops_per_byte),
            (Some(25.0), Some(25.0), Some(2.0))
        );
        assert_eq!((arm.warnings, arm.samples.len()), (vec![], 3));
    }

    #[test]
    fn the_floor_is_the_longer_one() {
        let slow = Circumstances { peak_flops_per_sec: Some(25.0), ..CALM };
        let arm = concluded(vec![repeat(&[8.0, 8.0], 2.0)], slow);
        assert_eq!((arm.floor_secs, arm.floor_ratio, arm.floor_of.as_deref()), (Some(4.0), Some(2.0), Some("compute")));
    }

    #[test]
    fn each_warning_is_given_for_its_reason_alone() {
        let kinds = |arm: ArmResult| -> Vec<String> {
            let kind = |warning: &Warning| warning.meaning().split(':').next().unwrap_or_default().to_owned();
            arm.warnings.iter().map(kind).collect()
        };
        let calm = || vec![repeat(&[4.0, 4.0], 2.0); 3];
        assert_eq!(kinds(concluded(calm(), CALM)), Vec::<String>::new());
        let mut repeats = calm();
        repeats[1] = repeat(&[5.0, 5.0], 2.0);
        assert_eq!(kinds(concluded(repeats, CALM)), ["noisy"]);
        assert_eq!(
            kinds(concluded(vec![repeat(&[8.0, 4.0, 4.0], 2.0); 3], Circumstances { steps: 3, ..CALM })),
            ["warm-up"]
        );
        let mut repeats = calm();
        repeats[2].read_after_secs = Some(3.0);
        assert_eq!(kinds(concluded(repeats, CALM)), ["bandwidth"]);
        assert_eq!(kinds(concluded(calm(), Circumstances { others: Some(0.2), ..CALM })), ["shared"]);
        assert_eq!(kinds(concluded(vec![repeat(&[4.0, 4.0], 4.1); 3], CALM)), ["floor invalid"]);
        assert_eq!(kinds(concluded(calm(), Circumstances { steps: 4, ..CALM })), ["steps"]);
        assert_eq!(kinds(concluded(calm(), Circumstances { handicap_percent: 10.0, ..CALM })), ["handicap"]);
    }

    #[test]
    fn nothing_measured_is_no_number() {
        let arm = concluded(vec![], CALM);
        assert_eq!((arm.median_secs, arm.floor_ratio, arm.warnings.len()), (None, None, 0));
    }
}
