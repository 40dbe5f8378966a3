//! Two results side by side: which arms became faster or slower by more than the noise.
//!
//! What is compared is time over floor, where both sides have it: the same program can run at twice the speed in another process because
//! the machine's memory does, and the floor, measured in the same process, moves along. What changed is the median ratio; how sure that is, is
//! told by resampling the repeats (Efron's percentile bootstrap): a change counts only when the whole interval lies beyond the band.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    experiment::bench::{ArmResult, Repeat},
    measure::stats::{median, percentile},
    report::units,
};

/// What of an arm is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Time over floor, else time.
    #[default]
    Floor,
    Time,
}

/// How sure, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Changes up to this share are none.
    pub share: f64,
    pub by: By,
}

impl Default for Band {
    fn default() -> Self {
        Self { share: 0.05, by: By::Floor }
    }
}

/// What became of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    Faster,
    Slower,
    /// In one file only, or not measured there.
    Missing,
}

/// One arm in both files.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub key: String,
    pub before: Option<f64>,
    pub after: Option<f64>,
    /// After over before, with the interval that nineteen of twenty resamples lie in.
    pub ratio: Option<f64>,
    pub interval: Option<(f64, f64)>,
    /// True where time over floor was compared.
    pub by_floor: bool,
    pub verdict: Verdict,
}

const RESAMPLES: usize = 2000;
const SEED: u64 = 42;

/// Every arm of either file, in the order of `before`.
#[must_use]
pub fn compare(before: &[ArmResult], after: &[ArmResult], band: Band) -> Vec<Change> {
    let by_key: BTreeMap<String, &ArmResult> = after.iter().map(|arm| (arm.key(), arm)).collect();
    let mut changes: Vec<Change> =
        before.iter().map(|arm| change(arm.key(), Some(arm), by_key.get(&arm.key()).copied(), band)).collect();
    let known: Vec<String> = before.iter().map(ArmResult::key).collect();
    changes.extend(
        after.iter().filter(|arm| !known.contains(&arm.key())).map(|arm| change(arm.key(), None, Some(arm), band)),
    );
    changes
}

fn change(key: String, before: Option<&ArmResult>, after: Option<&ArmResult>, band: Band) -> Change {
    let by_floor = band.by == By::Floor && [before, after].iter().flatten().all(|arm| arm.floor_ratio.is_some());
    let values = |arm: Option<&ArmResult>| -> Vec<f64> {
        let value = |repeat: &Repeat| {
            let floor = repeat.read_before_secs.zip(repeat.read_after_secs);
            match floor {
                Some((before, after)) if by_floor => {
                    repeat.secs() / f64::midpoint(before, after).max(compute_floor(arm))
                }
                _ => repeat.secs(),
            }
        };
        arm.map(|arm| arm.repeats.iter().map(value).collect()).unwrap_or_default()
    };
    let (a, b) = (values(before), values(after));
    let (before, after) = (median(&a), median(&b));
    let ratio = before.zip(after).map(|(before, after)| after / before);
    let interval = interval(&a, &b);
    let verdict = match interval {
        None => Verdict::Missing,
        Some((low, _)) if low > 1.0 + band.share => Verdict::Slower,
        Some((_, high)) if high < 1.0 / (1.0 + band.share) => Verdict::Faster,
        Some(_) => Verdict::Same,
    };
    Change { key, before, after, ratio, interval, by_floor, verdict }
}

/// The part of an arm's floor that is computing, which does not move with the memory.
fn compute_floor(arm: Option<&ArmResult>) -> f64 {
    let is_compute = arm.and_then(|arm| arm.floor_of.as_deref()).is_some_and(|of| of.starts_with("compute"));
    arm.and_then(|arm| arm.floor_secs).filter(|_| is_compute).unwrap_or(0.0)
}

/// Where the ratio of medians lies in 95 of 100 resamples; `None` without samples on either side.
fn interval(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut resampled = |values: &[f64]| -> Option<f64> {
        let drawn: Vec<f64> = values.iter().map(|_| values[rng.random_range(0..values.len())]).collect();
        median(&drawn)
    };
    let ratios: Option<Vec<f64>> = (0..RESAMPLES).map(|_| Some(resampled(b)? / resampled(a)?)).collect();
    let ratios = ratios?;
    Some((percentile(&ratios, 2.5)?, percentile(&ratios, 97.5)?))
}

