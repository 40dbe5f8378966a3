//! Kernels for NVIDIA GPUs: the walk, and what stores, moves and picks.
//!
//! The `.cu` files of this folder are compiled twice: by nvcc for a GPU, and as C++ for a processor, where `emulator/` runs them in tests. This file says
//! what both need to know of them, in integers: their names, their arguments as they lie in memory, and the shape of a launch.
//!
//! | file | kernels |
//! |---|---|
//! | `append.cu` | `append_FORMAT` stores new rows, quantized on the way; `seal_channelsBITS` a group of 32 tokens by channel |
//! | `walk.cu` | `walk_FORMAT_WIDTH` attends, any number of queries of any sequences in one launch; `merge` brings the splits of a query together; `weights` and `add_scores` make attention weights of scores, and sums of those |
//! | `prefill.cu` | `prefill_FORMAT` attends for the queries of a prompt, a tile of rows for eight of them |
//! | `rows.cu` | `copy_rows_WORD` copies what a fork or a growing buffer needs, `rotate` rotates rows, `argmax` picks tokens |
//!
//! **A sequence is a list of rows** on a device: where each of its tokens lies, in the order of their positions, evicted ones left out (as `SGLang` and
//! `FlashInfer` have it for pages of one token). A block table says the same in fewer numbers, but a list costs 4 bytes beside the thousands that
//! a token's keys and values are, and knows no block length, no half-dead blocks, and no difference between layouts.

use super::{HeadShape, codec::Codec};

/// An address on a device, or in the emulator.
pub type Address = u64;

/// In a list of rows: the row is one of the exact ones, which are not quantized yet.
pub const EXACT: u32 = 1 << 31;

/// The keys, or the values, of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Plane {
    pub codes: Address,
    pub scales: Address,
}

/// Keys and values of a layer: those of the pool, and exact ones in f32 where a format keeps some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Layer {
    pub keys: Plane,
    pub values: Plane,
    pub exact_keys: Plane,
    pub exact_values: Plane,
}

/// What a query sees: so many of the rows that are listed from the first on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Query {
    pub first_row: u32,
    pub n_visible: u32,
}

/// Heads as kernels take them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct WalkShape {
    pub n_head: i32,
    pub n_kv_head: i32,
    pub head_dim: i32,
    /// `1 / sqrt(head_dim)`
    pub scale: f32,
}

/// Where a walk writes; what is not wanted is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct WalkOut {
    /// `[query][n_head][head_dim]`
    pub out: Address,
    /// `[query][n_head][split][head_dim]`, where there is more than one split.
    pub partial_sums: Address,
    /// `[query][n_head][split][2]`: the largest score, and the sum of weights relative to it.
    pub partial_stats: Address,
    /// `[query][n_head][2]`, the same of a whole query.
    pub stats: Address,
    /// `[query][n_head][scores_stride]`
    pub scores: Address,
    pub scores_stride: i32,
}

/// Rows that are copied. Runs of one launch do not overlap, and none copies what another writes: they run at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RowCopy {
    pub from: u32,
    pub to: u32,
    pub n_rows: u32,
}

/// How many blocks of how many threads, and the memory that each block shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub grid: [u32; 3],
    pub n_threads: u32,
    pub shared_bytes: u32,
}

/// Threads that execute together.
const WARP: u32 = 32;
/// Warps of a block of the walk.
const WALK_WARPS: u32 = 4;
/// Queries that a block of a prompt's walk takes, and tokens of its tiles.
pub const TILE_QUERIES: u32 = 8;
const TILE_TOKENS: u32 = 32;
/// The widest head: a prompt's walk keeps eight sums a lane.
pub const MOST_HEAD_DIM: usize = 256;
/// Blocks for each multiprocessor that a walk is split into, if it is long enough: as many as fit one at a time.
const BLOCKS_EACH: usize = 8;
/// Tokens of a split at least.
const SPLIT_TOKENS: usize = 128;

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl WalkShape {
    /// What is wrong with walking over such heads, if anything: `head_dim` has to be a multiple of 8 up to 256, and heads a multiple of key and
    /// value heads.
    ///
    /// # Errors
    /// Why not.
    pub fn new(heads: HeadShape) -> Result<Self, String> {
        let HeadShape { n_head, n_kv_head, head_dim } = heads;
        if head_dim == 0 || !head_dim.is_multiple_of(8) || head_dim > MOST_HEAD_DIM {
            return Err(format!(
                "the GPU's kernels take a head_dim that is a multiple of 8 up to {MOST_HEAD_DIM}, not {head_dim}"
            ));
        }
        if n_kv_head == 0 || n_head == 0 || !n_head.is_multiple_of(n_kv_head) || n_head > u16::MAX.into() {
            return Err(format!("{n_head} query heads cannot share {n_kv_head} heads of keys and values"));
        }
        let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        #[expect(clippy::cast_precision_loss, reason = "at most 256")]
        let scale = 1.0 / (head_dim as f32).sqrt();
        Ok(Self { n_head: int(n_head), n_kv_head: int(n_kv_head), head_dim: int(head_dim), scale })
    }
}

