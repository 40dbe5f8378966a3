//! How often a GPU was asked for something.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

/// What the caches of this program asked a GPU to do; what candle asks for the rest of the model is not among it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub launches: u64,
    /// Copies from the host: a list of rows for all layers, and lists of rows that are copied.
    pub uploads: u64,
    /// Copies to the host, each of which waits for the GPU.
    pub downloads: u64,
    /// Copies inside the GPU's memory that are no launches.
    pub device_copies: u64,
    pub allocations: u64,
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { launches: 0, uploads: 0, downloads: 0, device_copies: 0, allocations: 0 }) };
}

impl Counts {
    /// Since this thread began.
    #[must_use]
    pub fn now() -> Self {
        COUNTS.get()
    }

    /// What came after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            launches: self.launches - before.launches,
            uploads: self.uploads - before.uploads,
            downloads: self.downloads - before.downloads,
            device_copies: self.device_copies - before.device_copies,
            allocations: self.allocations - before.allocations,
        }
    }
}

#[cfg(feature = "cuda")]
pub(super) fn count(add: impl FnOnce(&mut Counts)) {
    let mut counts = COUNTS.get();
    add(&mut counts);
    COUNTS.set(counts);
}
