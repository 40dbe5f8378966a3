//! A store as plain data: its pool and the block tables over it, for the window and for traces.

use serde::{Deserialize, Serialize};

/// The blocks of a store and who holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolPicture {
    /// Tokens of a block.
    pub block_len: usize,
    /// Blocks that exist, held or free; 0 for `concat`, which has a growing buffer per sequence instead.
    pub n_blocks: usize,
    /// Keys, values and scales of one token over all layers, as stored.
    pub token_bytes: u64,
    pub sequences: Vec<SequencePicture>,
}

/// One sequence's block table: its token `t` lies in block `blocks[t / block_len]`, slot `t % block_len`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencePicture {
    /// Tokens it has seen. The blocks may have room for more.
    pub len: usize,
    /// [`NO_BLOCK`](super::blocks::NO_BLOCK) where a block was given back.
    pub blocks: Vec<u32>,
    /// Ranges `start..end` of tokens that were evicted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evicted: Vec<(usize, usize)>,
    /// Where groups of tokens are quantized together: how many tokens are; the newer ones are exact still, and lie elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<usize>,
}

impl PoolPicture {
    /// The sequences that hold each block, by their number here. A free block has none, a shared one several.
    #[must_use]
    pub fn holders(&self) -> Vec<Vec<usize>> {
        let mut holders = vec![vec![]; self.n_blocks];
        for (index, sequence) in self.sequences.iter().enumerate() {
            for block in &sequence.blocks {
                if let Some(holders) = holders.get_mut(*block as usize) {
                    holders.push(index);
                }
            }
        }
        holders
    }

    /// Filled slots of the block at `place` in a sequence's table.
    #[must_use]
    pub fn fill(&self, sequence: usize, place: usize) -> usize {
        let len = self.sequences.get(sequence).map_or(0, |sequence| sequence.len);
        len.saturating_sub(place * self.block_len).min(self.block_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_and_fill_follow_the_tables() {
        let sequence =
            |len, blocks: &[u32]| SequencePicture { len, blocks: blocks.to_vec(), ..SequencePicture::default() };
        let picture = PoolPicture {
            block_len: 4,
            n_blocks: 5,
            token_bytes: 8,
            sequences: vec![sequence(7, &[0, 2]), sequence(6, &[0, 4])],
        };
        assert_eq!(picture.holders(), [vec![0, 1], vec![], vec![0], vec![], vec![1]]);
        assert_eq!([picture.fill(0, 0), picture.fill(0, 1), picture.fill(1, 1)], [4, 3, 2]);
        assert_eq!((picture.fill(0, 2), picture.fill(9, 0)), (0, 0));
    }
}
