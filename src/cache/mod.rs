//! Where keys and values live.
//!
//! In reading order: [`spec`] is what a person may ask for; [`pool`] and [`blocks`] decide which block
//! holds which token, [`retention`] which tokens stay ([`live`]), [`residual`] which are still exact, all in plain integers;
//! [`store`] puts bytes behind them; [`step`] is a forward pass over them;
//! [`uncached`] is the same attention with nothing kept. [`capacity`] and [`lengths`] say how many users fit, without a store.

pub mod blocks;
mod calibration;
pub mod capacity;
pub mod guest;
pub mod host;
mod inspect;
mod ledger;
pub mod lengths;
pub mod live;
mod memory;
pub mod picture;
mod planes;
pub mod pool;
pub mod residual;
pub mod retention;
pub mod spec;
pub mod step;
pub mod store;
pub mod uncached;

pub use blocks::{SeqId, Span};
pub use calibration::Calibration;
pub use capacity::LaneBytes;
pub use guest::{Guest, GuestBytes, GuestCache, GuestStep};
pub use inspect::TokenPicture;
pub use ledger::Footprint;
pub use lengths::Lengths;
pub use picture::{PoolPicture, SequencePicture};
pub use spec::{CacheSpec, Format, Lane, Layout, Retention};
pub use step::{Step, VisibleRows};
pub use store::{KvShape, KvStore, StoreConfig};
pub use uncached::Uncached;

pub use crate::kernels::{
    HeadShape,
    codec::{Group, Number, Over, RowGroups, Rule},
};

use candle_core::Tensor;

/// What the model's attention needs: the new tokens of this step, and somewhere to put and find keys
/// and values.
pub trait KvAccess {
    /// The sequences of the step, in the order of their tokens in the flattened batch.
    fn spans(&self) -> &[Span];

    /// Stores `k`, `v` and answers `q` with causal attention over all tokens stored so far. To be called once for a
    /// layer of a step.
    ///
    /// `q` is `[T, n_head, head_dim]`, `k` and `v` are `[T, n_kv_head, head_dim]`, `T` the tokens of all
    /// spans; views with a token stride are read in place. The result is `[T, n_head, head_dim]`. A
    /// `probe` receives the attention weights of each span.
    ///
    /// # Errors
    /// Shapes that do not fit the step, or a failing device.
    fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError>;
}

/// Attention weights of one layer: per span `[n_head, T, past + T]`, flattened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probe {
    pub spans: Vec<Vec<f32>>,
}

/// What can go wrong in a cache. Whatever it is, the cache is as it was before the call.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error(
        "cache is full: {needed_blocks} more block(s) of {block_len} token(s) needed, {free_blocks} free; nothing \
         was changed. Raise --cache-memory, generate fewer tokens, or use a smaller format"
    )]
    CacheFull { needed_blocks: usize, free_blocks: usize, block_len: usize },
    #[error("the context ends at {max_seq_len} tokens and {tokens} were asked for; nothing was changed")]
    ContextFull { tokens: usize, max_seq_len: usize },
    #[error("the cache holds at most {max_sequences} sequence(s); close one first")]
    TooManySequences { max_sequences: usize },
    #[error("this sequence was closed, or belongs to another cache")]
    UnknownSequence,
    #[error("a step names the same sequence twice")]
    RepeatedSequence,
    #[error("a step must add at least one token")]
    EmptyStep,
    #[error("cannot truncate to {len} tokens: the sequence has {current}")]
    TruncateGrows { len: usize, current: usize },
    #[error(
        "cannot truncate to {len} tokens: the sequence has evicted tokens since it was that long; the shortest length to go back to \
         is {nearest_len}; nothing was changed"
    )]
    Evicted { len: usize, nearest_len: usize },
    #[error(
        "cannot truncate to {len} tokens: since then a group of tokens was sealed, which cannot be undone; the shortest length to \
         go back to is {nearest_len}; nothing was changed"
    )]
    Sealed { len: usize, nearest_len: usize },
    #[error(
        "cannot truncate to {len} tokens: h2o has already counted the attention of those after it; nothing was changed. Fork a \
         sequence before tokens that may be taken back"
    )]
    Scored { len: usize },
    #[error("the model has {n_layer} layers, and there is no layer {layer}")]
    NoLayer { layer: usize, n_layer: usize },
    #[error(transparent)]
    Spec(#[from] spec::SpecError),
    #[error("{tensor} of layer {layer} is infinite or no number in token {token} of the step; nothing was changed")]
    NotFinite { tensor: &'static str, layer: usize, token: usize },
    #[error("`{0}` needs levels that were found on a text; none were given")]
    NotCalibrated(CacheSpec),
    #[error(
        "the memory limit does not hold one block of {block_len} token(s) per sequence (and, with kivi, the tokens that stay exact); \
         raise --cache-memory"
    )]
    LimitTooSmall { block_len: usize },
    #[error("the cache is too large to be addressed")]
    TooLarge,
    #[error("`{lane}` cannot store this model: {reason}")]
    Refused { lane: CacheSpec, reason: String },
    #[error("the model's shape cannot be cached: {0}")]
    Shape(String),
    #[error("{tensor} has shape {actual:?}, expected {expected:?}")]
    TensorShape { tensor: &'static str, actual: Vec<usize>, expected: Vec<usize> },
    #[error(
        "attention of layer {layer} returned {actual} numbers and {expected} were expected: one for each of the queries"
    )]
    Guest { layer: usize, expected: usize, actual: usize },
    #[error("`mine` is not written yet: {0}")]
    GuestNotWritten(String),
    #[error("the code of `mine` panicked in layer {layer}: {said}")]
    GuestPanicked { layer: usize, said: String },
    #[error(
        "`mine` is a learner's own cache, and none is registered here: a lab opens the window with it (`kvlab lab open N`)"
    )]
    NoGuest,
    #[error("`mine` cannot store this model: {0}")]
    GuestRefused(String),
    #[error("`mine` was left in the middle of a step and cannot go on; run it again")]
    GuestBroken,
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Heap bytes of a vector: what its allocation takes, filled or not.
pub(crate) fn vec_bytes<T>(vec: &Vec<T>) -> u64 {
    (vec.capacity() * size_of::<T>()) as u64
}
