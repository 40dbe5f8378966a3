//! Stored rows as the walk reads them: tiles, and runs of at most sixteen tokens of a tile.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use std::ops::Range;

use super::{
    codec::{Codec, GROUP, Levels, Packed, RowShape, Scales},
    simd::{LANES, Simd},
};

/// Rows of several tokens in one format: `codes[token * token_stride + kv_head * head_bytes..]`, and the scales of the format.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub codec: Codec,
    pub shape: RowShape,
    pub codes: &'a [u8],
    /// Bytes from one token's rows to the next token's.
    pub token_stride: usize,
    /// As [`Codec`] lays them out, from the first token on.
    pub scales: &'a [u8],
    /// What [`Codec::Levels`] needs.
    pub levels: Option<&'a Levels>,
}

impl<'a> Rows<'a> {
    /// Plain f32 rows, `token_stride` elements from one token to the next.
    #[must_use]
    pub fn f32(shape: RowShape, rows: &'a [f32], token_stride: usize) -> Self {
        let codes = bytemuck::cast_slice(rows);
        Self {
            codec: Codec::F32,
            shape,
            codes,
            token_stride: token_stride * size_of::<f32>(),
            scales: &[],
            levels: None,
        }
    }

    /// The memory of the tokens `first ..`, `len` of them: codes and scales.
    #[must_use]
    pub fn bytes(&self, first: usize, len: usize) -> [&'a [u8]; 2] {
        let scale_bytes = self.codec.scale_bytes(self.shape);
        let codes = &self.codes[first * self.token_stride..][..len * self.token_stride];
        [codes, &self.scales[first * scale_bytes..][..len * scale_bytes]]
    }
}

/// Tokens whose rows lie one behind the other: a block or a part of one, or a whole buffer.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    pub keys: Rows<'a>,
    pub values: Rows<'a>,
    /// The first of the tile's tokens in these rows. It matters to formats whose scales are those of several tokens.
    pub first: usize,
    /// Tokens in the tile.
    pub len: usize,
}

/// Some neighbouring tokens of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub tile: usize,
    /// Of the tile's rows.
    pub first: usize,
    /// At most [`LANES`].
    pub len: usize,
    /// Of its first token, in the chunk.
    pub position: usize,
}

/// The tokens of `tiles` cut at every `chunk_len`th, and those of a chunk into runs.
pub(super) struct Chunks<'a> {
    tiles: &'a [Tile<'a>],
    chunk_len: usize,
    /// Where each chunk begins: a tile, and a token of it.
    starts: Vec<(usize, usize)>,
    n_tokens: usize,
}

impl<'a> Chunks<'a> {
    pub fn new(tiles: &'a [Tile<'a>], chunk_len: usize) -> Self {
        let (mut starts, mut n_tokens) = (vec![], 0_usize);
        for (index, tile) in tiles.iter().enumerate() {
            // The first token of this tile that begins a chunk, and every one after it.
            let first = n_tokens.next_multiple_of(chunk_len) - n_tokens;
            starts.extend((first..tile.len).step_by(chunk_len).map(|token| (index, token)));
            n_tokens += tile.len;
        }
        Self { tiles, chunk_len, starts, n_tokens }
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The runs of a chunk's first `n_tokens`. None crosses a group of tokens that share scales.
    pub fn runs(&self, chunk: usize, n_tokens: usize, runs: &mut Vec<Run>) {
        runs.clear();
        let (mut tile, mut token) = self.starts[chunk];
        let n_tokens = n_tokens.min(self.chunk_len);
        let mut position = 0;
        while position < n_tokens && tile < self.tiles.len() {
            let Tile { keys, values, first, len } = self.tiles[tile];
            let first = first + token;
            let mut run_len = (len - token).min(n_tokens - position).min(LANES);
            if [keys.codec, values.codec].iter().any(|codec| matches!(codec, Codec::Channels { .. })) {
                run_len = run_len.min(GROUP - first % GROUP);
            }
            if run_len > 0 {
                runs.push(Run { tile, first, len: run_len, position });
            }
            (position, token) = (position + run_len, token + run_len);
            if token == len {
                (tile, token) = (tile + 1, 0);
            }
        }
    }
}

