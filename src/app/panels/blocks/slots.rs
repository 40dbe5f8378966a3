//! What the slots of a block are to the sequences that hold it, in plain integers. Safe on any picture that a trace may hold.

use std::ops::Range;

use crate::cache::{PoolPicture, SequencePicture, blocks::NO_BLOCK};

/// What a slot is to one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Filled with the rows of a live token.
    Stored,
    /// Filled with the rows of an evicted token: nobody reads them, nobody else can use the slot.
    Dead,
    /// Kept for a live token that is exact still and waits elsewhere until its group is quantized.
    Exact,
    /// Nothing was written into it.
    Empty,
}

/// Consecutive slots of a block that are the same; `slots` counts from the start of the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub slot: Slot,
    pub slots: Range<usize>,
}

/// A sequence that holds a block, and the block's place in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub sequence: usize,
    pub place: usize,
}

/// The blocks of a pool and their slots, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub held: usize,
    pub shared: usize,
    pub free: usize,
    /// Places of a table whose block was given back; a place that is so in several tables counts once.
    pub given_back: usize,
    /// Slots with rows that every holder of their block has evicted.
    pub dead_slots: usize,
    /// Tokens that are exact still, over all sequences.
    pub exact_tokens: usize,
}

/// True once a sequence has evicted the token.
pub fn is_evicted(sequence: &SequencePicture, position: usize) -> bool {
    let after = sequence.evicted.partition_point(|(_, end)| *end <= position);
    sequence.evicted.get(after).is_some_and(|(start, _)| *start <= position)
}

/// What became of the slot of a token.
pub fn slot(sequence: &SequencePicture, position: usize) -> Slot {
    let is_sealed = sequence.sealed.is_none_or(|sealed| position < sealed);
    match (position < sequence.len, is_sealed, is_evicted(sequence, position)) {
        (true, true, false) => Slot::Stored,
        (true, true, true) => Slot::Dead,
        (true, false, false) => Slot::Exact,
        // A token that was evicted while it was exact never came into its slot.
        (true, false, true) | (false, ..) => Slot::Empty,
    }
}

/// The slots of the block at `place` in a sequence's table.
pub fn runs(sequence: &SequencePicture, place: usize, block_len: usize) -> Vec<Run> {
    let start = place.saturating_mul(block_len);
    let end = start.saturating_add(block_len);
    let first = sequence.evicted.partition_point(|gap| gap.1 <= start);
    let gaps = sequence.evicted[first..].iter().take_while(|gap| gap.0 < end);
    let edges = gaps.flat_map(|gap| [gap.0, gap.1]).chain([start, end, sequence.len]).chain(sequence.sealed);
    let mut edges: Vec<usize> = edges.map(|edge| edge.clamp(start, end)).collect();
    edges.sort_unstable();
    edges.dedup();
    let run = |ends: &[usize]| Run { slot: slot(sequence, ends[0]), slots: ends[0] - start..ends[1] - start };
    edges.windows(2).map(run).collect()
}

/// Slots of one kind.
pub fn count(runs: &[Run], kind: Slot) -> usize {
    runs.iter().filter(|run| run.slot == kind).map(|run| run.slots.len()).sum()
}

/// Tokens of a sequence that were not evicted.
pub fn live(sequence: &SequencePicture) -> usize {
    let evicted: usize = sequence.evicted.iter().map(|gap| gap.1.saturating_sub(gap.0)).sum();
    sequence.len.saturating_sub(evicted)
}

/// Places of a table whose block was given back.
pub fn given_back(sequence: &SequencePicture) -> usize {
    sequence.blocks.iter().filter(|block| **block == NO_BLOCK).count()
}

/// Who holds each block of the pool.
pub fn holders(picture: &PoolPicture) -> Vec<Vec<Holder>> {
    let mut holders = vec![vec![]; picture.n_blocks];
    for (sequence, tables) in picture.sequences.iter().enumerate() {
        for (place, block) in tables.blocks.iter().enumerate() {
            // A block that was given back has no number.
            if let Some(of_block) = holders.get_mut(*block as usize) {
                of_block.push(Holder { sequence, place });
            }
        }
    }
    holders
}

impl Census {
    pub fn of(picture: &PoolPicture, holders: &[Vec<Holder>]) -> Self {
        let held = holders.iter().filter(|holders| !holders.is_empty()).count();
        let most_places = picture.sequences.iter().map(|sequence| sequence.blocks.len()).max().unwrap_or(0);
        let has_hole = |place: &usize| picture.sequences.iter().any(|s| s.blocks.get(*place) == Some(&NO_BLOCK));
        let exact = |sequence: &SequencePicture| {
            let sealed = sequence.sealed.unwrap_or(sequence.len);
            let evicted = sequence.evicted.iter().map(|gap| gap.1.saturating_sub(gap.0.max(sealed)));
            sequence.len.saturating_sub(sealed).saturating_sub(evicted.sum())
        };
        Self {
            held,
            shared: holders.iter().filter(|holders| holders.len() > 1).count(),
            free: holders.len() - held,
            given_back: (0..most_places).filter(has_hole).count(),
            dead_slots: holders.iter().map(|holders| dead_slots(picture, holders)).sum(),
            exact_tokens: picture.sequences.iter().map(exact).sum(),
        }
    }
}

