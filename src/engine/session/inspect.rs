//! The numbers inside: one token's key and value in one head, as computed and as stored, and the softmax of the newest token.
//!
//! Read in passes of their own, which are forgotten again, so that nothing of the session changes and nothing of it is slower.

mod capture;
mod softmax;

use std::sync::atomic::AtomicBool;

use super::Session;
use crate::{
    cache::{HeadShape, KvStore, Lane, Layout, RowGroups, SeqId, Uncached, VisibleRows},
    engine::EngineError,
    model::Gpt2,
};
use capture::Capture;
use softmax::{HeadRows, online_softmax};
pub use softmax::{OnlineSoftmax, SoftmaxTile};

/// Positions of a tile of the softmax where the layout has no blocks to go by.
const TILE_TOKENS: usize = 16;
/// Shorter tiles are too many to read, longer ones show no steps. Our kernels take 128 tokens at a time.
const TILE_RANGE: (usize, usize) = (8, 32);

/// Where to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub layer: usize,
    /// A query head. Its keys and values are those of the KV head `head / (n_head / n_kv_head)`.
    pub head: usize,
    /// Of a token that was stored, evicted since or not. The newest token is not stored yet.
    pub position: usize,
}

/// What was found there.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    pub layer: usize,
    pub head: usize,
    pub position: usize,
    /// Tokens before the newest: those that can be asked for. A lane with a cache has stored them all, and may have evicted some.
    pub stored_tokens: usize,
    pub key: InspectedRow,
    pub value: InspectedRow,
    /// The newest token's attention in this layer and head, over what the lane holds.
    pub softmax: OnlineSoftmax,
}

/// A key or a value of one head, `[head_dim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectedRow {
    /// What a lane without loss would hold: of a pass over the same tokens in which nothing is stored, rounded or evicted. In layer 0 a
    /// stored row differs from it by its own rounding alone. In deeper layers it also differs by what the loss of the layers before did
    /// to the token's hidden state.
    pub exact: Vec<f32>,
    pub stored: Stored,
}

/// What the lane holds of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// The lane has no cache: rows are computed anew in every step.
    NoCache,
    /// The token was evicted.
    Evicted,
    /// Kept in f32 as yet; its group is quantized once enough newer tokens exist (`kivi`).
    Exact(Vec<f32>),
    /// In the lane's format.
    Decoded {
        /// As attention reads them, rotated back where the lane rotates.
        numbers: Vec<f32>,
        /// How they are stored; of rotated numbers where the lane rotates. `None` on a GPU, whose memory is not looked into.
        groups: Option<RowGroups>,
        is_rotated: bool,
    },
}

impl Stored {
    /// The numbers that attention reads, if there are some.
    #[must_use]
    pub fn numbers(&self) -> Option<&[f32]> {
        match self {
            Self::NoCache | Self::Evicted => None,
            Self::Exact(numbers) | Self::Decoded { numbers, .. } => Some(numbers),
        }
    }
}

impl Session {
    /// Looks at the stored key and value of one token in one layer and head, and at the newest token's attention there. Two passes, one
    /// of them over all tokens.
    ///
    /// # Errors
    /// [`EngineError::NotStarted`], [`EngineError::NotThere`], and those of [`Session::decode`], a full cache among them, since the newest
    /// token has to be stored for its attention. Nothing changes either way.
    pub fn inspect(&mut self, ask: Ask, cancel: &AtomicBool) -> Result<Inspection, EngineError> {
        let Some(stored_tokens) = self.tokens.len().checked_sub(1) else { return Err(EngineError::NotStarted) };
        if self.guest.is_some() {
            return Err(EngineError::Guest);
        }
        let model = self.model.clone();
        let model = &model.model;
        let heads = model.config().heads();
        check("layer", ask.layer, model.config().n_layer)?;
        check("head", ask.head, heads.n_head)?;
        check("stored token", ask.position, stored_tokens)?;
        let place = Place { model, heads, ask };
        let tile_tokens = tile_tokens(self.lane);
        let (head_dim, Ask { layer, head, position }) = (heads.head_dim, ask);
        let row = |rows: &[f32], index: usize| rows[index * head_dim..][..head_dim].to_vec();

        let Some((store, seq)) = &mut self.cache else {
            let (query, rows) = place.uncached(&self.tokens, cancel)?;
            let inspected = |rows: &[f32]| InspectedRow { exact: row(rows, position), stored: Stored::NoCache };
            let (key, value) = (inspected(&rows.keys), inspected(&rows.values));
            let softmax = online_softmax(&query, &rows, tile_tokens);
            return Ok(Inspection { layer, head, position, stored_tokens, key, value, softmax });
        };
        let (_, exact) = place.uncached(&self.tokens[..stored_tokens], cancel)?;
        let (query, rows) = place.newest(store, *seq, self.tokens[stored_tokens], cancel)?;
        let [key, value] = place.stored(store, *seq, &rows)?;
        Ok(Inspection {
            layer,
            head,
            position,
            stored_tokens,
            key: InspectedRow { exact: row(&exact.keys, position), stored: key },
            value: InspectedRow { exact: row(&exact.values, position), stored: value },
            softmax: online_softmax(&query, &rows, tile_tokens),
        })
    }
}

