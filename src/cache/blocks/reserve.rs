//! Room for a step: taken for all of its sequences or for none, and given back when the step is dropped.
//!
//! A child of the block tables, integers only as they are.

use super::{BlockCopy, BlockId, BlockPool, BlockTables, CacheError, Policy, SeqId, Span};

/// What a step reserved, and how to give it back.
#[derive(Debug)]
pub struct Reservation {
    pub spans: Vec<Span>,
    /// Copy-on-write: to be done before the step writes.
    pub copies: Vec<BlockCopy>,
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    Appended { slot: u32 },
    Replaced { slot: u32, index: usize, old: BlockId },
}

impl BlockTables {
    /// Makes room for `new` more tokens of each sequence, copy-on-write blocks included.
    ///
    /// # Errors
    /// [`CacheError::CacheFull`], [`CacheError::ContextFull`], [`CacheError::RepeatedSequence`],
    /// [`CacheError::EmptyStep`], [`CacheError::UnknownSequence`]
    pub fn reserve(&mut self, requests: &[(SeqId, usize)]) -> Result<Reservation, CacheError> {
        let spans = self.spans(requests)?;
        match &self.policy {
            Policy::Concat { max_rows } => {
                self.check_rows(*max_rows, spans.iter().map(|s| s.new).sum())?;
            }
            Policy::Contiguous { region_blocks, .. } => {
                for span in &spans {
                    let blocks = (span.past + span.new).div_ceil(self.block_len);
                    if blocks > *region_blocks {
                        let held = span.past.div_ceil(self.block_len);
                        return Err(CacheError::CacheFull {
                            needed_blocks: blocks - held,
                            free_blocks: region_blocks - held,
                            block_len: self.block_len,
                        });
                    }
                }
            }
            Policy::Paged(pool) => {
                let needed_blocks = self.blocks_needed(pool, &spans);
                if needed_blocks > pool.n_free() {
                    let free_blocks = pool.n_free();
                    return Err(CacheError::CacheFull { needed_blocks, free_blocks, block_len: self.block_len });
                }
            }
        }
        Ok(self.apply(spans))
    }

    /// The reserved tokens are now part of their sequences.
    pub fn commit(&mut self, reservation: &Reservation) {
        for span in &reservation.spans {
            if let Some(sequence) = &mut self.sequences[span.seq.slot as usize].0 {
                sequence.len = span.past + span.new;
                sequence.live.extend(span.past, sequence.len);
            }
        }
    }

    /// Undoes a reservation: tables, reference counts and free list are as they were.
    pub fn roll_back(&mut self, reservation: &Reservation) {
        let Policy::Paged(pool) = &mut self.policy else { return };
        for undo in reservation.undo.iter().rev() {
            let (Undo::Appended { slot } | Undo::Replaced { slot, .. }) = undo;
            let Some(sequence) = &mut self.sequences[*slot as usize].0 else { continue };
            match undo {
                Undo::Appended { .. } => {
                    if let Some(block) = sequence.table.pop() {
                        pool.release(block);
                    }
                }
                Undo::Replaced { index, old, .. } => {
                    let copy = std::mem::replace(&mut sequence.table[*index], *old);
                    pool.share(*old);
                    pool.release(copy);
                }
            }
        }
    }

    fn spans(&self, requests: &[(SeqId, usize)]) -> Result<Vec<Span>, CacheError> {
        let mut spans: Vec<Span> = Vec::with_capacity(requests.len());
        for &(seq, new) in requests {
            let past = self.len(seq)?;
            if new == 0 {
                return Err(CacheError::EmptyStep);
            }
            if spans.iter().any(|s| s.seq == seq) {
                return Err(CacheError::RepeatedSequence);
            }
            let tokens = past.saturating_add(new);
            if tokens > self.max_seq_len {
                return Err(CacheError::ContextFull { tokens, max_seq_len: self.max_seq_len });
            }
            spans.push(Span { seq, past, new });
        }
        if spans.is_empty() { Err(CacheError::EmptyStep) } else { Ok(spans) }
    }

    /// The shared last block of a span that the step would write into, as `(table index, block)`.
    fn open_tail(&self, span: &Span) -> Option<(usize, BlockId)> {
        (!span.past.is_multiple_of(self.block_len)).then(|| {
            let index = span.past / self.block_len;
            (index, self.sequences[span.seq.slot as usize].0.as_ref().map_or(0, |s| s.table[index]))
        })
    }

    fn blocks_needed(&self, pool: &BlockPool, spans: &[Span]) -> usize {
        let mut needed = 0;
        // Two forks of one step may write into the same shared block: all but its last holder copy it.
        let mut left: Vec<BlockId> = vec![];
        for span in spans {
            let held = span.past.div_ceil(self.block_len);
            needed += (span.past + span.new).div_ceil(self.block_len) - held;
            if let Some((_, block)) = self.open_tail(span) {
                let already_left = left.iter().filter(|&&b| b == block).count();
                if pool.ref_count(block) as usize > 1 + already_left {
                    needed += 1;
                    left.push(block);
                }
            }
        }
        needed
    }

    fn apply(&mut self, spans: Vec<Span>) -> Reservation {
        let mut reservation = Reservation { spans, copies: vec![], undo: vec![] };
        for span in &reservation.spans {
            let (slot, tail) = (span.seq.slot, self.open_tail(span));
            let Policy::Paged(pool) = &mut self.policy else { continue };
            let Some(sequence) = &mut self.sequences[slot as usize].0 else { continue };
            if let Some((index, old)) = tail
                && pool.ref_count(old) > 1
                && let Some(copy) = pool.take()
            {
                pool.release(old);
                sequence.table[index] = copy;
                reservation.copies.push(BlockCopy {
                    from: old,
                    to: copy,
                    first: index * self.block_len,
                    rows: span.past % self.block_len,
                });
                reservation.undo.push(Undo::Replaced { slot, index, old });
            }
            while sequence.table.len() < (span.past + span.new).div_ceil(self.block_len) {
                let Some(block) = pool.take() else { break };
                sequence.table.push(block);
                reservation.undo.push(Undo::Appended { slot });
            }
        }
        reservation
    }
}
