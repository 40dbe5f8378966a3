//! The functions every variant of the exercise has: the exercise, the solution, and the wrong ones.

use anyhow::Result;
use candle_core::Tensor;

use crate::given::{Model, Sampler};

/// One variant. `exercise.rs` says what each function is for.
///
/// `n_new`, the prompt's length and `chunk` are at least 1.
pub trait Lab {
    /// The variant's own cache: it may keep keys and values in any way.
    type Cache;

    fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor>;
    fn generate_uncached(model: &Model, prompt: &[u32], n_new: usize, sampler: &mut Sampler) -> Result<Vec<u32>>;
    fn new_cache(n_layer: usize) -> Self::Cache;
    fn append(cache: &mut Self::Cache, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)>;
    fn n_tokens(cache: &Self::Cache) -> usize;
    fn positions(past: usize, n_new: usize) -> Vec<u32>;
    fn attention_over_cache(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor>;
    fn forward_cached(model: &Model, tokens: &[u32], cache: &mut Self::Cache) -> Result<Tensor>;
    fn generate_cached(
        model: &Model,
        prompt: &[u32],
        n_new: usize,
        chunk: usize,
        sampler: &mut Sampler,
    ) -> Result<Vec<u32>>;
}

/// Makes a [`Lab`] of a module's free functions and its `Cache`, so that a learner's file is plain Rust.
macro_rules! lab {
    ($(#[$doc:meta])* $name:ident = $($module:ident)::+) => {
        $(#[$doc])*
        pub struct $name;

        impl Lab for $name {
            type Cache = crate::$($module)::+::Cache;

            fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
                crate::$($module)::+::attention(q, k, v)
            }
            fn generate_uncached(model: &Model, prompt: &[u32], n_new: usize, sampler: &mut Sampler) -> Result<Vec<u32>> {
                crate::$($module)::+::generate_uncached(model, prompt, n_new, sampler)
            }
            fn new_cache(n_layer: usize) -> Self::Cache {
                Self::Cache::new(n_layer)
            }
            fn append(cache: &mut Self::Cache, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
                cache.append(layer, k, v)
            }
            fn n_tokens(cache: &Self::Cache) -> usize {
                cache.n_tokens()
            }
            fn positions(past: usize, n_new: usize) -> Vec<u32> {
                crate::$($module)::+::positions(past, n_new)
            }
            fn attention_over_cache(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
                crate::$($module)::+::attention_over_cache(q, k, v)
            }
            fn forward_cached(model: &Model, tokens: &[u32], cache: &mut Self::Cache) -> Result<Tensor> {
                crate::$($module)::+::forward_cached(model, tokens, cache)
            }
            fn generate_cached(
                model: &Model,
                prompt: &[u32],
                n_new: usize,
                chunk: usize,
                sampler: &mut Sampler,
            ) -> Result<Vec<u32>> {
                crate::$($module)::+::generate_cached(model, prompt, n_new, chunk, sampler)
            }
        }
    };
}

lab!(
    /// The learner's own.
    Exercise = exercise
);
lab!(
    /// The one that passes.
    Solution = solution
);
lab!(
    /// See [`crate::wrong::forgets_the_scale`].
    ForgetsTheScale = wrong::forgets_the_scale
);
lab!(
    /// See [`crate::wrong::runs_the_last_token_only`].
    RunsTheLastTokenOnly = wrong::runs_the_last_token_only
);
lab!(
    /// See [`crate::wrong::overwrites_the_cache`].
    OverwritesTheCache = wrong::overwrites_the_cache
);
lab!(
    /// See [`crate::wrong::mixes_the_layers`].
    MixesTheLayers = wrong::mixes_the_layers
);
lab!(
    /// See [`crate::wrong::masks_without_the_past`].
    MasksWithoutThePast = wrong::masks_without_the_past
);
lab!(
    /// See [`crate::wrong::sees_the_whole_chunk`].
    SeesTheWholeChunk = wrong::sees_the_whole_chunk
);
lab!(
    /// See [`crate::wrong::forgets_the_offset`].
    ForgetsTheOffset = wrong::forgets_the_offset
);
lab!(
    /// See [`crate::wrong::runs_the_prompt_again`].
    RunsThePromptAgain = wrong::runs_the_prompt_again
);
lab!(
    /// See [`crate::wrong::feeds_an_old_token`].
    FeedsAnOldToken = wrong::feeds_an_old_token
);