/// The rows of a run, all heads of them.
#[derive(Clone, Copy)]
pub(super) struct RunRows<'a> {
    pub rows: &'a Rows<'a>,
    pub first: usize,
    pub len: usize,
}

/// One head of the rows of a run, as plain memory.
#[derive(Clone, Copy)]
pub(super) struct HeadRows<'a> {
    /// From the first row on, one every `stride` bytes.
    codes: &'a [u8],
    stride: usize,
    scales: &'a [u8],
    scale_stride: usize,
    n_groups: usize,
}

impl<'a> RunRows<'a> {
    #[inline(always)]
    pub fn head<F: Packed>(&self, kv_head: usize) -> HeadRows<'a> {
        let RowShape { n_kv_head, head_dim } = self.rows.shape;
        let (stride, n_groups) = (self.rows.token_stride, head_dim / GROUP);
        let codes = &self.rows.codes[self.first * stride + kv_head * n_groups * F::CODE_BYTES..];
        let of_head = F::SCALES.bytes(n_groups);
        let (row, scale_stride) = match F::SCALES {
            Scales::None => return HeadRows { codes, stride, scales: &[], scale_stride: 0, n_groups },
            Scales::Shared(_) => (self.first / GROUP, 0),
            _ => (self.first, n_kv_head * of_head),
        };
        let scales = &self.rows.scales[(row * n_kv_head + kv_head) * of_head..];
        HeadRows { codes, stride, scales, scale_stride, n_groups }
    }

    /// Asks for the `index`th part of `heads`, of as many as there are heads, ahead of its use: in the order of addresses, which is what memory
    /// likes best. All scales come with the first part.
    #[inline(always)]
    pub fn prefetch<S: Simd>(&self, simd: S, heads: &Range<usize>, index: usize) {
        let Self { rows, first, len } = *self;
        let (part, bytes) = (|index| first + len * index / heads.len(), rows.codec.head_bytes(rows.shape.head_dim));
        for token in part(index)..part(index + 1) {
            let row = token * rows.token_stride;
            prefetch_lines(simd, rows.codes, row + heads.start * bytes..row + heads.end * bytes);
        }
        if index == 0 {
            let bytes = rows.codec.scale_bytes(rows.shape);
            prefetch_lines(simd, rows.scales, first * bytes..(first + len) * bytes);
        }
    }
}

/// Asks for a part of some bytes.
#[inline(always)]
fn prefetch_lines<S: Simd>(simd: S, bytes: &[u8], part: Range<usize>) {
    const LINE: usize = 64;
    let mut line = part.start / LINE * LINE;
    while line < part.end {
        simd.prefetch_far(bytes.as_ptr().wrapping_add(line));
        line += LINE;
    }
}

impl<'a> HeadRows<'a> {
    /// Groups of a row: `N`, unless that is 0.
    #[inline(always)]
    pub fn n_groups<const N: usize>(&self) -> usize {
        if N > 0 { N } else { self.n_groups }
    }

    /// Codes and scales of a row. With a number of groups that the compiler knows it does not ask again whether each group is there.
    #[inline(always)]
    pub fn row<F: Packed, const N: usize>(&self, token: usize) -> (&'a [u8], &'a [u8]) {
        let n_groups = self.n_groups::<N>();
        let codes = &self.codes[token * self.stride..][..n_groups * F::CODE_BYTES];
        match F::SCALES {
            Scales::None => (codes, &[]),
            _ => (codes, &self.scales[token * self.scale_stride..][..F::SCALES.bytes(n_groups)]),
        }
    }
}
