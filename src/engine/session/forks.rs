//! Forks: the same story told on from here in another way, over the same cached tokens.
//!
//! A fork is a second sequence of the lane's store. Where the store has a pool, it shares every block with the lane until
//! one of the two writes into a block that both hold, which is then copied (copy-on-write, as in vLLM; Kwon et al. 2023,
//! arXiv 2309.06180, section 4.4).

use std::sync::atomic::AtomicBool;

use super::Session;
use crate::{
    cache::{PoolPicture, SeqId},
    engine::EngineError,
    model::Logits,
};

/// Forks that a lane may have open at a time.
pub const MAX_FORKS: usize = 3;

/// One fork of a session.
#[derive(Debug)]
pub(super) struct Fork {
    /// `None` once it was closed.
    seq: Option<SeqId>,
    /// Tokens of the lane when it began, and the one it went on with instead of the newest of those.
    began: (usize, u32),
    /// The newest token; it is not stored yet.
    newest: u32,
}

impl Session {
    /// Forks the session where it stands. So that they differ, the fork takes the likeliest token that neither the lane nor
    /// another fork took here, and always the likeliest from then on. Returns its number and that token.
    ///
    /// # Errors
    /// [`EngineError::NotStarted`], [`EngineError::NoCache`], and the store's; nothing changes then.
    pub fn fork(&mut self) -> Result<(usize, u32), EngineError> {
        let (Some(logits), Some(&newest)) = (&self.logits, self.tokens.last()) else {
            return Err(EngineError::NotStarted);
        };
        let logits = logits.to_vec1::<f32>()?;
        if self.guest.is_some() {
            return Err(EngineError::Guest);
        }
        let Some((store, seq)) = &mut self.cache else { return Err(EngineError::NoCache) };
        let len = self.tokens.len();
        let of_forks = self.forks.iter().filter(|fork| fork.began.0 == len).map(|fork| fork.began.1);
        let taken: Vec<u32> = of_forks.chain([newest]).collect();
        let other = likeliest(&logits, &taken).ok_or(EngineError::NotANumber)?;
        let seq = store.fork(*seq)?;
        self.forks.push(Fork { seq: Some(seq), began: (len, other), newest: other });
        Ok((self.forks.len() - 1, other))
    }

    /// How many forks are open.
    #[must_use]
    pub fn n_forks(&self) -> usize {
        self.forks.iter().filter(|fork| fork.seq.is_some()).count()
    }

    /// Ends a fork and gives its blocks back; one that is closed already stays so.
    ///
    /// # Errors
    /// The store's.
    pub fn close_fork(&mut self, fork: usize) -> Result<(), EngineError> {
        let seq = self.forks.get_mut(fork).and_then(|fork| fork.seq.take());
        if let (Some(seq), Some((store, _))) = (seq, &mut self.cache) {
            store.close(seq)?;
        }
        Ok(())
    }

    /// Runs the newest token of a fork and picks the next, in a pass of its own that no record counts.
    ///
    /// # Errors
    /// [`EngineError::NoFork`] for a fork that does not exist or was closed, and those of a forward pass; nothing changes then.
    pub fn decode_fork(&mut self, fork: usize, cancel: &AtomicBool) -> Result<u32, EngineError> {
        let model = self.model.clone();
        let (Some(fork), Some((store, _))) = (self.forks.get_mut(fork), &mut self.cache) else {
            return Err(EngineError::NoFork);
        };
        let seq = fork.seq.ok_or(EngineError::NoFork)?;
        let mut step = store.reserve(&[(seq, 1)])?;
        let logits = model.model.forward(&[fork.newest], &mut step, None, Logits::Last, cancel)?; // [1, V]
        let token = likeliest(&logits.get(0)?.to_vec1::<f32>()?, &[]).ok_or(EngineError::NotANumber)?;
        step.commit(true)?;
        fork.newest = token;
        Ok(token)
    }

    /// The blocks of the lane and then of its forks, closed ones without any; `None` without a cache.
    ///
    /// # Errors
    /// The store's.
    pub fn pool_picture(&self) -> Result<Option<PoolPicture>, EngineError> {
        let Some((store, seq)) = &self.cache else { return Ok(None) };
        let sequences = std::iter::once(Some(*seq)).chain(self.forks.iter().map(|fork| fork.seq));
        Ok(Some(store.pool_picture(sequences)?))
    }
}

/// The id with the largest logit, but for those `taken`.
fn likeliest(logits: &[f32], taken: &[u32]) -> Option<u32> {
    let ids = (0_u32..).zip(logits).filter(|(id, logit)| !taken.contains(id) && !logit.is_nan());
    // The first of equals, as candle's argmax.
    ids.fold(None, |best: Option<(u32, f32)>, (id, logit)| match best {
        Some((_, most)) if most >= *logit => best,
        _ => Some((id, *logit)),
    })
    .map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_is_the_first_of_the_largest() {
        assert_eq!(likeliest(&[1.0, 3.0, 3.0], &[]), Some(1));
        assert_eq!(likeliest(&[1.0, 3.0, 2.0], &[1]), Some(2));
        assert_eq!(likeliest(&[f32::NAN], &[]), None);
    }
}
