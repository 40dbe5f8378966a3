//! How many users fit: what the stores of a lane would hold and reserve, without building one.
//!
//! A store divides its memory into whole blocks and each open sequence may cost a fixed number of bytes besides, so
//!
//! ```text
//! bytes(users) = users * sequence_bytes + (shared + users * own) * block_bytes
//!
//!                  shared blocks                a user's own blocks
//! worst case       -                            ceil(context / block_len)
//! live length      -                            mean of ceil(len / block_len)
//! shared prefix    floor(prefix / block_len)    mean of ceil(len / block_len), less the shared ones
//! ```
//!
//! Plain integers, tested to the byte against real stores (`tests/capacity.rs`).

use super::{
    Layout, Retention,
    lengths::{Lengths, Mean},
};

/// Planes are allocated in whole cache lines.
pub const LINE_BYTES: u64 = 64;

/// All that a plan needs to know about a lane on a model's shape; `LaneBytes::of` asks the store for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneBytes {
    pub layout: Layout,
    pub retention: Retention,
    pub n_layer: u64,
    /// Tokens of a block (1 for `concat`, which has none).
    pub block_len: u64,
    /// What a token takes in each plane of a layer: codes and scales of its key, codes and scales of its value.
    pub plane_bytes: [u64; 4],
    /// What an open sequence takes besides its blocks, however long it is.
    pub sequence_bytes: u64,
}

/// The blocks that some number of users holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Once, for all of them.
    pub shared_blocks: u64,
    /// For each of them; at least one.
    pub own_blocks: Mean,
}

impl Demand {
    fn each(own_blocks: Mean) -> Self {
        Self { shared_blocks: 0, own_blocks }
    }

    /// Blocks of `users`, rounded up to whole ones; `None` if that is no `u64`.
    #[must_use]
    pub fn blocks(&self, users: u64) -> Option<u64> {
        self.own_blocks.times(users)?.checked_add(self.shared_blocks)
    }
}

impl LaneBytes {
    /// Keys, values and scales of one token over all layers.
    #[must_use]
    pub fn token_bytes(&self) -> u64 {
        self.n_layer * self.plane_bytes.iter().sum::<u64>()
    }

    #[must_use]
    pub fn block_bytes(&self) -> u64 {
        self.block_len * self.token_bytes()
    }

    /// Every user holds the whole context. Retention saves nothing here: nothing is evicted before the end of a prompt.
    #[must_use]
    pub fn worst_case(&self, context: u64) -> Demand {
        Demand::each(Mean::constant(context.div_ceil(self.block_len)))
    }

    /// Users hold the blocks of their live tokens; `contiguous` has reserved the whole context all the same.
    #[must_use]
    pub fn live_length(&self, lengths: &Lengths, context: u64) -> Demand {
        match self.layout {
            Layout::Contiguous => self.worst_case(context),
            Layout::Concat | Layout::Paged { .. } => Demand::each(lengths.mean(|len| self.blocks_at_rest(len, 0))),
        }
    }

    /// As [`Self::live_length`], and all users begin with the same `prefix` tokens: its full blocks exist once. Only
    /// `paged` can share them. Lengths count the prefix and must exceed it.
    #[must_use]
    pub fn shared_prefix(&self, lengths: &Lengths, prefix: u64, context: u64) -> Demand {
        match self.layout {
            Layout::Concat | Layout::Contiguous => self.live_length(lengths, context),
            Layout::Paged { .. } => {
                let shared_blocks = prefix / self.block_len;
                let own_blocks = lengths.mean(|len| self.blocks_at_rest(len, shared_blocks));
                Demand { shared_blocks, own_blocks }
            }
        }
    }

    /// The memory that `users` need, as a store counts it against its limit; `None` if that is no `u64`.
    #[must_use]
    pub fn bytes(&self, demand: &Demand, users: u64) -> Option<u64> {
        let blocks = demand.blocks(users)?.checked_mul(self.block_bytes())?;
        users.checked_mul(self.sequence_bytes)?.checked_add(blocks)
    }

    /// The most users whose [`Self::bytes`] do not exceed `memory_bytes`.
    #[must_use]
    pub fn users(&self, demand: &Demand, memory_bytes: u64) -> u64 {
        // Every user holds a block at least, so `refused` are too many.
        let (mut fit, mut refused) = (0, memory_bytes / self.block_bytes() + 1);
        while refused - fit > 1 {
            let users = fit + (refused - fit) / 2;
            let fits = self.bytes(demand, users).is_some_and(|bytes| bytes <= memory_bytes);
            if fits { fit = users } else { refused = users }
        }
        fit
    }

    /// Tokens that one user alone can fill; the next one does not fit.
    #[must_use]
    pub fn one_user_tokens(&self, memory_bytes: u64) -> u64 {
        memory_bytes.saturating_sub(self.sequence_bytes) / self.block_bytes() * self.block_len
    }

    /// What the planes of `blocks` blocks take: each is rounded up to whole lines.
    #[must_use]
    pub fn planes_bytes(&self, blocks: u64) -> Option<u64> {
        let rows = blocks.checked_mul(self.block_len)?;
        let lines = |bytes: u64| rows.checked_mul(bytes)?.checked_next_multiple_of(LINE_BYTES);
        let layer = self.plane_bytes.into_iter().try_fold(0_u64, |sum, bytes| sum.checked_add(lines(bytes)?))?;
        layer.checked_mul(self.n_layer)
    }

    /// What a store for `users` of `context` tokens reserves, all full; `None` if that is no `u64`.
    #[must_use]
    pub fn reserved_bytes(&self, users: u64, context: u64) -> Option<u64> {
        let blocks = context.div_ceil(self.block_len);
        let planes = match self.layout {
            // Planes of its own for every sequence.
            Layout::Concat => self.planes_bytes(blocks)?.checked_mul(users),
            Layout::Contiguous | Layout::Paged { .. } => self.planes_bytes(blocks.checked_mul(users)?),
        };
        planes?.checked_add(users.checked_mul(self.sequence_bytes)?)
    }

    /// What `concat` needs for a moment beyond everything else while a sequence grows to `tokens`: the old buffer of
    /// one layer beside the new one. A store does not count it against its limit.
    #[must_use]
    pub fn regrowth_bytes(&self, tokens: u64) -> Option<u64> {
        match self.layout {
            Layout::Concat => Some(self.planes_bytes(tokens.saturating_sub(1))? / self.n_layer),
            Layout::Contiguous | Layout::Paged { .. } => Some(0),
        }
    }

    /// The most blocks that a user holds after `len` tokens and the end of its prompt, without the first `shared`.
    fn blocks_at_rest(&self, len: u64, shared: u64) -> u64 {
        let all = len.div_ceil(self.block_len).saturating_sub(shared);
        // `recent` neighbours begin anywhere in a block.
        let straddled = |recent: usize| (recent as u64).saturating_sub(1).div_ceil(self.block_len) + 1;
        match self.retention {
            Retention::All => all,
            Retention::Window { sinks, recent } => {
                let sinks = (sinks as u64).div_ceil(self.block_len).saturating_sub(shared);
                all.min(sinks + straddled(recent))
            }
            // Each heavy token may lie in a block of its own.
            Retention::H2o { heavy, recent } | Retention::H2oMean { heavy, recent } => {
                all.min(heavy as u64 + straddled(recent))
            }
        }
    }
}

#[cfg(test)]
#[path = "capacity_tests.rs"]
mod tests;