/// The name of the format of keys and values, by which kernels are called; `None` where there are none for it.
#[must_use]
pub fn format_name(keys: Codec, values: Codec) -> Option<String> {
    Some(match (keys, values) {
        (Codec::Channels { bits }, Codec::Affine { bits: of_values }) if bits == of_values => format!("kivi{bits}"),
        (Codec::Affine { bits: 4 }, Codec::Affine { bits: 4 }) => "int4".into(),
        (Codec::Affine { .. } | Codec::Channels { .. } | Codec::Levels { .. }, _) => return None,
        _ if keys == values => plain_name(keys)?.into(),
        _ => return None,
    })
}

fn plain_name(codec: Codec) -> Option<&'static str> {
    Some(match codec {
        Codec::F32 => "f32",
        Codec::F16 => "f16",
        Codec::Bf16 => "bf16",
        Codec::F8 => "f8",
        Codec::Int8 => "int8",
        Codec::Q8_0 => "q8_0",
        Codec::Q4_0 => "q4_0",
        Codec::Affine { .. } | Codec::Channels { .. } | Codec::Levels { .. } => return None,
    })
}

/// The kernel that stores rows in a format; `None` where there is none, or where 32 tokens are needed at once.
#[must_use]
pub fn append_name(codec: Codec) -> Option<String> {
    match codec {
        Codec::Affine { bits } => Some(format!("append_affine{bits}")),
        _ => plain_name(codec).map(|name| format!("append_{name}")),
    }
}

/// The kernel that walks for single queries, by the name of a format.
#[must_use]
pub fn walk_name(format: &str, head_dim: usize) -> String {
    match head_dim {
        64 | 128 => format!("walk_{format}_d{head_dim}"),
        _ => format!("walk_{format}_any"),
    }
}

/// The kernel that walks for the queries of a prompt.
#[must_use]
pub fn prefill_name(format: &str) -> String {
    format!("prefill_{format}")
}

impl Geometry {
    /// Storing `n_tokens`.
    #[must_use]
    pub fn append(n_kv_head: usize, n_tokens: usize) -> Self {
        Self { grid: [small(n_tokens), small(n_kv_head), 1], n_threads: WARP, shared_bytes: 0 }
    }

    /// Sealing a group of 32 tokens.
    #[must_use]
    pub fn seal(heads: HeadShape) -> Self {
        let HeadShape { n_kv_head, head_dim, .. } = heads;
        Self { grid: [small(n_kv_head), small(head_dim) / WARP, 1], n_threads: WARP, shared_bytes: 0 }
    }

    /// Attention of single queries, each split so often; at most 65,535 queries, more than that are several launches.
    #[must_use]
    pub fn walk(heads: HeadShape, n_queries: usize, n_splits: usize) -> Self {
        let shared_bytes = WALK_WARPS * (small(heads.head_dim) + 2) * 4;
        let grid = [small(heads.n_head), small(n_splits), small(n_queries)];
        Self { grid, n_threads: WALK_WARPS * WARP, shared_bytes }
    }

    /// Attention of the queries of a prompt.
    #[must_use]
    pub fn prefill(heads: HeadShape, n_queries: usize) -> Self {
        let head_dim = small(heads.head_dim);
        let shared_bytes = (TILE_QUERIES * head_dim + TILE_TOKENS * (head_dim + 1)) * 4;
        let grid = [small(heads.n_head), small(n_queries).div_ceil(TILE_QUERIES), 1];
        Self { grid, n_threads: WALK_WARPS * WARP, shared_bytes }
    }

    /// `merge` and `weights`.
    #[must_use]
    pub fn of_results(heads: HeadShape, n_queries: usize) -> Self {
        Self { grid: [small(n_queries), small(heads.n_head), 1], n_threads: WALK_WARPS * WARP, shared_bytes: 0 }
    }

