//! Packed rows as vectors: thirty-two values at a time, decoded in registers and nowhere else.
//!
//! Of every format but [`Codec::Levels`], whose outliers lie apart. What comes out is bit for bit what the plain decoders of this room give,
//! so the rows that are multiplied are the rows that are read back.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use std::marker::PhantomData;

use super::{Codec, GROUP};
use crate::kernels::simd::{LANES, Path, Simd, WithSimd, with_path};

/// How rows of a format are read. Values are asked for by groups of 32: head after head, each a whole number of them.
pub trait Packed {
    /// Bytes of the codes of a group.
    const CODE_BYTES: usize;
    /// Where its scales are.
    const SCALES: Scales;

    /// The values of `group`, of a row of one head with these codes and scales.
    fn read<S: Simd>(simd: S, codes: &[u8], scales: &[u8], group: usize) -> [S::F32; 2];
}

/// The scales of a row of one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// There are none.
    None,
    /// So many bytes for the row.
    Row(usize),
    /// So many bytes for each group.
    Group(usize),
    /// So many bytes for each group, and the same ones for 32 tokens.
    Shared(usize),
}

impl Scales {
    /// Bytes of a row of one head, `n_groups` long; of shared ones, those of 32 tokens.
    #[inline(always)]
    pub fn bytes(self, n_groups: usize) -> usize {
        match self {
            Self::None => 0,
            Self::Row(bytes) => bytes,
            Self::Group(bytes) | Self::Shared(bytes) => bytes * n_groups,
        }
    }
}

/// Work on the rows of a format, compiled for each format and processor.
pub trait WithRows {
    /// To be marked `#[inline(always)]`, and what it calls too.
    fn run<F: Packed, S: Simd>(self, simd: S);
}

impl Codec {
    /// True where [`Codec::with_rows`] can read such rows as they are: a whole number of groups, no outliers apart.
    pub(in crate::kernels) fn is_packed(self, head_dim: usize) -> bool {
        head_dim.is_multiple_of(GROUP) && !matches!(self, Self::Levels { .. })
    }

    /// Runs `op` for rows of this format on `path`.
    ///
    /// # Panics
    /// For [`Codec::Levels`], see [`Codec::is_packed`].
    pub(in crate::kernels) fn with_rows<O: WithRows>(self, path: Path, op: O) {
        match self {
            Self::F32 => of::<F32, O>(path, op),
            Self::F16 => of::<F16, O>(path, op),
            Self::Bf16 => of::<Bf16, O>(path, op),
            Self::F8 => of::<F8, O>(path, op),
            Self::Int8 => of::<Int8, O>(path, op),
            Self::Q8_0 => of::<Q8_0, O>(path, op),
            Self::Q4_0 => of::<Q4_0, O>(path, op),
            Self::Affine { bits: 2 } => of::<Affine<2>, O>(path, op),
            Self::Affine { bits: 4 } => of::<Affine<4>, O>(path, op),
            Self::Affine { .. } => of::<Affine<8>, O>(path, op),
            Self::Channels { bits: 2 } => of::<Channels<2>, O>(path, op),
            Self::Channels { bits: 4 } => of::<Channels<4>, O>(path, op),
            Self::Channels { .. } => of::<Channels<8>, O>(path, op),
            Self::Levels { .. } => unreachable!("levels are decoded a run at a time"),
        }
    }
}

fn of<F: Packed, O: WithRows>(path: Path, op: O) {
    struct OfFormat<F, O>(O, PhantomData<F>);
    impl<F: Packed, O: WithRows> WithSimd for OfFormat<F, O> {
        type Out = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            self.0.run::<F, S>(simd);
        }
    }
    with_path(path, OfFormat::<F, O>(op, PhantomData));
}

/// The `index`th `T` of some bytes.
#[inline(always)]
fn at<T: bytemuck::AnyBitPattern>(bytes: &[u8], index: usize) -> T {
    bytemuck::pod_read_unaligned(&bytes[index * size_of::<T>()..][..size_of::<T>()])
}

