//! Which block holds which token of which sequence: the policy of every layout, in plain integers.
//!
//! ```text
//! token t of a sequence  ->  slot t % block_len of block table[t / block_len]
//!
//! paged:4        table [7, 2, 5]       blocks anywhere in the pool, shared by forks
//! contiguous     table [32, 33, 34]    neighbours, reserved when the sequence is opened
//! concat         table []              no blocks: one buffer of the live tokens, replaced every step
//! ```
//!
//! Retention evicts tokens of a sequence ([`LiveTokens`]). A paged sequence gives a block back once all its tokens are evicted, and
//! its table has a hole there ([`NO_BLOCK`]); a region stays as it is; a buffer is copied without them.
//!
//! Everything here is all or nothing: a call that fails has changed nothing.

mod forget;
mod reserve;
mod rows;

pub use reserve::Reservation;
pub use rows::RowRun;

use std::sync::atomic::{AtomicU32, Ordering};

use super::{
    CacheError, Layout,
    live::{LiveTokens, Positions},
    pool::{BlockId, BlockPool},
    vec_bytes,
};

/// Block length of `contiguous`: the unit in which its one buffer is drawn and later sealed.
pub const CONTIGUOUS_BLOCK_LEN: usize = 32;

/// A sequence of one store. Closing it makes the handle invalid for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeqId {
    /// The tables that handed it out; see `BlockTables::id`.
    tables: u32,
    slot: u32,
    generation: u32,
}

impl SeqId {
    /// The one sequence of a forward pass that keeps nothing; no store hands it out.
    pub const ALONE: Self = Self { tables: 0, slot: u32::MAX, generation: 0 };
}

/// The new tokens of one sequence in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub seq: SeqId,
    /// Tokens already stored.
    pub past: usize,
    /// Tokens this step adds.
    pub new: usize,
}

/// `rows` tokens at the start of block `from`, of which `first` is the first's position, are to be copied to block `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCopy {
    pub from: BlockId,
    pub to: BlockId,
    pub first: usize,
    pub rows: usize,
}

/// A place in a table whose block was given back, because all its tokens were evicted.
pub const NO_BLOCK: BlockId = BlockId::MAX;

#[derive(Debug)]
struct Sequence {
    len: usize,
    table: Vec<BlockId>,
    live: LiveTokens,
    /// How long it was when it last lost a token.
    evicted_at: usize,
}

/// An open sequence as others may see it.
#[derive(Clone, Copy, Debug)]
pub struct OpenSequence<'a> {
    pub len: usize,
    pub table: &'a [BlockId],
    pub live: &'a LiveTokens,
}

#[derive(Debug)]
enum Policy {
    /// Blocks from a shared pool, one at a time.
    Paged(BlockPool),
    /// A run of `region_blocks` neighbouring blocks per sequence.
    Contiguous { regions: BlockPool, region_blocks: usize },
    /// Rows without blocks, at most `max_rows` over all sequences.
    Concat { max_rows: usize },
}

/// The next [`BlockTables`]' id; 0 is that of [`SeqId::ALONE`].
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// How large the tables may become.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_sequences: usize,
    pub max_seq_len: usize,
    /// Blocks that the memory limit allows over all sequences, if there is one (rows for `concat`).
    pub max_blocks: Option<usize>,
}

/// The block tables of all sequences of a store.
#[derive(Debug)]
pub struct BlockTables {
    /// No other tables of this process have it, so that a sequence of another store is not mistaken for one here.
    id: u32,
    block_len: usize,
    max_seq_len: usize,
    policy: Policy,
    /// `None`: the slot is free. The second number is the generation of the next sequence there.
    sequences: Vec<(Option<Sequence>, u32)>,
}

/// Tokens per block of `layout`.
#[must_use]
pub fn block_len(layout: Layout) -> usize {
    match layout {
        Layout::Concat => 1,
        Layout::Contiguous => CONTIGUOUS_BLOCK_LEN,
        Layout::Paged { block_len } => block_len,
    }
}

