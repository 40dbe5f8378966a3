//! A number of threads to measure with.

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::kernels::thread_pool::with_threads;

pub use crate::kernels::threads::fix_count;

/// Threads for whatever computes: candle's operations and our own kernels.
#[derive(Clone, Debug)]
pub struct Threads(Arc<ThreadPool>);

impl Threads {
    /// # Errors
    /// If the system refuses them.
    pub fn new(threads: usize) -> Result<Self, ThreadPoolBuildError> {
        Ok(Self(Arc::new(ThreadPoolBuilder::new().num_threads(threads).build()?)))
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Runs `f` on one of them, which has the others to help.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.0.install(|| with_threads(self.count(), f))
    }
}