/// The table, and a sentence that sums it up.
#[must_use]
pub fn table(changes: &[Change], band: Band) -> String {
    let mut rows = vec![
        ["arm (model test weights lane engine device threads)", "before", "after", "change", "95 %", "verdict"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for change in changes {
        let value = |value: Option<f64>| match value {
            None => "-".to_owned(),
            Some(value) if change.by_floor => format!("{value:.2} x floor"),
            Some(value) => units::secs(value),
        };
        let percent = |ratio: f64| format!("{:+.1} %", 100.0 * (ratio - 1.0));
        let interval =
            change.interval.map_or("-".into(), |(low, high)| format!("{} .. {}", percent(low), percent(high)));
        let verdict = match change.verdict {
            Verdict::Same => "same",
            Verdict::Faster => "faster",
            Verdict::Slower => "SLOWER",
            Verdict::Missing => "in one only",
        };
        rows.push(vec![
            change.key.clone(),
            value(change.before),
            value(change.after),
            change.ratio.map_or("-".into(), percent),
            interval,
            verdict.into(),
        ]);
    }
    let count = |verdict: Verdict| changes.iter().filter(|change| change.verdict == verdict).count();
    format!(
        "{}\n{} slower, {} faster, {} the same, {} in one file only. An arm is slower or faster when the whole interval lies more \
         than {:.0} % away.\n",
        super::markdown_table(&rows),
        count(Verdict::Slower),
        count(Verdict::Faster),
        count(Verdict::Same),
        count(Verdict::Missing),
        100.0 * band.share
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::bench::tests::arm;

    /// An arm with a floor of 1 s times `memory` beside each of its samples.
    fn measured(lane: &str, secs: &[f64], memory: f64) -> ArmResult {
        let mut arm = arm("tg16", lane, secs);
        let floor = Some(memory);
        arm.repeats = secs
            .iter()
            .map(|secs| Repeat { steps_secs: vec![*secs], read_before_secs: floor, read_after_secs: floor })
            .collect();
        arm.floor_ratio = Some(1.0);
        arm
    }

    const NOISE: [f64; 7] = [2.0, 2.04, 1.98, 2.01, 1.97, 2.02, 2.06];

    fn verdicts(before: ArmResult, after: ArmResult, band: Band) -> Vec<Verdict> {
        compare(&[before], &[after], band).iter().map(|change| change.verdict).collect()
    }

    #[test]
    fn noise_is_the_same_and_ten_per_cent_are_slower() {
        let mut other = NOISE;
        other.reverse();
        let band = Band::default();
        let times = |factor: f64| NOISE.map(|secs| secs * factor);
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &other, 1.0), band), [Verdict::Same]);
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &times(1.1), 1.0), band), [Verdict::Slower]);
        assert_eq!(verdicts(measured("a", &times(1.1), 1.0), measured("a", &NOISE, 1.0), band), [Verdict::Faster]);
        let wide = Band { share: 0.2, ..band };
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &times(1.1), 1.0), wide), [Verdict::Same]);
    }

    #[test]
    fn a_slower_memory_is_no_slower_program() {
        let slow = NOISE.map(|secs| 2.0 * secs);
        let by_floor = Band::default();
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &slow, 2.0), by_floor), [Verdict::Same]);
        let by_time = Band { by: By::Time, ..by_floor };
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &slow, 2.0), by_time), [Verdict::Slower]);
    }

    #[test]
    fn arms_of_one_file_are_named() {
        let changes = compare(&[measured("a", &NOISE, 1.0)], &[measured("b", &NOISE, 1.0)], Band::default());
        let verdicts: Vec<Verdict> = changes.iter().map(|change| change.verdict).collect();
        assert_eq!(verdicts, [Verdict::Missing, Verdict::Missing]);
        let text = table(&changes, Band::default());
        assert!(
            text.contains(" a kvlab") && text.contains(" b kvlab") && text.contains("2 in one file only"),
            "{text}"
        );
    }

    #[test]
    fn samples_too_few_to_tell_are_the_same() {
        let band = Band::default();
        assert_eq!(verdicts(measured("a", &[1.0, 3.0], 1.0), measured("a", &[1.2, 3.6], 1.0), band), [Verdict::Same]);
    }
}