fn check(what: &'static str, asked: usize, n: usize) -> Result<(), EngineError> {
    if asked < n { Ok(()) } else { Err(EngineError::NotThere { what, asked, n }) }
}

fn tile_tokens(lane: Lane) -> usize {
    match lane {
        Lane::Cache(spec) => match spec.layout {
            Layout::Paged { block_len } => block_len.clamp(TILE_RANGE.0, TILE_RANGE.1),
            Layout::Concat | Layout::Contiguous => TILE_TOKENS,
        },
        Lane::None | Lane::Mine => TILE_TOKENS,
    }
}

/// A layer and head of a model, and a token.
struct Place<'a> {
    model: &'a Gpt2,
    heads: HeadShape,
    ask: Ask,
}

impl Place<'_> {
    /// Runs `tokens` with nothing stored: the last one's query, and the rows of all.
    fn uncached(&self, tokens: &[u32], cancel: &AtomicBool) -> Result<(Vec<f32>, HeadRows), EngineError> {
        let mut kv = Uncached::new(self.heads, tokens.len());
        let mut capture = Capture::new(&mut kv, self.heads, self.ask.layer, self.ask.head);
        self.model.hidden(tokens, &mut capture, None, cancel)?;
        let Capture { query, keys, values, .. } = capture;
        Ok((query, HeadRows { positions: (0..tokens.len()).collect(), keys, values }))
    }

    /// Runs the newest token through the lane's cache and forgets it: its query, and the rows that it saw, its own among them.
    fn newest(
        &self,
        store: &mut KvStore,
        seq: SeqId,
        newest: u32,
        cancel: &AtomicBool,
    ) -> Result<(Vec<f32>, HeadRows), EngineError> {
        let mut step = store.reserve(&[(seq, 1)])?;
        let mut capture = Capture::new(&mut step, self.heads, self.ask.layer, self.ask.head);
        self.model.hidden(&[newest], &mut capture, None, cancel)?;
        let query = capture.query;
        let VisibleRows { positions, keys, values } = step.read(0, self.ask.layer)?;
        step.forget();
        let HeadShape { n_kv_head, head_dim, .. } = self.heads;
        let first = self.heads.kv_head(self.ask.head) * head_dim;
        let of_head = |rows: &[f32]| {
            rows.chunks_exact(n_kv_head * head_dim).flat_map(|row| &row[first..first + head_dim]).copied().collect()
        };
        Ok((query, HeadRows { keys: of_head(&keys), values: of_head(&values), positions }))
    }

    /// What the store holds of the token's key and value; `rows` are decoded.
    fn stored(&self, store: &KvStore, seq: SeqId, rows: &HeadRows) -> Result<[Stored; 2], EngineError> {
        let (Ask { layer, head, position }, head_dim) = (self.ask, self.heads.head_dim);
        let Ok(index) = rows.positions.binary_search(&position) else { return Ok([Stored::Evicted, Stored::Evicted]) };
        let number = |rows: &[f32]| rows[index * head_dim..][..head_dim].to_vec();
        let (spec, picture) = (store.spec(), store.picture(seq)?);
        let is_open = picture.get(position).is_some_and(|token| token.format != spec.format);
        if is_open {
            return Ok([&rows.keys, &rows.values].map(|rows| Stored::Exact(number(rows))));
        }
        let [key, value] = match store.describe(seq, (layer, self.heads.kv_head(head)), position)? {
            Some(groups) => groups.map(Some),
            None => [None, None],
        };
        let is_rotated = spec.rotate;
        Ok([(&rows.keys, key), (&rows.values, value)].map(|(rows, groups)| Stored::Decoded {
            numbers: number(rows),
            groups,
            is_rotated,
        }))
    }
}
