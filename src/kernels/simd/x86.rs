//! AVX2 and AVX-512. A value of either type exists only where `detect` found the features, which is what makes its methods safe.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]
#![expect(unsafe_code, reason = "intrinsics of a processor feature can only be called so")]

#[allow(clippy::wildcard_imports, reason = "fifty names that say where they come from")]
use std::arch::x86_64::*;

use super::{LANES, WithSimd};

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

/// Asks for the cache line at `address`.
#[inline(always)]
fn prefetch<const HINT: i32>(address: *const u8) {
    // SAFETY: a prefetch reads nothing and never faults, wherever its pointer points.
    unsafe { _mm_prefetch::<HINT>(address.cast()) };
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
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn f8_as_f16(x: __m128i) -> __m256i {
    // SAFETY: by the caller's promise; it computes on values alone.
    unsafe {
        // The sign fills the upper byte, and one of its copies would be the highest bit of the exponent.
        let shifted = _mm256_slli_epi16::<7>(_mm256_cvtepi8_epi16(x));
        let bits = _mm256_and_si256(shifted, _mm256_set1_epi16(0xbfff_u16.cast_signed()));
        // All ones are a NaN of f16, too.
        let nan = _mm256_set1_epi16(0x3f80);
        _mm256_or_si256(bits, _mm256_cmpeq_epi16(_mm256_and_si256(bits, nan), nan))
    }
}

// Behind the macro that they use.
mod avx2;
mod avx512;
