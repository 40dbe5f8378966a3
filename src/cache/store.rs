//! The store of one lane: many sequences, one layout, one format, one policy of what stays.
//!
//! A forward pass is a [`Step`]: [`KvStore::reserve`] makes room for the new tokens of every sequence in
//! the batch or changes nothing; the model attends layer by layer; [`Step::commit`] makes the tokens part
//! of their sequences. A step that is dropped instead (an error, a cancelled run) leaves no trace but its
//! count of copied bytes.

mod plan;

use std::ops::Range;

use candle_core::Device;

use crate::gpu::Gpu;
use crate::kernels::{HeadShape, codec::GROUP, cuda::RowCopy};

use super::{
    CacheError, CacheSpec, Calibration, Format, Layout, Span, Step,
    blocks::{BlockCopy, BlockTables, RowRun, SeqId},
    live::Positions,
    memory::{DeviceMemory, Group, HostMemory, Memory, MemoryShape},
    planes::TokenRows,
    residual::Residual,
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

/// Keys and values of many sequences.
pub struct KvStore {
    pub(super) spec: CacheSpec,
    pub(super) shape: KvShape,
    pub(super) rows: TokenRows,
    pub(super) tables: BlockTables,
    /// Formats that quantize groups of tokens keep the newest exact.
    pub(super) residual: Option<Residual>,
    pub(super) memory: Memory,
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
        Self::on(&Device::Cpu, spec, shape, config, calibration)
    }

    /// A store in the memory of a device: keys and values never leave it unless somebody asks to see them ([`KvStore::read`]).
    ///
    /// # Errors
    /// As [`KvStore::with_calibration`]; [`CacheError::Refused`] also where the device has no kernels for the format, and
    /// [`CacheError::Candle`] if it has no memory left.
    pub fn on(
        device: &Device,
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
        let memory_shape = MemoryShape {
            kv: shape,
            rows,
            pool_rows: tables.n_blocks() * tables.block_len(),
            grows: spec.layout == Layout::Concat,
            ring_rows: ring_rows(residual, shape),
            n_sequences: config.max_sequences,
        };
        let memory = match Gpu::of(device)? {
            None => Memory::Host(HostMemory::new(memory_shape, calibration)),
            Some(gpu) => match DeviceMemory::refuses(memory_shape) {
                None => Memory::Device(Box::new(DeviceMemory::new(&gpu, memory_shape)?)),
                Some(reason) => return Err(CacheError::Refused { lane: spec, reason }),
            },
        };
        let mut scores = Vec::with_capacity(if spec.retention.needs_scores() { config.max_sequences } else { 0 });
        scores.resize_with(scores.capacity(), Vec::new);
        Ok(Self { spec, shape, rows, scores, tables, memory, residual, copied_bytes: 0 })
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
        self.memory.open(slot);
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
        let slot = self.tables.slot(child)?;
        let len = self.tables.len(child)?;
        let n_grown = if self.spec.layout == Layout::Concat { self.tables.live(child)?.count() } else { 0 };
        let copied = self.copy_blocks(0..self.shape.n_layer, &copies, len);
        if let Err(error) = copied.and_then(|()| self.memory.fork(parent, slot, n_grown)) {
            // A device without memory: there is no child then.
            self.close(child)?;
            return Err(error);
        }
        self.copied_bytes += n_grown as u64 * self.token_bytes() + self.ring_rows() as u64 * self.exact_token_bytes();
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
        self.memory.close(slot)?;
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
        self.tables.can_truncate(seq, len)?;
        if self.spec.layout == Layout::Concat && len < current {
            let rows = self.tables.live(seq)?.count_in(Positions { start: 0, end: len });
            self.keep(slot, &[RowRun { row: 0, len: rows }], rows)?;
        }
        self.tables.truncate(seq, len)?;
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
        Step::new(self, reservation)
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

    /// Where lies what the tokens `part` of a span see: first what is sealed, then what is exact, in rows of a ring.
    pub(super) fn visible(&self, span: Span, part: Positions) -> Result<(Vec<RowRun>, Vec<RowRun>), CacheError> {
        let sealed = self.residual.map_or(part.end, |residual| residual.sealed(part.start));
        let runs = self.tables.rows(span.seq, Positions { start: 0, end: sealed })?;
        let ring = match self.residual {
            Some(residual) => {
                residual.rows(self.tables.live(span.seq)?, span.past, Positions { start: sealed, end: part.end })
            }
            None => vec![],
        };
        Ok((runs, ring))
    }

    /// The positions of what a span sees up to `end`, in the order of its tiles.
    pub(super) fn positions(&self, span: Span, end: usize) -> Result<Vec<usize>, CacheError> {
        let live = self.tables.live(span.seq)?.ranges().flat_map(|range| range.start..range.end);
        Ok(live.chain(span.past..end).collect())
    }

    /// The groups that become due when a sequence grows from `from` tokens to `to`.
    pub(super) fn due(&self, seq: SeqId, from: usize, to: usize) -> Vec<Group> {
        let Some(residual) = self.residual else { return vec![] };
        let firsts = (residual.sealed(from)..residual.sealed(to)).step_by(GROUP);
        firsts
            .filter_map(|first| {
                // A block that was given back has nothing left to store.
                let row = self.tables.row(seq, first).ok().flatten()?;
                Some(Group { row, ring_rows: std::array::from_fn(|i| residual.row(first + i)) })
            })
            .collect()
    }

    /// Quantizes groups of a sequence in some layers.
    pub(super) fn seal(&mut self, seq: SeqId, layers: Range<usize>, groups: &[Group]) -> Result<(), CacheError> {
        if groups.is_empty() {
            return Ok(());
        }
        self.copied_bytes += (layers.len() * groups.len() * GROUP * self.rows.bytes()) as u64;
        self.memory.seal(self.tables.slot(seq)?, layers, groups)
    }

    /// Copies the filled rows of blocks that are no longer shared, in some layers, of a sequence of `len` tokens.
    pub(super) fn copy_blocks(
        &mut self,
        layers: Range<usize>,
        copies: &[BlockCopy],
        len: usize,
    ) -> Result<(), CacheError> {
        let block_len = self.tables.block_len();
        let small = |n: usize| u32::try_from(n).map_err(|_| CacheError::TooLarge);
        // Tokens that are not sealed yet lie in a ring, not here.
        let sealed = self.residual.map_or(usize::MAX, |residual| residual.sealed(len));
        let mut runs = vec![];
        for copy in copies {
            let n_rows = copy.rows.min(sealed.saturating_sub(copy.first));
            if n_rows > 0 {
                let row = |block: u32| small(block as usize * block_len);
                runs.push(RowCopy { from: row(copy.from)?, to: row(copy.to)?, n_rows: small(n_rows)? });
                self.copied_bytes += (layers.len() * n_rows * self.rows.bytes()) as u64;
            }
        }
        if runs.is_empty() { Ok(()) } else { self.memory.copy_rows(layers, &runs) }
    }

    /// A sequence's own buffers are replaced by such as hold the rows `kept`, and no more.
    fn keep(&mut self, slot: usize, kept: &[RowRun], n_rows: usize) -> Result<(), CacheError> {
        self.copied_bytes += n_rows as u64 * self.token_bytes();
        self.memory.keep(slot, 0..self.shape.n_layer, kept, n_rows)
    }

    /// Lets go of what the policy does not keep.
    pub(super) fn evict(&mut self, seq: SeqId) -> Result<(), CacheError> {
        let (slot, len, live) = (self.tables.slot(seq)?, self.tables.len(seq)?, self.tables.live(seq)?);
        let scores = self.scores.get(slot).map_or(&[][..], Vec::as_slice);
        let evicted = self.spec.retention.evictions(live, len, scores);
        if evicted.is_empty() {
            return Ok(());
        }
        if self.spec.layout == Layout::Concat {
            let before = live.clone();
            let mut after = before.clone();
            for position in &evicted {
                after.evict(*position);
            }
            let run = |range: Positions| RowRun { row: before.rank(range.start), len: range.len() };
            let (kept, rows): (Vec<RowRun>, usize) = (after.ranges().map(run).collect(), after.count());
            self.keep(slot, &kept, rows)?;
        }
        // Once there is nothing left that can fail.
        self.tables.evict(seq, &evicted)?;
        Ok(())
    }
}
