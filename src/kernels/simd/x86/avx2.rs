//! Sixteen lanes in two vectors of eight.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

#[allow(clippy::wildcard_imports, reason = "the many intrinsics that this is made of")]
use std::arch::x86_64::*;

use super::{
    super::{LANES, Simd},
    Avx2, F8_AS_F16, f8_as_f16, sixteen_bytes,
};

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
        let halves: Pair<__m128i> = bytemuck::cast(proven!(f8_as_f16(sixteen_bytes(x))));
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
        super::prefetch::<_MM_HINT_T0>(address);
    }

    #[inline(always)]
    fn prefetch_far(self, address: *const u8) {
        super::prefetch::<_MM_HINT_T1>(address);
    }
}
