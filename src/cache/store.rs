//! The store of one lane: many sequences, one layout, one format.
//!
//! A forward pass is a [`Step`]: [`KvStore::reserve`] makes room for the new tokens of every sequence in
//! the batch or changes nothing; the model attends layer by layer; [`Step::commit`] makes the tokens part
//! of their sequences. A step that is dropped instead (an error, a cancelled run) leaves no trace but its
//! count of copied bytes.

use crate::kernels::{HeadShape, walk::Tile};

use super::{
    CacheError, CacheSpec, Format, Layout, Step,
    blocks::{BlockTables, Limits, SeqId, block_len},
    capacity::LaneBytes,
    picture::{PoolPicture, SequencePicture},
    planes::{LayerPlanes, RowBytes},
    vec_bytes,
};

/// What of a model's shape a cache depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    pub n_layer: usize,
    pub heads: HeadShape,
    /// The longest sequence (GPT-2's `n_positions`).
    pub max_seq_len: usize,
}

impl KvShape {
    /// The textbook formula: `2 * n_layer * n_kv_head * head_dim * bytes` for each token, scales, tables and
    /// unfilled blocks not counted. The lab draws it beside what a cache really takes.
    #[must_use]
    pub fn formula_bytes_per_token(&self, format: Format) -> u64 {
        let bytes = if format == Format::Int8 { 1 } else { size_of::<f32>() };
        (2 * self.n_layer * self.heads.n_kv_head * self.heads.head_dim * bytes) as u64
    }
}

/// How a store is sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Sequences open at the same time. Pools are sized for all of them at full length.
    pub max_sequences: usize,
    /// At most this many bytes of keys, values and scales (`--cache-memory`).
    pub memory_limit_bytes: Option<u64>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { max_sequences: 1, memory_limit_bytes: None }
    }
}

/// What a store takes, counted from its real allocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Allocated for keys, values and scales.
    pub reserved_bytes: u64,
    /// Of those, in blocks that a sequence holds: nobody else can use them.
    pub held_bytes: u64,
    /// Of those, filled with a live token's rows. A block shared by forks counts once.
    pub used_bytes: u64,
    /// Tokens over all sequences; a token shared by forks counts for each.
    pub live_tokens: u64,
    /// Bytes of stored rows moved since the store was built. Writing a new row is no move, except in
    /// `concat`, whose new row is copied into the new buffer with all the old ones.
    pub copied_bytes: u64,
    /// Block tables, pool and bookkeeping.
    pub metadata_bytes: u64,
}

/// Where one token lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPicture {
    pub block: u32,
    pub slot: u32,
    pub format: Format,
    /// False once a retention policy has evicted the token.
    pub live: bool,
}

/// Keys and values of many sequences.
pub struct KvStore {
    pub(super) spec: CacheSpec,
    pub(super) shape: KvShape,
    pub(super) row: RowBytes,
    pub(super) tables: BlockTables,
    /// The pool's planes, one per layer; none for `concat`.
    pub(super) pool: Vec<LayerPlanes>,
    /// The buffers of each sequence slot, one per layer; for `concat` only.
    pub(super) grown: Vec<Vec<LayerPlanes>>,
    pub(super) copied_bytes: u64,
}

impl KvStore {
    /// # Errors
    /// [`CacheError::NotBuilt`], [`CacheError::Shape`], [`CacheError::LimitTooSmall`],
    /// [`CacheError::TooLarge`]; nothing is allocated then.
    pub fn new(spec: CacheSpec, shape: KvShape, config: StoreConfig) -> Result<Self, CacheError> {
        let (tables, row, _) = plan(spec, shape, config)?;
        let block_len = tables.block_len();
        let mut grown = Vec::new();
        let mut pool = Vec::new();
        if spec.layout == Layout::Concat {
            grown.reserve_exact(config.max_sequences);
            grown.resize_with(config.max_sequences, || LayerPlanes::all(shape.n_layer, row, 0));
        } else {
            pool = LayerPlanes::all(shape.n_layer, row, tables.n_blocks() * block_len);
        }
        Ok(Self { spec, shape, row, tables, pool, grown, copied_bytes: 0 })
    }

