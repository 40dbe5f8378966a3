//! Where tokens lie, as rows of the planes behind the tables.
//!
//! A child of the block tables, integers only as they are.

use super::{BlockTables, CacheError, NO_BLOCK, Policy, Positions, SeqId};

/// `len` rows one behind the other, from `row` on: of the pool's planes (`block * block_len + slot`), or of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRun {
    pub row: usize,
    pub len: usize,
}

impl BlockTables {
    /// The row of a token whose block was not given back, or of one that a step is adding.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn row(&self, seq: SeqId, position: usize) -> Result<Option<usize>, CacheError> {
        let sequence = self.get(seq)?;
        Ok(match self.policy {
            Policy::Concat { .. } => Some(sequence.live.rank(position) + position.saturating_sub(sequence.len)),
            Policy::Paged(_) | Policy::Contiguous { .. } => {
                let block = sequence.table.get(position / self.block_len).filter(|block| **block != NO_BLOCK);
                block.map(|block| *block as usize * self.block_len + position % self.block_len)
            }
        })
    }

    /// Where the live tokens among `positions` lie, oldest first; those from the sequence's length on are a step's new ones, which
    /// are live. Runs end with their block in a pool, whose blocks need not be neighbours.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn rows(&self, seq: SeqId, positions: Positions) -> Result<Vec<RowRun>, CacheError> {
        let sequence = self.get(seq)?;
        let mut runs: Vec<RowRun> = vec![];
        let new = Positions { start: positions.start.max(sequence.len), ..positions };
        let old = Positions { end: positions.end.min(sequence.len), ..positions };
        for mut range in sequence.live.within(old).chain((!new.is_empty()).then_some(new)) {
            while !range.is_empty() {
                let Some(row) = self.row(seq, range.start)? else { break };
                let len = match self.policy {
                    Policy::Concat { .. } => range.len(),
                    _ => range.len().min(self.block_len - range.start % self.block_len),
                };
                match runs.last_mut() {
                    Some(last) if last.row + last.len == row && !matches!(self.policy, Policy::Paged(_)) => {
                        last.len += len;
                    }
                    _ => runs.push(RowRun { row, len }),
                }
                range.start += len;
            }
        }
        Ok(runs)
    }
}
