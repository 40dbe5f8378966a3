//! What was seen of a lane, summed up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    cache::Footprint,
    measure::stats::{mean, percentile, standard_error},
};

/// Recalled values are counted by the tokens since their last mention, from the first number to below the second. They
/// are those of the story model's card.
pub const RECALL_BUCKETS: [(usize, usize); 4] = [(0, 100), (100, 300), (300, 600), (600, 900)];

/// The numbers of one lane, as in `summary.json`; `None` until there is something to measure, and where the lane failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneQuality {
    pub lane: String,
    /// The lane that all are compared with.
    pub is_exact: bool,
    /// Mean KL(exact || lane) over all compared positions, in nats.
    pub kl: Option<f64>,
    /// Of the means of the passages, since positions of one passage depend on each other; none of a single passage.
    pub kl_standard_error: Option<f64>,
    pub kl_median: Option<f64>,
    pub kl_p99: Option<f64>,
    /// Share of positions where the exact lane's likeliest token is this lane's as well.
    pub top1_agreement: Option<f64>,
    /// `exp` of the mean negative log likelihood of the next token.
    pub perplexity: Option<f64>,
    /// By distance (`0-100`), the share of recalled values that the lane's likeliest token is right about; none where no
    /// value was asked for, and empty for passages without marks.
    pub recall: BTreeMap<String, Option<f64>>,
    /// By distance, how many were asked for.
    pub recall_asked: BTreeMap<String, usize>,
    /// Bytes filled with rows and scales when the passages ended, over the tokens of all passages, evicted ones too.
    pub bytes_per_token: Option<f64>,
    /// The same of bytes that nobody else could use.
    pub held_bytes_per_token: Option<f64>,
    /// Predictions that were compared.
    pub positions: usize,
    /// The generated token (0 is the first) by which half of the passages had left the exact lane's text; none where
    /// fewer than half did.
    pub greedy_divergence_median: Option<usize>,
    /// Share of passages whose generated text is the exact lane's to the end.
    pub greedy_same_share: Option<f64>,
    /// Why the lane stopped before the end.
    pub failed: Option<String>,
}

/// The means of one lane at one position, over all passages that reach it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PositionQuality {
    /// Index of the token that was to be predicted.
    pub position: usize,
    pub passages: usize,
    pub kl: f64,
    pub top1_agreement: f64,
    /// Negative log likelihood of the token, in nats.
    pub nll: f64,
}

/// One prediction of a lane, beside the exact one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    pub kl: f64,
    pub agrees: bool,
    pub nll: f64,
    /// At a mark: its distance, and whether it was right.
    pub recalled: Option<(usize, bool)>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    n: usize,
    kl: f64,
    agreed: usize,
    nll: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    hits: usize,
    asked: usize,
}

/// Sums over what a lane has shown so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    all: Sums,
    kls: Vec<f64>,
    by_position: BTreeMap<usize, Sums>,
    by_passage: BTreeMap<usize, Sums>,
    recall: [Asked; RECALL_BUCKETS.len()],
    used_bytes: u64,
    held_bytes: u64,
    tokens: usize,
    /// Where each passage's generated text left the exact one.
    parted: Vec<Option<usize>>,
}

impl Sums {
    pub fn add(&mut self, seen: Observation) {
        self.n += 1;
        self.kl += seen.kl;
        self.agreed += usize::from(seen.agrees);
        self.nll += seen.nll;
    }

    pub fn means(&self, position: usize) -> Option<PositionQuality> {
        (self.n > 0).then(|| PositionQuality {
            position,
            passages: self.n,
            kl: self.kl / count(self.n),
            top1_agreement: count(self.agreed) / count(self.n),
            nll: self.nll / count(self.n),
        })
    }
}

impl Tally {
    pub fn observe(&mut self, passage: usize, position: usize, seen: Observation) {
        self.all.add(seen);
        self.kls.push(seen.kl);
        self.by_position.entry(position).or_default().add(seen);
        self.by_passage.entry(passage).or_default().add(seen);
        if let Some((distance, right)) = seen.recalled
            && let Some(bucket) = RECALL_BUCKETS.iter().position(|(from, to)| (*from..*to).contains(&distance))
        {
            self.recall[bucket].asked += 1;
            self.recall[bucket].hits += usize::from(right);
        }
    }

    /// What a store holds once `tokens` went through it, over all sequences.
    pub fn weigh(&mut self, footprint: &Footprint, tokens: usize) {
        self.used_bytes += footprint.used_bytes;
        self.held_bytes += footprint.held_bytes;
        self.tokens += tokens;
    }

    pub fn part(&mut self, parted: impl IntoIterator<Item = Option<usize>>) {
        self.parted.extend(parted);
    }

    pub fn positions(&self) -> Vec<PositionQuality> {
        self.by_position.iter().filter_map(|(position, sums)| sums.means(*position)).collect()
    }

