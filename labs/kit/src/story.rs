//! The story model with kvlab's own caches, to hold a learner's numbers against.

use std::sync::{Arc, atomic::AtomicBool};

use anyhow::{Context, Result, anyhow};
use candle_core::Device;
use kvlab::{
    cache::{GuestCache, GuestStep},
    engine::{Session, SessionConfig},
    model::{LoadedModel, Logits, ModelSource},
};

use crate::caught::{Caught, caught};

/// A prompt of the model's kind of story.
pub const PROMPT: &str =
    "Once upon a time there were three friends: Mia, Tom and Nora. Mia keeps a red key. Tom likes soup best.";

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

impl Story {
    /// `n_new` greedy tokens after `prompt`, over a learner's cache; `chunk` tokens of the prompt a pass. A `todo!` or a panic is an
    /// error that says so.
    ///
    /// # Errors
    /// Those of the model and of the cache.
    pub fn generate(&self, cache: &mut dyn GuestCache, prompt: &str, chunk: usize, n_new: usize) -> Result<Vec<u32>> {
        let (model, never) = (&self.0.model, AtomicBool::new(false));
        let tokens = self.tokens(prompt)?;
        caught(|| {
            let (mut past, mut new, mut input) = (0, vec![], tokens.clone());
            while new.len() < n_new {
                let mut logits = None;
                for part in input.chunks(chunk.max(1)) {
                    let mut step = GuestStep::new(cache, model.config().heads(), past, part.len());
                    logits = Some(model.forward(part, &mut step, None, Logits::Last, &never)?);
                    past += part.len();
                }
                let logits = logits.context("a pass runs some tokens")?;
                let token = logits.get(0)?.argmax(0)?.to_scalar::<u32>()?; // [1, V] -> [V]
                new.push(token);
                input = vec![token];
            }
            Ok(new)
        })
        .map_err(|caught| match caught {
            Caught::Todo(text) => anyhow!("not written yet: {text}"),
            Caught::Panic(text) => anyhow!("the code panicked: {text}"),
            Caught::Error(error) => error,
        })
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn text(&self, tokens: &[u32]) -> Result<String> {
        Ok(self.0.tokenizer.as_ref().context("the story model has a tokenizer")?.decode(tokens)?)
    }
}