    /// The most bytes of keys, values and scales such a store takes, before it is built.
    ///
    /// # Errors
    /// As [`KvStore::new`].
    pub fn pool_bytes(spec: CacheSpec, shape: KvShape, config: StoreConfig) -> Result<u64, CacheError> {
        plan(spec, shape, config).map(|(_, _, bytes)| bytes)
    }

    #[must_use]
    pub fn spec(&self) -> CacheSpec {
        self.spec
    }

    #[must_use]
    pub fn shape(&self) -> KvShape {
        self.shape
    }

    /// A new, empty sequence.
    ///
    /// # Errors
    /// [`CacheError::TooManySequences`]
    pub fn open(&mut self) -> Result<SeqId, CacheError> {
        self.tables.open()
    }

    /// A second sequence with the same tokens: blocks are shared where the layout has a pool, and copied
    /// (and counted) where it has not.
    ///
    /// # Errors
    /// [`CacheError::TooManySequences`], [`CacheError::CacheFull`], [`CacheError::UnknownSequence`]
    pub fn fork(&mut self, seq: SeqId) -> Result<SeqId, CacheError> {
        let parent = self.tables.slot(seq)?;
        let (child, copies) = self.tables.fork(seq)?;
        let block_len = self.tables.block_len();
        for planes in &mut self.pool {
            for copy in &copies {
                let (from, to) = (copy.from as usize * block_len, copy.to as usize * block_len);
                self.copied_bytes += planes.copy(self.row, from, to, copy.rows);
            }
        }
        if self.spec.layout == Layout::Concat {
            let (len, slot) = (self.tables.len(child)?, self.tables.slot(child)?);
            for layer in 0..self.shape.n_layer {
                self.grown[slot][layer] = self.grown[parent][layer].regrown(self.row, len, len);
                self.copied_bytes += 2 * (len * self.row.total()) as u64;
            }
        }
        Ok(child)
    }

