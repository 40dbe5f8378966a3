//! What is computed: GPT-2, its configuration, its weights and where they come from, its tokenizer, and texts
//! to measure it on.

pub mod calibration;
pub mod config;
pub mod gpt2;
pub mod heldout;
pub mod hub;
pub mod known;
mod layers;
mod matrix;
pub mod safetensors;
pub mod source;
pub mod tokenizer;
pub mod weights;

pub use calibration::{Calibrated, Calibrating, CalibrationText, Calibrations, LevelsOf};
pub use config::Config;
pub use gpt2::{AttentionProbe, Gpt2, Logits, WeightMemory};
pub use heldout::{Passage, RecallMark};
pub use hub::{HubConfig, HubError};
pub use known::KnownModel;
pub use matrix::WeightType;
pub use source::{LoadedModel, ModelSource, Progress, story_tensors, write_story};
pub use tokenizer::{TextStream, Tokenizer};

use std::path::PathBuf;

use crate::cache::CacheError;

/// Why a model could not be loaded, or a forward pass not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("unknown model `{name}`; {hint}")]
    UnknownModel { name: String, hint: String },
    #[error("{}: {reason}", path.display())]
    BadFile { path: PathBuf, reason: String },
    #[error("config: {0}")]
    BadConfig(String),
    #[error("weights: {0}")]
    BadWeights(String),
    #[error("the model needs {needed_bytes} bytes for its weights and {available_bytes} bytes of memory are free")]
    TooLarge { needed_bytes: u64, available_bytes: u64 },
    #[error("embedded data: {0}")]
    BadData(String),
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    #[error("token id {id} is past the vocabulary of {vocab_size}")]
    TokenPastVocabulary { id: u32, vocab_size: usize },
    #[error("a forward pass needs at least one token")]
    NoTokens,
    #[error("cancelled")]
    Cancelled,
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
