//! Which tokens stay once a prompt has ended: the policies, over positions and scores, with no tensor in sight.
//!
//! Positions stay what they were: GPT-2 has learned positions, so a key cannot move. And nobody is evicted before the end of the prompt,
//! so a prompt attends to all of itself.

use super::{
    Retention,
    live::{LiveTokens, Positions},
};

impl Retention {
    /// The most tokens that stay after a prompt or a decoded token; `None` if all do.
    #[must_use]
    pub fn budget(self) -> Option<usize> {
        match self {
            Self::All => None,
            Self::Window { sinks: first, recent }
            | Self::H2o { heavy: first, recent }
            | Self::H2oMean { heavy: first, recent } => Some(first + recent),
        }
    }

    /// Whether the policy asks how much attention each token got.
    #[must_use]
    pub fn needs_scores(self) -> bool {
        matches!(self, Self::H2o { .. } | Self::H2oMean { .. })
    }

    /// The live tokens of a sequence of `len` tokens that are to go, in rising order. `scores[position]` is what a token got so far.
    ///
    /// - `window:S/R` keeps the first S positions, the attention sinks, and the newest R (`StreamingLLM`; Xiao et al. 2023,
    ///   arXiv 2309.17453).
    /// - `h2o:H/R` keeps the newest R, and of the others the H with the highest score; of equals the newer (H2O; Zhang et al. 2023,
    ///   arXiv 2306.14048). A sum grows with the queries that were there to look, so the tokens of the prompt are ahead for good and few
    ///   generated ones ever become heavy.
    /// - `h2o-mean:H/R` divides the sum by the number of queries that could see the token, which is the plainest remedy (A2SF, arXiv
    ///   2407.20485, lets old attention fade instead). Then the young are ahead: `docs/runs/caches.md` shows what each of the two forgets.
    #[must_use]
    pub fn evictions(self, live: &LiveTokens, len: usize, scores: &[f64]) -> Vec<usize> {
        match self {
            Self::All => vec![],
            Self::Window { sinks, recent } => {
                let middle = Positions { start: sinks.min(len), end: len.saturating_sub(recent) };
                live.within(middle).flat_map(|range| range.start..range.end).collect()
            }
            Self::H2o { heavy, recent } | Self::H2oMean { heavy, recent } => {
                let old = Positions { start: 0, end: len.saturating_sub(recent) };
                let mut old: Vec<usize> = live.within(old).flat_map(|range| range.start..range.end).collect();
                #[expect(clippy::cast_precision_loss, reason = "no context has 2^52 tokens")]
                let queries =
                    |position: usize| if matches!(self, Self::H2o { .. }) { 1.0 } else { (len - position) as f64 };
                let score = |position: &usize| scores.get(*position).copied().unwrap_or(0.0) / queries(*position);
                old.sort_by(|a, b| score(a).total_cmp(&score(b)).then(a.cmp(b)));
                old.truncate(old.len().saturating_sub(heavy));
                old.sort_unstable();
                old
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all_of(len: usize) -> LiveTokens {
        let mut live = LiveTokens::default();
        live.extend(0, len);
        live
    }

    #[test]
    fn a_window_keeps_sinks_and_the_newest() {
        let window = Retention::Window { sinks: 2, recent: 3 };
        assert_eq!(window.evictions(&all_of(8), 8, &[]), [2, 3, 4]);
        assert_eq!(window.evictions(&all_of(5), 5, &[]), [0_usize; 0]);
        assert_eq!(Retention::Window { sinks: 9, recent: 3 }.evictions(&all_of(8), 8, &[]), [0_usize; 0]);
    }

    #[test]
    fn heavy_hitters_stay_and_of_equals_the_newer() {
        let h2o = Retention::H2o { heavy: 2, recent: 2 };
        assert_eq!(h2o.evictions(&all_of(6), 6, &[9.0, 1.0, 2.0, 2.0, 0.0, 0.0]), [1, 2]);
        let mean = Retention::H2oMean { heavy: 2, recent: 2 };
        // 9 / 6, 1 / 5, 2 / 4 and 2 / 3: the younger of the two with the same sum has more for each query.
        assert_eq!(mean.evictions(&all_of(6), 6, &[9.0, 1.0, 2.0, 2.0, 0.0, 0.0]), [1, 2]);
        assert_eq!(mean.evictions(&all_of(6), 6, &[2.5, 1.0, 2.0, 2.0, 0.0, 0.0]), [0, 1]);
        assert_eq!(Retention::H2o { heavy: 0, recent: 2 }.evictions(&all_of(4), 4, &[9.0; 4]), [0, 1]);
    }

    proptest! {
        /// Against the plain statement of each policy, over sequences that were evicted from before.
        #[test]
        fn what_stays_is_what_the_policy_says(
            len in 1_usize..60, gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            scores in prop::collection::vec(0_u8..5, 60), first in 0_usize..9, recent in 1_usize..9, h2o: bool,
        ) {
            let mut live = all_of(len);
            for index in gone {
                live.evict(index.index(len));
            }
            let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
            let policy = if h2o { Retention::H2o { heavy: first, recent } } else { Retention::Window { sinks: first, recent } };
            let evicted = policy.evictions(&live, len, &scores);
            let before: Vec<usize> = (0..len).filter(|position| live.contains(*position)).collect();
            let is_recent = |position: usize| position + recent >= len;
            let expected: Vec<usize> = before.iter().copied().filter(|&position| {
                let better = before.iter().filter(|&&other| {
                    !is_recent(other) && (scores[other] > scores[position] || (scores[other] >= scores[position] && other > position))
                });
                let stays = if h2o { better.count() < first } else { position < first };
                !is_recent(position) && !stays
            }).collect();
            prop_assert_eq!(&evicted, &expected);
            prop_assert!(before.len() - evicted.len() <= first + recent);
        }
    }
}