impl BlockTables {
    /// # Errors
    /// [`CacheError::LimitTooSmall`] when the memory limit allows not a single block for a sequence,
    /// [`CacheError::TooLarge`] when the numbers exceed what block ids can count.
    pub fn new(layout: Layout, limits: Limits) -> Result<Self, CacheError> {
        let block_len = block_len(layout);
        let Limits { max_sequences, max_seq_len, max_blocks } = limits;
        let seq_blocks = max_seq_len.div_ceil(block_len);
        let all_blocks = seq_blocks.checked_mul(max_sequences).ok_or(CacheError::TooLarge)?;
        let n_blocks = max_blocks.map_or(all_blocks, |limit| limit.min(all_blocks));
        let ids = |n: usize| u32::try_from(n).map_err(|_| CacheError::TooLarge);
        ids(n_blocks)?;
        ids(max_sequences)?;
        let policy = match layout {
            Layout::Concat => Policy::Concat { max_rows: n_blocks },
            Layout::Contiguous => Policy::Contiguous {
                regions: BlockPool::new(ids(max_sequences)?),
                region_blocks: n_blocks / max_sequences.max(1),
            },
            Layout::Paged { .. } => Policy::Paged(BlockPool::new(ids(n_blocks)?)),
        };
        let empty = match &policy {
            Policy::Paged(pool) => pool.n_blocks() == 0,
            Policy::Contiguous { region_blocks, .. } => *region_blocks == 0,
            Policy::Concat { max_rows } => *max_rows == 0,
        };
        if empty {
            return Err(CacheError::LimitTooSmall { block_len });
        }
        let mut sequences = Vec::with_capacity(max_sequences);
        sequences.resize_with(max_sequences, || (None, 0));
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, block_len, max_seq_len, policy, sequences })
    }

    #[must_use]
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// Blocks that exist, held or not (0 for `concat`, which has none).
    #[must_use]
    pub fn n_blocks(&self) -> usize {
        match &self.policy {
            Policy::Paged(pool) => pool.n_blocks(),
            Policy::Contiguous { regions, region_blocks } => regions.n_blocks() * region_blocks,
            Policy::Concat { .. } => 0,
        }
    }

    /// Blocks that can be filled at most; for `concat`, rows.
    #[must_use]
    pub fn most_blocks(&self) -> usize {
        match &self.policy {
            Policy::Concat { max_rows } => *max_rows,
            Policy::Paged(_) | Policy::Contiguous { .. } => self.n_blocks(),
        }
    }

    /// Blocks that some sequence holds.
    #[must_use]
    pub fn n_held(&self) -> usize {
        match &self.policy {
            Policy::Paged(pool) => pool.n_blocks() - pool.n_free(),
            Policy::Contiguous { regions, region_blocks } => (regions.n_blocks() - regions.n_free()) * region_blocks,
            Policy::Concat { .. } => 0,
        }
    }

    /// How many sequences hold `block`.
    #[must_use]
    pub fn ref_count(&self, block: BlockId) -> u32 {
        match &self.policy {
            Policy::Paged(pool) => pool.ref_count(block),
            Policy::Contiguous { .. } | Policy::Concat { .. } => 1,
        }
    }

    /// Index of the sequence's slot, the same as long as it is open.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn slot(&self, seq: SeqId) -> Result<usize, CacheError> {
        self.get(seq).map(|_| seq.slot as usize)
    }

    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn len(&self, seq: SeqId) -> Result<usize, CacheError> {
        self.get(seq).map(|s| s.len)
    }

    /// The tokens that were not evicted.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn live(&self, seq: SeqId) -> Result<&LiveTokens, CacheError> {
        self.get(seq).map(|s| &s.live)
    }

    /// The block table, longer than the tokens need for `contiguous`; [`NO_BLOCK`] where a block was given back.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn table(&self, seq: SeqId) -> Result<&[BlockId], CacheError> {
        self.get(seq).map(|s| s.table.as_slice())
    }

    /// Every open sequence with its slot.
    pub fn open_sequences(&self) -> impl Iterator<Item = (usize, OpenSequence<'_>)> {
        let open = self.sequences.iter().enumerate().filter_map(|(slot, (s, _))| Some((slot, s.as_ref()?)));
        open.map(|(slot, s)| (slot, OpenSequence { len: s.len, table: &s.table, live: &s.live }))
    }

    /// # Errors
    /// [`CacheError::TooManySequences`]
    pub fn open(&mut self) -> Result<SeqId, CacheError> {
        let max_sequences = self.sequences.len();
        let slot = self
            .sequences
            .iter()
            .position(|(s, _)| s.is_none())
            .ok_or(CacheError::TooManySequences { max_sequences })?;
        let table = match &mut self.policy {
            Policy::Paged(_) => Vec::with_capacity(self.max_seq_len.div_ceil(self.block_len)),
            Policy::Contiguous { regions, region_blocks } => {
                let region = regions.take().ok_or(CacheError::TooManySequences { max_sequences })?;
                // Both fit u32: their product does, as `new` checked.
                #[expect(clippy::cast_possible_truncation, reason = "checked in `new`")]
                let region_blocks = *region_blocks as u32;
                let mut table = Vec::with_capacity(region_blocks as usize);
                table.extend(region * region_blocks..(region + 1) * region_blocks);
                table
            }
            Policy::Concat { .. } => Vec::new(),
        };
        let (sequence, generation) = &mut self.sequences[slot];
        *sequence = Some(Sequence { len: 0, table, live: LiveTokens::default(), evicted_at: 0 });
        #[expect(clippy::cast_possible_truncation, reason = "`new` checked that slots fit u32")]
        Ok(SeqId { tables: self.id, slot: slot as u32, generation: *generation })
    }

    /// A second sequence with the same tokens. Paged blocks are shared; for the other layouts the copies
    /// to be made are returned.
    ///
    /// # Errors
    /// [`CacheError::TooManySequences`], [`CacheError::CacheFull`] (`concat`),
    /// [`CacheError::UnknownSequence`]
    pub fn fork(&mut self, seq: SeqId) -> Result<(SeqId, Vec<BlockCopy>), CacheError> {
        let Sequence { len: parent_len, live, evicted_at, .. } = self.get(seq)?;
        let (parent_len, live, evicted_at) = (*parent_len, live.clone(), *evicted_at);
        if let Policy::Concat { max_rows } = self.policy {
            self.check_rows(max_rows, live.count())?;
        }
        let child = self.open()?;
        let n_blocks = parent_len.div_ceil(self.block_len);
        let mut copies = vec![];
        match &mut self.policy {
            Policy::Paged(pool) => {
                for index in 0..n_blocks {
                    let block = self.sequences[seq.slot as usize].0.as_ref().map_or(0, |s| s.table[index]);
                    if block != NO_BLOCK {
                        pool.share(block);
                    }
                    if let Some(child) = &mut self.sequences[child.slot as usize].0 {
                        child.table.push(block);
                    }
                }
            }
            Policy::Contiguous { .. } => {
                let (from, to) = (self.table(seq)?, self.table(child)?);
                copies.extend((0..n_blocks).map(|i| BlockCopy {
                    from: from[i],
                    to: to[i],
                    first: i * self.block_len,
                    rows: (parent_len - i * self.block_len).min(self.block_len),
                }));
            }
            Policy::Concat { .. } => {}
        }
        let sequence = self.get_mut(child)?;
        (sequence.len, sequence.live, sequence.evicted_at) = (parent_len, live, evicted_at);
        Ok((child, copies))
    }

    /// Gives back everything `seq` holds.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn close(&mut self, seq: SeqId) -> Result<(), CacheError> {
        self.get(seq)?;
        let (sequence, generation) = &mut self.sequences[seq.slot as usize];
        let Some(sequence) = sequence.take() else { return Err(CacheError::UnknownSequence) };
        *generation = generation.wrapping_add(1);
        match &mut self.policy {
            Policy::Paged(pool) => {
                let held = sequence.table.into_iter().rev().filter(|block| *block != NO_BLOCK);
                held.for_each(|block| pool.release(block));
            }
            Policy::Contiguous { regions, region_blocks } => {
                if let Some(first) = sequence.table.first() {
                    regions.release(first / u32::try_from(*region_blocks).unwrap_or(1));
                }
            }
            Policy::Concat { .. } => {}
        }
        Ok(())
    }

    /// Mixes up the free blocks of a paged pool, see [`BlockPool::shuffle_free`]; other layouts have no order to lose.
    pub fn shuffle_free(&mut self, seed: u64) {
        if let Policy::Paged(pool) = &mut self.policy {
            pool.shuffle_free(seed);
        }
    }

    /// Bytes of the tables and of the pool behind them.
    #[must_use]
    pub fn metadata_bytes(&self) -> u64 {
        let pool = match &self.policy {
            Policy::Paged(pool) | Policy::Contiguous { regions: pool, .. } => pool.metadata_bytes(),
            Policy::Concat { .. } => 0,
        };
        let open = self.sequences.iter().filter_map(|(s, _)| s.as_ref());
        let tables: u64 = open.map(|s| vec_bytes(&s.table) + s.live.metadata_bytes()).sum();
        pool + vec_bytes(&self.sequences) + tables
    }

    fn check_rows(&self, max_rows: usize, new_rows: usize) -> Result<(), CacheError> {
        let used: usize = self.open_sequences().map(|(_, sequence)| sequence.live.count()).sum();
        let free_blocks = max_rows - used;
        if new_rows > free_blocks {
            return Err(CacheError::CacheFull { needed_blocks: new_rows, free_blocks, block_len: 1 });
        }
        Ok(())
    }

    fn get(&self, seq: SeqId) -> Result<&Sequence, CacheError> {
        match self.sequences.get(seq.slot as usize) {
            Some((Some(sequence), generation)) if (self.id, *generation) == (seq.tables, seq.generation) => {
                Ok(sequence)
            }
            _ => Err(CacheError::UnknownSequence),
        }
    }

    fn get_mut(&mut self, seq: SeqId) -> Result<&mut Sequence, CacheError> {
        match self.sequences.get_mut(seq.slot as usize) {
            Some((Some(sequence), generation)) if (self.id, *generation) == (seq.tables, seq.generation) => {
                Ok(sequence)
            }
            _ => Err(CacheError::UnknownSequence),
        }
    }
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
