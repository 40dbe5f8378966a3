//! A session goes on in another cache, with the tokens it has.

use std::{sync::atomic::AtomicBool, time::Instant};

use super::Session;
use crate::{cache::GuestStep, engine::EngineError};

/// What it took to bring the tokens so far into another cache.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TakenOver {
    /// Tokens that were run again.
    pub tokens_in: usize,
    pub secs: f64,
}

impl Session {
    /// Goes on where `other` stands: with its tokens, its random numbers and what it said last. Its tokens are run as if all of them had
    /// been the prompt, in the chunks of this session, so a policy that evicts begins with them. `other` is worth nothing afterwards.
    ///
    /// # Errors
    /// [`EngineError::AlreadyStarted`] unless this session is new, and those of a forward pass; `other` is as it was then.
    pub fn take_over(&mut self, other: &mut Self, cancel: &AtomicBool) -> Result<TakenOver, EngineError> {
        if !self.tokens.is_empty() {
            return Err(EngineError::AlreadyStarted);
        }
        let started = Instant::now();
        let model = self.model.clone();
        // The newest token has not run yet.
        let seen = other.tokens.split_last().map(|(_, seen)| seen).unwrap_or_default();
        let mut tokens_in = 0;
        if let (Some((store, seq)), false) = (&mut self.cache, seen.is_empty()) {
            let chunk = self.config.prefill_chunk.unwrap_or(seen.len()).max(1);
            for tokens in seen.chunks(chunk) {
                let mut step = store.reserve(&[(*seq, tokens.len())])?;
                model.model.hidden(tokens, &mut step, None, cancel)?;
                tokens_in += tokens.len();
                step.commit(tokens_in == seen.len())?;
            }
            model.model.device().synchronize()?;
        }
        if let (Some(guest), false) = (&mut self.guest, seen.is_empty()) {
            let chunk = self.config.prefill_chunk.unwrap_or(seen.len()).max(1);
            for tokens in seen.chunks(chunk) {
                let run = |step: &mut GuestStep<'_>| model.model.hidden(tokens, step, None, cancel);
                guest.step(model.model.config().heads(), tokens.len(), run)?;
                tokens_in += tokens.len();
            }
        }
        self.tokens = std::mem::take(&mut other.tokens);
        self.n_prompt = other.n_prompt;
        self.logits = other.logits.take();
        std::mem::swap(&mut self.sampler, &mut other.sampler);
        Ok(TakenOver { tokens_in, secs: started.elapsed().as_secs_f64() })
    }

    /// Replaces the newest generated token, which has not run yet, so that the next step is fed `token` instead (teacher forcing). What
    /// the session said itself stands in its record.
    pub fn force(&mut self, token: u32) {
        if self.tokens.len() > self.n_prompt
            && let Some(newest) = self.tokens.last_mut()
        {
            *newest = token;
        }
    }
}
