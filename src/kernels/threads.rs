//! How many threads compute, decided once.

/// The variable that both rayon and candle read.
const VARIABLE: &str = "RAYON_NUM_THREADS";

/// More threads than any machine has cores; so many would only exhaust its memory.
const MOST: usize = 1024;

/// The number of computing threads: what [`fix_count`] fixed, or would.
#[must_use]
pub fn count() -> usize {
    set().unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST))
}

fn set() -> Option<usize> {
    let count = std::env::var(VARIABLE).ok()?.parse().ok()?;
    (1..=MOST).contains(&count).then_some(count)
}

/// Fixes the number of computing threads: `asked`, or what a person set in `RAYON_NUM_THREADS`, or else (also where that is no
/// number from 1 to 1024) what the system offers this process.
///
/// Without it candle 0.11 asks the system anew in every matrix product, and on Linux that reads
/// `/proc/cpuinfo`: with the story model on 2 cores a token takes 1.3 ms instead of 0.4 (`ARCHITECTURE.md`).
///
/// Call it first in `main`, before any thread exists.
pub fn fix_count(asked: Option<u16>) {
    if asked.is_none() && set().is_some() {
        return;
    }
    let threads = asked.map_or_else(count, usize::from);
    #[expect(unsafe_code, reason = "setting a variable is unsafe, and candle takes the number from nowhere else")]
    // SAFETY: no other thread runs yet that could read the environment meanwhile; see above.
    unsafe {
        std::env::set_var(VARIABLE, threads.to_string());
    }
}
