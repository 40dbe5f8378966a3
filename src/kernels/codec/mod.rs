//! How the rows of a token (a key or a value of each head) become bytes, and what is read back.
//!
//! A format has two planes: **codes**, the values themselves, and **scales**, the numbers to read them by. Both are laid out
//! token by token, so that codes stay aligned:
//!
//! ```text
//! codes   [token][kv_head][head_dim]       bits of the format a value
//! scales  [token][kv_head][group]          numbers of the format; none for plain floats
//! ```
//!
//! [`Codec::Channels`] is the exception: its scales belong to a channel over 32 tokens, so that they are
//! `[tokens / 32][kv_head][head_dim]`, and it encodes 32 tokens at once.
//!
//! Each value is quantized once, when its row is written or its block is sealed, and never again: nothing is decoded to be encoded
//! anew, so errors do not compound. What is stored is always finite: values beyond a format's range are stored as
//! the largest that it has.

mod affine;
mod channels;
mod describe;
mod find;
mod floats;
mod ggml;
mod int8;
mod kmeans;
mod levels;
mod pack;
mod packed;

use half::f16;

use super::{
    runs::Decode,
    simd::Path,
    tiles::{Rows, RunRows},
};

pub use describe::{Group, Number, Over, RowGroups, Rule};
pub use levels::Levels;
pub(super) use packed::{Packed, Scales, WithRows};

/// Values that share a scale in formats that group them: channels of a row, or tokens of a channel (ggml's and KIVI's size).
pub const GROUP: usize = 32;

/// The rows of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    pub n_kv_head: usize,
    pub head_dim: usize,
}

impl RowShape {
    /// Values of a token's keys, and again of its values.
    #[must_use]
    pub fn width(self) -> usize {
        self.n_kv_head * self.head_dim
    }
}

/// How rows are stored. Half the step between two neighbouring values that can be stored bounds the error, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As they came.
    F32,
    /// IEEE half precision: 11 significant bits, up to 65,504.
    F16,
    /// The upper half of an f32: 8 significant bits.
    Bf16,
    /// e4m3: 4 significant bits, up to 448 (Micikevicius et al. 2022, arXiv 2209.05433), with no scale, as vLLM's `fp8_e4m3`
    /// before calibration.
    F8,
    /// 8 bits and an f32 scale for each token and head: `max |x| / 127` (vLLM's `int8_per_token_head`).
    Int8,
    /// ggml's block: 32 values, 8 bits each, an f16 scale `max |x| / 127`.
    Q8_0,
    /// ggml's block: 32 values, 4 bits each, an f16 scale: the value farthest from zero becomes -8, so the other end stops at 7.
    Q4_0,
    /// Groups of 32 channels of a row, from their minimum to their maximum in equal steps; an f16 for each of the two
    /// (KIVI's values; Liu et al. 2024, arXiv 2402.02750).
    Affine { bits: u8 },
    /// The same over 32 tokens of a channel (KIVI's keys).
    Channels { bits: u8 },
    /// Levels that are not equally far apart, found on a text beforehand; the values farthest out are kept apart in f16 (`KVQuant`;
    /// Hooper et al. 2024, arXiv 2401.18079). Levels for the keys are scaled by channel, those for the values by token and head.
    Levels { bits: u8, by_channel: bool },
}

impl Codec {
    /// Bytes of a token's codes. Rows of a head lie one behind the other.
    #[must_use]
    pub fn code_bytes(self, shape: RowShape) -> usize {
        shape.n_kv_head * self.head_bytes(shape.head_dim)
    }

    /// Bytes of one head's codes.
    #[must_use]
    pub fn head_bytes(self, head_dim: usize) -> usize {
        head_dim * self.bits() / 8
    }

    /// Bits of a value, without scales.
    #[must_use]
    pub fn bits(self) -> usize {
        match self {
            Self::F32 => 32,
            Self::F16 | Self::Bf16 => 16,
            Self::F8 | Self::Int8 | Self::Q8_0 => 8,
            Self::Q4_0 => 4,
            Self::Affine { bits } | Self::Channels { bits } | Self::Levels { bits, .. } => usize::from(bits),
        }
    }

    /// Bytes of a token's scales; of [`Codec::Channels`], its share of the group's.
    #[must_use]
    pub fn scale_bytes(self, shape: RowShape) -> usize {
        let groups = shape.width() / GROUP;
        match self {
            Self::F32 | Self::F16 | Self::Bf16 | Self::F8 => 0,
            Self::Int8 => shape.n_kv_head * size_of::<f32>(),
            Self::Q8_0 | Self::Q4_0 => groups * size_of::<f16>(),
            Self::Affine { .. } | Self::Channels { .. } => groups * 2 * size_of::<f16>(),
            Self::Levels { by_channel, .. } => levels::scale_bytes(shape, by_channel),
        }
    }

