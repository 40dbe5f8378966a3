//! Tokens that go: evicted by a policy, or taken back from the end.
//!
//! A child of the block tables, integers only as they are.

use super::{BlockTables, CacheError, NO_BLOCK, Policy, Positions, SeqId, Sequence};

impl BlockTables {
    /// The tokens at `positions` are gone: blocks of a pool whose last live token they were are given back. Returns how many blocks.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn evict(&mut self, seq: SeqId, positions: &[usize]) -> Result<usize, CacheError> {
        let (block_len, mut given_back) = (self.block_len, 0);
        let sequence = self.get_mut(seq)?;
        for position in positions {
            if sequence.live.evict(*position) {
                sequence.evicted_at = sequence.len;
            }
        }
        let Policy::Paged(pool) = &mut self.policy else { return Ok(0) };
        let Some(sequence) = &mut self.sequences[seq.slot as usize].0 else { return Ok(0) };
        for position in positions {
            let index = position / block_len;
            let block = Positions { start: index * block_len, end: (index + 1) * block_len };
            let is_full = block.end <= sequence.len;
            if is_full && sequence.table[index] != NO_BLOCK && sequence.live.count_in(block) == 0 {
                pool.release(std::mem::replace(&mut sequence.table[index], NO_BLOCK));
                given_back += 1;
            }
        }
        Ok(given_back)
    }

    /// Whether a sequence can be what it was when it had `len` tokens.
    ///
    /// # Errors
    /// [`CacheError::TruncateGrows`] when `len` is past the end, [`CacheError::Evicted`] when a token that the sequence still had then is
    /// gone, [`CacheError::UnknownSequence`]
    pub fn can_truncate(&self, seq: SeqId, len: usize) -> Result<(), CacheError> {
        let Sequence { len: current, live, evicted_at, .. } = self.get(seq)?;
        if len > *current {
            return Err(CacheError::TruncateGrows { len, current: *current });
        }
        if len < *evicted_at && !live.gaps(len).is_empty() {
            return Err(CacheError::Evicted { len, nearest_len: *evicted_at });
        }
        Ok(())
    }

    /// The shortest length, but for those without a gap, to which a sequence can go back.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn evicted_at(&self, seq: SeqId) -> Result<usize, CacheError> {
        self.get(seq).map(|s| s.evicted_at)
    }

    /// Forgets the tokens from `len` on.
    ///
    /// # Errors
    /// Those of [`Self::can_truncate`].
    pub fn truncate(&mut self, seq: SeqId, len: usize) -> Result<(), CacheError> {
        self.can_truncate(seq, len)?;
        let keep = len.div_ceil(self.block_len);
        if let Policy::Paged(pool) = &mut self.policy
            && let Some(sequence) = &mut self.sequences[seq.slot as usize].0
        {
            while sequence.table.len() > keep {
                if let Some(block) = sequence.table.pop().filter(|block| *block != NO_BLOCK) {
                    pool.release(block);
                }
            }
        }
        let sequence = self.get_mut(seq)?;
        sequence.len = len;
        sequence.live.truncate(len);
        if sequence.live.gaps(len).is_empty() {
            sequence.evicted_at = 0;
        }
        Ok(())
    }
}
