//! AVX2 and AVX-512. A value of either type exists only where `detect` found the features, which is what makes its methods safe.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]
#![expect(unsafe_code, reason = "intrinsics of a processor feature can only be called so")]

#[allow(clippy::wildcard_imports, reason = "fifty names that say where they come from")]
use std::arch::x86_64::*;

use super::{LANES, Simd, WithSimd};

/// AVX2, FMA and F16C: two vectors of eight.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

/// AVX-512 F, BW, VL, DQ and VNNI.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx2 {
    /// The processor's answer is cached by the standard library.
    #[must_use]
    #[inline]
    pub fn detect() -> Option<Self> {
        let has =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        has.then_some(Self(()))
    }
}

impl Avx512 {
    /// As [`Avx2::detect`].
    #[must_use]
    #[inline]
    pub fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni");
        has.then_some(Self(()))
    }
}

/// Runs `op`, compiled for the processor that `simd` proves to be there.
#[inline]
pub fn run_avx2<W: WithSimd>(simd: Avx2, op: W) -> W::Out {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn compiled<W: WithSimd>(simd: Avx2, op: W) -> W::Out {
        op.run(simd)
    }
    // SAFETY: an `Avx2` exists, so the processor has these features; the function is safe in every other way.
    unsafe { compiled(simd, op) }
}

/// As [`run_avx2`].
#[inline]
pub fn run_avx512<W: WithSimd>(simd: Avx512, op: W) -> W::Out {
    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn compiled<W: WithSimd>(simd: Avx512, op: W) -> W::Out {
        op.run(simd)
    }
    // SAFETY: an `Avx512` exists, so the processor has these features; the function is safe in every other way.
    unsafe { compiled(simd, op) }
}

/// Intrinsics inside a method of [`Avx2`] or [`Avx512`].
macro_rules! proven {
    ($($body:tt)*) => {
        // SAFETY: `self` proves that the processor has the features of these intrinsics, and they compute on values alone.
        unsafe { $($body)* }
    };
}

/// A load, where a copy of the array would be taken apart into bytes.
#[inline(always)]
fn sixteen_bytes(x: &[u8; LANES]) -> __m128i {
    // SAFETY: SSE2, which every x86-64 has; sixteen bytes are read from where there are sixteen.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

/// The exponent's bias is 7 in e4m3 and 15 in f16.
const F8_AS_F16: f32 = 256.0;

/// The bits of e4m3 where f16 has them: with the other bias, so that the numbers are [`F8_AS_F16`] times too small.
///
/// Call it only where AVX2 is proven, and inlined there.
#[inline(always)]
fn f8_as_f16(x: __m128i) -> __m256i {
    // SAFETY: called from methods that prove AVX2; it computes on values alone.
    unsafe {
        // The sign fills the upper byte, and one of its copies would be the highest bit of the exponent.
        let shifted = _mm256_slli_epi16::<7>(_mm256_cvtepi8_epi16(x));
        let bits = _mm256_and_si256(shifted, _mm256_set1_epi16(0xbfff_u16.cast_signed()));
        // All ones are a NaN of f16, too.
        let nan = _mm256_set1_epi16(0x3f80);
        _mm256_or_si256(bits, _mm256_cmpeq_epi16(_mm256_and_si256(bits, nan), nan))
    }
}

impl Simd for Avx512 {
    type F32 = __m512;
    type I32 = __m512i;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        proven!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m512 {
        bytemuck::cast(*x)
    }

    #[inline(always)]
    fn store(self, x: __m512) -> [f32; LANES] {
        bytemuck::cast(x)
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn power_of_two(self, n: __m512) -> __m512 {
        proven!(_mm512_scalef_ps(_mm512_set1_ps(1.0), n))
    }

    /// Four rounds that each halve the vectors: neighbours of two are joined, lanes that belong together added.
    #[inline(always)]
    fn sums(self, x: [__m512; LANES]) -> __m512 {
        proven! {
            // Loops, since functions that take closures are compiled without these features.
            // In each quarter: [a0 + a2, b0 + b2, a1 + a3, b1 + b3].
            let mut twos = [x[0]; 8];
            for i in 0..8 {
                let (a, b) = (x[2 * i], x[2 * i + 1]);
                twos[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            }
            // In each quarter: its sums of a, b, c and d.
            let mut fours = [x[0]; 4];
            for i in 0..4 {
                let (ab, cd) = (_mm512_castps_pd(twos[2 * i]), _mm512_castps_pd(twos[2 * i + 1]));
                let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
                fours[i] = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            }
            // Quarters that lie beside each other, then halves.
            macro_rules! joined {
                ($a:expr, $b:expr) => {
                    _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>($a, $b), _mm512_shuffle_f32x4::<0xdd>($a, $b))
                };
            }
            let (low, high) = (joined!(fours[0], fours[1]), joined!(fours[2], fours[3]));
            joined!(low, high)
        }
    }

    #[inline(always)]
    fn load_i8(self, x: &[u8; LANES]) -> __m512 {
        proven!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen_bytes(x))))
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8; LANES]) -> __m512 {
        proven!(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(sixteen_bytes(x))))
    }

    #[inline(always)]
    fn load_f16(self, x: &[u16; LANES]) -> __m512 {
        proven!(_mm512_cvtph_ps(bytemuck::cast(*x)))
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> __m512 {
        proven!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bytemuck::cast(*x)))))
    }

    #[inline(always)]
    fn load_f8(self, x: &[u8; LANES]) -> __m512 {
        proven!(_mm512_mul_ps(_mm512_cvtph_ps(f8_as_f16(sixteen_bytes(x))), _mm512_set1_ps(F8_AS_F16)))
    }

    #[inline(always)]
    fn splat_f16(self, x: u16) -> __m512 {
        proven!(_mm512_cvtph_ps(_mm256_set1_epi16(x.cast_signed())))
    }

    #[inline(always)]
    fn load_f16_pairs(self, x: &[[u16; 2]; LANES]) -> [__m512; 2] {
        let x: __m512i = bytemuck::cast(*x);
        proven! {
            let second = _mm512_srli_epi32::<16>(x);
            [_mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)), _mm512_cvtph_ps(_mm512_cvtepi32_epi16(second))]
        }
    }

    #[inline(always)]
    fn load_bytes(self, x: &[u8; LANES]) -> __m512i {
        proven!(_mm512_cvtepu8_epi32(sixteen_bytes(x)))
    }

    #[inline(always)]
    fn shift_right(self, x: __m512i, bits: __m512i) -> __m512i {
        proven!(_mm512_srlv_epi32(x, bits))
    }

    #[inline(always)]
    fn lookup(self, table: __m512, index: __m512i) -> __m512 {
        proven!(_mm512_permutexvar_ps(index, table))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        proven!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, a: &[u8; 4 * LANES], b: [u8; 4]) -> __m512i {
        proven!(_mm512_dpbusd_epi32(sum, bytemuck::cast(*a), _mm512_set1_epi32(i32::from_le_bytes(b))))
    }

    #[inline(always)]
    fn to_f32(self, x: __m512i) -> __m512 {
        proven!(_mm512_cvtepi32_ps(x))
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        // SAFETY: a prefetch reads nothing and never faults, wherever its pointer points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
}

