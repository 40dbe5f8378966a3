//! Blocks that were taken in the last change: what an allocation did stays visible until the next one.

use super::slots::Holder;

/// The blocks that were held when a lane was last looked at, and those that were not held before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// The run and the lane.
    subject: (u64, usize),
    held: Vec<bool>,
    taken: Vec<u32>,
}

impl Fresh {
    /// Compares with the picture of the frame before. Nothing is new in the first picture of a lane.
    pub fn update(&mut self, subject: (u64, usize), holders: &[Vec<Holder>]) {
        let held = holders.iter().map(|holders| !holders.is_empty());
        if self.subject != subject || self.held.len() != holders.len() {
            *self = Self { subject, held: held.collect(), taken: vec![] };
            return;
        }
        if held.clone().eq(self.held.iter().copied()) {
            return;
        }
        let is_new = |(block, (is_held, was_held)): (u32, (bool, &bool))| (is_held && !was_held).then_some(block);
        self.taken = (0..).zip(held.clone().zip(&self.held)).filter_map(is_new).collect();
        self.held = held.collect();
    }

    /// In ascending order.
    pub fn taken(&self) -> &[u32] {
        &self.taken
    }

    pub fn is_taken(&self, block: u32) -> bool {
        self.taken.binary_search(&block).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(held: &[usize], n: usize) -> Vec<Vec<Holder>> {
        let of = |block| if held.contains(&block) { vec![Holder { sequence: 0, place: block }] } else { vec![] };
        (0..n).map(of).collect()
    }

    #[test]
    fn a_block_is_fresh_until_the_next_change() {
        let mut fresh = Fresh::default();
        let mut after = |subject, held: &[usize]| -> Vec<u32> {
            fresh.update(subject, &holders(held, 6));
            fresh.taken().to_vec()
        };
        assert_eq!(after((1, 0), &[0, 1]), Vec::<u32>::new(), "the first picture");
        assert_eq!(after((1, 0), &[0, 1, 4]), [4]);
        assert_eq!(after((1, 0), &[0, 1, 4]), [4], "nothing changed");
        assert_eq!(after((1, 0), &[1, 2, 3, 4]), [2, 3], "one given back, two taken");
        assert_eq!(after((1, 0), &[1]), Vec::<u32>::new(), "back in time");
        assert_eq!(after((1, 1), &[1, 2]), Vec::<u32>::new(), "another lane");
        assert!(!fresh.is_taken(2));
    }
}
