//! Rows on a GPU: those of a cache, and those that candle computed.

use std::marker::PhantomData;

use candle_core::{Error, Result, Tensor};

use crate::kernels::{
    codec::{Codec, Levels, RowShape},
    cuda::{Address, Plane},
    walk::Rows,
};

use super::{Gpu, Memory};

/// The keys (or the values) of one layer, for a number of rows.
pub struct PlaneMemory {
    pub(super) codec: Codec,
    pub(super) shape: RowShape,
    pub(super) n_rows: usize,
    pub(super) codes: Memory,
    pub(super) scales: Memory,
}

/// The same as a kernel reads it, for as long as its memory is there.
#[derive(Clone, Copy, Debug)]
pub struct PlaneView<'a> {
    pub(super) codec: Codec,
    pub(super) shape: RowShape,
    pub(super) n_rows: usize,
    pub(super) plane: Plane,
    alive: PhantomData<&'a ()>,
}

/// Rows of a tensor on a GPU, `[tokens, heads, head_dim]` in f32; tokens lie `token_stride` elements apart.
pub struct TensorRows {
    pub(super) address: Address,
    pub(super) token_stride: usize,
    pub(super) n_tokens: usize,
    pub(super) heads: usize,
    pub(super) head_dim: usize,
    /// What keeps them alive.
    pub(super) tensor: Tensor,
}

impl PlaneMemory {
    /// Room for `n_rows`, zeroed.
    ///
    /// # Errors
    /// A format that does not take such rows; the driver's, if there is not as much memory.
    pub fn zeroed(gpu: &Gpu, codec: Codec, shape: RowShape, n_rows: usize) -> Result<Self> {
        if let Some(reason) = codec.refuses(shape) {
            return Err(Error::Msg(reason));
        }
        let (codes, scales) = (n_rows * codec.code_bytes(shape), n_rows * codec.scale_bytes(shape));
        Ok(Self { codec, shape, n_rows, codes: gpu.zeroed(codes)?, scales: gpu.zeroed(scales)? })
    }

    /// Room for `n_rows` that will be written before they are read.
    ///
    /// # Errors
    /// The driver's.
    pub fn uninitialized(&self, gpu: &Gpu, n_rows: usize) -> Result<Self> {
        let (codec, shape) = (self.codec, self.shape);
        let (codes, scales) = (n_rows * codec.code_bytes(shape), n_rows * codec.scale_bytes(shape));
        Ok(Self { codec, shape, n_rows, codes: gpu.uninitialized(codes)?, scales: gpu.uninitialized(scales)? })
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.codes.n_bytes() + self.scales.n_bytes()) as u64
    }

    /// Copies rows of another plane of the same format, without a kernel.
    ///
    /// # Errors
    /// Rows that are not there; the driver's.
    pub fn copy_from(&mut self, gpu: &Gpu, other: &Self, from: usize, to: usize, n_rows: usize) -> Result<()> {
        let (codes, scales) = (self.codec.code_bytes(self.shape), self.codec.scale_bytes(self.shape));
        gpu.copy(&other.codes, from * codes, &mut self.codes, to * codes, n_rows * codes)?;
        gpu.copy(&other.scales, from * scales, &mut self.scales, to * scales, n_rows * scales)
    }

    #[must_use]
    pub fn view(&self) -> PlaneView<'_> {
        let plane = Plane { codes: self.codes.address(), scales: self.scales.address() };
        PlaneView { codec: self.codec, shape: self.shape, n_rows: self.n_rows, plane, alive: PhantomData }
    }

    /// The whole plane on the host, to be looked into: codes and scales.
    ///
    /// # Errors
    /// The driver's.
    pub fn download(&self) -> Result<HostPlane> {
        let (codec, shape) = (self.codec, self.shape);
        let codes = self.codes.download(0..self.codes.n_bytes())?;
        Ok(HostPlane { codec, shape, codes, scales: self.scales.download(0..self.scales.n_bytes())? })
    }
}

impl TensorRows {
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    #[must_use]
    pub fn into_tensor(self) -> Tensor {
        self.tensor
    }

    /// How many rows of a plane lie between two tokens, if these rows are such a plane where they are.
    #[must_use]
    pub fn plane_stride(&self) -> Option<usize> {
        let width = self.heads * self.head_dim;
        let is_aligned = self.address.is_multiple_of(16) && width.is_multiple_of(4);
        (is_aligned && self.token_stride.is_multiple_of(width)).then(|| self.token_stride / width)
    }

    /// These rows as a plane, in which a token is every [`Self::plane_stride`]th row.
    #[must_use]
    pub fn as_plane(&self) -> Option<PlaneView<'_>> {
        let n_rows = self.plane_stride()? * self.n_tokens.saturating_sub(1) + self.n_tokens.min(1);
        let shape = RowShape { n_kv_head: self.heads, head_dim: self.head_dim };
        Some(PlaneView {
            codec: Codec::F32,
            shape,
            n_rows,
            plane: Plane { codes: self.address, scales: 0 },
            alive: PhantomData,
        })
    }
}

/// A plane on the host.
pub struct HostPlane {
    codec: Codec,
    shape: RowShape,
    codes: Vec<u8>,
    scales: Vec<u8>,
}

impl HostPlane {
    /// Appends a row as f32, `[n_kv_head, head_dim]`.
    pub fn read(&self, row: usize, out: &mut Vec<f32>) {
        let RowShape { n_kv_head, head_dim } = self.shape;
        let rows = Rows {
            codec: self.codec,
            shape: self.shape,
            codes: &self.codes,
            token_stride: self.codec.code_bytes(self.shape),
            scales: &self.scales,
            levels: None::<&Levels>,
        };
        let start = out.len();
        out.resize(start + n_kv_head * head_dim, 0.0);
        for (head, out) in out[start..].chunks_exact_mut(head_dim).enumerate() {
            rows.decode(row, 1, head, out);
        }
    }
}
