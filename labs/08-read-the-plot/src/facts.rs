//! What a trace says, in the numbers of the solution's functions.

use std::{io, ops::Range};

use crate::{
    given::{Recorded, median, recorded},
    solution,
};

/// Of one trace. Times are of the lane `mine`, unless the name says otherwise.
pub struct Facts {
    pub recorded: Recorded,
    /// Of a token in the first ten, in tokens 10 to 50 and in the last quarter.
    pub first_secs: f64,
    pub early_secs: f64,
    pub late_secs: f64,
    pub warm_up: usize,
    /// What `mine` takes longer than kvlab's lane, without the prompt's token.
    pub early_extra_secs: f64,
    pub late_extra_secs: f64,
    /// Of that, without the warm-up.
    pub fixed_share: f64,
    /// What an early and the last token copied.
    pub early_copied: u64,
    pub late_copied: u64,
    pub left_behind: Vec<u64>,
    pub reserved: u64,
    pub most_used: u64,
    pub slow_together: Option<Range<usize>>,
}

impl Facts {
    /// # Errors
    /// Those of reading the trace.
    pub fn of(trace: char) -> io::Result<Self> {
        let recorded = recorded(trace)?;
        let (kvlab, mine) = (&recorded.kvlab, &recorded.mine);
        let n = mine.secs.len();
        let extra = extra(&recorded);
        let copied = solution::copied_by_each(&mine.copied);
        let warm_up = solution::warm_up(&mine.secs[1..]);
        Ok(Self {
            first_secs: median(&mine.secs[1..10.min(n)]),
            early_secs: median(&mine.secs[10.min(n)..50.min(n)]),
            late_secs: median(&mine.secs[n - n / 4..]),
            warm_up,
            early_extra_secs: median(&extra[..extra.len() / 4]),
            late_extra_secs: median(&extra[extra.len() - extra.len() / 4..]),
            fixed_share: solution::fixed_share(&mine.length[1 + warm_up..], &extra[warm_up..]),
            early_copied: copied[2.min(n - 1)],
            late_copied: copied[n - 1],
            left_behind: solution::left_behind(&mine.reserved, &mine.starts),
            reserved: mine.reserved[n - 1],
            most_used: mine.used.iter().copied().max().unwrap_or(0),
            slow_together: solution::slow_together(&kvlab.secs[1..], &mine.secs[1..])
                .map(|tokens| tokens.start + 1..tokens.end + 1),
            recorded,
        })
    }
}

/// What each token but the first takes longer in `mine` than in kvlab's lane.
#[must_use]
pub fn extra(recorded: &Recorded) -> Vec<f64> {
    let pairs = recorded.mine.secs.iter().zip(&recorded.kvlab.secs);
    pairs.skip(1).map(|(mine, kvlab)| mine - kvlab).collect()
}

/// Milliseconds, to two digits behind the point.
#[must_use]
pub fn ms(secs: f64) -> String {
    format!("{:.2} ms", secs * 1e3)
}

/// Millions of bytes.
#[must_use]
pub fn mb(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = bytes as f64;
    format!("{:.1} MB", bytes / 1e6)
}
