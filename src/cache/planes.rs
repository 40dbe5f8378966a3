//! The bytes behind the blocks: for each layer a plane of key codes and one of value codes, and their
//! scales in planes of their own ([`crate::kernels::codec`] says what is in them).
//!
//! ```text
//! codes   [block][slot][kv_head][head_dim]     64-byte aligned
//! scales  [block][slot][kv_head]...            64-byte aligned, only for formats that have them
//! ```

use std::sync::Arc;

use crate::kernels::{
    HeadShape,
    buffer::{self, Buffer},
    codec::{Codec, GROUP, Levels, RowShape, encode_channels},
    walk::{Rows, Tile},
};

use super::{Format, blocks::RowRun};

/// How the keys and values of one token are stored in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRows {
    pub keys: Codec,
    pub values: Codec,
    pub shape: RowShape,
}

impl TokenRows {
    #[must_use]
    pub fn of(format: Format, heads: HeadShape) -> Self {
        let both = |codec| (codec, codec);
        let (keys, values) = match format {
            Format::F32 => both(Codec::F32),
            Format::F16 => both(Codec::F16),
            Format::Bf16 => both(Codec::Bf16),
            Format::F8 => both(Codec::F8),
            Format::Int8 => both(Codec::Int8),
            Format::Q8_0 => both(Codec::Q8_0),
            Format::Q4_0 => both(Codec::Q4_0),
            Format::Int4 => both(Codec::Affine { bits: 4 }),
            Format::Kivi { bits, .. } => (Codec::Channels { bits }, Codec::Affine { bits }),
            Format::Kvq { bits } => {
                (Codec::Levels { bits, by_channel: true }, Codec::Levels { bits, by_channel: false })
            }
        };
        Self { keys, values, shape: RowShape { n_kv_head: heads.n_kv_head, head_dim: heads.head_dim } }
    }

    /// What one token takes in each plane of a layer: codes and scales of its key, codes and scales of its value.
    #[must_use]
    pub fn of_planes(self) -> [usize; 4] {
        let of = |codec: Codec| [codec.code_bytes(self.shape), codec.scale_bytes(self.shape)];
        let ([k, k_scales], [v, v_scales]) = (of(self.keys), of(self.values));
        [k, k_scales, v, v_scales]
    }

    /// Key and value of one token in one layer, scales included.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.of_planes().iter().sum()
    }

    /// What planes of `n_rows` tokens take in one layer: each plane ends with a whole line. `None` if that is too large.
    #[must_use]
    pub fn plane_bytes(self, n_rows: usize) -> Option<usize> {
        let lines = |bytes: usize| n_rows.checked_mul(bytes)?.checked_next_multiple_of(buffer::LINE_BYTES);
        self.of_planes().into_iter().try_fold(0_usize, |sum, bytes| sum.checked_add(lines(bytes)?))
    }
}

/// The keys (or the values) of one layer.
struct Plane {
    codec: Codec,
    shape: RowShape,
    levels: Option<Arc<Levels>>,
    codes: Buffer,
    scales: Buffer,
}

impl Plane {
    /// Room for `n_rows` tokens, zeroed: pages of a large plane are taken from the system only when they
    /// are first written.
    fn new(codec: Codec, shape: RowShape, levels: Option<Arc<Levels>>, n_rows: usize) -> Self {
        let zeroed = |bytes: usize| Buffer::zeroed(n_rows * bytes);
        let (codes, scales) = (zeroed(codec.code_bytes(shape)), zeroed(codec.scale_bytes(shape)));
        Self { codec, shape, levels, codes, scales }
    }

    fn bytes(&self) -> u64 {
        self.codes.allocated_bytes() + self.scales.allocated_bytes()
    }

    /// Codes and scales of `n_rows` tokens from `row` on.
    fn at(&mut self, row: usize, n_rows: usize) -> (&mut [u8], &mut [u8]) {
        let (codes, scales) = (self.codec.code_bytes(self.shape), self.codec.scale_bytes(self.shape));
        (
            &mut self.codes.bytes_mut()[row * codes..(row + n_rows) * codes],
            &mut self.scales.bytes_mut()[row * scales..(row + n_rows) * scales],
        )
    }

    fn write(&mut self, row: usize, heads: &[f32]) {
        let (codec, shape, levels) = (self.codec, self.shape, self.levels.clone());
        let (codes, scales) = self.at(row, 1);
        codec.encode(shape, levels.as_deref(), heads, codes, scales);
    }

