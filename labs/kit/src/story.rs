//! The story model with kvlab's own caches, to hold a learner's numbers against.

use std::sync::{Arc, atomic::AtomicBool};

use anyhow::{Context, Result};
use candle_core::Device;
use kvlab::{
    engine::{Session, SessionConfig},
    model::{LoadedModel, ModelSource},
};

/// A prompt of the model's kind of story.
pub const PROMPT: &str = "Once upon a time there were three friends: Mia, Tom and Nora. Mia keeps a red key. Tom likes soup best.";

/// The model, loaded once.
pub struct Story(pub Arc<LoadedModel>);

impl Story {
    /// Loads the embedded model on the CPU.
    ///
    /// # Errors
    /// Those of loading.
    pub fn load() -> Result<Self> {
        let model = ModelSource::Story.load(&Device::Cpu, &mut |_| {}, &AtomicBool::new(false))?;
        Ok(Self(Arc::new(model)))
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.0.tokenizer.as_ref().context("the story model has a tokenizer")?.encode(text)?)
    }

    /// A lane after `prompt` and `n_new` greedy tokens.
    ///
    /// # Errors
    /// A lane that cannot be parsed, and those of the engine.
    pub fn run(&self, lane: &str, prompt: &str, n_new: usize) -> Result<Session> {
        let never = AtomicBool::new(false);
        let mut session = Session::new(Arc::clone(&self.0), lane.parse()?, SessionConfig::default())?;
        session.prefill(&self.tokens(prompt)?, &never)?;
        for _ in 1..n_new {
            session.decode(&never)?;
        }
        Ok(session)
    }
}