/// The sixteen bytes from `start` on, where they are.
#[inline(always)]
fn sixteen(bytes: &[u8], start: usize) -> &[u8; LANES] {
    bytemuck::from_bytes(&bytes[start..start + LANES])
}

/// A group of bytes, in halves.
#[inline(always)]
fn bytes(codes: &[u8], group: usize) -> (&[u8; LANES], &[u8; LANES]) {
    (sixteen(codes, group * GROUP), sixteen(codes, group * GROUP + LANES))
}

/// The numbers 0 to `2^BITS - 1`, again and again: for indices in whose low four bits the next codes begin.
const fn codes<const BITS: u8>() -> [f32; LANES] {
    let mut codes = [0.0; LANES];
    let mut i = 0;
    while i < LANES {
        #[expect(clippy::cast_precision_loss, reason = "below 16")]
        {
            codes[i] = (i % (1 << BITS)) as f32;
        }
        i += 1;
    }
    codes
}

/// The indices of a group that [`super::pack`] packed in 2 or 4 bits: their low four bits begin with the code.
#[inline(always)]
fn indices<const BITS: u8, S: Simd>(simd: S, bytes: &[u8], group: usize) -> [S::I32; 2] {
    if BITS == 4 {
        let bytes = simd.load_bytes(sixteen(bytes, group * LANES));
        return [bytes, simd.shift_right(bytes, simd.splat_i32(4))];
    }
    let eight: u64 = at(bytes, group);
    let bytes = simd.load_bytes(&bytemuck::cast([eight; 2]));
    let shifts = |low: u8, high: u8| bytemuck::cast([[low; LANES / 2], [high; LANES / 2]]);
    let (first, second) = (simd.load_bytes(&shifts(0, 2)), simd.load_bytes(&shifts(4, 6)));
    [simd.shift_right(bytes, first), simd.shift_right(bytes, second)]
}

/// Plain f32.
pub struct F32;

impl Packed for F32 {
    const CODE_BYTES: usize = 4 * GROUP;
    const SCALES: Scales = Scales::None;

    #[inline(always)]
    fn read<S: Simd>(simd: S, codes: &[u8], _: &[u8], group: usize) -> [S::F32; 2] {
        let [low, high]: [[f32; LANES]; 2] = at(codes, group);
        [simd.load(&low), simd.load(&high)]
    }
}

struct F16;

impl Packed for F16 {
    const CODE_BYTES: usize = 2 * GROUP;
    const SCALES: Scales = Scales::None;

    #[inline(always)]
    fn read<S: Simd>(simd: S, codes: &[u8], _: &[u8], group: usize) -> [S::F32; 2] {
        let [low, high]: [[u16; LANES]; 2] = at(codes, group);
        [simd.load_f16(&low), simd.load_f16(&high)]
    }
}

struct Bf16;

impl Packed for Bf16 {
    const CODE_BYTES: usize = 2 * GROUP;
    const SCALES: Scales = Scales::None;

    #[inline(always)]
    fn read<S: Simd>(simd: S, codes: &[u8], _: &[u8], group: usize) -> [S::F32; 2] {
        let [low, high]: [[u16; LANES]; 2] = at(codes, group);
        [simd.load_bf16(&low), simd.load_bf16(&high)]
    }
}

struct F8;

impl Packed for F8 {
    const CODE_BYTES: usize = GROUP;
    const SCALES: Scales = Scales::None;

    #[inline(always)]
    fn read<S: Simd>(simd: S, codes: &[u8], _: &[u8], group: usize) -> [S::F32; 2] {
        let (low, high) = bytes(codes, group);
        [simd.load_f8(low), simd.load_f8(high)]
    }
}

struct Int8;

impl Packed for Int8 {
    const CODE_BYTES: usize = GROUP;
    const SCALES: Scales = Scales::Row(size_of::<f32>());

    #[inline(always)]
    fn read<S: Simd>(simd: S, codes: &[u8], scales: &[u8], group: usize) -> [S::F32; 2] {
        scaled_bytes(simd, codes, simd.splat(at(scales, 0)), group)
    }
}

