//! What a store takes, counted from what it really allocated.

use std::collections::BTreeMap;

use super::{
    CacheError, KvStore, Layout, SeqId,
    blocks::{NO_BLOCK, OpenSequence},
    live::Positions,
    vec_bytes,
};

/// What a store takes, counted from its real allocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Allocated for keys, values, scales and exact residuals.
    pub reserved_bytes: u64,
    /// Of those, in blocks that a sequence holds, or in its residual: nobody else can use them.
    pub held_bytes: u64,
    /// Of those, filled with a live token's rows. A block shared by forks counts once.
    pub used_bytes: u64,
    /// Of what is used, scales and minima of quantized rows: what they take beyond the textbook formula.
    pub scale_bytes: u64,
    /// Of what is used, what tokens that are exact still take beyond the formula of the format they will have.
    pub residual_bytes: u64,
    /// Of what is held, filled with rows of tokens that every holder has evicted.
    pub dead_bytes: u64,
    /// Tokens over all sequences that were not evicted; a token shared by forks counts for each.
    pub live_tokens: u64,
    /// Tokens over all sequences that were.
    pub evicted_tokens: u64,
    /// Bytes of stored rows moved since the store was built. Writing a new row is no move, except in
    /// `concat`, whose new row is copied into the new buffer with all the old ones. Sealing a group stores its rows a second time.
    pub copied_bytes: u64,
    /// Block tables, pool, scores and bookkeeping. The levels of `kvq` are not among them: they belong to the model, whose stores share
    /// them ([`super::Calibration::bytes`]).
    pub metadata_bytes: u64,
}

/// Rows of tokens, over all sequences.
#[derive(Clone, Copy, Debug, Default)]
struct RowCount {
    live: usize,
    dead: usize,
    /// Live and not quantized yet.
    exact: usize,
    /// Not quantized yet, and evicted.
    exact_dead: usize,
}

impl KvStore {
    /// What the store takes now.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let sequences = || self.tables.open_sequences();
        let live_tokens = sequences().map(|(_, sequence)| sequence.live.count() as u64).sum();
        let all_tokens: u64 = sequences().map(|(_, sequence)| sequence.len as u64).sum();
        let grown_bytes = self.memory.grown_bytes();
        let (ring_bytes, held_ring_bytes) = self.memory.ring_bytes(sequences().map(|(slot, _)| slot));
        let held_blocks = (self.tables.n_held() * self.tables.block_len()) as u64 * self.token_bytes();
        let count = self.count_rows();
        let formula_bytes = self.shape.formula_bytes_per_token(self.spec.format);
        Footprint {
            reserved_bytes: self.memory.pool_bytes() + grown_bytes + ring_bytes,
            held_bytes: grown_bytes + held_blocks + held_ring_bytes,
            used_bytes: count.live as u64 * self.token_bytes() + count.exact as u64 * self.exact_token_bytes(),
            scale_bytes: count.live as u64 * self.token_bytes().saturating_sub(formula_bytes),
            residual_bytes: count.exact as u64 * self.exact_token_bytes().saturating_sub(formula_bytes),
            dead_bytes: count.dead as u64 * self.token_bytes() + count.exact_dead as u64 * self.exact_token_bytes(),
            live_tokens,
            evicted_tokens: all_tokens - live_tokens,
            copied_bytes: self.copied_bytes,
            metadata_bytes: self.tables.metadata_bytes()
                + self.memory.metadata_bytes()
                + vec_bytes(&self.scores)
                + self.scores.iter().map(vec_bytes).sum::<u64>(),
        }
    }

    /// What the exact tokens of a sequence take beyond what they will once they are quantized.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn exact_extra_bytes(&self, seq: SeqId) -> Result<u64, CacheError> {
        let Some(residual) = self.residual else { return Ok(0) };
        let len = self.tables.len(seq)?;
        let exact = self.tables.live(seq)?.count_in(Positions { start: residual.sealed(len), end: len });
        Ok(exact as u64 * self.exact_token_bytes().saturating_sub(self.token_bytes()))
    }

    /// Rows that exist once, however many forks share them.
    fn count_rows(&self) -> RowCount {
        let mut count = RowCount::default();
        // For each shared block: which of its slots somebody has filled, and which are live for somebody.
        let mut shared = BTreeMap::<u32, Vec<(bool, bool)>>::new();
        for (_, OpenSequence { len, table, live }) in self.tables.open_sequences() {
            let sealed = self.residual.map_or(len, |residual| residual.sealed(len));
            let exact = live.count_in(Positions { start: sealed, end: len });
            count.exact += exact;
            count.exact_dead += len - sealed - exact;
            if self.spec.layout == Layout::Concat {
                count.live += live.count();
                continue;
            }
            let block_len = self.tables.block_len();
            for (index, &block) in table.iter().enumerate().take(sealed.div_ceil(block_len)) {
                let slots = Positions { start: index * block_len, end: ((index + 1) * block_len).min(sealed) };
                if block == NO_BLOCK {
                    continue;
                }
                if self.tables.ref_count(block) > 1 {
                    let seen = shared.entry(block).or_insert_with(|| vec![(false, false); block_len]);
                    for (slot, position) in seen.iter_mut().zip(slots.start..slots.end) {
                        *slot = (true, slot.1 || live.contains(position));
                    }
                } else {
                    let n_live = live.count_in(slots);
                    count.live += n_live;
                    count.dead += slots.len() - n_live;
                }
            }
        }
        let filled = || shared.values().flatten().filter(|(is_filled, _)| *is_filled);
        let n_live = filled().filter(|(_, is_live)| *is_live).count();
        count.live += n_live;
        count.dead += filled().count() - n_live;
        count
    }
}
