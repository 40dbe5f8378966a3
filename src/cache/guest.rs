//! A cache that is not ours: one that a learner writes in a lab. The model runs over it as over any other.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use candle_core::Tensor;

use super::{CacheError, HeadShape, KvAccess, KvShape, Probe, SeqId, Span, host::HostRows};

/// Keys and values of one sequence, kept in whatever way. Rows are dense f32, token after token: `[T, heads, head_dim]`.
pub trait GuestCache: Send {
    /// Puts the keys and values `[T, n_kv_head, head_dim]` of new tokens behind those of `layer`.
    fn append(&mut self, layer: usize, k: &[f32], v: &[f32]);

    /// Attention of the newest tokens, those of the last [`GuestCache::append`] to `layer`, over all that the cache has of it: `q` and
    /// the result are `[T, n_head, head_dim]`. A query sees no token behind its own.
    fn attend(&mut self, layer: usize, q: &[f32]) -> Vec<f32>;

    fn bytes(&self) -> GuestBytes;
}

/// What a guest says that it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestBytes {
    /// Allocated.
    pub reserved_bytes: u64,
    /// Of those, with a token's keys and values in them.
    pub used_bytes: u64,
    /// Moved from one place to another since the cache was made.
    pub copied_bytes: u64,
}

/// What `todo!` puts before its text.
pub const TODO: &str = "not yet implemented: ";

/// Makes an empty cache for a model, or says why it cannot.
pub type MakeGuest = fn(KvShape) -> Result<Box<dyn GuestCache>, String>;

static REGISTERED: OnceLock<MakeGuest> = OnceLock::new();

/// From here on, in this program, the lane `mine` is made by `make`. Only the first call counts.
pub fn register(make: MakeGuest) {
    let _ = REGISTERED.set(make);
}

/// True where the lane `mine` can run.
#[must_use]
pub fn is_registered() -> bool {
    REGISTERED.get().is_some()
}

/// A guest that a session runs over: it knows how many tokens it was given, and whether it is whole.
pub struct Guest {
    cache: Box<dyn GuestCache>,
    len: usize,
    is_whole: bool,
}

impl Guest {
    /// An empty cache of the kind that is registered.
    ///
    /// # Errors
    /// [`CacheError::NoGuest`], [`CacheError::GuestRefused`]
    pub fn new(shape: KvShape) -> Result<Self, CacheError> {
        let make = REGISTERED.get().ok_or(CacheError::NoGuest)?;
        let cache = unless_panics(0, || make(shape))?.map_err(CacheError::GuestRefused)?;
        Ok(Self { cache, len: 0, is_whole: true })
    }

    /// Tokens it was given.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it says that it takes; nothing where it panics instead.
    #[must_use]
    pub fn bytes(&self) -> GuestBytes {
        unless_panics(0, || self.cache.bytes()).unwrap_or_default()
    }

    /// A step of `new` tokens. A guest cannot take tokens back: unless `run` succeeds, it can go on no more.
    ///
    /// # Errors
    /// [`CacheError::GuestBroken`], and those of `run`.
    pub fn step<T, E: From<CacheError>>(
        &mut self,
        heads: HeadShape,
        new: usize,
        run: impl FnOnce(&mut GuestStep<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if !self.is_whole {
            return Err(CacheError::GuestBroken.into());
        }
        self.is_whole = false;
        let result = run(&mut GuestStep::new(&mut *self.cache, heads, self.len, new))?;
        (self.len, self.is_whole) = (self.len + new, true);
        Ok(result)
    }
}

/// Calls a learner's code: a panic in it is an error of this lane and not the end of the program.
fn unless_panics<T>(layer: usize, call: impl FnOnce() -> T) -> Result<T, CacheError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let said = said(&*payload);
        match said.strip_prefix(TODO) {
            Some(todo) => CacheError::GuestNotWritten(todo.to_owned()),
            None => CacheError::GuestPanicked { layer, said },
        }
    })
}

/// The message of a panic.
#[must_use]
pub fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}

/// One step of a model over a guest's cache: `new` tokens behind `past`.
pub struct GuestStep<'a> {
    cache: &'a mut dyn GuestCache,
    heads: HeadShape,
    spans: [Span; 1],
}

impl<'a> GuestStep<'a> {
    pub fn new(cache: &'a mut dyn GuestCache, heads: HeadShape, past: usize, new: usize) -> Self {
        Self { cache, heads, spans: [Span { seq: SeqId::ALONE, past, new }] }
    }
}

impl KvAccess for GuestStep<'_> {
    fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// A guest tells no weights: a `probe` stays empty.
    fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _probe: Option<&mut Probe>,
    ) -> Result<Tensor, CacheError> {
        let HeadShape { n_head, n_kv_head, head_dim } = self.heads;
        let new = self.spans[0].new;
        let k = dense("k", k, [new, n_kv_head, head_dim])?;
        let v = dense("v", v, [new, n_kv_head, head_dim])?;
        let rows = dense("q", q, [new, n_head, head_dim])?;
        let attended = unless_panics(layer, || {
            self.cache.append(layer, &k, &v);
            self.cache.attend(layer, &rows)
        })?;
        if attended.len() != rows.len() {
            return Err(CacheError::Guest { layer, expected: rows.len(), actual: attended.len() });
        }
        Ok(Tensor::from_vec(attended, (new, n_head, head_dim), q.device())?)
    }
}

/// The rows of a tensor, one directly behind the other.
fn dense(name: &'static str, tensor: &Tensor, shape: [usize; 3]) -> Result<Vec<f32>, CacheError> {
    let rows = HostRows::new(name, tensor, shape)?;
    let (data, stride, width) = (rows.data()?, rows.token_stride(), shape[1] * shape[2]);
    Ok((0..shape[0]).flat_map(|token| &data[token * stride..][..width]).copied().collect())
}