struct Q8_0;

impl Packed for Q8_0 {
    const CODE_BYTES: usize = GROUP;
    const SCALES: Scales = Scales::Group(size_of::<u16>());

    #[inline(always)]
    fn read<S: Simd>(simd: S, codes: &[u8], scales: &[u8], group: usize) -> [S::F32; 2] {
        scaled_bytes(simd, codes, simd.splat_f16(at(scales, group)), group)
    }
}

#[inline(always)]
fn scaled_bytes<S: Simd>(simd: S, codes: &[u8], scale: S::F32, group: usize) -> [S::F32; 2] {
    let (low, high) = bytes(codes, group);
    [simd.mul(simd.load_i8(low), scale), simd.mul(simd.load_i8(high), scale)]
}

struct Q4_0;

impl Packed for Q4_0 {
    const CODE_BYTES: usize = GROUP / 2;
    const SCALES: Scales = Scales::Group(size_of::<u16>());

    /// The sixteen values that the group can have are computed, and looked up.
    #[inline(always)]
    fn read<S: Simd>(simd: S, codes: &[u8], scales: &[u8], group: usize) -> [S::F32; 2] {
        const STEPS: [f32; LANES] = [-8., -7., -6., -5., -4., -3., -2., -1., 0., 1., 2., 3., 4., 5., 6., 7.];
        let table = simd.mul(simd.load(&STEPS), simd.splat_f16(at(scales, group)));
        let [low, high] = indices::<4, S>(simd, codes, group);
        [simd.lookup(table, low), simd.lookup(table, high)]
    }
}

struct Affine<const BITS: u8>;

impl<const BITS: u8> Packed for Affine<BITS> {
    const CODE_BYTES: usize = GROUP * BITS as usize / 8;
    const SCALES: Scales = Scales::Group(2 * size_of::<u16>());

    /// As [`Q4_0`], unless a code has 8 bits.
    #[inline(always)]
    fn read<S: Simd>(simd: S, codes: &[u8], scales: &[u8], group: usize) -> [S::F32; 2] {
        let [minimum, step] = at::<[u16; 2]>(scales, group);
        let (minimum, step) = (simd.splat_f16(minimum), simd.splat_f16(step));
        if BITS == 8 {
            let (low, high) = bytes(codes, group);
            let (low, high) = (simd.load_u8(low), simd.load_u8(high));
            return [simd.add(minimum, simd.mul(step, low)), simd.add(minimum, simd.mul(step, high))];
        }
        let table = simd.add(minimum, simd.mul(step, simd.load(const { &self::codes::<BITS>() })));
        let [low, high] = indices::<BITS, S>(simd, codes, group);
        [simd.lookup(table, low), simd.lookup(table, high)]
    }
}

struct Channels<const BITS: u8>;

impl<const BITS: u8> Packed for Channels<BITS> {
    const CODE_BYTES: usize = GROUP * BITS as usize / 8;
    const SCALES: Scales = Scales::Shared(GROUP * 2 * size_of::<u16>());

    /// Steps and minima are those of the channels: the compiler keeps them from one row to the next.
    #[inline(always)]
    fn read<S: Simd>(simd: S, codes: &[u8], scales: &[u8], group: usize) -> [S::F32; 2] {
        let steps: [[[u16; 2]; LANES]; 2] = at(scales, group);
        let [low, high] = if BITS == 8 {
            let (low, high) = bytes(codes, group);
            [simd.load_u8(low), simd.load_u8(high)]
        } else {
            let table = simd.load(const { &self::codes::<BITS>() });
            let [low, high] = indices::<BITS, S>(simd, codes, group);
            [simd.lookup(table, low), simd.lookup(table, high)]
        };
        let ([low_minimum, low_step], [high_minimum, high_step]) =
            (simd.load_f16_pairs(&steps[0]), simd.load_f16_pairs(&steps[1]));
        [simd.add(low_minimum, simd.mul(low_step, low)), simd.add(high_minimum, simd.mul(high_step, high))]
    }
}