    /// What is wrong with storing such rows in this format, if anything.
    #[must_use]
    pub fn refuses(self, shape: RowShape) -> Option<String> {
        let RowShape { head_dim, .. } = shape;
        match self {
            Self::Q8_0 | Self::Q4_0 | Self::Affine { .. } | Self::Channels { .. }
                if !head_dim.is_multiple_of(GROUP) =>
            {
                Some(format!("it quantizes groups of {GROUP} channels, which do not divide a head_dim of {head_dim}"))
            }
            Self::Levels { .. } => levels::refuses(shape),
            _ => None,
        }
    }

    /// Stores the rows of one token, `[n_kv_head, head_dim]`. Values are finite; the store refuses others.
    ///
    /// # Panics
    /// For [`Codec::Channels`], which needs 32 tokens: see [`encode_channels`].
    pub fn encode(self, shape: RowShape, levels: Option<&Levels>, row: &[f32], codes: &mut [u8], scales: &mut [u8]) {
        match self {
            Self::F32 => codes.copy_from_slice(bytemuck::cast_slice(row)),
            Self::F16 => floats::encode_f16(row, codes),
            Self::Bf16 => floats::encode_bf16(row, codes),
            Self::F8 => floats::encode_f8(row, codes),
            Self::Int8 => int8::encode(shape, row, codes, scales),
            Self::Q8_0 => ggml::encode_q8_0(row, codes, scales),
            Self::Q4_0 => ggml::encode_q4_0(row, codes, scales),
            Self::Affine { bits } => affine::encode(bits, row, codes, scales),
            Self::Channels { .. } => unreachable!("keys by channel are encoded 32 tokens at a time"),
            Self::Levels { .. } => {
                if let Some(levels) = levels {
                    levels.encode(self.bits(), shape, row, codes, scales);
                }
            }
        }
    }
}

pub use channels::encode as encode_channels;

impl Rows<'_> {
    /// `len` rows of one head from the token `first` on as f32: `out` is `[len, head_dim]`.
    ///
    /// # Panics
    /// If a slice is shorter than its shape says, which is a bug of the store.
    pub fn decode(&self, first: usize, len: usize, kv_head: usize, out: &mut [f32]) {
        let head_dim = self.shape.head_dim;
        if !self.codec.is_packed(head_dim) {
            return self.decode_plainly(first, len, kv_head, out);
        }
        // Groups of tokens that share scales, or as good as any.
        let (mut token, end) = (first, first + len);
        while token < end {
            let rows = RunRows { rows: self, first: token, len: (GROUP - token % GROUP).min(end - token) };
            let out = &mut out[(token - first) * head_dim..][..rows.len * head_dim];
            self.codec.with_rows(Path::current(), Decode { rows, kv_head, out });
            token += rows.len;
        }
    }

    /// [`Self::decode`], value by value.
    pub(super) fn decode_plainly(&self, first: usize, len: usize, kv_head: usize, out: &mut [f32]) {
        let head_dim = self.shape.head_dim;
        for (token, out) in (first..first + len).zip(out.chunks_exact_mut(head_dim)) {
            let bytes = self.codec.head_bytes(head_dim);
            let codes = &self.codes[token * self.token_stride + kv_head * bytes..][..bytes];
            match self.codec {
                Codec::F32 => out.copy_from_slice(bytemuck::cast_slice(codes)),
                Codec::F16 => floats::decode_f16(codes, out),
                Codec::Bf16 => floats::decode_bf16(codes, out),
                Codec::F8 => floats::decode_f8(codes, out),
                Codec::Int8 => int8::decode(codes, self.int8_scales()[token * self.shape.n_kv_head + kv_head], out),
                Codec::Q8_0 => ggml::decode_q8_0(codes, self.groups(token, kv_head, 1), out),
                Codec::Q4_0 => ggml::decode_q4_0(codes, self.groups(token, kv_head, 1), out),
                Codec::Affine { bits } => affine::decode(bits, codes, self.groups(token, kv_head, 2), out),
                Codec::Channels { bits } => {
                    let start = ((token / GROUP) * self.shape.width() + kv_head * head_dim) * 2 * size_of::<f16>();
                    channels::decode(bits, codes, &self.scales[start..][..head_dim * 2 * size_of::<f16>()], out);
                }
                Codec::Levels { .. } => {
                    if let Some(levels) = self.levels {
                        let each = self.codec.scale_bytes(self.shape);
                        let scales = &self.scales[token * each..][..each];
                        levels.decode(self.codec.bits(), self.shape, kv_head, codes, scales, out);
                    }
                }
            }
        }
    }

    /// The scales of a row, `numbers` of f16 for each of its groups.
    fn groups(&self, token: usize, kv_head: usize, numbers: usize) -> &[u8] {
        let of_head = self.shape.head_dim / GROUP * numbers * size_of::<f16>();
        &self.scales[(token * self.shape.n_kv_head + kv_head) * of_head..][..of_head]
    }

    /// The scales of [`Codec::Int8`], `[token][kv_head]`.
    pub(super) fn int8_scales(&self) -> &[f32] {
        bytemuck::cast_slice(self.scales)
    }
}

