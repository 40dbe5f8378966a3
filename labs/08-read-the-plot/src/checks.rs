// Compiled once for each variant, see lib.rs: `subject` is the exercise, the solution, or a mistake.

use anyhow::{Result, bail, ensure};
use labkit::compare::equal;

use crate::{facts::Facts, given::recorded, graded, solution};

/// In the order of the tasks.
pub const CHECKS: &[Check] = &[
    Check { task: 1, name: "a_straight_line_rises_by_its_slope", run: a_straight_line_rises_by_its_slope },
    Check { task: 1, name: "one_slow_token_changes_nothing", run: one_slow_token_changes_nothing },
    Check { task: 2, name: "warm_up_ends_with_five_in_a_row", run: warm_up_ends_with_five_in_a_row },
    Check { task: 2, name: "a_token_costs_what_it_costs_when_warm", run: a_token_costs_what_it_costs_when_warm },
    Check { task: 3, name: "the_line_is_drawn_to_length_0", run: the_line_is_drawn_to_length_0 },
    Check { task: 4, name: "a_counter_becomes_differences", run: a_counter_becomes_differences },
    Check { task: 4, name: "chats_are_compared_at_their_starts", run: chats_are_compared_at_their_starts },
    Check { task: 5, name: "both_must_be_slow", run: both_must_be_slow },
    Check { task: 5, name: "traces_are_read_alike", run: traces_are_read_alike },
    Check { task: 6, name: "trace_a", run: trace_a },
    Check { task: 6, name: "trace_b", run: trace_b },
    Check { task: 6, name: "trace_c", run: trace_c },
    Check { task: 6, name: "trace_d", run: trace_d },
    Check { task: 6, name: "trace_e", run: trace_e },
    Check { task: 6, name: "trace_f", run: trace_f },
    Check { task: 6, name: "trace_g", run: trace_g },
];

include!("checks/times.rs");
include!("checks/bytes.rs");
include!("checks/together.rs");
include!("checks/answers.rs");

/// Equal but for rounding.
fn about(what: &str, expected: f64, got: f64, hint: &str) -> Result<()> {
    let is_close = (expected - got).abs() <= 1e-9 + 1e-6 * expected.abs();
    ensure!(is_close, "{what}: expected {expected:.6}, got {got:.6}{}", if got.is_nan() { "" } else { hint });
    Ok(())
}

/// Places as numbers.
fn of(place: usize) -> f64 {
    f64::from(u32::try_from(place).unwrap_or(u32::MAX))
}
