//! Plain Rust, for any processor: arrays, and loops over them that the compiler may vectorize.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use half::f16;

use super::{LANES, Simd, sum};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

fn zip<T: Copy, U>(a: [T; LANES], b: [T; LANES], f: impl Fn(T, T) -> U) -> [U; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> [f32; LANES] {
        *x
    }

    #[inline(always)]
    fn store(self, x: [f32; LANES]) -> [f32; LANES] {
        x
    }

    #[inline(always)]
    fn add(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        // `f32::mul_add` would call a function where the processor has no such instruction.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn sums(self, x: [[f32; LANES]; LANES]) -> [f32; LANES] {
        x.map(sum)
    }

    #[inline(always)]
    fn load_i8(self, x: [u8; LANES]) -> [f32; LANES] {
        x.map(|x| f32::from(x.cast_signed()))
    }

    #[inline(always)]
    fn load_u8(self, x: [u8; LANES]) -> [f32; LANES] {
        x.map(f32::from)
    }

    #[inline(always)]
    fn load_f16(self, x: &[u16; LANES]) -> [f32; LANES] {
        x.map(|x| f16::from_bits(x).to_f32())
    }

    #[inline(always)]
    fn load_bf16(self, x: &[u16; LANES]) -> [f32; LANES] {
        x.map(|x| f32::from_bits(u32::from(x) << 16))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> [i32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn dot(self, sum: [i32; LANES], a: &[u8; 4 * LANES], b: [u8; 4]) -> [i32; LANES] {
        let (a, _) = a.as_chunks::<4>();
        let product = |a: u8, b: u8| i32::from(a) * i32::from(b.cast_signed());
        std::array::from_fn(|i| sum[i] + (0..4).map(|j| product(a[i][j], b[j])).sum::<i32>())
    }

    #[inline(always)]
    fn to_f32(self, x: [i32; LANES]) -> [f32; LANES] {
        #[expect(clippy::cast_precision_loss, reason = "rounded as the processor's own conversion rounds")]
        x.map(|x| x as f32)
    }
}
