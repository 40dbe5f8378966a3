//! A token of a small model should cost in company what it costs alone.
//!
//! As long as its lane decodes without a pause, such a model stays in the processor's last-level cache. In an experiment the
//! lane waits while others have their turns, and meanwhile other work takes that place: theirs, or on a shared host
//! that of strangers (20 ms of sleep are enough there). The token after a wait would be billed for it, and the longer the
//! neighbours take, the more. So every cached token is rehearsed, alone or not: as every benchmark warms up before it measures.

use std::time::Instant;

use super::EngineError;

/// Weights and cache beyond this fit no common last-level cache: their tokens read memory, alone or in company.
pub const MOST_BYTES: u64 = 64 << 20;
/// Passes until the time settles; one is not enough, since caches keep longer what was read more than once.
const MOST_PASSES: usize = 8;
/// A pass that takes more than this share of the fastest before it has settled.
const SETTLED: f64 = 0.95;

/// Runs `pass` until it gets no faster, at most [`MOST_PASSES`] times.
pub fn rehearse(mut pass: impl FnMut() -> Result<(), EngineError>) -> Result<(), EngineError> {
    let mut fastest_secs = f64::INFINITY;
    for _ in 0..MOST_PASSES {
        let started = Instant::now();
        pass()?;
        let secs = started.elapsed().as_secs_f64();
        if secs > SETTLED * fastest_secs {
            break;
        }
        fastest_secs = secs;
    }
    Ok(())
}
