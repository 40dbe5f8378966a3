//! Two results side by side: which arms became faster or slower by more than the noise.
//!
//! The same program runs at another speed in another process, because the machine's memory does. So two things are compared: the time, and
//! the time at equal bandwidth: in bytes that the floor, measured in the same process, could have read meanwhile. With a slower memory the
//! first grows and with a faster one the second; a program that became slower shows in both, and only then it is called so. How sure either is, is told by resampling the repeats (Efron's
//! percentile bootstrap): a change counts only when the whole interval lies beyond the band.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    experiment::bench::{ArmResult, Repeat, Warning},
    measure::stats::{median, percentile},
    report::units,
};

/// What of an arm is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Time and time over floor must agree.
    #[default]
    Both,
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
        Self { share: 0.05, by: By::Both }
    }
}

/// What became of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    Faster,
    Slower,
    /// Time and time over floor contradict each other: the machine changed, and may hide a change of the program.
    MachineChanged,
    /// Fewer than four repeats on a side: no interval means anything.
    TooFew,
    /// Left out in both.
    NotMeasured,
    /// In one file only, or measured in one only.
    Missing,
}

/// After over before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub ratio: f64,
    /// Nineteen of twenty resamples lie between these.
    pub low: f64,
    pub high: f64,
}

impl Ratio {
    /// The ratio of the medians of two sets of repeats; `None` if one is empty.
    fn of(before: &[f64], after: &[f64]) -> Option<Self> {
        let mut rng = StdRng::seed_from_u64(SEED);
        let mut resampled = |values: &[f64]| -> Option<f64> {
            let drawn: Vec<f64> = values.iter().map(|_| values[rng.random_range(0..values.len())]).collect();
            median(&drawn)
        };
        let ratio = median(after)? / median(before)?;
        let ratios: Option<Vec<f64>> = (0..RESAMPLES).map(|_| Some(resampled(after)? / resampled(before)?)).collect();
        let ratios = ratios.filter(|ratios| ratio.is_finite() && ratios.iter().all(|ratio| ratio.is_finite()))?;
        Some(Self { ratio, low: percentile(&ratios, 2.5)?, high: percentile(&ratios, 97.5)? })
    }

    fn verdict(self, band: Band) -> Verdict {
        match self {
            Self { low, .. } if low > 1.0 + band.share => Verdict::Slower,
            Self { high, .. } if high < 1.0 / (1.0 + band.share) => Verdict::Faster,
            _ => Verdict::Same,
        }
    }
}

/// One arm in both files.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub key: String,
    /// Median seconds of a step.
    pub before: Option<f64>,
    pub after: Option<f64>,
    pub time: Option<Ratio>,
    pub over_floor: Option<Ratio>,
    pub verdict: Verdict,
}

/// Of fewer, resampling shows too narrow an interval.
const LEAST_REPEATS: usize = 4;
const RESAMPLES: usize = 2000;
const SEED: u64 = 42;

/// Every arm of either file, in the order of `before`.
#[must_use]
pub fn compare(before: &[ArmResult], after: &[ArmResult], band: Band) -> Vec<Change> {
    let by_key: BTreeMap<String, &ArmResult> = after.iter().map(|arm| (arm.key(), arm)).collect();
    let mut changes: Vec<Change> =
        before.iter().map(|arm| change(arm.key(), Some(arm), by_key.get(&arm.key()).copied(), band)).collect();
    let known: BTreeSet<String> = before.iter().map(ArmResult::key).collect();
    changes.extend(
        after.iter().filter(|arm| !known.contains(&arm.key())).map(|arm| change(arm.key(), None, Some(arm), band)),
    );
    changes
}

fn change(key: String, before: Option<&ArmResult>, after: Option<&ArmResult>, band: Band) -> Change {
    let repeats = |arm: Option<&ArmResult>, value: &dyn Fn(&Repeat) -> Option<f64>| -> Vec<f64> {
        arm.map(|arm| arm.repeats.iter().filter_map(value).collect()).unwrap_or_default()
    };
    let secs = |arm| repeats(arm, &|repeat| Some(repeat.secs()));
    // Time in bytes that the floor could have read meanwhile: were it time over floor, an arm that reads more would hide it behind a longer
    // floor. An arm whose floor is computing, or invalid, is compared by its time.
    let over_floor = |arm: Option<&ArmResult>| {
        let floor_counts = arm.is_some_and(|arm| {
            let is_invalid = |warning: &Warning| matches!(warning, Warning::FloorInvalid { .. });
            arm.floor_of.as_deref().is_some_and(|of| of.starts_with("memory")) && !arm.warnings.iter().any(is_invalid)
        });
        let read_bytes = arm.map_or(1.0, |arm| arm.read_bytes);
        repeats(arm, &|repeat| Some(repeat.secs() * read_bytes / repeat.read_secs().filter(|_| floor_counts)?))
    };
    let n_repeats = |arm: Option<&ArmResult>| arm.map_or(0, |arm| arm.repeats.len());
    let (n_before, n_after) = (n_repeats(before), n_repeats(after));
    let time = Ratio::of(&secs(before), &secs(after));
    let over_floor = Ratio::of(&over_floor(before), &over_floor(after)).filter(|_| band.by == By::Both);
    let verdict = match (time, over_floor) {
        (None, _) if n_before + n_after == 0 && before.is_some() && after.is_some() => Verdict::NotMeasured,
        (None, _) => Verdict::Missing,
        _ if n_before.min(n_after) < LEAST_REPEATS => Verdict::TooFew,
        (Some(time), None) => time.verdict(band),
        (Some(time), Some(over_floor)) => match (time.verdict(band), over_floor.verdict(band)) {
            (one, other) if one == other => one,
            (Verdict::Slower, Verdict::Faster) | (Verdict::Faster, Verdict::Slower) => Verdict::MachineChanged,
            _ => Verdict::Same,
        },
    };
    Change { key, before: median(&secs(before)), after: median(&secs(after)), time, over_floor, verdict }
}

