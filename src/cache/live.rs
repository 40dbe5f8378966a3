//! Which tokens of a sequence are still there: ranges of positions, in plain integers.
//!
//! ```text
//! all            0..100
//! window:4/16    0..4  84..100
//! h2o:3/8        17..18  40..42  92..100
//! ```

use super::vec_bytes;

/// The positions `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    pub start: usize,
    pub end: usize,
}

impl Positions {
    #[must_use]
    pub fn len(self) -> usize {
        self.end - self.start
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// What both have in common, maybe nothing.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        Self { start, end: self.end.min(other.end).max(start) }
    }
}

/// The live tokens of a sequence: ranges in rising order, with a gap between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveTokens(Vec<Positions>);

impl LiveTokens {
    /// The ranges, oldest first.
    #[must_use]
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = Positions> + Clone + '_ {
        self.0.iter().copied()
    }

    /// How many tokens are live.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|range| range.len()).sum()
    }

    /// How many of `positions` are live.
    #[must_use]
    pub fn count_in(&self, positions: Positions) -> usize {
        self.within(positions).map(Positions::len).sum()
    }

    /// The live ranges among `positions`.
    pub fn within(&self, positions: Positions) -> impl Iterator<Item = Positions> + '_ {
        let first = self.0.partition_point(|range| range.end <= positions.start);
        let touching = self.0[first..].iter().take_while(move |range| range.start < positions.end);
        touching.map(move |range| range.and(positions))
    }

    #[must_use]
    pub fn contains(&self, position: usize) -> bool {
        self.count_in(Positions { start: position, end: position + 1 }) == 1
    }

    /// Live tokens before `position`: the row of that token where only live ones are stored.
    #[must_use]
    pub fn rank(&self, position: usize) -> usize {
        self.count_in(Positions { start: 0, end: position })
    }

    /// The new tokens `past..len` are live.
    pub fn extend(&mut self, past: usize, len: usize) {
        match self.0.last_mut() {
            Some(last) if last.end == past => last.end = len,
            _ if past < len => self.0.push(Positions { start: past, end: len }),
            _ => {}
        }
    }

    /// Forgets the tokens from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.0.retain_mut(|range| {
            range.end = range.end.min(len);
            range.start < range.end
        });
    }

    /// The token at `position` is gone; true if it was live.
    pub fn evict(&mut self, position: usize) -> bool {
        let index = self.0.partition_point(|range| range.end <= position);
        let Some(range) = self.0.get_mut(index).filter(|range| range.start <= position) else { return false };
        let rest = Positions { start: position + 1, end: range.end };
        range.end = position;
        let is_empty = range.is_empty();
        match (is_empty, rest.is_empty()) {
            (true, true) => drop(self.0.remove(index)),
            (true, false) => self.0[index] = rest,
            (false, true) => {}
            (false, false) => self.0.insert(index + 1, rest),
        }
        true
    }

    /// The ranges before `len` that are not live.
    #[must_use]
    pub fn gaps(&self, len: usize) -> Vec<Positions> {
        let ends = std::iter::once(0).chain(self.0.iter().map(|range| range.end));
        let starts = self.0.iter().map(|range| range.start).chain([len]);
        let all = Positions { start: 0, end: len };
        let gaps = ends.zip(starts).map(|(start, end)| Positions { start, end: end.min(len) }.and(all));
        gaps.filter(|gap| !gap.is_empty()).collect()
    }

    /// Bytes of the list itself.
    #[must_use]
    pub fn metadata_bytes(&self) -> u64 {
        vec_bytes(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Extend(usize),
        Evict(usize),
        Truncate(usize),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            3 => (1_usize..6).prop_map(Op::Extend),
            6 => any::<usize>().prop_map(Op::Evict),
            1 => any::<usize>().prop_map(Op::Truncate),
        ];
        prop::collection::vec(op, 0..60)
    }

    proptest! {
        /// The brute-force model is a flag for each position.
        #[test]
        fn agrees_with_a_flag_for_each_position(ops in ops()) {
            let (mut live, mut flags) = (LiveTokens::default(), Vec::<bool>::new());
            for op in ops {
                match op {
                    Op::Extend(n) => {
                        live.extend(flags.len(), flags.len() + n);
                        flags.resize(flags.len() + n, true);
                    }
                    Op::Evict(i) if !flags.is_empty() => {
                        let position = i % flags.len();
                        prop_assert_eq!(live.evict(position), flags[position]);
                        flags[position] = false;
                    }
                    Op::Truncate(i) => {
                        let len = i % (flags.len() + 1);
                        live.truncate(len);
                        flags.truncate(len);
                    }
                    Op::Evict(_) => {}
                }
                let listed: Vec<usize> = live.ranges().flat_map(|range| range.start..range.end).collect();
                let expected: Vec<usize> = (0..flags.len()).filter(|i| flags[*i]).collect();
                prop_assert_eq!(&listed, &expected);
                prop_assert_eq!(live.count(), expected.len());
                let gone: Vec<usize> = live.gaps(flags.len()).iter().flat_map(|gap| gap.start..gap.end).collect();
                prop_assert_eq!(gone.len() + listed.len(), flags.len());
                prop_assert!(gone.iter().all(|position| !flags[*position]));
                for (position, is_live) in flags.iter().enumerate() {
                    prop_assert_eq!(live.contains(position), *is_live);
                    prop_assert_eq!(live.rank(position), expected.iter().filter(|i| **i < position).count());
                }
                let some_len = flags.len() / 2;
                let gone = live.gaps(some_len).iter().flat_map(|gap| gap.start..gap.end).collect::<Vec<_>>();
                prop_assert_eq!(gone, (0..some_len).filter(|i| !flags[*i]).collect::<Vec<_>>());
                let some = Positions { start: flags.len() / 3, end: flags.len() * 2 / 3 };
                let inside = expected.iter().filter(|i| (some.start..some.end).contains(*i)).count();
                prop_assert_eq!(live.count_in(some), inside);
                for pair in live.0.windows(2) {
                    prop_assert!(pair[0].end < pair[1].start, "neighbours are one range");
                }
            }
        }
    }
}
