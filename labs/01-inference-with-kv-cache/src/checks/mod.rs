//! Named checks, in the order of the tasks. They stop after the first task that is not done, so that one thing is to be
//! read at a time.

mod attention;
mod cache;
mod generation;

use std::{cell::OnceCell, marker::PhantomData};

use anyhow::{Context, Result};
use labkit::Check;

use crate::{contract::Lab, given::Model};
pub use generation::{PROMPTS, Reference};
pub use labkit::{Caught, Report, Verdict, caught};

/// Every check of a variant.
pub struct Checks<L>(PhantomData<L>);

impl<L: Lab> Checks<L> {
    pub const ALL: &'static [Check] = &[
        Check {
            task: 1,
            name: "attention_matches_the_definition",
            run: || with(attention::matches_the_definition::<L>),
        },
        Check { task: 1, name: "attention_is_causal", run: || with(attention::is_causal::<L>) },
        Check {
            task: 2,
            name: "uncached_loop_runs_everything_again",
            run: || with(generation::uncached_loop_runs_everything_again::<L>),
        },
        Check {
            task: 2,
            name: "uncached_tokens_equal_kvlab",
            run: || with(generation::uncached_tokens_equal_kvlab::<L>),
        },
        Check { task: 3, name: "cache_appends_in_order", run: || with(cache::appends_in_order::<L>) },
        Check { task: 3, name: "cache_keeps_layers_apart", run: || with(cache::keeps_layers_apart::<L>) },
        Check {
            task: 4,
            name: "positions_start_after_the_past",
            run: || with(cache::positions_start_after_the_past::<L>),
        },
        Check {
            task: 5,
            name: "one_query_sees_the_whole_cache",
            run: || with(attention::one_query_sees_the_whole_cache::<L>),
        },
        Check { task: 5, name: "chunked_attention_equals_whole", run: || with(attention::chunked_equals_whole::<L>) },
        Check {
            task: 6,
            name: "positions_continue_after_prefill",
            run: || with(generation::positions_continue_after_prefill::<L>),
        },
        Check {
            task: 6,
            name: "chunked_prefill_equals_whole",
            run: || with(generation::chunked_prefill_equals_whole::<L>),
        },
        Check { task: 7, name: "each_token_runs_once", run: || with(generation::each_token_runs_once::<L>) },
        Check {
            task: 7,
            name: "cached_tokens_equal_uncached",
            run: || with(generation::cached_tokens_equal_uncached::<L>),
        },
    ];
}

thread_local! {
    /// Loading takes longer than most checks.
    static LOADED: OnceCell<(Reference, Model)> = const { OnceCell::new() };
}

/// Calls a check with the model, which is loaded once.
fn with(check: fn(&Reference, &Model) -> Result<()>) -> Result<()> {
    LOADED.with(|loaded| {
        if loaded.get().is_none() {
            let _ = loaded.set((Reference::new()?, Model::story()?));
        }
        let (reference, model) = loaded.get().context("it was loaded")?;
        model.take_passes();
        check(reference, model)
    })
}
