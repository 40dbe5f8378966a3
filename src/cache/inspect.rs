//! Looking into a store: where each token lies, and what is stored of it.

use crate::kernels::{codec::RowGroups, hadamard::rotate, walk::Tile};

use super::{
    CacheError, Format, KvStore, Layout, SeqId, Span,
    blocks::RowRun,
    live::Positions,
    memory::Memory,
    picture::{PoolPicture, SequencePicture},
};

/// Where one token lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPicture {
    /// `None` once the block was given back. `concat` has one buffer, 0.
    pub block: Option<u32>,
    pub slot: u32,
    /// How it is stored now: exact as long as its group is not sealed.
    pub format: Format,
    /// False once a retention policy has evicted the token.
    pub live: bool,
}

impl KvStore {
    /// For every token of a sequence: its block, its slot, its format, whether it is live.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn picture(&self, seq: SeqId) -> Result<Vec<TokenPicture>, CacheError> {
        let (len, live, block_len) = (self.tables.len(seq)?, self.tables.live(seq)?, self.tables.block_len());
        let sealed = self.residual.map_or(len, |residual| residual.sealed(len));
        (0..len)
            .map(|position| {
                let is_live = live.contains(position);
                let (block, slot) = match self.spec.layout {
                    // One buffer of what is live: block 0, and the token's place in it.
                    Layout::Concat => (is_live.then_some(0), live.rank(position)),
                    Layout::Contiguous | Layout::Paged { .. } => {
                        let row = self.tables.row(seq, position)?;
                        (row.and_then(|row| u32::try_from(row / block_len).ok()), position % block_len)
                    }
                };
                let format = if position < sealed { self.spec.format } else { Format::F32 };
                Ok(TokenPicture { block, slot: u32::try_from(slot).unwrap_or(u32::MAX), format, live: is_live })
            })
            .collect()
    }

    /// The pool and the tables of `sequences`, in their order; an empty one for each `None`.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn pool_picture(&self, sequences: impl IntoIterator<Item = Option<SeqId>>) -> Result<PoolPicture, CacheError> {
        let sequences = sequences.into_iter().map(|seq| {
            let Some(seq) = seq else { return Ok(SequencePicture::default()) };
            let len = self.tables.len(seq)?;
            let gaps = self.tables.live(seq)?.gaps(len);
            Ok(SequencePicture {
                len,
                blocks: self.tables.table(seq)?.to_vec(),
                evicted: gaps.into_iter().map(|gap| (gap.start, gap.end)).collect(),
                sealed: self.residual.map(|residual| residual.sealed(len)),
            })
        });
        Ok(PoolPicture {
            block_len: self.tables.block_len(),
            n_blocks: self.tables.n_blocks(),
            token_bytes: self.token_bytes(),
            sequences: sequences.collect::<Result<_, CacheError>>()?,
        })
    }

    /// The stored keys and values of one layer as f32, `[live tokens, n_kv_head, head_dim]` each, in the order of their positions: for
    /// inspection.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`], [`CacheError::Shape`] for a layer that does not exist
    pub fn read(&self, seq: SeqId, layer: usize) -> Result<(Vec<f32>, Vec<f32>), CacheError> {
        let (len, slot) = (self.tables.len(seq)?, self.tables.slot(seq)?);
        if layer >= self.shape.n_layer {
            return Err(CacheError::Shape(format!("layer {layer} of {}", self.shape.n_layer)));
        }
        let sealed = self.residual.map_or(len, |residual| residual.sealed(len));
        let rows = self.tables.rows(seq, Positions { start: 0, end: sealed })?;
        let ring = match self.residual {
            Some(residual) => residual.rows(self.tables.live(seq)?, len, Positions { start: sealed, end: len }),
            None => vec![],
        };
        let (mut k, mut v) = self.memory.read(slot, layer, &rows, &ring)?;
        if self.spec.rotate {
            // The rotation is its own inverse.
            for rows in [&mut k, &mut v] {
                rotate(rows, self.shape.heads.head_dim);
            }
        }
        Ok((k, v))
    }

    /// The groups, scales and levels that one head of a live token's key, and of its value, is stored with; of rotated numbers where the
    /// lane rotates. `None` for a token that is evicted or not quantized yet, and on a device, whose memory this process cannot read.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`], [`CacheError::Shape`] for a layer or a head that does not exist
    pub fn describe(
        &self,
        seq: SeqId,
        (layer, kv_head): (usize, usize),
        position: usize,
    ) -> Result<Option<[RowGroups; 2]>, CacheError> {
        let (len, slot) = (self.tables.len(seq)?, self.tables.slot(seq)?);
        if layer >= self.shape.n_layer || kv_head >= self.shape.heads.n_kv_head {
            return Err(CacheError::Shape(format!("layer {layer}, head {kv_head}")));
        }
        let sealed = self.residual.map_or(len, |residual| residual.sealed(len));
        let (Memory::Host(memory), Some(row)) = (&self.memory, self.tables.row(seq, position)?) else {
            return Ok(None);
        };
        if position >= sealed || !self.tables.live(seq)?.contains(position) {
            return Ok(None);
        }
        let tiles = memory.tiles(slot, layer, &[RowRun { row, len: 1 }], &[]);
        let describe = |tile: &Tile<'_>| [tile.keys, tile.values].map(|rows| rows.describe(tile.first, kv_head));
        Ok(tiles.first().map(describe))
    }

    /// The memory that attention over a sequence reads, layer by layer: codes and scales of its live tokens, block by block. For a floor
    /// under the time that takes; on a device there is nothing that this process could read.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn stored(&self, seq: SeqId) -> Result<Vec<&[u8]>, CacheError> {
        let (len, slot) = (self.tables.len(seq)?, self.tables.slot(seq)?);
        let Memory::Host(memory) = &self.memory else { return Ok(vec![]) };
        let span = Span { seq, past: len, new: 0 };
        let (rows, ring) = self.visible(span, Positions { start: len, end: len })?;
        let mut bytes = vec![];
        for layer in 0..self.shape.n_layer {
            for tile in memory.tiles(slot, layer, &rows, &ring) {
                bytes.extend([tile.keys, tile.values].iter().flat_map(|rows| rows.bytes(tile.first, tile.len)));
            }
        }
        Ok(bytes)
    }

    /// Mixes up the free blocks of a pool, as use would: see [`super::pool::BlockPool::shuffle_free`].
    pub fn shuffle_free(&mut self, seed: u64) {
        self.tables.shuffle_free(seed);
    }
}
