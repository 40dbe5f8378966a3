//! The store of one lane: many sequences, one layout, one format, one policy of what stays.
//!
//! A forward pass is a [`Step`]: [`KvStore::reserve`] makes room for the new tokens of every sequence in
//! the batch or changes nothing; the model attends layer by layer; [`Step::commit`] makes the tokens part
//! of their sequences. A step that is dropped instead (an error, a cancelled run) leaves no trace but its
//! count of copied bytes.

mod plan;

use std::sync::Arc;

use crate::kernels::{
    HeadShape,
    codec::{Codec, GROUP, Levels},
    walk::Tile,
};

use super::{
    CacheError, CacheSpec, Format, Layout, Span, Step,
    blocks::{BlockTables, RowRun, SeqId},
    live::Positions,
    planes::{LayerLevels, LayerPlanes, TokenRows},
    residual::Residual,
    vec_bytes,
};

use plan::{Plan, plan, ring_rows};

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
        let bits = TokenRows::of(format, self.heads).keys.bits();
        (2 * self.n_layer * self.heads.n_kv_head * self.heads.head_dim * bits / 8) as u64
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

/// Levels of every layer, for formats that need some found beforehand: of its keys and of its values.
#[derive(Clone, Debug)]
pub struct Calibration {
    layers: Vec<LayerLevels>,
}

impl Calibration {
    #[must_use]
    pub fn new(layers: Vec<(Levels, Levels)>) -> Self {
        let layers = layers.into_iter().map(|(keys, values)| (Arc::new(keys), Arc::new(values)));
        Self { layers: layers.collect() }
    }

    /// Keys' and values' levels of each layer.
    pub fn layers(&self) -> impl Iterator<Item = (&Levels, &Levels)> {
        self.layers.iter().map(|(keys, values)| (&**keys, &**values))
    }

    /// Levels and channel ranges in bytes. Every store of a model shares them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let of = |levels: &Levels| vec_bytes(&levels.levels) + vec_bytes(&levels.channels);
        self.layers().map(|(keys, values)| of(keys) + of(values)).sum()
    }

    fn fits(&self, rows: TokenRows, n_layer: usize) -> bool {
        let width = rows.shape.width();
        self.layers.len() == n_layer
            && self.layers.iter().all(|(keys, values)| {
                let has_levels = |levels: &Levels, codec: Codec| levels.levels.len() == 1 << codec.bits();
                has_levels(keys, rows.keys)
                    && has_levels(values, rows.values)
                    && keys.channels.len() == width
                    && values.channels.is_empty()
            })
    }
}

/// Keys and values of many sequences.
pub struct KvStore {
    pub(super) spec: CacheSpec,
    pub(super) shape: KvShape,
    pub(super) rows: TokenRows,
    pub(super) tables: BlockTables,
    /// The pool's planes, one per layer; none for `concat`.
    pub(super) pool: Vec<LayerPlanes>,
    /// The buffers of each sequence slot, one per layer; for `concat` only.
    pub(super) grown: Vec<Vec<LayerPlanes>>,
    /// Formats that quantize groups of tokens keep the newest exact, in the ring of their sequence, one per layer.
    pub(super) residual: Option<Residual>,
    pub(super) rings: Vec<Vec<LayerPlanes>>,
    /// The attention that each token of a sequence got so far; for policies that ask for it.
    pub(super) scores: Vec<Vec<f64>>,
    pub(super) copied_bytes: u64,
}

impl KvStore {
    /// # Errors
    /// [`CacheError::Shape`], [`CacheError::Refused`], [`CacheError::LimitTooSmall`], [`CacheError::TooLarge`],
    /// [`CacheError::NotCalibrated`]; nothing is allocated then.
    pub fn new(spec: CacheSpec, shape: KvShape, config: StoreConfig) -> Result<Self, CacheError> {
        Self::with_calibration(spec, shape, config, None)
    }

    /// A store whose format needs levels that were found on a text.
    ///
    /// # Errors
    /// As [`KvStore::new`]; [`CacheError::NotCalibrated`] also if they are those of another shape.
    pub fn with_calibration(
        spec: CacheSpec,
        shape: KvShape,
        config: StoreConfig,
        calibration: Option<&Calibration>,
    ) -> Result<Self, CacheError> {
        let Plan { tables, rows, residual, .. } = plan(spec, shape, config)?;
        let calibration = match (spec.format, calibration) {
            (Format::Kvq { .. }, Some(calibration)) if calibration.fits(rows, shape.n_layer) => Some(calibration),
            (Format::Kvq { .. }, _) => return Err(CacheError::NotCalibrated(spec)),
            _ => None,
        };
        let (n_layer, n_sequences) = (shape.n_layer, config.max_sequences);
        let layers = |rows: TokenRows, n_rows: usize| -> Vec<LayerPlanes> {
            let levels = |layer: usize| calibration.and_then(|all| all.layers.get(layer));
            let mut layers = Vec::with_capacity(n_layer);
            layers.extend((0..n_layer).map(|layer| LayerPlanes::new(rows, levels(layer), n_rows)));
            layers
        };
        let is_concat = spec.layout == Layout::Concat;
        let pool = if is_concat { vec![] } else { layers(rows, tables.n_blocks() * tables.block_len()) };
        let mut grown = slots(is_concat, n_sequences);
        for slot in &mut grown {
            *slot = layers(rows, 0);
        }
        Ok(Self {
            spec,
            shape,
            rows,
            grown,
            rings: slots(residual.is_some(), n_sequences),
            scores: slots(spec.retention.needs_scores(), n_sequences),
            tables,
            pool,
            residual,
            copied_bytes: 0,
        })
    }