    /// Copying so many runs, the longest of so many words.
    #[must_use]
    pub fn copy(n_runs: usize, most_words: usize) -> Self {
        const THREADS: usize = 256;
        const MOST_BLOCKS: usize = 64;
        let blocks = small(most_words.div_ceil(THREADS).clamp(1, MOST_BLOCKS));
        Self { grid: [blocks, small(n_runs), 1], n_threads: small(THREADS), shared_bytes: 0 }
    }

    /// Rotating the rows of so many tokens.
    #[must_use]
    pub fn rotate(n_tokens: usize, heads: usize, head_dim: usize) -> Self {
        Self { grid: [small(n_tokens), small(heads), 1], n_threads: WARP, shared_bytes: small(head_dim) * 4 }
    }

    /// Summing what so many rows got.
    #[must_use]
    pub fn add_scores(n_rows: usize) -> Self {
        const THREADS: u32 = 128;
        Self { grid: [small(n_rows).div_ceil(THREADS), 1, 1], n_threads: THREADS, shared_bytes: 0 }
    }

    /// Picking a token for each of so many rows.
    #[must_use]
    pub fn argmax(n_rows: usize) -> Self {
        const WARPS: u32 = 32;
        Self { grid: [small(n_rows), 1, 1], n_threads: WARPS * WARP, shared_bytes: WARPS * 8 }
    }
}

/// Into how many parts the tokens of each of `n_queries` are split, the longest of which sees `n_visible`: enough to keep all multiprocessors
/// busy, but none of less than 128 tokens (Flash-Decoding, 2023).
#[must_use]
pub fn n_splits(heads: HeadShape, n_queries: usize, n_visible: usize, n_multiprocessors: usize) -> usize {
    let wanted = (n_multiprocessors * BLOCKS_EACH).div_ceil((heads.n_head * n_queries).max(1));
    wanted.min(n_visible / SPLIT_TOKENS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPT2: HeadShape = HeadShape { n_head: 12, n_kv_head: 12, head_dim: 64 };

    #[test]
    fn long_sequences_are_split_until_the_gpu_is_full() {
        // An A100 has 108 multiprocessors: 864 blocks, of which 12 heads are 12.
        let splits = |n_queries, n_visible| n_splits(GPT2, n_queries, n_visible, 108);
        assert_eq!(splits(1, 1), 1);
        assert_eq!(splits(1, 127), 1);
        assert_eq!(splits(1, 1000), 7, "seven times at least 128 tokens");
        assert_eq!(splits(1, 1 << 20), 72);
        assert_eq!(splits(8, 1 << 20), 9);
        assert_eq!(splits(1000, 1 << 20), 1);
    }

    #[test]
    fn every_format_but_kvq_has_kernels() {
        let of = |codec| format_name(codec, codec);
        assert_eq!(of(Codec::Int8).as_deref(), Some("int8"));
        assert_eq!(of(Codec::Affine { bits: 4 }).as_deref(), Some("int4"));
        assert_eq!(format_name(Codec::Channels { bits: 2 }, Codec::Affine { bits: 2 }).as_deref(), Some("kivi2"));
        assert_eq!(format_name(Codec::Channels { bits: 2 }, Codec::Affine { bits: 4 }), None);
        assert_eq!(of(Codec::Levels { bits: 4, by_channel: false }), None);
        assert_eq!(append_name(Codec::Channels { bits: 4 }), None);
    }

    #[test]
    fn heads_that_no_kernel_takes_are_refused() {
        let shape = |n_head, n_kv_head, head_dim| WalkShape::new(HeadShape { n_head, n_kv_head, head_dim });
        assert!(shape(12, 12, 64).is_ok() && shape(32, 8, 256).is_ok() && shape(1, 1, 8).is_ok());
        for (n_head, n_kv_head, head_dim) in [(12, 12, 60), (12, 12, 264), (12, 12, 0), (12, 5, 64), (0, 0, 64)] {
            assert!(shape(n_head, n_kv_head, head_dim).is_err(), "{n_head} {n_kv_head} {head_dim}");
        }
    }

    #[test]
    fn no_launch_asks_for_more_shared_memory_than_every_gpu_gives() {
        let widest = HeadShape { n_head: 1, n_kv_head: 1, head_dim: MOST_HEAD_DIM };
        for geometry in [Geometry::walk(widest, 1, 1), Geometry::prefill(widest, 1), Geometry::argmax(1)] {
            assert!(geometry.shared_bytes <= 48 << 10, "{geometry:?}");
        }
    }
}
