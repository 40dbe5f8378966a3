//! What a cache asks of a GPU besides attention (`attend.rs`), checked before it is launched: no call of these can make a kernel read or write beyond the memory it is given.

#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::{Error, Result, Tensor};

use crate::kernels::{
    HeadShape,
    codec::{Codec, GROUP},
    cuda::{Address, Geometry, Plane, RowCopy, append_name},
};

use super::{Argument, Gpu, Lists, Memory, PlaneMemory, Rows, TensorRows};

/// Lists on a GPU.
pub struct Uploaded {
    memory: Memory,
    /// Of the lists.
    id: u64,
}

pub(super) fn refuse<T>(what: &str) -> Result<T> {
    Err(Error::Msg(format!("a GPU kernel was asked for what is not there: {what}")))
}

pub(super) fn int(n: usize) -> Argument {
    Argument::Int(i32::try_from(n).unwrap_or(i32::MAX))
}

fn word(n: usize) -> Argument {
    Argument::Word(u32::try_from(n).unwrap_or(u32::MAX))
}

pub(super) fn words(words: usize) -> Address {
    4 * words as Address
}

impl Uploaded {
    /// # Errors
    /// The driver's.
    pub fn new(gpu: &Gpu, lists: &Lists) -> Result<Self> {
        Ok(Self { memory: gpu.upload(lists.words())?, id: lists.id })
    }

    /// Words of these lists; `id` says whose they are.
    pub(super) fn at(&self, id: u64, first: usize, len: usize) -> Result<Argument> {
        if id != self.id || (first + len) * 4 > self.memory.n_bytes() {
            return refuse("a list of other lists");
        }
        Ok(Argument::Address(self.memory.address() + words(first)))
    }
}

impl Gpu {
    /// Stores tokens of `new`, one of them for each of `to`, in the rows that this names. If one is no finite number, the
    /// `flag`th word of `flags` is all ones less the number of the first such token.
    ///
    /// # Errors
    /// Lists or planes that do not fit each other; the driver's.
    pub fn append(
        &self,
        new: &TensorRows,
        lists: &Uploaded,
        (from, to): (Rows, Rows),
        plane: &mut PlaneMemory,
        (flags, flag): (&Memory, usize),
    ) -> Result<()> {
        if from.pool_end > new.n_tokens
            || from.exact_end > 0
            || (new.heads, new.head_dim) != (plane.shape.n_kv_head, plane.shape.head_dim)
        {
            return refuse("tokens");
        }
        self.append_from((new.address, new.token_stride), lists, (from, to), plane, (flags, flag))
    }

    fn append_from(
        &self,
        (x, token_stride): (Address, usize),
        lists: &Uploaded,
        (from, to): (Rows, Rows),
        plane: &mut PlaneMemory,
        (flags, flag): (&Memory, usize),
    ) -> Result<()> {
        let Some(name) = append_name(plane.codec) else { return refuse("a kernel that stores this format") };
        if to.pool_end > plane.n_rows || to.exact_end > 0 || from.len != to.len || (flag + 1) * 4 > flags.n_bytes() {
            return refuse("rows to store");
        }
        let Plane { codes, scales } = plane.view().plane;
        let arguments = [
            Argument::Address(x),
            int(token_stride),
            lists.at(from.id, from.first, from.len)?,
            lists.at(to.id, to.first, to.len)?,
            Argument::Address(codes),
            Argument::Address(scales),
            int(plane.shape.head_dim),
            Argument::Address(flags.address() + words(flag)),
        ];
        // SAFETY: `from` names tokens that `x` has (the callers looked), `to` rows that the plane has; the flag is there.
        unsafe { self.launch(&name, Geometry::append(plane.shape.n_kv_head, to.len), &arguments) }
    }

    /// Quantizes the 32 tokens that lie in the rows `from` of an f32 plane into the rows `to`, the first of which is `first`.
    ///
    /// # Errors
    /// As [`Gpu::append`].
    pub fn seal(
        &self,
        exact: &PlaneMemory,
        lists: &Uploaded,
        (from, to, first): (Rows, Rows, usize),
        plane: &mut PlaneMemory,
        flags: (&Memory, usize),
    ) -> Result<()> {
        let is_group = from.len == GROUP && to.len == GROUP && first.is_multiple_of(GROUP) && from.exact_end == 0;
        if exact.codec != Codec::F32 || exact.shape != plane.shape || from.pool_end > exact.n_rows || !is_group {
            return refuse("a group of exact rows");
        }
        let Plane { codes: source, .. } = exact.view().plane;
        let Codec::Channels { bits } = plane.codec else {
            return self.append_from((source, exact.shape.width()), lists, (from, to), plane, flags);
        };
        if first + GROUP > plane.n_rows {
            return refuse("rows to seal");
        }
        let Plane { codes, scales } = plane.view().plane;
        let arguments = [
            Argument::Address(source),
            lists.at(from.id, from.first, from.len)?,
            word(first),
            Argument::Address(codes),
            Argument::Address(scales),
        ];
        let heads = HeadShape { n_head: 1, n_kv_head: plane.shape.n_kv_head, head_dim: plane.shape.head_dim };
        // SAFETY: 32 rows that the exact plane has become 32 rows that the other has.
        unsafe { self.launch(&format!("seal_channels{bits}"), Geometry::seal(heads), &arguments) }
    }

