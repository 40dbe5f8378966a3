// Compiled once for each variant, see lib.rs: `subject` is the exercise, the solution, or a mistake.

use anyhow::{Result, bail, ensure};
use labkit::{
    compare::{close, equal},
    story::{PROMPT, Story},
};

use crate::{
    given::{Lent, Noise, Rows, State},
    mine::{Attention, guest},
};

/// In the order of the tasks.
pub const CHECKS: &[Check] = &[
    Check { task: 1, name: "weights_match_the_definition", run: weights_match_the_definition },
    Check { task: 1, name: "scores_of_a_thousand_stay_finite", run: scores_of_a_thousand_stay_finite },
    Check { task: 1, name: "any_row_sums_to_one", run: any_row_sums_to_one },
    Check { task: 2, name: "an_empty_state_has_seen_nothing", run: an_empty_state_has_seen_nothing },
    Check { task: 2, name: "one_tile_is_summed_against_its_largest", run: one_tile_is_summed_against_its_largest },
    Check { task: 2, name: "a_larger_score_rescales_what_was_there", run: a_larger_score_rescales_what_was_there },
    Check { task: 2, name: "a_masked_tile_changes_nothing", run: a_masked_tile_changes_nothing },
    Check { task: 2, name: "any_cut_gives_the_same_state", run: any_cut_gives_the_same_state },
    Check { task: 3, name: "the_sum_divides_the_values", run: the_sum_divides_the_values },
    Check { task: 3, name: "nothing_seen_gives_zeros", run: nothing_seen_gives_zeros },
    Check { task: 4, name: "every_token_is_read_once", run: every_token_is_read_once },
    Check { task: 4, name: "a_query_reads_no_later_token", run: a_query_reads_no_later_token },
    Check { task: 4, name: "any_tile_gives_the_definition", run: any_tile_gives_the_definition },
    Check {
        task: 4,
        name: "the_model_writes_what_it_writes_over_kvlab",
        run: the_model_writes_what_it_writes_over_kvlab,
    },
    Check { task: 5, name: "two_halves_give_the_whole", run: two_halves_give_the_whole },
    Check { task: 5, name: "an_empty_state_is_neutral", run: an_empty_state_is_neutral },
    Check { task: 5, name: "the_order_of_merging_does_not_matter", run: the_order_of_merging_does_not_matter },
    Check { task: 6, name: "parts_hold_every_token_once", run: parts_hold_every_token_once },
    Check { task: 6, name: "each_part_is_read_by_itself", run: each_part_is_read_by_itself },
    Check { task: 6, name: "any_number_of_parts_gives_the_definition", run: any_number_of_parts_gives_the_definition },
];

include!("checks/softmax.rs");
include!("checks/absorb.rs");
include!("checks/tiles.rs");
include!("checks/merge.rs");
include!("checks/split.rs");

/// f32 against f64, as a share of the sum of weights: sums of some hundred numbers differ by 1e-6, wrong formulas by 1e-2.
const TOLERANCE: f32 = 2e-5;

/// The state of scores `[n]` and values `[n, head_dim]` by its definition, in f64, with all scores at hand.
fn definition(scores: &[f32], values: &[f32], head_dim: usize) -> State {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |score: &f32| if score.is_finite() { f64::exp(f64::from(*score) - f64::from(max)) } else { 0.0 };
    let weights: Vec<f64> = scores.iter().map(weight).collect();
    let of = |d: usize| weights.iter().zip(values.chunks(head_dim)).map(|(w, v)| w * f64::from(v[d])).sum::<f64>();
    #[expect(clippy::cast_possible_truncation, reason = "compared as f32")]
    let out = (0..head_dim).map(|d| of(d) as f32).collect();
    #[expect(clippy::cast_possible_truncation, reason = "compared as f32")]
    let sum = weights.iter().sum::<f64>() as f32;
    State { max, sum, out }
}

/// Attention of one query over the first `sees` tokens by its definition, in f64.
fn attention(q: &[f32], keys: &[f32], values: &[f32], sees: usize) -> Vec<f32> {
    let dot = |key: &[f32]| q.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "a head has few elements")]
    let root = (q.len() as f64).sqrt();
    let scores: Vec<f64> = keys.chunks_exact(q.len()).take(sees).map(|key| dot(key) / root).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let of = |d: usize| weights.iter().zip(values.chunks(q.len())).map(|(w, v)| w / sum * f64::from(v[d])).sum::<f64>();
    #[expect(clippy::cast_possible_truncation, reason = "compared as f32")]
    (0..q.len()).map(|d| of(d) as f32).collect()
}

fn same_state(what: &str, expected: &State, got: &State) -> Result<()> {
    let tolerance = TOLERANCE * expected.sum.max(1.0);
    let has_nan = got.max.is_nan() || got.sum.is_nan() || got.out.iter().any(|out| out.is_nan());
    ensure!(
        !has_nan,
        "{what}: something is NaN in {got:?}. Minus infinity minus minus infinity is NaN: where nothing was seen on either side there is \
         nothing to do"
    );
    equal(&format!("{what}: `max`"), &expected.max, &got.max)?;
    close(&format!("{what}: `sum`"), &[expected.sum], &[got.sum], &[1], tolerance)?;
    close(&format!("{what}: `out`"), &expected.out, &got.out, &[expected.out.len()], tolerance)
}