    /// The most bytes of keys, values and scales such a store takes, before it is built.
    ///
    /// # Errors
    /// As [`KvStore::new`].
    pub fn pool_bytes(spec: CacheSpec, shape: KvShape, config: StoreConfig) -> Result<u64, CacheError> {
        plan(spec, shape, config).map(|plan| plan.bytes)
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
        let seq = self.tables.open()?;
        let slot = self.tables.slot(seq)?;
        if let Some(scores) = self.scores.get_mut(slot) {
            *scores = Vec::with_capacity(self.shape.max_seq_len);
        }
        let (n_layer, rows) = (self.shape.n_layer, self.ring_rows());
        if let Some(ring) = self.rings.get_mut(slot) {
            let exact = TokenRows::of(Format::F32, self.shape.heads);
            ring.reserve_exact(n_layer);
            ring.extend((0..n_layer).map(|_| LayerPlanes::new(exact, None, rows)));
        }
        Ok(seq)
    }

    /// A second sequence with the same tokens: blocks are shared where the layout has a pool, and copied
    /// (and counted) where it has not. Tokens that are still exact are always copied.
    ///
    /// # Errors
    /// [`CacheError::TooManySequences`], [`CacheError::CacheFull`], [`CacheError::UnknownSequence`]
    pub fn fork(&mut self, seq: SeqId) -> Result<SeqId, CacheError> {
        let parent = self.tables.slot(seq)?;
        let (child, copies) = self.tables.fork(seq)?;
        let (block_len, slot, len) = (self.tables.block_len(), self.tables.slot(child)?, self.tables.len(child)?);
        let sealed = self.residual.map_or(len, |residual| residual.sealed(len));
        for planes in &mut self.pool {
            for copy in &copies {
                let rows = copy.rows.min(sealed.saturating_sub(copy.first));
                planes.copy_within(copy.from as usize * block_len, copy.to as usize * block_len, rows);
                self.copied_bytes += (rows * self.rows.bytes()) as u64;
            }
        }
        if self.spec.layout == Layout::Concat {
            let rows = self.tables.live(child)?.count();
            for layer in 0..self.shape.n_layer {
                self.grown[slot][layer] = self.grown[parent][layer].with(&[RowRun { row: 0, len: rows }], rows);
                self.copied_bytes += (rows * self.rows.bytes()) as u64;
            }
        }
        if let Some(ring) = self.rings.get(parent) {
            let all = RowRun { row: 0, len: self.ring_rows() };
            self.rings[slot] = ring.iter().map(|layer| layer.with(&[all], all.len)).collect();
            self.copied_bytes += all.len as u64 * self.exact_token_bytes();
        }
        if let Some(scores) = self.scores.get(parent) {
            let mut copy = Vec::with_capacity(self.shape.max_seq_len);
            copy.extend_from_slice(scores);
            self.scores[slot] = copy;
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
        for planes in self.grown.get_mut(slot).into_iter().flatten() {
            *planes = planes.with(&[], 0);
        }
        if let Some(ring) = self.rings.get_mut(slot) {
            *ring = vec![];
        }
        if let Some(scores) = self.scores.get_mut(slot) {
            *scores = vec![];
        }
        Ok(())
    }

    /// Tokens that a sequence has seen, evicted ones among them: the position of its next token.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn len(&self, seq: SeqId) -> Result<usize, CacheError> {
        self.tables.len(seq)
    }

    /// Tokens of a sequence that are still there.
    ///
    /// # Errors
    /// [`CacheError::UnknownSequence`]
    pub fn n_live(&self, seq: SeqId) -> Result<usize, CacheError> {
        Ok(self.tables.live(seq)?.count())
    }