/// `x`, or the f16 farthest out on its side.
fn within_f16(x: f32) -> f32 {
    x.clamp(-f16::MAX.to_f32_const(), f16::MAX.to_f32_const())
}

/// A scale as it is stored: the nearest f16, at most its largest.
fn to_f16(x: f32) -> f16 {
    f16::from_f32(within_f16(x))
}

fn write_f16(bytes: &mut [u8], x: f16) {
    bytes.copy_from_slice(&x.to_bits().to_ne_bytes());
}

fn read_f16(bytes: &[u8]) -> f32 {
    f16::from_bits(u16::from_ne_bytes([bytes[0], bytes[1]])).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub const ROW_CODECS: [Codec; 9] = [
        Codec::F32,
        Codec::F16,
        Codec::Bf16,
        Codec::F8,
        Codec::Int8,
        Codec::Q8_0,
        Codec::Q4_0,
        Codec::Affine { bits: 4 },
        Codec::Affine { bits: 2 },
    ];

    /// Stores one token's rows and reads them back.
    fn round_trip(codec: Codec, shape: RowShape, row: &[f32]) -> Vec<f32> {
        // f32 storage, so that both planes are aligned as a store's are.
        let words = |bytes: usize| vec![0.0_f32; bytes.div_ceil(4)];
        let (mut codes, mut scales) = (words(codec.code_bytes(shape)), words(codec.scale_bytes(shape)));
        let codes = &mut bytemuck::cast_slice_mut(&mut codes)[..codec.code_bytes(shape)];
        let scales = &mut bytemuck::cast_slice_mut(&mut scales)[..codec.scale_bytes(shape)];
        codec.encode(shape, None, row, codes, scales);
        let rows = Rows { codec, shape, codes, token_stride: codes.len(), scales, levels: None };
        let mut out = vec![f32::NAN; shape.width()];
        for (head, out) in out.chunks_exact_mut(shape.head_dim).enumerate() {
            rows.decode(0, 1, head, out);
        }
        out
    }

    proptest! {
        /// Whatever is finite comes back finite, in every head its own.
        #[test]
        fn finite_rows_stay_finite(
            codec in prop::sample::select(ROW_CODECS.to_vec()), n_kv_head in 1_usize..4,
            bits in prop::collection::vec(any::<u32>(), 96), constant: bool,
        ) {
            let shape = RowShape { n_kv_head, head_dim: 32 };
            let row: Vec<f32> = (0..shape.width())
                .map(|i| f32::from_bits(if constant { bits[0] } else { bits[i] }))
                .map(|x| if x.is_finite() { x } else { 0.0 })
                .collect();
            let back = round_trip(codec, shape, &row);
            prop_assert!(back.iter().all(|x| x.is_finite()), "{codec:?}: {row:?} came back as {back:?}");
        }

        /// A head's row does not depend on its neighbours.
        #[test]
        fn heads_are_apart(codec in prop::sample::select(ROW_CODECS.to_vec()), row in prop::collection::vec(-9_f32..9.0, 96)) {
            let (all, one) = (RowShape { n_kv_head: 3, head_dim: 32 }, RowShape { n_kv_head: 1, head_dim: 32 });
            let together = round_trip(codec, all, &row);
            let alone: Vec<f32> = row.chunks(32).flat_map(|row| round_trip(codec, one, row)).collect();
            prop_assert_eq!(together, alone);
        }
    }

    #[test]
    fn groups_that_do_not_fit_are_refused() {
        let shape = |head_dim| RowShape { n_kv_head: 2, head_dim };
        for codec in [Codec::Q8_0, Codec::Q4_0, Codec::Affine { bits: 4 }, Codec::Channels { bits: 2 }] {
            assert_eq!(codec.refuses(shape(64)), None, "{codec:?}");
            assert!(codec.refuses(shape(80)).is_some_and(|why| why.contains("do not divide")), "{codec:?}");
        }
        assert_eq!(Codec::Int8.refuses(shape(8)), None);
    }

    #[test]
    fn bytes_are_the_published_ones() {
        // Bits of a value with its scales, for rows of 2 heads of 64.
        let shape = RowShape { n_kv_head: 2, head_dim: 64 };
        let eighths = |codec: Codec| (codec.code_bytes(shape) + codec.scale_bytes(shape)) * 8 * 8 / shape.width();
        assert_eq!(eighths(Codec::F16), 16 * 8);
        assert_eq!(eighths(Codec::Q8_0), 8 * 8 + 4, "8.5 bits");
        assert_eq!(eighths(Codec::Q4_0), 4 * 8 + 4, "4.5 bits");
        assert_eq!(eighths(Codec::Affine { bits: 4 }), 5 * 8);
        assert_eq!(eighths(Codec::Channels { bits: 2 }), 3 * 8);
        assert_eq!(eighths(Codec::Int8), 8 * 8 + 4, "an f32 for 64 values");
    }
}