    pub fn summary(&self, lane: &str, is_exact: bool, failed: Option<&str>, has_marks: bool) -> LaneQuality {
        let named = LaneQuality { lane: lane.into(), is_exact, ..LaneQuality::default() };
        if let Some(reason) = failed {
            // Means over the part that went well would pass for the lane's.
            return LaneQuality { failed: Some(reason.into()), ..named };
        }
        let means = self.all.means(0);
        let of_passages: Vec<f64> = self.by_passage.values().map(|sums| sums.kl / count(sums.n)).collect();
        let per_token = |bytes: u64| {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let bytes = bytes as f64;
            (self.tokens > 0).then(|| bytes / count(self.tokens))
        };
        let buckets = RECALL_BUCKETS.iter().zip(&self.recall).filter(|_| has_marks);
        let buckets = buckets.map(|((from, to), asked)| (format!("{from}-{to}"), *asked));
        let share = |Asked { hits, asked }| (asked > 0).then(|| count(hits) / count(asked));
        let same: Vec<f64> = self.parted.iter().map(|parted| count(usize::from(parted.is_none()))).collect();
        LaneQuality {
            kl: means.map(|means| means.kl),
            kl_standard_error: standard_error(&of_passages),
            kl_median: percentile(&self.kls, 50.0),
            kl_p99: percentile(&self.kls, 99.0),
            top1_agreement: means.map(|means| means.top1_agreement),
            perplexity: means.map(|means| means.nll.exp()),
            recall: buckets.clone().map(|(name, asked)| (name, share(asked))).collect(),
            recall_asked: buckets.map(|(name, asked)| (name, asked.asked)).collect(),
            bytes_per_token: per_token(self.used_bytes),
            held_bytes_per_token: per_token(self.held_bytes),
            positions: self.all.n,
            greedy_divergence_median: half_parted(&self.parted),
            greedy_same_share: mean(&same),
            ..named
        }
    }
}

/// The smallest token by which at least half of the passages have parted. A mean could not be had: of those that did not
/// part it is only known that they had not yet.
fn half_parted(parted: &[Option<usize>]) -> Option<usize> {
    let mut sorted: Vec<usize> = parted.iter().map(|token| token.unwrap_or(usize::MAX)).collect();
    sorted.sort_unstable();
    let middle = parted.len().div_ceil(2).checked_sub(1)?;
    Some(sorted[middle]).filter(|token| *token != usize::MAX)
}

fn count(n: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^52")]
    let n = n as f64;
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kl: f64, agrees: bool, nll: f64) -> Observation {
        Observation { kl, agrees, nll, recalled: None }
    }

    #[test]
    fn sums_are_the_means_of_all_positions_and_passages() {
        let mut tally = Tally::default();
        tally.observe(0, 5, seen(1.0, true, 0.0));
        tally.observe(0, 6, seen(2.0, true, 1.0));
        tally.observe(1, 5, seen(6.0, false, 2.0));
        let summary = tally.summary("a", false, None, false);
        assert_eq!((summary.kl, summary.kl_median, summary.positions), (Some(3.0), Some(2.0), 3));
        assert_eq!(summary.kl_standard_error, standard_error(&[1.5, 6.0]));
        assert_eq!((summary.top1_agreement, summary.perplexity), (Some(2.0 / 3.0), Some(1.0_f64.exp())));
        let at_5 = PositionQuality { position: 5, passages: 2, kl: 3.5, top1_agreement: 0.5, nll: 1.0 };
        assert_eq!(tally.positions()[0], at_5);
        assert!(summary.recall.is_empty() && summary.bytes_per_token.is_none() && summary.greedy_same_share.is_none());
    }

    #[test]
    fn recall_is_counted_by_distance() {
        let mut tally = Tally::default();
        for (distance, right) in [(0, true), (99, false), (100, true), (899, false), (900, true)] {
            tally.observe(0, 0, Observation { recalled: Some((distance, right)), ..seen(0.0, true, 0.0) });
        }
        let summary = tally.summary("a", false, None, true);
        let shares = [("0-100", Some(0.5)), ("100-300", Some(1.0)), ("300-600", None), ("600-900", Some(0.0))];
        assert!(summary.recall.iter().map(|(name, share)| (name.as_str(), *share)).eq(shares));
        assert!(summary.recall_asked.values().eq(&[2, 1, 0, 1]));
    }

    #[test]
    fn bytes_are_over_all_tokens_and_a_failed_lane_has_no_numbers() {
        let mut tally = Tally::default();
        tally.weigh(&Footprint { used_bytes: 30, held_bytes: 40, ..Footprint::default() }, 5);
        tally.weigh(&Footprint { used_bytes: 10, held_bytes: 10, ..Footprint::default() }, 5);
        let summary = tally.summary("a", false, None, false);
        assert_eq!((summary.bytes_per_token, summary.held_bytes_per_token), (Some(4.0), Some(5.0)));
        let failed = tally.summary("a", false, Some("why"), false);
        assert_eq!((failed.bytes_per_token, failed.failed.as_deref()), (None, Some("why")));
    }

    #[test]
    fn half_of_the_passages_have_parted() {
        assert_eq!(half_parted(&[]), None);
        assert_eq!(half_parted(&[Some(3)]), Some(3));
        assert_eq!(half_parted(&[None, Some(3)]), Some(3));
        assert_eq!(half_parted(&[None, Some(9), Some(3)]), Some(9));
        assert_eq!(half_parted(&[None, None, Some(3)]), None);
    }
}
