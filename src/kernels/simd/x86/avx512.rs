//! Sixteen lanes in one vector.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

#[allow(clippy::wildcard_imports, reason = "the many intrinsics that this is made of")]
use std::arch::x86_64::*;

use super::{
    super::{LANES, Simd},
    Avx512, F8_AS_F16, f8_as_f16, sixteen_bytes,
};

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
        super::prefetch::<_MM_HINT_T0>(address);
    }

    #[inline(always)]
    fn prefetch_far(self, address: *const u8) {
        super::prefetch::<_MM_HINT_T1>(address);
    }
}