    /// Copies runs of rows of one plane into another of the same format.
    ///
    /// # Errors
    /// Rows that are not there; the driver's.
    pub fn copy_rows(&self, from: &PlaneMemory, to: &mut PlaneMemory, copies: &RowCopies) -> Result<()> {
        if (from.codec, from.shape) != (to.codec, to.shape)
            || copies.from_end > from.n_rows
            || copies.to_end > to.n_rows
        {
            return refuse("rows to copy");
        }
        self.copy_runs(from, from.view().plane, to.view().plane, copies)
    }

    /// Copies runs of rows inside a plane; none of them overlaps another.
    ///
    /// # Errors
    /// Rows that are not there; the driver's.
    pub fn copy_rows_within(&self, plane: &mut PlaneMemory, copies: &RowCopies) -> Result<()> {
        if copies.from_end.max(copies.to_end) > plane.n_rows {
            return refuse("rows to copy");
        }
        self.copy_runs(plane, plane.view().plane, plane.view().plane, copies)
    }

    fn copy_runs(&self, format: &PlaneMemory, from: Plane, to: Plane, copies: &RowCopies) -> Result<()> {
        let (codec, shape) = (format.codec, format.shape);
        for (from, to, row_bytes) in
            [(from.codes, to.codes, codec.code_bytes(shape)), (from.scales, to.scales, codec.scale_bytes(shape))]
        {
            if row_bytes == 0 {
                continue;
            }
            let word_bytes = if row_bytes.is_multiple_of(16) { 16 } else { 2 };
            let row_words = row_bytes / word_bytes;
            let geometry = Geometry::copy(copies.len, copies.most_rows * row_words);
            let arguments = [
                Argument::Address(from),
                Argument::Address(to),
                copies.lists.at(0, 0, 3 * copies.len)?,
                word(row_words),
            ];
            // SAFETY: all runs lie inside of both planes, whose rows are a multiple of 16 or of 2 bytes.
            unsafe { self.launch(&format!("copy_rows_{word_bytes}"), geometry, &arguments) }?;
        }
        Ok(())
    }

    /// Rows of a tensor `[tokens, heads, head_dim]` as kernels read them, rotated if that is wanted (see [`crate::kernels::hadamard`]).
    ///
    /// # Errors
    /// A tensor that is not on this GPU; the driver's.
    pub fn rows(&self, tensor: &Tensor, rotated: bool) -> Result<TensorRows> {
        let rows = self.tensor_rows(tensor)?;
        if rotated { self.rotated(&rows) } else { Ok(rows) }
    }

    /// The same rows, rotated.
    ///
    /// # Errors
    /// The driver's.
    pub fn rotated(&self, rows: &TensorRows) -> Result<TensorRows> {
        let out = self.new_rows(rows.n_tokens, rows.heads, rows.head_dim)?;
        let arguments = [
            Argument::Address(rows.address),
            int(rows.token_stride),
            int(rows.head_dim),
            Argument::Address(out.address),
        ];
        // SAFETY: as many rows as the tensor has, into a tensor of as many.
        unsafe { self.launch("rotate", Geometry::rotate(rows.n_tokens, rows.heads, rows.head_dim), &arguments) }?;
        Ok(out)
    }

    /// The place of the largest of some logits `[V]`, of several the first; `None` if one is no number.
    ///
    /// # Errors
    /// A tensor that is not f32 or not on this GPU; the driver's.
    pub fn argmax(&self, logits: &Tensor) -> Result<Option<u32>> {
        let n = logits.elem_count();
        let logits = self.tensor_rows(&logits.contiguous()?.reshape((1, 1, n))?)?;
        let place = self.uninitialized(4)?;
        let arguments = [Argument::Address(logits.address), int(n), Argument::Address(place.address())];
        // SAFETY: one row of `n` numbers, and room for its place.
        unsafe { self.launch("argmax", Geometry::argmax(1), &arguments) }?;
        let place = place.download(0..4)?;
        let place = place.as_slice().try_into().map(u32::from_le_bytes).ok();
        Ok(place.filter(|place| (*place as usize) < n))
    }
}

/// Runs of rows that are copied, on a GPU.
pub struct RowCopies {
    lists: Uploaded,
    len: usize,
    from_end: usize,
    to_end: usize,
    most_rows: usize,
}

impl RowCopies {
    /// # Errors
    /// The driver's.
    pub fn new(gpu: &Gpu, copies: &[RowCopy]) -> Result<Self> {
        let all: Vec<u32> = copies.iter().flat_map(|copy| [copy.from, copy.to, copy.n_rows]).collect();
        let end = |row: fn(&RowCopy) -> u32| {
            copies.iter().map(|copy| row(copy) as usize + copy.n_rows as usize).max().unwrap_or(0)
        };
        Ok(Self {
            lists: Uploaded { memory: gpu.upload(&all)?, id: 0 },
            len: copies.len(),
            from_end: end(|copy| copy.from),
            to_end: end(|copy| copy.to),
            most_rows: copies.iter().map(|copy| copy.n_rows as usize).max().unwrap_or(0),
        })
    }
}
