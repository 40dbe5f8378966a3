//! One way to do it. It holds the answers.

#![allow(clippy::cast_precision_loss, reason = "some hundred tokens, and lengths of texts")]

use std::ops::Range;

use crate::given::{Answer, Cause, Evidence, median};

#[must_use]
pub fn rise(secs: &[f64]) -> f64 {
    let quarter = secs.len() / 4;
    if quarter == 0 {
        return 0.0;
    }
    let between = secs.len() - quarter;
    (median(&secs[between..]) - median(&secs[..quarter])) / between as f64
}

#[must_use]
pub fn warm_up(secs: &[f64]) -> usize {
    let level = median(&secs[secs.len() / 2..]);
    let is_level = |from: usize| secs[from..].iter().take(5).all(|secs| *secs <= 2.0 * level);
    (0..secs.len()).find(|from| is_level(*from)).unwrap_or(secs.len())
}

#[must_use]
pub fn per_token(secs: &[f64]) -> f64 {
    median(&secs[warm_up(secs)..])
}

#[must_use]
pub fn fixed_share(length: &[usize], secs: &[f64]) -> f64 {
    let quarter = secs.len() / 4;
    if quarter == 0 {
        return 0.0;
    }
    let length: Vec<f64> = length.iter().map(|length| *length as f64).collect();
    let behind = secs.len() - quarter;
    let (early, late) = (median(&secs[..quarter]), median(&secs[behind..]));
    let (short, long) = (median(&length[..quarter]), median(&length[behind..]));
    let of_length = (late - early) / (long - short);
    ((early - of_length * short) / late).clamp(0.0, 1.0)
}

#[must_use]
pub fn copied_by_each(copied: &[u64]) -> Vec<u64> {
    let before = std::iter::once(0).chain(copied.iter().copied());
    copied.iter().zip(before).map(|(now, before)| now - before).collect()
}

#[must_use]
pub fn left_behind(reserved: &[u64], starts: &[usize]) -> Vec<u64> {
    starts.windows(2).map(|pair| reserved[pair[1]].saturating_sub(reserved[pair[0]])).collect()
}

/// Tokens in a row that are looked at together.
const STRETCH: usize = 20;

#[must_use]
pub fn slow_together(one: &[f64], other: &[f64]) -> Option<Range<usize>> {
    let is_slow = |secs: &[f64], from: usize| {
        secs[from..from + STRETCH].iter().sum::<f64>() > 2.0 * STRETCH as f64 * median(secs)
    };
    let mut longest: Option<Range<usize>> = None;
    let mut begin = None;
    for from in 0..=one.len().saturating_sub(STRETCH) {
        let is_slow = one.len() >= STRETCH && is_slow(one, from) && is_slow(other, from);
        begin = if is_slow { begin.or(Some(from)) } else { None };
        if let Some(begin) = begin {
            let stretch = begin..from + STRETCH;
            if longest.as_ref().is_none_or(|longest| longest.len() < stretch.len()) {
                longest = Some(stretch);
            }
        }
    }
    longest
}

#[must_use]
pub fn answers() -> Vec<Answer> {
    use Cause::{CopiesPerToken, NeverFreed, Nothing, OtherProgram, ReservedAhead, StartingWork, WarmUp};
    let answer = |trace, cause, evidence, token| Answer { trace, cause, evidence, token };
    vec![
        answer('a', ReservedAhead, Evidence::ReservedIsLevel, 0),
        answer('b', CopiesPerToken, Evidence::CopiesRise, 100),
        answer('c', OtherProgram, Evidence::BothSlowTogether, 110),
        answer('d', Nothing, Evidence::RisesAndNothingElse, 170),
        answer('e', NeverFreed, Evidence::ReservedStepsUp, 37),
        answer('f', WarmUp, Evidence::TimeFallsOnce, 25),
        answer('g', StartingWork, Evidence::SameExtraAtEveryLength, 5),
    ]
}