    /// Ends a sequence and gives back what it holds.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn close(&mut self, seq: SeqId) -> Result<(), CacheError> {
        let slot = self.tables.slot(seq)?;
        self.tables.close(seq)?;
        if let Some(layers) = self.grown.get_mut(slot) {
            *layers = LayerPlanes::all(self.shape.n_layer, self.row, 0);
        }
        Ok(())
    }

    /// Tokens of a sequence.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn len(&self, seq: SeqId) -> Result<usize, CacheError> {
        self.tables.len(seq)
    }

    /// Forgets the tokens from `len` on.
    ///
    /// # Errors
    /// [`CacheError::TruncateGrows`], [`CacheError::UnknownSequence`]
    pub fn truncate(&mut self, seq: SeqId, len: usize) -> Result<(), CacheError> {
        self.tables.truncate(seq, len)
    }

    /// Makes room for `n` more tokens of each `(sequence, n)`, for all of them or for none.
    ///
    /// # Errors
    /// [`CacheError::CacheFull`], [`CacheError::ContextFull`], [`CacheError::UnknownSequence`],
    /// [`CacheError::RepeatedSequence`], [`CacheError::EmptyStep`]
    pub fn reserve(&mut self, requests: &[(SeqId, usize)]) -> Result<Step<'_>, CacheError> {
        let reservation = self.tables.reserve(requests)?;
        Ok(Step::new(self, reservation))
    }

    /// What the store takes now.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let token_bytes = self.token_bytes();
        let bytes_of = |layers: &[LayerPlanes]| layers.iter().map(LayerPlanes::bytes).sum::<u64>();
        let live_tokens: usize = self.tables.open_sequences().map(|(len, _)| len).sum();
        let grown_bytes: u64 = self.grown.iter().map(|layers| bytes_of(layers)).sum();
        let reserved_bytes = bytes_of(&self.pool) + grown_bytes;
        let held_bytes = if self.spec.layout == Layout::Concat {
            grown_bytes
        } else {
            (self.tables.n_held() * self.tables.block_len()) as u64 * token_bytes
        };
        let layers_bytes = |layers: &Vec<LayerPlanes>| vec_bytes(layers);
        Footprint {
            reserved_bytes,
            held_bytes,
            used_bytes: self.distinct_tokens() as u64 * token_bytes,
            live_tokens: live_tokens as u64,
            copied_bytes: self.copied_bytes,
            metadata_bytes: self.tables.metadata_bytes()
                + vec_bytes(&self.pool)
                + vec_bytes(&self.grown)
                + self.grown.iter().map(layers_bytes).sum::<u64>(),
        }
    }

    /// For every token of a sequence: its block, its slot, its format, whether it is live.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn picture(&self, seq: SeqId) -> Result<Vec<TokenPicture>, CacheError> {
        let (len, table, block_len) = (self.tables.len(seq)?, self.tables.table(seq)?, self.tables.block_len());
        let place = |token: usize| match self.spec.layout {
            // One tensor that grows: block 0, and the token's own place in it.
            Layout::Concat => (0, token),
            Layout::Contiguous | Layout::Paged { .. } => (table[token / block_len], token % block_len),
        };
        Ok((0..len)
            .map(|token| {
                let (block, slot) = place(token);
                let slot = u32::try_from(slot).unwrap_or(u32::MAX);
                TokenPicture { block, slot, format: self.spec.format, live: true }
            })
            .collect())
    }

    /// The pool and the tables of `sequences`, in their order; an empty one for each `None`.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn pool_picture(&self, sequences: impl IntoIterator<Item = Option<SeqId>>) -> Result<PoolPicture, CacheError> {
        let sequences = sequences.into_iter().map(|seq| {
            let Some(seq) = seq else { return Ok(SequencePicture::default()) };
            Ok(SequencePicture { len: self.tables.len(seq)?, blocks: self.tables.table(seq)?.to_vec() })
        });
        Ok(PoolPicture {
            block_len: self.tables.block_len(),
            n_blocks: self.tables.n_blocks(),
            token_bytes: self.token_bytes(),
            sequences: sequences.collect::<Result<_, CacheError>>()?,
        })
    }

    /// Keys, values and scales of one token over all layers, as stored.
    #[must_use]
    pub fn token_bytes(&self) -> u64 {
        2 * (self.shape.n_layer * self.row.total()) as u64
    }

    /// The stored keys and values of one layer as f32, `[len, n_kv_head, head_dim]` each: for inspection.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`], [`CacheError::Shape`] for a layer that does not exist
    pub fn read(&self, seq: SeqId, layer: usize) -> Result<(Vec<f32>, Vec<f32>), CacheError> {
        let (len, slot) = (self.tables.len(seq)?, self.tables.slot(seq)?);
        if layer >= self.shape.n_layer {
            return Err(CacheError::Shape(format!("layer {layer} of {}", self.shape.n_layer)));
        }
        let (mut k, mut v) = (vec![], vec![]);
        for token in 0..len {
            let (planes, row) = self.place(slot, self.tables.table(seq)?, layer, token);
            planes.read(self.row, row, &mut k, &mut v);
        }
        Ok((k, v))
    }

    /// Tokens whose rows exist once, however many forks share them.
    fn distinct_tokens(&self) -> usize {
        let block_len = self.tables.block_len();
        let mut shared = std::collections::BTreeMap::new();
        let mut tokens = 0;
        for (len, table) in self.tables.open_sequences() {
            if self.spec.layout == Layout::Concat {
                tokens += len;
                continue;
            }
            for (index, &block) in table.iter().enumerate().take(len.div_ceil(block_len)) {
                let fill = (len - index * block_len).min(block_len);
                if self.tables.ref_count(block) > 1 {
                    let deepest = shared.entry(block).or_insert(0);
                    *deepest = fill.max(*deepest);
                } else {
                    tokens += fill;
                }
            }
        }
        tokens + shared.values().sum::<usize>()
    }

    /// The planes that hold `token`, and its row in them.
    fn place(&self, slot: usize, table: &[u32], layer: usize, token: usize) -> (&LayerPlanes, usize) {
        if self.spec.layout == Layout::Concat {
            (&self.grown[slot][layer], token)
        } else {
            let block_len = self.tables.block_len();
            (&self.pool[layer], table[token / block_len] as usize * block_len + token % block_len)
        }
    }

    /// The first `len` tokens of a sequence in one layer, as tiles for the walk.
    pub(super) fn tiles(&self, seq: SeqId, layer: usize, len: usize) -> Result<Vec<Tile<'_>>, CacheError> {
        if self.spec.layout == Layout::Concat {
            return Ok(vec![self.grown[self.tables.slot(seq)?][layer].tile(self.row, 0, len)]);
        }
        let block_len = self.tables.block_len();
        if let (Layout::Contiguous, Some(&first)) = (self.spec.layout, self.tables.table(seq)?.first()) {
            // Its blocks are neighbours: one tile.
            return Ok(vec![self.pool[layer].tile(self.row, first as usize * block_len, len)]);
        }
        let blocks = self.tables.table(seq)?.iter().enumerate().take(len.div_ceil(block_len));
        Ok(blocks
            .map(|(index, &block)| {
                let fill = (len - index * block_len).min(block_len);
                self.pool[layer].tile(self.row, block as usize * block_len, fill)
            })
            .collect())
    }
}

