// Compiled once for each variant, see lib.rs: `subject` is the exercise, the solution, or a mistake.

use anyhow::{Context, Result, bail, ensure};
use kvlab::cache::GuestCache;
use labkit::{
    compare::{close, equal},
    story::{PROMPT, Story},
};

use crate::given::{Concat, Noise, Shape};

/// In the order of the tasks.
pub const CHECKS: &[Check] = &[
    Check { task: 1, name: "the_formula_counts_what_concat_copies", run: the_formula_counts_what_concat_copies },
    Check { task: 2, name: "all_memory_is_taken_at_once", run: all_memory_is_taken_at_once },
    Check { task: 2, name: "a_row_lies_at_its_offset", run: a_row_lies_at_its_offset },
    Check { task: 2, name: "a_full_cache_refuses_and_changes_nothing", run: a_full_cache_refuses_and_changes_nothing },
    Check { task: 3, name: "rows_are_what_is_filled", run: rows_are_what_is_filled },
    Check {
        task: 3,
        name: "any_appends_give_the_rows_of_plain_vectors",
        run: any_appends_give_the_rows_of_plain_vectors,
    },
    Check { task: 4, name: "a_query_sees_the_past_and_itself", run: a_query_sees_the_past_and_itself },
    Check { task: 4, name: "chunks_attend_as_the_definition_says", run: chunks_attend_as_the_definition_says },
    Check {
        task: 4,
        name: "the_model_writes_what_it_writes_over_kvlab",
        run: the_model_writes_what_it_writes_over_kvlab,
    },
    Check { task: 5, name: "every_token_is_run_once", run: every_token_is_run_once },
    Check { task: 5, name: "the_last_pass_says_what_follows", run: the_last_pass_says_what_follows },
    Check { task: 6, name: "truncation_touches_no_memory", run: truncation_touches_no_memory },
    Check { task: 6, name: "no_layer_grows_by_truncation", run: no_layer_grows_by_truncation },
    Check {
        task: 6,
        name: "what_follows_overwrites_what_was_forgotten",
        run: what_follows_overwrites_what_was_forgotten,
    },
];

include!("checks/copies.rs");
include!("checks/memory.rs");
include!("checks/rows.rs");
include!("checks/attention.rs");
include!("checks/prefill.rs");
include!("checks/truncation.rs");

/// Two layers of two heads: a row has 6 numbers.
const SMALL: Shape = Shape { n_layer: 2, n_head: 2, head_dim: 3 };

/// Tokens whose numbers say where they belong: layer, token, keys or values, place in the row.
fn marked(shape: &Shape, layer: usize, tokens: std::ops::Range<usize>) -> [Vec<f32>; 2] {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let row = |token: usize, tenth: f32| {
        (0..shape.row()).map(move |i| (layer * 100 + token + 1) as f32 + tenth + i as f32 / 100.0)
    };
    [0.1, 0.2].map(|tenth| tokens.clone().flat_map(|token| row(token, tenth)).collect())
}

fn append(cache: &mut subject::Cache, layer: usize, [k, v]: &[Vec<f32>; 2]) -> Result<()> {
    let (room, tokens) = (cache.capacity, k.len() / cache.shape.row());
    let past = cache.filled[layer];
    cache.append(layer, k, v).with_context(|| {
        format!("append of {tokens} tokens behind {past} to layer {layer}, where there is room for {room}, was refused")
    })
}
