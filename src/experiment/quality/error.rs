//! What makes a quality run impossible, said before anything runs.

use crate::{
    cache::Lane,
    engine::EngineError,
    model::{Config, ModelError, Passage},
};

use super::QualitySettings;

/// Why a quality run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum QualityError {
    #[error("no lane was given; try `contiguous,paged:16+int8`")]
    NoLanes,
    #[error(
        "lane `none` stores nothing, so there is no loss to measure and no byte to count; every lane is compared with the \
         exact `contiguous`, which always runs. Leave `none` and `mine` out"
    )]
    NoCache,
    #[error("there is no text to read; give one story at least, or a text that is longer than its prompt")]
    NoPassages,
    #[error("--batch 0 reads nothing; give 1 or more")]
    NoBatch,
    #[error("--prompt-tokens 0 leaves nothing to begin with; give 1 or more")]
    NoPrompt,
    #[error(
        "a prompt of {prompt} tokens leaves nothing to measure of a text of {passage}: one token to feed and one to predict \
         have to follow it. {}",
        match passage.saturating_sub(2) {
            0 => "Give a longer text".to_owned(),
            most => format!("Give a longer text, or --prompt-tokens {most} or fewer"),
        }
    )]
    PromptTooLong { prompt: usize, passage: usize },
    #[error("a text has {passage} tokens and the context of `{model}` ends at {context}; cut it")]
    PassageTooLong { passage: usize, context: usize, model: String },
    #[error(
        "a prompt of {prompt} tokens and {greedy} generated ones are {} together, and the context of `{model}` ends at \
         {context}; give --greedy-tokens {} or fewer",
        prompt.saturating_add(*greedy), context.saturating_sub(*prompt)
    )]
    PastContext { prompt: usize, greedy: usize, context: usize, model: String },
    #[error("lane `{lane}`: {reason}")]
    Lane { lane: String, reason: EngineError },
    #[error(
        "the lanes reserve {needed_bytes} bytes and {available_bytes} bytes of memory are free; read fewer texts together \
         (--batch 1), or measure fewer lanes at a time"
    )]
    TooLarge { needed_bytes: u64, available_bytes: u64 },
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Everything that can be known before a store is planned.
pub(super) fn check(
    config: &Config,
    model: &str,
    lanes: &[Lane],
    passages: &[Passage],
    settings: QualitySettings,
) -> Result<(), QualityError> {
    let QualitySettings { prompt_tokens: prompt, greedy_tokens: greedy, batch } = settings;
    let (context, model) = (config.n_positions, || model.to_owned());
    if lanes.is_empty() {
        return Err(QualityError::NoLanes);
    }
    if lanes.iter().any(|lane| !matches!(lane, Lane::Cache(_))) {
        return Err(QualityError::NoCache);
    }
    if passages.is_empty() {
        return Err(QualityError::NoPassages);
    }
    if batch == 0 {
        return Err(QualityError::NoBatch);
    }
    if prompt == 0 {
        return Err(QualityError::NoPrompt);
    }
    for Passage { ids, .. } in passages {
        if ids.len() < prompt.saturating_add(2) {
            return Err(QualityError::PromptTooLong { prompt, passage: ids.len() });
        }
        if ids.len() > context {
            return Err(QualityError::PassageTooLong { passage: ids.len(), context, model: model() });
        }
        if let Some(&id) = ids.iter().find(|id| **id as usize >= config.vocab_size) {
            return Err(ModelError::TokenPastVocabulary { id, vocab_size: config.vocab_size }.into());
        }
    }
    if prompt.saturating_add(greedy) > context {
        return Err(QualityError::PastContext { prompt, greedy, context, model: model() });
    }
    Ok(())
}
