//! The exercise, the solution, and the mistakes, as `check` and `generate` run them.

use std::io::Write;

use anyhow::{Context, Result};
use labkit::Variant;

use crate::{
    checks::{Checks, Reference},
    contract,
    generate::{Options, generate},
    given::Model,
};

/// Lets both loops of a variant continue a text.
pub type Generate = fn(&Reference, &Model, &Options, &mut dyn Write) -> Result<()>;

macro_rules! variants {
    ($($name:literal = $lab:ident, $caught_by:expr;)+) => {
        /// Mistakes stand in the order of the tasks they get wrong.
        pub static VARIANTS: &[Variant] =
            &[$(Variant { name: $name, checks: Checks::<contract::$lab>::ALL, caught_by: $caught_by },)+];

        static GENERATE: &[Generate] = &[$(generate::<contract::$lab>,)+];
    };
}

variants! {
    "exercise" = Exercise, None;
    "solution" = Solution, None;
    "forgets_the_scale" = ForgetsTheScale, Some("attention_matches_the_definition");
    "runs_the_last_token_only" = RunsTheLastTokenOnly, Some("uncached_loop_runs_everything_again");
    "overwrites_the_cache" = OverwritesTheCache, Some("cache_appends_in_order");
    "mixes_the_layers" = MixesTheLayers, Some("cache_keeps_layers_apart");
    "masks_without_the_past" = MasksWithoutThePast, Some("chunked_attention_equals_whole");
    "sees_the_whole_chunk" = SeesTheWholeChunk, Some("chunked_attention_equals_whole");
    "forgets_the_offset" = ForgetsTheOffset, Some("positions_continue_after_prefill");
    "runs_the_prompt_again" = RunsThePromptAgain, Some("each_token_runs_once");
    "feeds_an_old_token" = FeedsAnOldToken, Some("cached_tokens_equal_uncached");
}

/// What lets a variant continue a text, and the task that it gets wrong, if it is a mistake.
///
/// # Errors
/// No variant has the name.
pub fn generator(name: &str) -> Result<(Generate, Option<usize>)> {
    let known = || VARIANTS.iter().map(|variant| variant.name).collect::<Vec<_>>().join(", ");
    let at = VARIANTS.iter().position(|variant| variant.name == name);
    let at = at.with_context(|| format!("no variant `{name}`; there are {}", known()))?;
    let variant = &VARIANTS[at];
    let task_of = |caught_by| variant.checks.iter().find(|check| check.name == caught_by).map(|check| check.task);
    Ok((GENERATE[at], variant.caught_by.and_then(task_of)))
}