/// Lanes 0 to 7, and 8 to 15.
type Pair<T> = [T; 2];

/// The same of either half; no function that takes a closure, which would be compiled without these features.
macro_rules! both {
    ($pair:expr, |$half:ident| $body:expr) => {{
        let [low, high] = $pair;
        [
            {
                let $half = low;
                $body
            },
            {
                let $half = high;
                $body
            },
        ]
    }};
}

impl Avx2 {
    /// The sums of the lanes of each of eight halves, in each of their quarters.
    #[expect(clippy::unused_self, reason = "the proof")]
    #[inline(always)]
    fn quarters(self, x: [__m256; 8]) -> Pair<__m256> {
        proven! {
            let mut twos = [x[0]; 4];
            for i in 0..4 {
                let (a, b) = (x[2 * i], x[2 * i + 1]);
                twos[i] = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            }
            let mut fours = [x[0]; 2];
            for i in 0..2 {
                let (ab, cd) = (_mm256_castps_pd(twos[2 * i]), _mm256_castps_pd(twos[2 * i + 1]));
                let (low, high) = (_mm256_unpacklo_pd(ab, cd), _mm256_unpackhi_pd(ab, cd));
                fours[i] = _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
            }
            fours
        }
    }

    /// The sum of each of eight halves.
    #[inline(always)]
    fn halves(self, x: [__m256; 8]) -> __m256 {
        let [abcd, efgh] = self.quarters(x);
        proven! {
            let low = _mm256_permute2f128_ps::<0x20>(abcd, efgh);
            let high = _mm256_permute2f128_ps::<0x31>(abcd, efgh);
            _mm256_add_ps(low, high)
        }
    }
}

impl Simd for Avx2 {
    type F32 = Pair<__m256>;
    type I32 = Pair<__m256i>;
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [proven!(_mm256_set1_ps(x)); 2]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F32 {
        bytemuck::cast(*x)
    }