/// Checks everything a store depends on; returns its tables, its row and the most bytes it can take.
fn plan(spec: CacheSpec, shape: KvShape, config: StoreConfig) -> Result<(BlockTables, RowBytes, u64), CacheError> {
    spec.check_built()?;
    let HeadShape { n_head, n_kv_head, head_dim } = shape.heads;
    if n_kv_head == 0 || n_head % n_kv_head != 0 {
        return Err(CacheError::Shape(format!("{n_head} query heads cannot share {n_kv_head} key heads")));
    }
    if head_dim == 0 || head_dim % 8 != 0 {
        return Err(CacheError::Shape(format!("head_dim {head_dim} is no multiple of 8")));
    }
    if config.max_sequences == 0 || shape.n_layer == 0 || shape.max_seq_len == 0 {
        return Err(CacheError::Shape("a cache needs a layer, a sequence and a token at least".into()));
    }
    let row = RowBytes { format: spec.format, n_kv_head, head_dim };
    let block_bytes = [2, shape.n_layer, block_len(spec.layout), row.total()]
        .into_iter()
        .try_fold(1_usize, usize::checked_mul)
        .ok_or(CacheError::TooLarge)?;
    let max_blocks =
        config.memory_limit_bytes.map(|bytes| usize::try_from(bytes / block_bytes as u64).unwrap_or(usize::MAX));
    let limits = Limits { max_sequences: config.max_sequences, max_seq_len: shape.max_seq_len, max_blocks };
    let tables = BlockTables::new(spec.layout, limits)?;
    let bytes = tables.most_blocks().checked_mul(block_bytes).filter(|bytes| isize::try_from(*bytes).is_ok());
    Ok((tables, row, bytes.ok_or(CacheError::TooLarge)? as u64))
}

impl LaneBytes {
    /// The few numbers by which [`super::capacity`] plans stores of `spec`; the context of `shape` plays no part.
    ///
    /// # Errors
    /// As [`KvStore::new`].
    pub fn of(spec: CacheSpec, shape: KvShape) -> Result<Self, CacheError> {
        let one_block = KvShape { max_seq_len: 1, ..shape };
        let (tables, row, _) = plan(spec, one_block, StoreConfig::default())?;
        Ok(Self {
            layout: spec.layout,
            retention: spec.retention,
            n_layer: shape.n_layer as u64,
            block_len: tables.block_len() as u64,
            token_bytes: 2 * (shape.n_layer * row.total()) as u64,
            code_bytes: row.codes() as u64,
            sequence_bytes: 0,
        })
    }
}