    /// Stores 32 tokens, each as it is or all together, as the format wants.
    fn seal(&mut self, row: usize, tokens: &[&[f32]]) {
        if let Codec::Channels { bits } = self.codec {
            let shape = self.shape;
            let (codes, scales) = self.at(row, tokens.len());
            encode_channels(bits, shape, tokens, codes, scales);
        } else {
            for (row, token) in (row..).zip(tokens) {
                self.write(row, token);
            }
        }
    }

    /// Appends the rows of a token as f32, `[n_kv_head, head_dim]`.
    fn read(&self, row: usize, out: &mut Vec<f32>) {
        let RowShape { n_kv_head, head_dim } = self.shape;
        let start = out.len();
        out.resize(start + n_kv_head * head_dim, 0.0);
        for (head, out) in out[start..].chunks_exact_mut(head_dim).enumerate() {
            self.rows().decode(row, 1, head, out);
        }
    }

    fn copy_within(&mut self, from: usize, to: usize, n_rows: usize) {
        let (code_bytes, scale_bytes) = (self.codec.code_bytes(self.shape), self.codec.scale_bytes(self.shape));
        let codes = self.codes.bytes_mut();
        codes.copy_within(from * code_bytes..(from + n_rows) * code_bytes, to * code_bytes);
        let scales = self.scales.bytes_mut();
        scales.copy_within(from * scale_bytes..(from + n_rows) * scale_bytes, to * scale_bytes);
    }

    /// A plane of `n_rows` that begins with the rows of `kept`.
    fn with(&self, kept: &[RowRun], n_rows: usize) -> Self {
        let mut new = Self::new(self.codec, self.shape, self.levels.clone(), n_rows);
        let (code_bytes, scale_bytes) = (self.codec.code_bytes(self.shape), self.codec.scale_bytes(self.shape));
        let mut to = 0;
        for run in kept {
            let (codes, scales) = new.at(to, run.len);
            codes.copy_from_slice(&self.codes.bytes()[run.row * code_bytes..][..codes.len()]);
            scales.copy_from_slice(&self.scales.bytes()[run.row * scale_bytes..][..scales.len()]);
            to += run.len;
        }
        new
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            codec: self.codec,
            shape: self.shape,
            codes: self.codes.bytes(),
            token_stride: self.codec.code_bytes(self.shape),
            scales: self.scales.bytes(),
            levels: self.levels.as_deref(),
        }
    }
}

/// What the keys and the values of one layer need to know of their levels.
pub type LayerLevels = (Arc<Levels>, Arc<Levels>);

/// Keys and values of one layer.
pub struct LayerPlanes {
    k: Plane,
    v: Plane,
}

impl LayerPlanes {
    pub fn new(rows: TokenRows, levels: Option<&LayerLevels>, n_rows: usize) -> Self {
        let (k, v) = levels.cloned().unzip();
        Self { k: Plane::new(rows.keys, rows.shape, k, n_rows), v: Plane::new(rows.values, rows.shape, v, n_rows) }
    }

    /// Allocated bytes, filled or not.
    pub fn bytes(&self) -> u64 {
        self.k.bytes() + self.v.bytes()
    }

    /// Stores one token: `k`, `v` are `[n_kv_head, head_dim]`.
    pub fn write(&mut self, row: usize, k: &[f32], v: &[f32]) {
        self.k.write(row, k);
        self.v.write(row, v);
    }

    /// Stores the 32 tokens whose f32 rows are `rows` of `open`, from `row` on.
    pub fn seal(&mut self, row: usize, open: &Self, rows: [usize; GROUP]) {
        for (plane, open) in [(&mut self.k, &open.k), (&mut self.v, &open.v)] {
            let (width, values) = (open.shape.width(), open.codes.as_slice::<f32>());
            plane.seal(row, &rows.map(|row| &values[row * width..][..width]));
        }
    }

    /// Appends the token's key and value, as f32, to `k` and `v`.
    pub fn read(&self, row: usize, k: &mut Vec<f32>, v: &mut Vec<f32>) {
        self.k.read(row, k);
        self.v.read(row, v);
    }

    /// Copies `n_rows` tokens inside the planes.
    pub fn copy_within(&mut self, from: usize, to: usize, n_rows: usize) {
        self.k.copy_within(from, to, n_rows);
        self.v.copy_within(from, to, n_rows);
    }

    /// New planes of exactly `n_rows` tokens that begin with those of `kept`.
    pub fn with(&self, kept: &[RowRun], n_rows: usize) -> Self {
        Self { k: self.k.with(kept, n_rows), v: self.v.with(kept, n_rows) }
    }

    /// The tokens of `run` as a tile for the walk.
    pub fn tile(&self, run: RowRun) -> Tile<'_> {
        Tile { keys: self.k.rows(), values: self.v.rows(), first: run.row, len: run.len }
    }
}
