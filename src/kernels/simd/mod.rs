//! Sixteen lanes at a time: the few operations our kernels are made of, for AVX-512, for AVX2 and for any processor.
//!
//! A kernel implements [`WithSimd`] and is compiled once for each of them; [`with`] runs the best that the processor has, or the one that
//! the variable `KVLAB_SIMD` names, so that every path can be tested on one machine. On ARM the portable path becomes NEON in the
//! compiler's hands.
//!
//! Paths round differently (fused multiply-adds or not), so results are bit-identical on one path, not across them.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::{fmt, sync::OnceLock};

pub use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// Lanes of a vector.
pub const LANES: usize = 16;

/// How a processor computes on [`LANES`] numbers.
pub trait Simd: Copy + Send + Sync {
    /// f32.
    type F32: Copy;
    /// i32.
    type I32: Copy;
    /// How many such vectors the processor's registers hold.
    const REGISTERS: usize;

    fn splat(self, x: f32) -> Self::F32;
    fn load(self, x: &[f32; LANES]) -> Self::F32;
    fn store(self, x: Self::F32) -> [f32; LANES];
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The larger of each pair of lanes; `b` where one of them is no number.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`; fused (rounded once) where the processor can.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `2^n`, for whole numbers from -126 to 127.
    fn power_of_two(self, n: Self::F32) -> Self::F32;
    /// The sum of the lanes of each vector, in this order: added as [`sum`] adds them.
    fn sums(self, x: [Self::F32; LANES]) -> Self::F32;

    /// Codes that are signed bytes.
    fn load_i8(self, x: &[u8; LANES]) -> Self::F32;
    /// Codes that are unsigned bytes.
    fn load_u8(self, x: &[u8; LANES]) -> Self::F32;
    /// IEEE half precision, as its bits.
    fn load_f16(self, x: &[u16; LANES]) -> Self::F32;
    /// The upper halves of f32.
    fn load_bf16(self, x: &[u16; LANES]) -> Self::F32;
    /// e4m3, as its bits.
    fn load_f8(self, x: &[u8; LANES]) -> Self::F32;
    /// One number of half precision, as its bits, in all lanes.
    fn splat_f16(self, x: u16) -> Self::F32;
    /// Pairs of numbers of half precision: the first ones, and the second ones.
    fn load_f16_pairs(self, x: &[[u16; 2]; LANES]) -> [Self::F32; 2];

    fn splat_i32(self, x: i32) -> Self::I32;
    /// Bytes as numbers from 0 to 255.
    fn load_bytes(self, x: &[u8; LANES]) -> Self::I32;
    /// Each lane shifted right by so many bits, zeros from the left.
    fn shift_right(self, x: Self::I32, bits: Self::I32) -> Self::I32;
    /// The lane of `table` that the lowest four bits of each index name.
    fn lookup(self, table: Self::F32, index: Self::I32) -> Self::F32;
    /// For each lane four products, unsigned times signed bytes, added to `sum`: lane `i` has the bytes `4 i ..` of `a`, and the four of
    /// `b`, which are the same for all lanes.
    fn dot(self, sum: Self::I32, a: &[u8; 4 * LANES], b: [u8; 4]) -> Self::I32;
    fn to_f32(self, x: Self::I32) -> Self::F32;

    /// Asks for the cache line at `address`, ahead of its use. Any address will do; nothing is read.
    fn prefetch(self, _address: *const u8) {}
    /// The same, no nearer than the second-level cache. The first level waits for few lines at a time (measured on Zen 4: a walk that asks for
    /// its rows so is a quarter faster), and what is asked for long before its use would not stay there.
    fn prefetch_far(self, _address: *const u8) {}
}

/// The sum of the lanes; the order is fixed, so that one row gives the same bits alone and among sixteen.
#[inline(always)]
#[must_use]
pub fn sum(x: [f32; LANES]) -> f32 {
    let quarter = |i: usize| (x[i] + x[i + 2]) + (x[i + 1] + x[i + 3]);
    (quarter(0) + quarter(4)) + (quarter(8) + quarter(12))
}

/// Work that is compiled for several processors.
pub trait WithSimd {
    type Out;
    /// To be marked `#[inline(always)]`, and what it calls too: only then is it compiled for the processor that `simd` stands for.
    fn run<S: Simd>(self, simd: S) -> Self::Out;
}

/// A path through the kernels, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
}

/// The variable that names a path.
pub const VARIABLE: &str = "KVLAB_SIMD";

