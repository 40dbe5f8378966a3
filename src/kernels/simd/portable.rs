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
    fn max(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn power_of_two(self, n: [f32; LANES]) -> [f32; LANES] {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number that an exponent can hold")]
        n.map(|n| f32::from_bits((n as i32 + 127).cast_unsigned() << 23))
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
    fn load_i8(self, x: &[u8; LANES]) -> [f32; LANES] {
        x.map(|x| f32::from(x.cast_signed()))
    }

    #[inline(always)]
    fn load_u8(self, x: &[u8; LANES]) -> [f32; LANES] {
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
    fn load_f8(self, x: &[u8; LANES]) -> [f32; LANES] {
        // The exponent's bias is 7, that of f16 is 15; and the largest number is none.
        x.map(|x| match x & 0x7f {
            0x7f => f32::NAN,
            size => f16::from_bits((u16::from(x & 0x80) << 8) | (u16::from(size) << 7)).to_f32() * 256.0,
        })
    }

    #[inline(always)]
    fn splat_f16(self, x: u16) -> [f32; LANES] {
        [f16::from_bits(x).to_f32(); LANES]
    }

    #[inline(always)]
    fn load_f16_pairs(self, x: &[[u16; 2]; LANES]) -> [[f32; LANES]; 2] {
        [self.load_f16(&x.map(|x| x[0])), self.load_f16(&x.map(|x| x[1]))]
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> [i32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn load_bytes(self, x: &[u8; LANES]) -> [i32; LANES] {
        x.map(i32::from)
    }

    #[inline(always)]
    fn shift_right(self, x: [i32; LANES], bits: [i32; LANES]) -> [i32; LANES] {
        zip(x, bits, |x, bits| (x.cast_unsigned() >> (bits & 31)).cast_signed())
    }

    #[inline(always)]
    fn lookup(self, table: [f32; LANES], index: [i32; LANES]) -> [f32; LANES] {
        #[expect(clippy::cast_sign_loss, reason = "four bits")]
        index.map(|index| table[(index & 15) as usize])
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
