// Compiled once for each variant, see lib.rs: `subject` is the exercise, the solution, or a mistake.

use anyhow::{Result, bail, ensure};
use labkit::{
    compare::equal,
    story::{PROMPT, Story},
};

use crate::{
    given::{N_LAYER, Noise, Policy, ROW, Slots, TOKEN_BYTES},
    mine::{Guest, forget},
};

/// In the order of the tasks.
pub const CHECKS: &[Check] = &[
    Check { task: 1, name: "sinks_and_the_newest_stay", run: sinks_and_the_newest_stay },
    Check { task: 1, name: "a_short_text_stays_whole", run: a_short_text_stays_whole },
    Check { task: 2, name: "a_prompt_sees_all_before", run: a_prompt_sees_all_before },
    Check { task: 2, name: "the_mask_is_what_eviction_leaves", run: the_mask_is_what_eviction_leaves },
    Check { task: 3, name: "rows_close_up_in_order", run: rows_close_up_in_order },
    Check {
        task: 3,
        name: "only_rows_that_change_their_slot_are_moved",
        run: only_rows_that_change_their_slot_are_moved,
    },
    Check { task: 3, name: "every_table_forgets_the_same", run: every_table_forgets_the_same },
    Check { task: 3, name: "a_window_tells_what_kvlabs_tells", run: a_window_tells_what_kvlabs_tells },
    Check { task: 4, name: "every_query_counts", run: every_query_counts },
    Check { task: 4, name: "scores_go_on_from_pass_to_pass", run: scores_go_on_from_pass_to_pass },
    Check { task: 5, name: "the_heaviest_and_the_newest_stay", run: the_heaviest_and_the_newest_stay },
    Check { task: 5, name: "slots_stay_in_the_order_of_the_text", run: slots_stay_in_the_order_of_the_text },
    Check { task: 5, name: "heavy_hitters_tell_what_kvlabs_tell", run: heavy_hitters_tell_what_kvlabs_tell },
    Check { task: 6, name: "a_short_text_takes_what_it_has", run: a_short_text_takes_what_it_has },
    Check { task: 6, name: "a_pass_holds_its_new_tokens_too", run: a_pass_holds_its_new_tokens_too },
    Check { task: 6, name: "bytes_are_those_of_the_buffers", run: bytes_are_those_of_the_buffers },
];

include!("checks/window.rs");
include!("checks/mask.rs");
include!("checks/evict.rs");
include!("checks/scores.rs");
include!("checks/heavy.rs");
include!("checks/bytes.rs");

/// 40 tokens of the story model over a guest are those over a lane of kvlab's with the same policy.
fn tells_the_same(what: &str, mut guest: Guest, lane: &str) -> Result<()> {
    let story = Story::load()?;
    let expected = story.run(lane, PROMPT, 40)?;
    let got = story.generate(&mut guest, PROMPT, usize::MAX, 40)?;
    equal(
        &format!("40 tokens of the story model over {what}, against kvlab's `{lane}`"),
        &story.text(expected.generated())?,
        &story.text(&got)?,
    )
}