    /// Forgets the tokens from `len` on, so that the sequence is what it was when it had `len`. To 0 always works.
    ///
    /// # Errors
    /// [`CacheError::TruncateGrows`], [`CacheError::UnknownSequence`], and what cannot be undone: [`CacheError::Evicted`],
    /// [`CacheError::Sealed`], [`CacheError::Scored`]. Nothing changes then.
    pub fn truncate(&mut self, seq: SeqId, len: usize) -> Result<(), CacheError> {
        let (slot, current) = (self.tables.slot(seq)?, self.tables.len(seq)?);
        if len > 0 && len < current {
            if self.spec.retention.needs_scores() {
                return Err(CacheError::Scored { len });
            }
            let sealed = self.residual.map_or(0, |residual| match residual.sealed(current) {
                0 => 0,
                sealed => sealed + residual.tokens,
            });
            let nearest_len = sealed.max(self.tables.evicted_at(seq)?);
            if let Err(error) = self.tables.can_truncate(seq, len) {
                let is_evicted = matches!(error, CacheError::Evicted { .. });
                return Err(if is_evicted { CacheError::Evicted { len, nearest_len } } else { error });
            }
            if len < sealed {
                return Err(CacheError::Sealed { len, nearest_len });
            }
        }
        self.tables.truncate(seq, len)?;
        if let Some(layers) = self.grown.get_mut(slot).filter(|_| len < current) {
            let rows = self.tables.live(seq)?.count();
            for planes in layers {
                *planes = planes.with(&[RowRun { row: 0, len: rows }], rows);
                self.copied_bytes += (rows * self.rows.bytes()) as u64;
            }
        }
        if let Some(scores) = self.scores.get_mut(slot) {
            scores.truncate(len);
        }
        Ok(())
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

    /// Keys, values and scales of one token over all layers, as its format stores it.
    #[must_use]
    pub fn token_bytes(&self) -> u64 {
        (self.shape.n_layer * self.rows.bytes()) as u64
    }

    /// The same of a token that is not quantized yet.
    pub(super) fn exact_token_bytes(&self) -> u64 {
        (self.shape.n_layer * TokenRows::of(Format::F32, self.shape.heads).bytes()) as u64
    }

    /// Rows of a ring.
    pub(super) fn ring_rows(&self) -> usize {
        ring_rows(self.residual, self.shape)
    }

    /// What the tokens `part` of a span see in one layer, as tiles for the walk: first what is sealed, then what is exact.
    pub(super) fn tiles(&self, span: Span, layer: usize, part: Positions) -> Result<Vec<Tile<'_>>, CacheError> {
        let slot = self.tables.slot(span.seq)?;
        let sealed = self.residual.map_or(part.end, |residual| residual.sealed(part.start));
        let planes = self.grown.get(slot).map_or(&self.pool, |layers| layers);
        let runs = self.tables.rows(span.seq, Positions { start: 0, end: sealed })?;
        let mut tiles: Vec<Tile<'_>> = runs.into_iter().map(|run| planes[layer].tile(run)).collect();
        if let (Some(residual), Some(ring)) = (self.residual, self.rings.get(slot)) {
            let open = Positions { start: sealed, end: part.end };
            let runs = residual.rows(self.tables.live(span.seq)?, span.past, open);
            tiles.extend(runs.into_iter().map(|run| ring[layer].tile(run)));
        }
        Ok(tiles)
    }

    /// The positions of what a span sees up to `end`, in the order of its tiles.
    pub(super) fn positions(&self, span: Span, end: usize) -> Result<Vec<usize>, CacheError> {
        let live = self.tables.live(span.seq)?.ranges().flat_map(|range| range.start..range.end);
        Ok(live.chain(span.past..end).collect())
    }

    /// Quantizes the groups of one layer that become due when a sequence grows from `from` tokens to `to`.
    pub(super) fn seal(&mut self, seq: SeqId, layer: usize, from: usize, to: usize) {
        let (Some(residual), Ok(slot)) = (self.residual, self.tables.slot(seq)) else { return };
        let Some(ring) = self.rings.get(slot) else { return };
        for first in (residual.sealed(from)..residual.sealed(to)).step_by(GROUP) {
            // A block that was given back has nothing left to store.
            let Ok(Some(row)) = self.tables.row(seq, first) else { continue };
            self.pool[layer].seal(row, &ring[layer], std::array::from_fn(|i| residual.row(first + i)));
            self.copied_bytes += (GROUP * self.rows.bytes()) as u64;
        }
    }

    /// Lets go of what the policy does not keep.
    pub(super) fn evict(&mut self, seq: SeqId) {
        let (Ok(slot), Ok(len), Ok(live)) = (self.tables.slot(seq), self.tables.len(seq), self.tables.live(seq)) else {
            return;
        };
        let scores = self.scores.get(slot).map_or(&[][..], Vec::as_slice);
        let evicted = self.spec.retention.evictions(live, len, scores);
        if evicted.is_empty() {
            return;
        }
        let before = live.clone();
        let after = self.tables.evict(seq, &evicted).and_then(|_| self.tables.live(seq));
        if let (Some(layers), Ok(after)) = (self.grown.get_mut(slot), after) {
            let run = |range: Positions| RowRun { row: before.rank(range.start), len: range.len() };
            let (kept, rows): (Vec<RowRun>, usize) = (after.ranges().map(run).collect(), after.count());
            for planes in layers {
                *planes = planes.with(&kept, rows);
                self.copied_bytes += (rows * self.rows.bytes()) as u64;
            }
        }
    }
}

/// Something for each sequence, once it is open; nothing where it is not wanted.
fn slots<T>(wanted: bool, n_sequences: usize) -> Vec<Vec<T>> {
    let mut slots = Vec::with_capacity(if wanted { n_sequences } else { 0 });
    slots.resize_with(slots.capacity(), Vec::new);
    slots
}