/// The table, and a sentence that sums it up.
#[must_use]
pub fn table(changes: &[Change], band: Band) -> String {
    let header = [
        "arm (model test weights lane engine device threads)",
        "before",
        "after",
        "time",
        "time at equal bandwidth",
        "verdict",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let percent = |ratio: f64| format!("{:+.1} %", 100.0 * (ratio - 1.0));
    for change in changes {
        let secs = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), units::secs);
        let ratio = |ratio: Option<Ratio>| {
            let text =
                |Ratio { ratio, low, high }| format!("{} ({} .. {})", percent(ratio), percent(low), percent(high));
            ratio.map_or_else(|| "-".to_owned(), text)
        };
        let verdict = match change.verdict {
            Verdict::Same => "same",
            Verdict::Faster => "faster",
            Verdict::Slower => "SLOWER",
            Verdict::MachineChanged => "machine changed",
            Verdict::TooFew => "too few repeats",
            Verdict::NotMeasured => "in neither",
            Verdict::Missing => "in one only",
        };
        rows.push(vec![
            change.key.clone(),
            secs(change.before),
            secs(change.after),
            ratio(change.time),
            ratio(change.over_floor),
            verdict.into(),
        ]);
    }
    let count = |verdict: Verdict| changes.iter().filter(|change| change.verdict == verdict).count();
    let what = match band.by {
        By::Both => "its time and its time at equal bandwidth both lie, with their whole intervals,",
        By::Time => "the whole interval of its time lies",
    };
    format!(
        "{}\n{} slower, {} faster, {} the same, {} where the machine changed, {} with too few repeats, {} in one file only. An arm is slower or faster when {what} more \
         than {} % away. In brackets: where 95 of 100 resamples of the repeats lie.\n",
        super::markdown_table(&rows),
        count(Verdict::Slower),
        count(Verdict::Faster),
        count(Verdict::Same),
        count(Verdict::MachineChanged),
        count(Verdict::TooFew),
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
        arm.read_bytes = 100.0;
        arm.floor_of = Some("memory".into());
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

    /// The time of a program that is bound by its memory follows it; of one that is not, the time over floor moves instead.
    #[test]
    fn another_memory_is_no_other_program() {
        let slow = NOISE.map(|secs| 2.0 * secs);
        let both = Band::default();
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &slow, 2.0), both), [Verdict::Same]);
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &NOISE, 0.5), both), [Verdict::Same]);
        let by_time = Band { by: By::Time, ..both };
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &slow, 2.0), by_time), [Verdict::Slower]);
        // Slower on a memory that is faster: that is the program, or the memory is faster than it can use. Both say slower.
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &slow, 0.5), both), [Verdict::Slower]);
        // Faster in seconds and slower over a floor that fell by more: nothing can be said.
        let faster = NOISE.map(|secs| 0.8 * secs);
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), measured("a", &faster, 0.5), both), [Verdict::MachineChanged]);
    }

    /// More bytes make a longer floor; they are the program's doing all the same.
    #[test]
    fn an_arm_that_reads_more_does_not_hide_behind_its_floor() {
        let mut fat = measured("a", &NOISE.map(|secs| 1.5 * secs), 1.5);
        fat.read_bytes = 150.0;
        assert_eq!(verdicts(measured("a", &NOISE, 1.0), fat, Band::default()), [Verdict::Slower]);
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
    fn samples_that_tell_nothing_give_no_verdict() {
        let band = Band::default();
        let spread = [1.0, 3.0, 1.1, 2.9];
        assert_eq!(
            verdicts(measured("a", &spread, 1.0), measured("a", &spread.map(|s| 1.2 * s), 1.0), band),
            [Verdict::Same]
        );
        assert_eq!(verdicts(measured("a", &[1.0], 1.0), measured("a", &[9.0], 1.0), band), [Verdict::TooFew]);
        let nothing = || measured("a", &[], 1.0);
        assert_eq!(verdicts(nothing(), nothing(), band), [Verdict::NotMeasured]);
        assert_eq!(verdicts(nothing(), measured("a", &NOISE, 1.0), band), [Verdict::Missing]);
    }
}
