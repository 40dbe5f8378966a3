//! Mistakes people make. Each file says what is wrong and which check catches it; what is right comes from the solution.
//!
//! The checks stop after the first task that fails, so a file changes one task and nothing above it.

use std::io::Write;

use anyhow::Result;

use crate::{
    checks::{self, Report},
    contract,
    generate::{Options, generate},
    given::Model,
};

pub mod feeds_an_old_token;
pub mod forgets_the_offset;
pub mod forgets_the_scale;
pub mod masks_without_the_past;
pub mod mixes_the_layers;
pub mod overwrites_the_cache;
pub mod runs_the_last_token_only;
pub mod runs_the_prompt_again;
pub mod sees_the_whole_chunk;

/// A wrong variant by its file's name, the check that catches it, and how to run it.
pub struct Wrong {
    pub name: &'static str,
    pub caught_by: &'static str,
    pub check: fn(&checks::Reference, &Model) -> Report,
    pub generate: fn(&checks::Reference, &Model, &Options, &mut dyn Write) -> Result<()>,
}

impl Wrong {
    /// The task it gets wrong: that of the check which catches it.
    #[must_use]
    pub fn task(&self) -> usize {
        let checks = checks::all::<contract::Solution>();
        checks.iter().find(|check| check.name == self.caught_by).map_or(0, |check| check.task)
    }
}

/// In the order of the tasks they get wrong.
pub static WRONG: [Wrong; 9] = [
    Wrong {
        name: "forgets_the_scale",
        caught_by: "attention_matches_the_definition",
        check: checks::run::<contract::ForgetsTheScale>,
        generate: generate::<contract::ForgetsTheScale>,
    },
    Wrong {
        name: "runs_the_last_token_only",
        caught_by: "uncached_loop_runs_everything_again",
        check: checks::run::<contract::RunsTheLastTokenOnly>,
        generate: generate::<contract::RunsTheLastTokenOnly>,
    },
    Wrong {
        name: "overwrites_the_cache",
        caught_by: "cache_appends_in_order",
        check: checks::run::<contract::OverwritesTheCache>,
        generate: generate::<contract::OverwritesTheCache>,
    },
    Wrong {
        name: "mixes_the_layers",
        caught_by: "cache_keeps_layers_apart",
        check: checks::run::<contract::MixesTheLayers>,
        generate: generate::<contract::MixesTheLayers>,
    },
    Wrong {
        name: "masks_without_the_past",
        caught_by: "chunked_attention_equals_whole",
        check: checks::run::<contract::MasksWithoutThePast>,
        generate: generate::<contract::MasksWithoutThePast>,
    },
    Wrong {
        name: "sees_the_whole_chunk",
        caught_by: "chunked_attention_equals_whole",
        check: checks::run::<contract::SeesTheWholeChunk>,
        generate: generate::<contract::SeesTheWholeChunk>,
    },
    Wrong {
        name: "forgets_the_offset",
        caught_by: "positions_continue_after_prefill",
        check: checks::run::<contract::ForgetsTheOffset>,
        generate: generate::<contract::ForgetsTheOffset>,
    },
    Wrong {
        name: "runs_the_prompt_again",
        caught_by: "each_token_runs_once",
        check: checks::run::<contract::RunsThePromptAgain>,
        generate: generate::<contract::RunsThePromptAgain>,
    },
    Wrong {
        name: "feeds_an_old_token",
        caught_by: "cached_tokens_equal_uncached",
        check: checks::run::<contract::FeedsAnOldToken>,
        generate: generate::<contract::FeedsAnOldToken>,
    },
];
