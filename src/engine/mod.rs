//! Who drives: a session runs prefill and decode through one lane, samples, and records what each step
//! cost.

pub mod record;
mod rehearsal;
pub mod sampling;
pub mod session;

pub use record::{Phase, StepRecord};
pub use sampling::Sampling;
pub use session::{
    Ask, Attention, InspectedRow, Inspection, LayerStep, MAX_FORKS, OnlineSoftmax, Session, SessionConfig, SoftmaxTile,
    Stored, TakenOver,
};

use crate::{cache::CacheError, model::ModelError};

/// Why a session could not be made or a step not be finished. The session is as it was before the call.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the prompt is empty; give it at least one token")]
    EmptyPrompt,
    #[error("the session has no prompt yet")]
    NotStarted,
    #[error("the session has a prompt already; reset it first")]
    AlreadyStarted,
    #[error("there is no such fork, or it was closed")]
    NoFork,
    #[error("a lane without a cache has nothing to fork")]
    NoCache,
    #[error(
        "`mine` keeps what it stores to itself: its layers, attention and numbers cannot be looked at, and it cannot be forked"
    )]
    Guest,
    #[error("there is no {what} {asked}: there are {n}, numbered from 0")]
    NotThere { what: &'static str, asked: usize, n: usize },
    #[error("sampling: {0}")]
    BadSampling(String),
    #[error("the logits hold no number (NaN): the weights are damaged or the format lost them")]
    NotANumber,
    #[error(transparent)]
    Model(ModelError),
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<ModelError> for EngineError {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

impl From<CacheError> for EngineError {
    fn from(error: CacheError) -> Self {
        Self::Model(error.into())
    }
}

impl EngineError {
    /// True when the cache had no room; more blocks would help.
    #[must_use]
    pub fn is_cache_full(&self) -> bool {
        matches!(self, Self::Model(ModelError::Cache(CacheError::CacheFull { .. })))
    }

    /// True when the step was stopped by its cancel flag, not by a fault.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Model(ModelError::Cancelled))
    }
}
