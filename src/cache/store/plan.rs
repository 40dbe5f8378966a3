//! What a store will be, checked and sized before anything is allocated.

use super::{KvShape, StoreConfig};
use crate::{
    cache::{
        CacheError, CacheSpec, Format,
        blocks::{BlockTables, Limits, block_len},
        capacity::LaneBytes,
        planes::TokenRows,
        residual::Residual,
    },
    kernels::HeadShape,
};

/// Rows of a ring: no sequence has more tokens than the context.
pub(super) fn ring_rows(residual: Option<Residual>, shape: KvShape) -> usize {
    residual.map_or(0, |residual| residual.ring_len().min(shape.max_seq_len))
}

/// Bytes of the rings of all sequences; `None` if that is too large.
fn ring_bytes(residual: Option<Residual>, shape: KvShape, max_sequences: usize) -> Option<usize> {
    let exact = TokenRows::of(Format::F32, shape.heads);
    product(&[exact.plane_bytes(ring_rows(residual, shape))?, shape.n_layer, max_sequences])
}

fn product(factors: &[usize]) -> Option<usize> {
    factors.iter().try_fold(1_usize, |product, n| product.checked_mul(*n))
}

/// What a store will be.
pub(super) struct Plan {
    pub tables: BlockTables,
    pub rows: TokenRows,
    pub residual: Option<Residual>,
    /// The most it can take.
    pub bytes: u64,
}

/// Checks everything a store depends on.
pub(super) fn plan(spec: CacheSpec, shape: KvShape, config: StoreConfig) -> Result<Plan, CacheError> {
    spec.check_meaning()?;
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
    // Products below stay inside `usize`.
    if [n_head, n_kv_head, head_dim, shape.n_layer].into_iter().any(|n| n > MOST) {
        return Err(CacheError::TooLarge);
    }
    let rows = TokenRows::of(spec.format, shape.heads);
    if let Some(reason) = rows.keys.refuses(rows.shape).or_else(|| rows.values.refuses(rows.shape)) {
        return Err(CacheError::Refused { lane: spec, reason });
    }
    let residual = match spec.format {
        Format::Kivi { residual, .. } => Some(Residual { tokens: residual }),
        _ => None,
    };
    let ring_bytes = ring_bytes(residual, shape, config.max_sequences);
    let block_bytes = product(&[shape.n_layer, block_len(spec.layout), rows.bytes()]);
    let (Some(ring_bytes), Some(block_bytes)) = (ring_bytes, block_bytes) else { return Err(CacheError::TooLarge) };
    let max_blocks = config.memory_limit_bytes.map(|limit| {
        usize::try_from(limit.saturating_sub(ring_bytes as u64) / block_bytes as u64).unwrap_or(usize::MAX)
    });
    // Before the tables are built, which take memory themselves.
    let all_blocks = product(&[shape.max_seq_len.div_ceil(block_len(spec.layout)), config.max_sequences]);
    let most_blocks = all_blocks.map(|all| max_blocks.map_or(all, |limit| limit.min(all)));
    let bytes = most_blocks.and_then(|blocks| product(&[blocks, block_bytes])?.checked_add(ring_bytes));
    let bytes = bytes.filter(|bytes| isize::try_from(*bytes).is_ok()).ok_or(CacheError::TooLarge)? as u64;
    let limits = Limits { max_sequences: config.max_sequences, max_seq_len: shape.max_seq_len, max_blocks };
    let tables = BlockTables::new(spec.layout, limits)?;
    Ok(Plan { tables, rows, residual, bytes })
}

/// More heads, channels or layers than any model has.
const MOST: usize = 1 << 20;

impl LaneBytes {
    /// The few numbers by which [`crate::cache::capacity`] plans stores of `spec`. Of the context of `shape` it matters only that no ring of
    /// exact tokens is longer.
    ///
    /// # Errors
    /// As [`crate::cache::KvStore::new`].
    pub fn of(spec: CacheSpec, shape: KvShape) -> Result<Self, CacheError> {
        let one_block = KvShape { max_seq_len: 1, ..shape };
        let Plan { tables, rows, residual, .. } = plan(spec, one_block, StoreConfig::default())?;
        let ring_bytes = ring_bytes(residual, shape, 1).ok_or(CacheError::TooLarge)?;
        Ok(Self {
            layout: spec.layout,
            retention: spec.retention,
            n_layer: shape.n_layer as u64,
            block_len: tables.block_len() as u64,
            plane_bytes: rows.of_planes().map(|bytes| bytes as u64),
            sequence_bytes: ring_bytes as u64,
        })
    }
}
