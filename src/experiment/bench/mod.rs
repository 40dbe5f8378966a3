//! Benchmarks: a matrix of models, weights, lanes, depths, batches and threads, measured so that the numbers can be trusted.
//!
//! In reading order: [`mod@test`] is what is timed, [`matrix`] all of it in groups that are measured together, [`local`] an arm of kvlab's
//! ([`candle_kv`] are candle's own caches as arms), [`peer`] one of another engine, [`group`] the rounds of a group, [`result`] what an
//! arm measured.
//!
//! Arms that are compared take turns: in each round every arm of a group runs the whole test once, in an order that is drawn anew. So what changes on the machine meanwhile happens to all of them. Every turn stands between two read-only passes over the
//! very weights and cached bytes that it reads, its floor.

pub mod candle_kv;
pub mod group;
pub mod local;
pub mod matrix;
pub mod peer;
pub mod result;
pub mod test;

pub use group::{GroupRun, GroupSettings, Peaks};
pub use local::Subject;
pub use matrix::{Arm, Engine, Group, Matrix};
pub use peer::{PeerModel, Peers};
pub use result::{ArmResult, Repeat, Warning};
pub use test::{Test, Work};

use crate::{cache::CacheError, model::ModelError};

/// Why a benchmark cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("cancelled")]
    Cancelled,
    #[error("the matrix: {0}")]
    Matrix(String),
    #[error("peer `{command}`: {reason}")]
    Peer { command: String, reason: String },
    #[error("threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Model(ModelError),
}

impl From<ModelError> for BenchError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Cancelled => Self::Cancelled,
            error => Self::Model(error),
        }
    }
}
