// Compiled once for each variant, see lib.rs: `subject` is the exercise, the solution, or a mistake.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use labkit::{
    compare::{close, equal},
    story::{PROMPT, Story},
};

use crate::given::{Noise, Pages, Pool, Sequence, Shape};

/// In the order of the tasks.
pub const CHECKS: &[Check] = &[
    Check { task: 1, name: "every_block_is_taken_once", run: every_block_is_taken_once },
    Check { task: 1, name: "a_block_is_free_after_its_last_holder", run: a_block_is_free_after_its_last_holder },
    Check { task: 1, name: "what_nobody_holds_cannot_be_given_back", run: what_nobody_holds_cannot_be_given_back },
    Check { task: 1, name: "no_block_is_both_free_and_held", run: no_block_is_both_free_and_held },
    Check { task: 2, name: "a_block_is_taken_when_the_last_is_full", run: a_block_is_taken_when_the_last_is_full },
    Check { task: 2, name: "what_does_not_fit_takes_nothing", run: what_does_not_fit_takes_nothing },
    Check { task: 3, name: "a_slot_goes_through_the_table", run: a_slot_goes_through_the_table },
    Check { task: 3, name: "rows_come_back_in_the_order_of_the_text", run: rows_come_back_in_the_order_of_the_text },
    Check {
        task: 3,
        name: "the_model_writes_what_it_writes_over_kvlab",
        run: the_model_writes_what_it_writes_over_kvlab,
    },
    Check { task: 4, name: "a_fork_shares_every_block", run: a_fork_shares_every_block },
    Check { task: 4, name: "only_a_shared_block_with_room_is_copied", run: only_a_shared_block_with_room_is_copied },
    Check { task: 4, name: "the_parent_keeps_its_rows", run: the_parent_keeps_its_rows },
    Check { task: 4, name: "a_copy_that_does_not_fit_changes_nothing", run: a_copy_that_does_not_fit_changes_nothing },
    Check { task: 5, name: "truncation_keeps_the_block_it_ends_in", run: truncation_keeps_the_block_it_ends_in },
    Check {
        task: 5,
        name: "closing_gives_back_what_nobody_else_holds",
        run: closing_gives_back_what_nobody_else_holds,
    },
    Check { task: 5, name: "any_order_keeps_every_text", run: any_order_keeps_every_text },
    Check { task: 6, name: "what_is_shared_counts_once", run: what_is_shared_counts_once },
    Check { task: 6, name: "usage_is_what_counting_every_place_gives", run: usage_is_what_counting_every_place_gives },
];

include!("checks/pool.rs");
include!("checks/grow.rs");
include!("checks/rows.rs");
include!("checks/fork.rs");
include!("checks/end.rs");
include!("checks/usage.rs");

/// Two layers of two heads: a row has 4 numbers.
const SMALL: Shape = Shape { n_layer: 2, n_head: 2, head_dim: 2 };

/// A block is in the free list, once, exactly if nobody holds it.
fn pool_is_sound(pool: &Pool, after: &str) -> Result<()> {
    for (block, holders) in pool.holders.iter().enumerate() {
        let listed = pool.free.iter().filter(|free| **free == block).count();
        ensure!(
            listed == usize::from(*holders == 0),
            "after {after}: block {block} has {holders} holders and is {listed} times in the free list; it is to be there once if it has \
             none, else not at all"
        );
    }
    Ok(())
}

/// `new` tokens for a sequence, with noise in every layer. `plain` has, for each layer, keys and values of each token one after the other.
fn push(pages: &mut Pages, seq: &mut Sequence, plain: &mut Plain, noise: &mut Noise, new: usize) -> Result<()> {
    let past = seq.len;
    subject::grow(pages, seq, new)?;
    equal(&format!("tokens of a sequence of {past} after grow by {new}"), &(past + new), &seq.len)?;
    for position in past..past + new {
        for (layer, plain) in plain.iter_mut().enumerate() {
            let [key, value] = [(); 2].map(|()| noise.floats(pages.shape.row()));
            subject::write(pages, seq, layer, position, (&key, &value));
            plain.push((key, value));
        }
    }
    Ok(())
}

/// The rows of a text by their definition: for each layer keys and values of each token.
type Plain = Vec<Vec<(Vec<f32>, Vec<f32>)>>;

/// What `gather` finds is what was written.
fn has_its_rows(name: &str, pages: &Pages, seq: &Sequence, plain: &Plain) -> Result<()> {
    let Shape { n_head, head_dim, .. } = pages.shape;
    for (layer, plain) in plain.iter().enumerate() {
        let rows = subject::gather(pages, seq, layer);
        equal(&format!("{name}: tokens that gather finds in layer {layer}"), &plain.len(), &rows.len())?;
        for (position, (got, (key, value))) in rows.iter().zip(plain).enumerate() {
            close(
                &format!("{name}: layer {layer}, the key of token {position}"),
                key,
                got.0,
                &[n_head, head_dim],
                0.0,
            )?;
            close(
                &format!("{name}: layer {layer}, the value of token {position}"),
                value,
                got.1,
                &[n_head, head_dim],
                0.0,
            )?;
        }
    }
    Ok(())
}
