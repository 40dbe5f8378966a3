//! The bytes behind the blocks: for each layer a plane of key codes and one of value codes, and their
//! scales in planes of their own.
//!
//! ```text
//! codes   [block][slot][kv_head][head_dim]     64-byte aligned
//! scales  [block][slot][kv_head]               f32, only for formats that have them
//! ```

use crate::kernels::rows::{F32Rows, Int8Rows, RowFormat};
use crate::kernels::walk::{Rows, Tile};

use super::{Format, vec_bytes};

/// A cache line, so that a plane is aligned for every element type and wide load.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// How many bytes the rows of one token take in one layer's keys (and again in its values).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowBytes {
    pub format: Format,
    pub n_kv_head: usize,
    pub head_dim: usize,
}

impl RowBytes {
    fn codes_per_head(&self) -> usize {
        match self.format {
            Format::Int8 => Int8Rows::code_bytes(self.head_dim),
            _ => F32Rows::code_bytes(self.head_dim),
        }
    }

    pub fn codes(&self) -> usize {
        self.n_kv_head * self.codes_per_head()
    }

    pub fn scales(&self) -> usize {
        match self.format {
            Format::Int8 => self.n_kv_head * Int8Rows::SCALES,
            _ => self.n_kv_head * F32Rows::SCALES,
        }
    }

    /// Codes and scales of one token.
    pub fn total(&self) -> usize {
        self.codes() + self.scales() * size_of::<f32>()
    }
}

/// The keys (or the values) of one layer.
pub struct Plane {
    codes: Vec<Line>,
    scales: Vec<f32>,
}

impl Plane {
    /// Room for `n_rows` tokens, zeroed: pages of a large plane are taken from the system only when they
    /// are first written.
    fn new(row: RowBytes, n_rows: usize) -> Self {
        let lines = (n_rows * row.codes()).div_ceil(size_of::<Line>());
        Self { codes: bytemuck::zeroed_vec(lines), scales: vec![0.0; n_rows * row.scales()] }
    }

    fn bytes(&self) -> u64 {
        vec_bytes(&self.codes) + vec_bytes(&self.scales)
    }

    fn write(&mut self, row: RowBytes, slot: usize, heads: &[f32]) {
        match row.format {
            Format::Int8 => self.write_as::<Int8Rows>(row, slot, heads),
            _ => self.write_as::<F32Rows>(row, slot, heads),
        }
    }

    fn write_as<F: RowFormat>(&mut self, row: RowBytes, slot: usize, heads: &[f32]) {
        let codes: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut self.codes)[slot * row.codes()..][..row.codes()];
        let each = codes.chunks_exact_mut(F::code_bytes(row.head_dim)).zip(heads.chunks_exact(row.head_dim));
        for (head, (codes, values)) in each.enumerate() {
            let scale = F::encode(values, codes);
            if F::SCALES > 0 {
                self.scales[slot * row.n_kv_head + head] = scale;
            }
        }
    }

    fn read(&self, row: RowBytes, slot: usize, out: &mut Vec<f32>) {
        match row.format {
            Format::Int8 => self.read_as::<Int8Rows>(row, slot, out),
            _ => self.read_as::<F32Rows>(row, slot, out),
        }
    }

    fn read_as<F: RowFormat>(&self, row: RowBytes, slot: usize, out: &mut Vec<f32>) {
        let codes: &[u8] = &bytemuck::cast_slice(&self.codes)[slot * row.codes()..][..row.codes()];
        for (head, codes) in codes.chunks_exact(F::code_bytes(row.head_dim)).enumerate() {
            let scale = if F::SCALES > 0 { self.scales[slot * row.n_kv_head + head] } else { 1.0 };
            let start = out.len();
            out.resize(start + row.head_dim, 0.0);
            F::decode(codes, scale, &mut out[start..]);
        }
    }

    fn copy(&mut self, row: RowBytes, from: usize, to: usize, n_rows: usize) {
        let codes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.codes);
        codes.copy_within(from * row.codes()..(from + n_rows) * row.codes(), to * row.codes());
        self.scales.copy_within(from * row.scales()..(from + n_rows) * row.scales(), to * row.scales());
    }

    fn rows(&self, row: RowBytes, slot: usize, n_rows: usize) -> Rows<'_> {
        let codes: &[u8] = bytemuck::cast_slice(&self.codes);
        Rows {
            codes: &codes[slot * row.codes()..(slot + n_rows) * row.codes()],
            token_stride: row.codes(),
            scales: &self.scales[slot * row.scales()..(slot + n_rows) * row.scales()],
        }
    }
}

/// Keys and values of one layer.
pub struct LayerPlanes {
    k: Plane,
    v: Plane,
}

impl LayerPlanes {
    pub fn new(row: RowBytes, n_rows: usize) -> Self {
        Self { k: Plane::new(row, n_rows), v: Plane::new(row, n_rows) }
    }

    /// One plane pair per layer.
    pub fn all(n_layer: usize, row: RowBytes, n_rows: usize) -> Vec<Self> {
        let mut layers = Vec::with_capacity(n_layer);
        layers.resize_with(n_layer, || Self::new(row, n_rows));
        layers
    }

    /// Allocated bytes, filled or not.
    pub fn bytes(&self) -> u64 {
        self.k.bytes() + self.v.bytes()
    }

    /// Stores one token: `k`, `v` are `[n_kv_head, head_dim]`.
    pub fn write(&mut self, row: RowBytes, slot: usize, k: &[f32], v: &[f32]) {
        self.k.write(row, slot, k);
        self.v.write(row, slot, v);
    }

    /// Appends the token's key and value, as f32, to `k` and `v`.
    pub fn read(&self, row: RowBytes, slot: usize, k: &mut Vec<f32>, v: &mut Vec<f32>) {
        self.k.read(row, slot, k);
        self.v.read(row, slot, v);
    }

    /// Copies `n_rows` tokens inside the planes; returns the bytes moved.
    pub fn copy(&mut self, row: RowBytes, from: usize, to: usize, n_rows: usize) -> u64 {
        self.k.copy(row, from, to, n_rows);
        self.v.copy(row, from, to, n_rows);
        2 * (n_rows * row.total()) as u64
    }

    /// New planes of exactly `n_rows` tokens that begin with the first `n_kept` of these.
    pub fn regrown(&self, row: RowBytes, n_kept: usize, n_rows: usize) -> Self {
        let mut grown = Self::new(row, n_rows);
        for (from, to) in [(&self.k, &mut grown.k), (&self.v, &mut grown.v)] {
            let kept = n_kept * row.codes();
            let codes: &mut [u8] = bytemuck::cast_slice_mut(&mut to.codes);
            codes[..kept].copy_from_slice(&bytemuck::cast_slice(&from.codes)[..kept]);
            let kept = n_kept * row.scales();
            to.scales[..kept].copy_from_slice(&from.scales[..kept]);
        }
        grown
    }

    pub fn tile(&self, row: RowBytes, slot: usize, n_rows: usize) -> Tile<'_> {
        Tile { keys: self.k.rows(row, slot, n_rows), values: self.v.rows(row, slot, n_rows), len: n_rows }
    }
}