impl Path {
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// As [`VARIABLE`] names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Those that this processor has.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|path| path.is_available())
    }

    /// The path of this process: the best, or what [`VARIABLE`] says. Asked for once.
    ///
    /// # Errors
    /// If that is no path, or none that this processor has. Kernels then take the best; binaries ask beforehand and stop.
    pub fn chosen() -> Result<Self, &'static str> {
        static CHOSEN: OnceLock<Result<Path, String>> = OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| match std::env::var(VARIABLE) {
            Ok(name) => Self::available().find(|path| path.to_string() == name).ok_or_else(|| {
                let available: Vec<String> = Self::available().map(|path| path.to_string()).collect();
                format!("{VARIABLE}={name}: this processor has {}", available.join(", "))
            }),
            Err(_) => Ok(Self::best()),
        });
        chosen.as_ref().copied().map_err(String::as_str)
    }

    /// [`Self::chosen`], or the best where that is an error.
    #[must_use]
    #[inline]
    pub fn current() -> Self {
        Self::chosen().unwrap_or_else(|_| Self::best())
    }

    fn best() -> Self {
        Self::available().last().unwrap_or(Self::Portable)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Runs `op` on the path of this process.
#[inline]
pub fn with<W: WithSimd>(op: W) -> W::Out {
    with_path(Path::current(), op)
}

/// Runs `op` on `path`, or on the portable one where the processor has not got that.
#[inline]
pub fn with_path<W: WithSimd>(path: Path, op: W) -> W::Out {
    #[cfg(target_arch = "x86_64")]
    match path {
        Path::Avx512 => {
            if let Some(simd) = Avx512::detect() {
                return x86::run_avx512(simd, op);
            }
        }
        Path::Avx2 => {
            if let Some(simd) = Avx2::detect() {
                return x86::run_avx2(simd, op);
            }
        }
        Path::Portable => {}
    }
    op.run(Portable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every operation once, on whatever path.
    struct Everything<'a> {
        a: &'a [[f32; LANES]; LANES],
        b: &'a [f32; LANES],
        codes: [u8; LANES],
        halves: [u16; LANES],
        bytes: &'a [u8; 64],
        four: [u8; 4],
        start: i32,
    }

    #[derive(Debug, PartialEq)]
    struct Bits {
        fused: [u32; LANES],
        exact: Vec<[u32; LANES]>,
    }

    impl WithSimd for Everything<'_> {
        type Out = Bits;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Bits {
            let load = |x| simd.load(x);
            let (a, b) = (load(&self.a[0]), load(self.b));
            let bits = |x: S::F32| simd.store(x).map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() });
            let dot = simd.dot(simd.splat_i32(self.start), self.bytes, self.four);
            let bytes = simd.load_bytes(&self.codes);
            let shifted = simd.shift_right(bytes, simd.load_bytes(&self.codes.map(|code| code % 32)));
            let whole = simd.load_i8(&self.codes.map(|code| code % 253).map(|code| code.wrapping_sub(126)));
            let pairs = simd.load_f16_pairs(bytemuck::cast_ref(self.bytes));
            Bits {
                fused: bits(simd.mul_add(a, b, load(&self.a[1]))),
                exact: vec![
                    bits(simd.splat(self.b[0])),
                    bits(simd.add(a, b)),
                    bits(simd.mul(a, b)),
                    bits(simd.sums(self.a.map(|a| simd.load(&a)))),
                    bits(simd.load_i8(&self.codes)),
                    bits(simd.load_u8(&self.codes)),
                    bits(simd.load_f16(&self.halves)),
                    bits(simd.load_bf16(&self.halves)),
                    bits(simd.to_f32(dot)),
                    bits(simd.load_f8(&self.codes)),
                    bits(simd.power_of_two(whole)),
                    bits(simd.max(a, b)),
                    bits(simd.splat_f16(self.halves[0])),
                    bits(pairs[0]),
                    bits(pairs[1]),
                    bits(simd.to_f32(bytes)),
                    bits(simd.to_f32(shifted)),
                    bits(simd.lookup(a, bytes)),
                ],
            }
        }
    }

    proptest! {
            /// All paths compute the same, but for the roundings of a multiply-add.
            #[test]
            fn paths_agree(
                a: [[f32; LANES]; LANES], b: [f32; LANES], codes: [u8; LANES], halves: [u16; LANES],
                bytes in prop::array::uniform32(any::<[u8; 2]>()), four: [u8; 4], start in -1_000_000..1_000_000,
            ) {
                let bytes: &[u8; 64] = bytemuck::cast_ref(&bytes);
                let on = |path| with_path(path, Everything { a: &a, b: &b, codes, halves, bytes, four, start });
                let plain = on(Path::Portable);
                let once: [f32; LANES] = std::array::from_fn(|i| a[0][i].mul_add(b[i], a[1][i]));
                let bits = |x: f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
                prop_assert_eq!(plain.exact[3], a.map(|a| bits(sum(a))));
                prop_assert_eq!(plain.exact[6], halves.map(|x| bits(half::f16::from_bits(x).to_f32())));
    let e4m3 = |x: u8| float8::F8E4M3::from_bits(x).to_f32();
                prop_assert_eq!(plain.exact[9], codes.map(|x| bits(e4m3(x))));
                prop_assert_eq!(plain.exact[10], codes.map(|x| bits(2.0_f32.powi(i32::from(x % 253) - 126))));
                for path in Path::available().filter(|path| *path != Path::Portable) {
                    let given = on(path);
                    prop_assert_eq!(&given.exact, &plain.exact, "{}", path);
                    prop_assert_eq!(given.fused, once.map(bits), "{}", path);
                }
            }
        }

    #[test]
    fn the_best_path_is_the_last_available_one() {
        assert!(Path::best().is_available() && Path::Portable.is_available());
        assert!(Path::available().all(|path| path <= Path::best()));
    }
}
