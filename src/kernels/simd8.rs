//! Eight f32 at a time: the few operations the attention walk is made of, for AVX2 and for any processor.
//!
//! Generic code takes a `S: Simd` by value and is inlined into a function compiled for that processor.

#![expect(clippy::inline_always, reason = "inlined into a function for AVX2, or compiled without it")]

/// Lanes of a vector.
pub const LANES: usize = 8;

/// How a processor computes on [`LANES`] f32.
pub trait Simd: Copy + Sync {
    type F32x8: Copy;

    fn splat(self, x: f32) -> Self::F32x8;
    fn load(self, x: [f32; LANES]) -> Self::F32x8;
    fn load_i8(self, x: [i8; LANES]) -> Self::F32x8;
    fn store(self, x: Self::F32x8) -> [f32; LANES];
    /// Asks for the memory that lies `bytes_ahead` after `row`, as much as `row` has, ahead of its use.
    fn prefetch(self, _row: &[u8], _bytes_ahead: usize) {}
    /// `a * b + c`; fused (rounded once) where the processor can.
    fn mul_add(self, a: Self::F32x8, b: Self::F32x8, c: Self::F32x8) -> Self::F32x8;
    /// The sum of the lanes of each vector, added as [`sum`] adds them.
    fn sums(self, x: [Self::F32x8; LANES]) -> [f32; LANES];
}

/// The sum of eight lanes; the order is fixed, so that one row gives the same bits alone and among eight.
#[inline(always)]
#[must_use]
pub fn sum(x: [f32; LANES]) -> f32 {
    ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]))
}

/// Plain Rust, for any processor.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Simd for Portable {
    type F32x8 = [f32; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, x: [f32; LANES]) -> [f32; LANES] {
        x
    }

    #[inline(always)]
    fn load_i8(self, x: [i8; LANES]) -> [f32; LANES] {
        x.map(f32::from)
    }

    #[inline(always)]
    fn store(self, x: [f32; LANES]) -> [f32; LANES] {
        x
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], mut c: [f32; LANES]) -> [f32; LANES] {
        for ((c, a), b) in c.iter_mut().zip(a).zip(b) {
            // `f32::mul_add` would call a function where the processor has no such instruction.
            *c += a * b;
        }
        c
    }

    #[inline(always)]
    fn sums(self, x: [[f32; LANES]; LANES]) -> [f32; LANES] {
        x.map(sum)
    }
}

/// AVX2 and FMA. A value exists only where [`Avx2::detect`] found both, which is what makes its methods safe.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// The processor's answer is cached by the standard library.
    #[must_use]
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "intrinsics of a processor feature can only be called so")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, _MM_HINT_T0, _mm_prefetch, _mm_set_epi64x, _mm256_add_ps, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps,
        _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_permute2f128_ps, _mm256_set1_ps,
    };

    use super::{Avx2, LANES, Simd};

    impl Simd for Avx2 {
        type F32x8 = __m256;

        #[inline(always)]
        fn splat(self, x: f32) -> __m256 {
            // SAFETY: an `Avx2` exists, so the processor has AVX.
            unsafe { _mm256_set1_ps(x) }
        }

        #[inline(always)]
        fn load(self, x: [f32; LANES]) -> __m256 {
            bytemuck::cast(x)
        }

        #[inline(always)]
        fn load_i8(self, x: [i8; LANES]) -> __m256 {
            // SAFETY: an `Avx2` exists, so the processor has AVX2; the rest is arithmetic on values.
            unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_set_epi64x(0, bytemuck::cast(x)))) }
        }

        #[inline(always)]
        fn prefetch(self, row: &[u8], bytes_ahead: usize) {
            for line in row.chunks(64) {
                // SAFETY: a prefetch reads nothing and never faults, wherever its pointer points.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(bytes_ahead).cast()) };
            }
        }

        #[inline(always)]
        fn store(self, x: __m256) -> [f32; LANES] {
            bytemuck::cast(x)
        }

        #[inline(always)]
        fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: an `Avx2` exists, so the processor has FMA.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }

        /// `hadd` adds neighbours within each half; after two rounds a vector holds the sums of a half of four
        /// vectors, and the last addition joins the halves.
        #[inline(always)]
        fn sums(self, [a, b, c, d, e, f, g, h]: [__m256; LANES]) -> [f32; LANES] {
            // SAFETY: an `Avx2` exists, so the processor has AVX; the rest is arithmetic on values.
            unsafe {
                let abcd = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
                let efgh = _mm256_hadd_ps(_mm256_hadd_ps(e, f), _mm256_hadd_ps(g, h));
                let low = _mm256_permute2f128_ps::<0x20>(abcd, efgh);
                let high = _mm256_permute2f128_ps::<0x31>(abcd, efgh);
                bytemuck::cast(_mm256_add_ps(low, high))
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn avx2_computes_what_plain_rust_does(a: [[f32; 8]; 8], b: [f32; 8], codes: [i8; 8], x in -9_f32..9.0) {
            let Some(simd) = Avx2::detect() else { return Ok(()) };
            let bits = |x: [f32; 8]| x.map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() });
            prop_assert_eq!(bits(simd.store(simd.splat(x))), bits([x; 8]));
            prop_assert_eq!(bits(simd.store(simd.load_i8(codes))), bits(Portable.load_i8(codes)));
            prop_assert_eq!(bits(simd.sums(a.map(|a| simd.load(a)))), bits(a.map(sum)));
            let fused: [f32; 8] = std::array::from_fn(|i| a[0][i].mul_add(b[i], a[1][i]));
            prop_assert_eq!(bits(simd.store(simd.mul_add(simd.load(a[0]), simd.load(b), simd.load(a[1])))), bits(fused));
            let twice: [f32; 8] = std::array::from_fn(|i| a[0][i] * b[i] + a[1][i]);
            prop_assert_eq!(bits(Portable.mul_add(a[0], b, a[1])), bits(twice));
        }
    }
}