/// Slots of a block that somebody filled, and whose token nobody has any more.
fn dead_slots(picture: &PoolPicture, holders: &[Holder]) -> usize {
    let of_holder = |holder: &Holder| {
        picture.sequences.get(holder.sequence).map(|sequence| runs(sequence, holder.place, picture.block_len))
    };
    let views: Vec<Vec<Run>> = holders.iter().filter_map(of_holder).collect();
    let mut edges: Vec<usize> = views.iter().flatten().flat_map(|run| [run.slots.start, run.slots.end]).collect();
    edges.sort_unstable();
    edges.dedup();
    let is_dead = |at: usize| {
        let mut kinds = views.iter().flatten().filter(|run| run.slots.contains(&at)).map(|run| run.slot);
        kinds.clone().any(|kind| kind == Slot::Dead) && kinds.all(|kind| kind != Slot::Stored)
    };
    edges.windows(2).filter(|ends| is_dead(ends[0])).map(|ends| ends[1] - ends[0]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(len: usize, blocks: &[u32], evicted: &[(usize, usize)], sealed: Option<usize>) -> SequencePicture {
        SequencePicture { len, blocks: blocks.to_vec(), evicted: evicted.to_vec(), sealed }
    }

    fn pool(sequences: Vec<SequencePicture>) -> PoolPicture {
        PoolPicture { block_len: 4, n_blocks: 6, token_bytes: 8, sequences }
    }

    fn kinds(sequence: &SequencePicture, place: usize) -> Vec<(Slot, Range<usize>)> {
        runs(sequence, place, 4).into_iter().map(|run| (run.slot, run.slots)).collect()
    }

    #[test]
    fn slots_follow_evictions_and_the_end_of_the_text() {
        let sequence = sequence(10, &[3, NO_BLOCK, 5], &[(1, 9)], None);
        assert_eq!(kinds(&sequence, 0), [(Slot::Stored, 0..1), (Slot::Dead, 1..4)]);
        assert_eq!(kinds(&sequence, 2), [(Slot::Dead, 0..1), (Slot::Stored, 1..2), (Slot::Empty, 2..4)]);
        assert_eq!((live(&sequence), given_back(&sequence)), (2, 1));
    }

    #[test]
    fn what_is_not_sealed_is_in_no_block_yet() {
        let sequence = sequence(7, &[0, 1], &[(2, 3), (5, 6)], Some(4));
        assert_eq!(kinds(&sequence, 0), [(Slot::Stored, 0..2), (Slot::Dead, 2..3), (Slot::Stored, 3..4)]);
        let tail = [(Slot::Exact, 0..1), (Slot::Empty, 1..2), (Slot::Exact, 2..3), (Slot::Empty, 3..4)];
        assert_eq!(kinds(&sequence, 1), tail);
    }

    #[test]
    fn the_census_counts_a_shared_slot_as_dead_when_all_have_evicted_it() {
        let picture = pool(vec![
            sequence(8, &[3, 1], &[(0, 3)], None),
            sequence(6, &[3, 2], &[(2, 5)], None),
            sequence(9, &[NO_BLOCK, 4, 5], &[(0, 4)], Some(8)),
        ]);
        let census = Census::of(&picture, &holders(&picture));
        // Of block 3 only slot 2 is dead for both; token 4 is dead in block 2 of the fork.
        let expected = Census { held: 5, shared: 1, free: 1, given_back: 1, dead_slots: 2, exact_tokens: 1 };
        assert_eq!(census, expected);
    }

    /// Whatever a trace says, nothing panics, and the runs of a block cover it.
    #[test]
    fn any_picture_is_safe() {
        let numbers = [0, 1, 3, 7, usize::MAX];
        for len in numbers {
            for sealed in [None, Some(0), Some(5), Some(usize::MAX)] {
                for evicted in [&[][..], &[(0, 2)], &[(5, 2)], &[(6, 7), (1, 2)], &[(0, usize::MAX)]] {
                    let picture = pool(vec![sequence(len, &[9, NO_BLOCK, 2, 2], evicted, sealed)]);
                    for place in numbers {
                        let runs = runs(&picture.sequences[0], place, 4);
                        let covered: usize = runs.iter().map(|run| run.slots.len()).sum();
                        assert!(covered == 4 || place == usize::MAX);
                    }
                    let _ = (Census::of(&picture, &holders(&picture)), live(&picture.sequences[0]));
                }
            }
        }
    }
}
