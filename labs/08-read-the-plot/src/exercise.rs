//! Your file. Each `todo!` says what belongs there; `README.md` explains the tasks in this order.
//!
//! `secs` is always one number a token, in their order. Work with medians, unless the task says otherwise: one token that met something else
//! takes twenty times as long as its neighbours, and a mean is ruled by it.

use std::ops::Range;

use crate::given::{Answer, Cause, Evidence, median};

/// Task 1: by how many seconds a token takes longer than the one before, from the first quarter of the tokens to the last one.
pub fn rise(secs: &[f64]) -> f64 {
    todo!("task 1, rise: (median of the last quarter - median of the first) / the tokens between their middles")
}

/// Task 2: how many tokens at the beginning are warm-up.
pub fn warm_up(secs: &[f64]) -> usize {
    todo!("task 2, warm_up: the first token from which five in a row take at most twice the median of the second half")
}

/// Task 2: what a token takes, warm-up left out.
pub fn per_token(secs: &[f64]) -> f64 {
    todo!("task 2, per_token: the median of what comes behind the warm-up")
}

/// Task 3: the share of the time of late tokens that would be there without any text. `secs[i]` is the time at `length[i]` tokens in the cache.
pub fn fixed_share(length: &[usize], secs: &[f64]) -> f64 {
    todo!(
        "task 3, fixed_share: a line through the first and the last quarter; its height at length 0, by that of the last quarter"
    )
}

/// Task 4: what each token copied, of a counter that only grows.
pub fn copied_by_each(copied: &[u64]) -> Vec<u64> {
    todo!(
        "task 4, copied_by_each: the counter less what it was one token before; the first token has nothing before it"
    )
}

/// Task 4: of each chat but the first, how many bytes more are reserved at its first token than at that of the chat before.
pub fn left_behind(reserved: &[u64], starts: &[usize]) -> Vec<u64> {
    todo!("task 4, left_behind: compare chats where they are equally long, which is at their starts")
}

/// Task 5: the tokens during which both lanes were slow: the longest stretch of them, if there is one.
pub fn slow_together(one: &[f64], other: &[f64]) -> Option<Range<usize>> {
    todo!(
        "task 5, slow_together: 20 tokens in a row that take twice their share, in both lanes; the longest run of such"
    )
}

/// Task 6: what the traces `a` to `g` show.
pub fn answers() -> Vec<Answer> {
    todo!("task 6, answers: vec![Answer {{ trace: 'a', cause: Cause::.., evidence: Evidence::.., token: .. }}, ..]")
}