    #[inline(always)]
    fn store(self, x: Self::F32) -> [f32; LANES] {
        bytemuck::cast(x)
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        proven!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        proven!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        proven!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        proven!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn power_of_two(self, n: Self::F32) -> Self::F32 {
        both!(n, |n| {
            proven! {
                let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
            }
        })
    }

    #[inline(always)]
    fn sums(self, x: [Self::F32; LANES]) -> Self::F32 {
        let mut sums = [x[0][0]; 2];
        for (first, sums) in [0, 8].into_iter().zip(&mut sums) {
            let (mut low, mut high) = ([x[0][0]; 8], [x[0][0]; 8]);
            for i in 0..8 {
                [low[i], high[i]] = x[first + i];
            }
            *sums = proven!(_mm256_add_ps(self.halves(low), self.halves(high)));
        }
        sums
    }

    #[inline(always)]
    fn load_i8(self, x: &[u8; LANES]) -> Self::F32 {
        proven! {
            let x = sixteen_bytes(x);
            both!([x, _mm_srli_si128::<8>(x)], |x| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)))
        }
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8; LANES]) -> Self::F32 {
        proven! {
            let x = sixteen_bytes(x);
            both!([x, _mm_srli_si128::<8>(x)], |x| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)))
        }
    }

    #[inline(always)]
    fn load_f16(self, x: &[u16; LANES]) -> Self::F32 {
        let halves: Pair<__m128i> = bytemuck::cast(*x);
        both!(halves, |x| proven!(_mm256_cvtph_ps(x)))
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> Self::F32 {
        let halves: Pair<__m128i> = bytemuck::cast(*x);
        both!(halves, |x| proven!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(x)))))
    }

    #[inline(always)]
    fn load_f8(self, x: &[u8; LANES]) -> Self::F32 {
        let halves: Pair<__m128i> = bytemuck::cast(f8_as_f16(sixteen_bytes(x)));
        both!(halves, |x| proven!(_mm256_mul_ps(_mm256_cvtph_ps(x), _mm256_set1_ps(F8_AS_F16))))
    }

    #[inline(always)]
    fn splat_f16(self, x: u16) -> Self::F32 {
        [proven!(_mm256_cvtph_ps(_mm_set1_epi16(x.cast_signed()))); 2]
    }

    #[inline(always)]
    fn load_f16_pairs(self, x: &[[u16; 2]; LANES]) -> [Self::F32; 2] {
        let x: Pair<__m256i> = bytemuck::cast(*x);
        // Lanes that hold 16 bits become neighbours in each half, and then the halves.
        macro_rules! packed {
            ($x:expr) => {{
                let x = $x;
                let both = _mm256_permute4x64_epi64::<0b00_00_10_00>(_mm256_packus_epi32(x, x));
                _mm256_cvtph_ps(_mm256_castsi256_si128(both))
            }};
        }
        proven! {
            [
                both!(x, |x| packed!(_mm256_and_si256(x, _mm256_set1_epi32(0xffff)))),
                both!(x, |x| packed!(_mm256_srli_epi32::<16>(x))),
            ]
        }
    }

    #[inline(always)]
    fn load_bytes(self, x: &[u8; LANES]) -> Self::I32 {
        proven! {
            let x = sixteen_bytes(x);
            both!([x, _mm_srli_si128::<8>(x)], |x| _mm256_cvtepu8_epi32(x))
        }
    }

    #[inline(always)]
    fn shift_right(self, x: Self::I32, bits: Self::I32) -> Self::I32 {
        proven!([_mm256_srlv_epi32(x[0], bits[0]), _mm256_srlv_epi32(x[1], bits[1])])
    }

    /// In either half of the table, and bit 3 chooses between them: shifted up, it is the sign by which a blend goes.
    #[inline(always)]
    fn lookup(self, table: Self::F32, index: Self::I32) -> Self::F32 {
        both!(index, |index| {
            proven! {
                let (low, high) = (_mm256_permutevar8x32_ps(table[0], index), _mm256_permutevar8x32_ps(table[1], index));
                _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index)))
            }
        })
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I32 {
        [proven!(_mm256_set1_epi32(x)); 2]
    }

    /// Bytes of even and odd places by themselves, as 16 bits: `maddubs`, which multiplies bytes, would saturate.
    #[inline(always)]
    fn dot(self, sum: Self::I32, a: &[u8; 4 * LANES], b: [u8; 4]) -> Self::I32 {
        let a: Pair<__m256i> = bytemuck::cast(*a);
        let pair = |low: u8, high: u8| {
            let half = |x: u8| u32::from(i16::from(x.cast_signed()).cast_unsigned());
            (half(high) << 16 | half(low)).cast_signed()
        };
        proven! {
            let (even, odd) = (_mm256_set1_epi32(pair(b[0], b[2])), _mm256_set1_epi32(pair(b[1], b[3])));
            let products = both!(a, |a| {
                let evens = _mm256_and_si256(a, _mm256_set1_epi16(0xff));
                let odds = _mm256_srli_epi16::<8>(a);
                _mm256_add_epi32(_mm256_madd_epi16(evens, even), _mm256_madd_epi16(odds, odd))
            });
            [_mm256_add_epi32(sum[0], products[0]), _mm256_add_epi32(sum[1], products[1])]
        }
    }

    #[inline(always)]
    fn to_f32(self, x: Self::I32) -> Self::F32 {
        both!(x, |x| proven!(_mm256_cvtepi32_ps(x)))
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        // SAFETY: a prefetch reads nothing and never faults, wherever its pointer points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
}
