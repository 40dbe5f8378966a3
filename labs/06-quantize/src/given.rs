//! What the lab gives you: how quantized numbers are kept, sizes, and 16-bit floats. Nothing to change here.

pub mod f16;

/// The model in this repository.
pub const N_LAYER: usize = 5;
pub const N_HEAD: usize = 6;
pub const HEAD_DIM: usize = 32;
/// Tokens that are sealed together, and numbers that share a scale in 4 bits.
pub const GROUP: usize = 32;

/// Some numbers in 8 bits: each is about `code * scale`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Int8 {
    pub scale: f32,
    /// From -127 to 127.
    pub codes: Vec<i8>,
}

/// Rows `[tokens, channels]` in 8 bits, each channel with a scale of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// `[channels]`
    pub scales: Vec<f32>,
    /// `[tokens, channels]`, from -127 to 127.
    pub codes: Vec<i8>,
}

/// 32 numbers in 4 bits: each is about `min + code * scale`, with codes from 0 to 15.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nibbles {
    pub scale: f32,
    pub min: f32,
    /// Two codes in each byte: that of number `2 * i` in the low four bits of byte `i`, that of `2 * i + 1` in the high ones.
    pub bytes: [u8; GROUP / 2],
}

/// Rows of `width` numbers: the oldest tokens in sealed groups, the newest as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual<G> {
    pub width: usize,
    /// So many of the newest tokens are never sealed.
    pub residual: usize,
    /// [`GROUP`] tokens each, oldest first.
    pub sealed: Vec<G>,
    /// All tokens behind the sealed ones, `[tokens, width]`, oldest first.
    pub exact: Vec<f32>,
}

impl<G> Residual<G> {
    #[must_use]
    pub fn new(width: usize, residual: usize) -> Self {
        Self { width, residual, sealed: vec![], exact: vec![] }
    }

    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.sealed.len() * GROUP + self.exact.len() / self.width
    }
}

/// How rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    F32,
    F16,
    /// Each row of a head by itself: [`Int8`].
    Int8,
    /// [`Channels`] of [`GROUP`] tokens, the newest in f32.
    Int8Channels,
    /// Each row of a head by itself, every 32 numbers of it: [`Nibbles`].
    Int4,
    /// [`Nibbles`] of [`GROUP`] tokens of a channel, the newest tokens in f32.
    Int4Channels,
}

/// Numbers from a seed, the same every time (xorshift64).
pub struct Noise(u64);

impl Noise {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) as usize) % n
    }

    /// Numbers from `-size` to `size`.
    #[expect(clippy::cast_precision_loss, reason = "20 bits fit")]
    pub fn floats(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| (self.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0) * size).collect()
    }
}
