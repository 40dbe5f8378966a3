//! What this processor can do at best, so that a measured time can be held against it: read bytes, and multiply and add in f32.
//!
//! Both are the roofs of Williams et al. 2009 ("Roofline"): a kernel that reads `b` bytes and computes `f` operations cannot take less
//! than the longer of `b / bandwidth` and `f / peak`.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use super::simd::{self, LANES, Simd, WithSimd};

/// Bytes that are loaded together, each eight with a sum of their own.
const AT_ONCE: usize = 256;

/// How far ahead [`Read::Asking`] asks for memory.
const AHEAD_BYTES: usize = 2048;

/// How to read: which is faster is the machine's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// What is read next is for the processor to guess.
    Plainly,
    /// It is told.
    Asking,
}

impl Read {
    pub const ALL: [Self; 2] = [Self::Plainly, Self::Asking];
}

/// Reads every byte of `bytes` on this thread and returns a sum of them, so that no read can be left out.
#[must_use]
pub fn read(bytes: &[u8], how: Read) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // Not with AVX-512: its loads are as long as a cache line, and where the buffer does not begin with one, each load needs two. A
        // Zen 4 server read 3 GB/s so, and 37 GB/s with AVX2.
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "a function compiled for AVX2")]
            // SAFETY: the processor has AVX2, as was just asked.
            return unsafe { read_avx2(bytes, how) };
        }
    }
    read_words(bytes, how)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn read_avx2(bytes: &[u8], how: Read) -> u64 {
    read_words(bytes, how)
}

#[inline(always)]
fn read_words(bytes: &[u8], how: Read) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<AT_ONCE>();
    let mut sums = [0_u64; AT_ONCE / 8];
    for chunk in chunks {
        if how == Read::Asking {
            ask_for(chunk.as_ptr().wrapping_add(AHEAD_BYTES));
        }
        let (words, _) = chunk.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
        }
    }
    let rest = rest.iter().fold(0_u64, |sum, byte| sum.wrapping_add(u64::from(*byte)));
    sums.iter().fold(rest, |sum, word| sum.wrapping_add(*word))
}

/// Asks for [`AT_ONCE`] bytes from `address` on.
#[inline(always)]
fn ask_for(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..AT_ONCE / 64 {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "an intrinsic")]
        // SAFETY: a prefetch reads nothing and never faults, wherever its pointer points.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(64 * line).cast());
        };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Multiply-adds whose results do not wait for each other: enough for two units of a latency of four cycles. With AVX2 each is two, which
/// still fit its registers.
const CHAINS: usize = 8;

/// Multiplies and adds in registers on this thread; returns how many floating-point operations that were (2 for each multiply-add).
#[must_use]
pub fn multiply_add(rounds: u32) -> u64 {
    std::hint::black_box(simd::with(MultiplyAdd(rounds)));
    2 * LANES as u64 * CHAINS as u64 * u64::from(rounds)
}

struct MultiplyAdd(u32);

impl WithSimd for MultiplyAdd {
    type Out = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let (a, b) = (simd.splat(std::hint::black_box(0.5)), simd.splat(std::hint::black_box(1.0)));
        let mut sums = [simd.splat(0.0); CHAINS];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = simd.mul_add(*sum, a, b);
            }
        }
        sums.into_iter().flat_map(|sum| simd.store(sum)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_on_every_path() {
        let mut bytes = vec![0_u8; 3 * AT_ONCE + 5];
        for at in [0, 1, 63, 64, 255, 256, bytes.len() - 6, bytes.len() - 1] {
            bytes[at] = 1;
            for how in Read::ALL {
                assert!(read(&bytes, how) > 0 && read(&bytes, how) == read_words(&bytes, how), "byte {at}, {how:?}");
            }
            bytes[at] = 0;
        }
        assert_eq!(Read::ALL.map(|how| (read(&bytes, how), read(&[], how))), [(0, 0); 2]);
    }

    #[test]
    fn operations_are_counted_and_made() {
        assert_eq!(multiply_add(0), 0);
        assert_eq!(multiply_add(10), 10 * multiply_add(1));
        // x = x / 2 + 1 from 0: 1, then 1.5, in every lane of every chain.
        let lanes = f32::from(u8::try_from(LANES * CHAINS).expect("small"));
        for path in simd::Path::available() {
            assert!((simd::with_path(path, MultiplyAdd(2)) - 1.5 * lanes).abs() < 1e-3, "{path}");
        }
    }
}
