//! Stored rows as the walk reads them: tiles, and runs of at most sixteen tokens of a tile.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

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

/// The rows of a run, for some of their heads.
#[derive(Clone, Copy)]
pub(super) struct HeadRows<'a> {
    pub rows: &'a Rows<'a>,
    pub first: usize,
    pub len: usize,
}

impl<'a> HeadRows<'a> {
    /// Codes and scales of one token's row; of the last one where the run is not as long.
    #[inline(always)]
    pub fn row<F: Packed>(&self, token: usize, kv_head: usize) -> (&'a [u8], &'a [u8]) {
        let RowShape { n_kv_head, head_dim } = self.rows.shape;
        let token = self.first + token.min(self.len - 1);
        let (n_groups, row) = match F::SCALES {
            Scales::Shared(_) => (head_dim / GROUP, self.first / GROUP),
            _ => (head_dim / GROUP, token),
        };
        let (code_bytes, scale_bytes) = (F::CODE_BYTES * n_groups, F::SCALES.bytes(n_groups));
        let codes = &self.rows.codes[token * self.rows.token_stride + kv_head * code_bytes..][..code_bytes];
        let scales = match F::SCALES {
            Scales::None => &[],
            _ => &self.rows.scales[(row * n_kv_head + kv_head) * scale_bytes..][..scale_bytes],
        };
        (codes, scales)
    }

    /// Asks for one head of the rows, ahead of their use; with the first of some heads for all scales.
    #[inline(always)]
    pub fn prefetch<S: Simd>(&self, simd: S, kv_head: usize, is_first: bool) {
        let line = 64;
        let bytes = self.rows.codec.head_bytes(self.rows.shape.head_dim);
        for token in self.first..self.first + self.len {
            let codes = &self.rows.codes[token * self.rows.token_stride + kv_head * bytes..][..bytes];
            for line in codes.chunks(line) {
                simd.prefetch(line.as_ptr());
            }
        }
        if is_first && !self.rows.scales.is_empty() {
            let bytes = self.rows.codec.scale_bytes(self.rows.shape);
            for line in self.rows.scales[self.first * bytes..][..self.len * bytes].chunks(line) {
                simd.prefetch(line.as_ptr());
            }
        }
    }
}

