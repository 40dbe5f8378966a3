//! What makes an experiment impossible.

use crate::engine::EngineError;

/// Why an experiment could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    #[error("no lane was given; try `none,contiguous,paged:16`")]
    NoLanes,
    #[error("--tokens 0 generates nothing; give 1 or more")]
    NoTokens,
    #[error("stopping at the end of the text is impossible: `{model}` has no eos_token_id in its config.json")]
    NoEos { model: String },
    #[error(
        "the prompt has {prompt} tokens and {new} are to be generated: {} together, and the context of `{model}` \
         ends at {context}. {}",
        prompt.saturating_add(*new), match context.saturating_sub(*prompt) {
            0 => "Shorten the prompt".to_owned(),
            room => format!("Shorten the prompt or generate at most {room} tokens"),
        }
    )]
    PastContext { prompt: usize, new: usize, context: usize, model: String },
    #[error("there is no lane {index}; the run has {n_lanes}, counted from 0")]
    NoSuchLane { index: usize, n_lanes: usize },
    #[error("lane `{lane}`: {reason}")]
    Lane { lane: String, reason: EngineError },
    #[error(
        "the lanes reserve {needed_bytes} bytes and {available_bytes} bytes of memory are free; use fewer lanes, a \
         shorter context or --cache-memory"
    )]
    TooLarge { needed_bytes: u64, available_bytes: u64 },
    #[error("lane `{lane}` cannot be forked: {reason}")]
    CannotFork { lane: String, reason: String },
    #[error("lane `{lane}` cannot be given another cache: {reason}")]
    CannotSwitch { lane: String, reason: String },
    #[error(
        "the attention of all heads over {n_tokens} tokens takes {} MiB, more than {} MiB; generate \
         fewer tokens to see it", needed_bytes >> 20, most_bytes >> 20
    )]
    TooMuchAttention { n_tokens: usize, needed_bytes: u64, most_bytes: u64 },
    #[error(transparent)]
    Engine(#[from] EngineError),
}
