//! What a calibration reads, and how much of it.

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::model::{Config, LoadedModel, ModelError, Tokenizer};

use super::CalibrationText;

/// Stories that `assets/story-gpt2/recipe/calibration.py` wrote, from seeds that neither training nor evaluation uses.
const STORIES: &str = include_str!("../../../assets/story-gpt2/calibration.txt");
/// Of ids for models that cannot read it.
const SEED: u64 = 2401;

/// More tokens than this move the levels less than another text does.
const MOST_TOKENS: u64 = 4096;
/// A channel's outermost half per cent is still more than one token.
const FEWEST_TOKENS: u64 = 256;
/// What two cores compute in a few seconds. A large model reads fewer tokens: `gpt2` 1,175, `gpt2-xl` the fewest.
const MOST_FLOPS: u64 = 200_000_000_000;
/// Captured rows in f32.
const MOST_BYTES: u64 = 256 << 20;

/// The ids to run, at least one.
///
/// # Errors
/// [`ModelError::Tokenizer`]
pub fn ids(model: &LoadedModel) -> Result<(CalibrationText, Vec<u32>), ModelError> {
    let config = model.model.config();
    let n_tokens = n_tokens(config);
    let is_word = |id: &u32| (*id as usize) < config.vocab_size;
    if let Some(tokenizer @ Tokenizer::Trained(_)) = &model.tokenizer {
        // A tokenizer may know words that the model does not.
        let ids: Vec<u32> = tokenizer.encode(STORIES)?.into_iter().filter(is_word).take(n_tokens).collect();
        if !ids.is_empty() {
            return Ok((CalibrationText::Stories, ids));
        }
    }
    let mut rng = StdRng::seed_from_u64(SEED);
    let vocab_size = u32::try_from(config.vocab_size).unwrap_or(u32::MAX);
    let ids = (0..n_tokens).map(|_| rng.random_range(0..vocab_size)).collect();
    Ok((CalibrationText::RandomIds, ids))
}

fn n_tokens(config: &Config) -> usize {
    let head = (config.vocab_size * config.n_embd) as u64;
    let flops = 2 * config.n_matmul_params().saturating_sub(head).max(1);
    let bytes = (2 * config.n_layer * config.n_embd * size_of::<f32>()) as u64;
    let n = (MOST_FLOPS / flops).clamp(FEWEST_TOKENS, MOST_TOKENS).min(MOST_BYTES / bytes).max(1);
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_models_read_less() {
        let of = |name| n_tokens(&Config::shape(name, None).expect(name));
        assert_eq!([of("distilgpt2"), of("gpt2"), of("gpt2-medium"), of("gpt2-xl")], [2351, 1175, 330, 256]);
        let huge = Config { n_layer: 1000, ..Config::shape("gpt2-xl", None).expect("known") };
        assert_eq!(n_tokens(&huge), 20, "no more rows than memory is meant for");
    }

    #[test]
    fn the_text_is_small_and_not_what_the_model_is_evaluated_on() {
        let stories: Vec<&str> = STORIES.split("<|endoftext|>").filter(|story| !story.is_empty()).collect();
        assert!((6..=10).contains(&stories.len()) && STORIES.len() <= 40 << 10, "{} stories", stories.len());
        let held_out = include_str!("../../../assets/story-gpt2/heldout.jsonl");
        for story in stories {
            let opening = story.lines().next().unwrap_or_default();
            assert!(opening.len() > 40 && !held_out.contains(opening), "{opening}");
        }
    }
}
