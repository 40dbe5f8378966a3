//! A pool of equal blocks: which are free, and how many sequences hold each one.
//!
//! Integers only; no tensor is known here. The idea is vLLM's `BlockPool` (arXiv 2309.06180): a
//! block is taken by one sequence, shared by forks through a reference count, and goes back to the
//! free list when nobody holds it.

/// A block's place in the pool: `0..n_blocks`.
pub type BlockId = u32;

/// Reference counts and a free list over `n_blocks` blocks.
#[derive(Debug)]
pub struct BlockPool {
    ref_counts: Vec<u32>,
    /// A stack: the block freed last is handed out first, since its bytes are likeliest in cache.
    free: Vec<BlockId>,
}

impl BlockPool {
    #[must_use]
    pub fn new(n_blocks: u32) -> Self {
        let mut free = Vec::with_capacity(n_blocks as usize);
        free.extend((0..n_blocks).rev());
        Self { ref_counts: vec![0; n_blocks as usize], free }
    }

    #[must_use]
    pub fn n_blocks(&self) -> usize {
        self.ref_counts.len()
    }

    #[must_use]
    pub fn n_free(&self) -> usize {
        self.free.len()
    }

    /// How many sequences hold `block`; 0 when it is free.
    #[must_use]
    pub fn ref_count(&self, block: BlockId) -> u32 {
        self.ref_counts[block as usize]
    }

    /// Takes a free block, or `None` when there is none.
    pub fn take(&mut self) -> Option<BlockId> {
        let block = self.free.pop()?;
        self.ref_counts[block as usize] = 1;
        Some(block)
    }

    /// One more sequence holds `block`.
    ///
    /// # Panics
    /// If the block is free: sharing it would hand out memory that belongs to nobody.
    pub fn share(&mut self, block: BlockId) {
        let count = &mut self.ref_counts[block as usize];
        assert!(*count > 0, "block {block} is free and cannot be shared");
        *count += 1;
    }

    /// One sequence fewer holds `block`; the last one frees it.
    ///
    /// # Panics
    /// On a double free.
    pub fn release(&mut self, block: BlockId) {
        let count = &mut self.ref_counts[block as usize];
        assert!(*count > 0, "block {block} was freed twice");
        *count -= 1;
        if *count == 0 {
            self.free.push(block);
        }
    }

    /// Puts the free blocks into another order, as they are in a pool that was in use for a while: in a new one the blocks of a
    /// sequence are neighbours, which flatters a measurement. The same order for the same seed.
    pub fn shuffle_free(&mut self, seed: u64) {
        // Fisher and Yates, with the numbers of splitmix64.
        let mut state = seed;
        for i in (1..self.free.len()).rev() {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let range = i as u64 + 1;
            let j = usize::try_from((mixed ^ (mixed >> 31)) % range).unwrap_or(i);
            self.free.swap(i, j);
        }
    }

    /// Bytes of the pool's own vectors.
    #[must_use]
    pub fn metadata_bytes(&self) -> u64 {
        super::vec_bytes(&self.ref_counts) + super::vec_bytes(&self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Take,
        Share(usize),
        Release(usize),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            3 => Just(Op::Take),
            1 => any::<usize>().prop_map(Op::Share),
            3 => any::<usize>().prop_map(Op::Release),
        ];
        prop::collection::vec(op, 0..200)
    }

    #[test]
    fn a_shuffled_pool_hands_out_every_block_once_and_not_in_order() {
        let handed = |seed| {
            let mut pool = BlockPool::new(64);
            pool.take();
            pool.shuffle_free(seed);
            std::iter::from_fn(move || pool.take()).collect::<Vec<_>>()
        };
        let blocks = handed(1);
        let neighbours = blocks.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        assert!(neighbours < 8 && blocks == handed(1) && blocks != handed(2), "{blocks:?}");
        let mut sorted = blocks;
        sorted.sort_unstable();
        assert_eq!(sorted, (1..64).collect::<Vec<_>>());
    }

    proptest! {
        /// The brute-force model is the plain list of holders: one entry per (holder, block).
        #[test]
        fn agrees_with_a_list_of_holders(n_blocks in 0_u32..12, ops in ops()) {
            let mut pool = BlockPool::new(n_blocks);
            let mut holders: Vec<BlockId> = vec![];
            for op in ops {
                match op {
                    Op::Take => {
                        let full = pool.n_free() == 0;
                        let block = pool.take();
                        prop_assert_eq!(block.is_none(), full);
                        prop_assert!(block.is_none_or(|b| !holders.contains(&b)), "{:?} was handed out twice", block);
                        holders.extend(block);
                    }
                    Op::Share(i) if !holders.is_empty() => {
                        let block = holders[i % holders.len()];
                        pool.share(block);
                        holders.push(block);
                    }
                    Op::Release(i) if !holders.is_empty() => {
                        let block = holders.swap_remove(i % holders.len());
                        pool.release(block);
                    }
                    Op::Share(_) | Op::Release(_) => {}
                }
                for block in 0..n_blocks {
                    let held = holders.iter().filter(|&&h| h == block).count();
                    prop_assert_eq!(pool.ref_count(block) as usize, held);
                }
                let mut held = holders.clone();
                held.sort_unstable();
                held.dedup();
                prop_assert_eq!(pool.n_free() + held.len(), n_blocks as usize, "blocks are conserved");
            }
        }
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn double_free_is_caught() {
        let mut pool = BlockPool::new(2);
        let block = pool.take().expect("a free block");
        pool.release(block);
        pool.release(block);
    }

    #[test]
    #[should_panic(expected = "cannot be shared")]
    fn sharing_a_free_block_is_caught() {
        BlockPool::new(2).share(1);
    }
}
