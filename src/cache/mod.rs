//! Where keys and values live.
//!
//! In reading order: [`spec`] is what a person may ask for; [`pool`] and [`blocks`] decide which block
//! holds which token, in plain integers; [`store`] puts bytes behind them; [`step`] is a forward
//! pass over them;
//! [`uncached`] is the same attention with nothing kept. [`capacity`] and [`lengths`] say how many users fit,
//! without a store.

pub mod blocks;
pub mod capacity;
pub mod host;
pub mod lengths;
pub mod picture;
mod planes;
pub mod pool;
pub mod spec;
pub mod step;
pub mod store;
pub mod uncached;

pub use blocks::{SeqId, Span};
pub use capacity::LaneBytes;
pub use lengths::Lengths;
pub use picture::{PoolPicture, SequencePicture};
pub use spec::{CacheSpec, Format, Lane, Layout, Retention};
pub use step::Step;
pub use store::{Footprint, KvShape, KvStore, StoreConfig, TokenPicture};
pub use uncached::Uncached;

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
    #[error("the memory limit does not hold one block of {block_len} token(s) per sequence; raise --cache-memory")]
    LimitTooSmall { block_len: usize },
    #[error("the cache is too large to be addressed")]
    TooLarge,
    #[error(transparent)]
    NotBuilt(#[from] spec::NotBuilt),
    #[error("the model's shape cannot be cached: {0}")]
    Shape(String),
    #[error("{tensor} has shape {actual:?}, expected {expected:?}")]
    TensorShape { tensor: &'static str, actual: Vec<usize>, expected: Vec<usize> },
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Heap bytes of a vector: what its allocation takes, filled or not.
pub(crate) fn vec_bytes<T>(vec: &Vec<T>) -> u64 {
    (vec.capacity() * size_of::<T>()) as u64
}
