//! The newest tokens in full precision, until their group is sealed: KIVI's residual.
//!
//! Keys by channel are quantized 32 tokens at a time, once `residual` newer tokens exist. Until then a token's rows wait in a ring of
//! f32 that its sequence owns, at `position % ring_len`. So the newest `residual` tokens are always exact, and at most 31 more.
//!
//! ```text
//! residual 32, 100 tokens:   0..64 sealed   64..100 in the ring (of 64 rows)
//! ```
//!
//! Which tokens are sealed follows from the number of tokens alone. A query sees the cache as a decode step at its position would,
//! in whatever chunks the prompt came: a chunk is worked off in parts that end where a group is due ([`Residual::parts`]). KIVI
//! itself attends to the whole prompt in full precision and quantizes it afterwards, for which it needs the memory of a whole exact prompt.

use crate::kernels::codec::GROUP;

use super::{
    blocks::RowRun,
    live::{LiveTokens, Positions},
};

/// How many of the newest tokens stay exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residual {
    pub tokens: usize,
}

impl Residual {
    /// Tokens that are sealed in a sequence of `len`.
    #[must_use]
    pub fn sealed(self, len: usize) -> usize {
        len.saturating_sub(self.tokens) / GROUP * GROUP
    }

    /// Rows of a sequence's ring: the exact ones, and a group that becomes one.
    #[must_use]
    pub fn ring_len(self) -> usize {
        self.tokens + GROUP
    }

    /// The new tokens `past..end` in parts before each of which the same tokens are sealed.
    pub fn parts(self, past: usize, end: usize) -> impl Iterator<Item = Positions> {
        let mut start = past;
        std::iter::from_fn(move || {
            let due = self.sealed(start) + self.tokens + GROUP;
            let part = Positions { start, end: due.min(end) };
            start = part.end;
            (!part.is_empty()).then_some(part)
        })
    }

    /// The row of a token in its ring.
    #[must_use]
    pub fn row(self, position: usize) -> usize {
        position % self.ring_len()
    }

    /// Where the live ones of the open tokens among `positions` lie in their ring, oldest first; those from `len` on are new.
    #[must_use]
    pub fn rows(self, live: &LiveTokens, len: usize, positions: Positions) -> Vec<RowRun> {
        let mut runs: Vec<RowRun> = vec![];
        let new = Positions { start: positions.start.max(len), ..positions };
        let old = Positions { end: positions.end.min(len), ..positions };
        for range in live.within(old).chain((!new.is_empty()).then_some(new)) {
            for position in range.start..range.end {
                let row = self.row(position);
                match runs.last_mut() {
                    Some(last) if last.row + last.len == row => last.len += 1,
                    _ => runs.push(RowRun { row, len: 1 }),
                }
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_group_is_sealed_once_enough_newer_tokens_exist() {
        let sealed = |tokens, lens: [usize; 6]| lens.map(|len| Residual { tokens }.sealed(len));
        assert_eq!(sealed(32, [31, 32, 63, 64, 95, 96]), [0, 0, 0, 32, 32, 64]);
        assert_eq!(sealed(0, [31, 32, 33, 63, 64, 65]), [0, 32, 32, 32, 64, 64]);
        assert_eq!(sealed(40, [39, 71, 72, 80, 103, 104]), [0, 0, 32, 32, 32, 64]);
    }

    proptest! {
        /// Parts are the new tokens in order; within one nothing becomes due, and the open tokens fit the ring.
        #[test]
        fn parts_end_where_a_group_is_due(tokens in 0_usize..80, past in 0_usize..200, new in 1_usize..200) {
            let residual = Residual { tokens };
            let mut next = past;
            for part in residual.parts(past, past + new) {
                prop_assert_eq!(part.start, next);
                prop_assert_eq!(residual.sealed(part.start), residual.sealed(part.end - 1));
                prop_assert!(part.end - residual.sealed(part.start) <= residual.ring_len());
                prop_assert!(part.end == past + new || residual.sealed(part.end) > residual.sealed(part.start));
                next = part.end;
            }
            prop_assert_eq!(next, past + new);
        }

        #[test]
        fn open_tokens_have_rows_of_their_own(tokens in 0_usize..80, len in 1_usize..300) {
            let residual = Residual { tokens };
            let mut live = LiveTokens::default();
            live.extend(0, len);
            let open = Positions { start: residual.sealed(len), end: len };
            let rows: Vec<usize> =
                residual.rows(&live, len, open).iter().flat_map(|run| run.row..run.row + run.len).collect();
            prop_assert_eq!(&rows, &(open.start..open.end).map(|position| residual.row(position)).collect::<Vec<_>>());
            let mut distinct = rows.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), rows.len());
        }
    }
}
