//! Equal steps from a group's minimum to its maximum.

use half::f16;

use super::{GROUP, pack, read_f16, to_f16, write_f16};

/// The two numbers of a group: value = minimum + step * code.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    pub minimum: f32,
    pub step: f32,
}

impl Steps {
    /// Those of values between `minimum` and `maximum` in codes of `bits`, as they are stored: codes are found with the rounded
    /// numbers, so that rounding them costs nothing but at the two ends.
    pub fn between(minimum: f32, maximum: f32, bits: u8) -> Self {
        let minimum = to_f16(minimum).to_f32();
        let step = to_f16((maximum - minimum).max(0.0) / f32::from(most(bits))).to_f32();
        Self { minimum, step }
    }

    /// The nearest code, of two the even one (as torch's `round`). In a constant group (no step) it is 0.
    pub fn code(self, x: f32, bits: u8) -> u8 {
        let steps = if self.step > 0.0 { (x - self.minimum) / self.step } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the codes there are")]
        let code = steps.round_ties_even().clamp(0.0, f32::from(most(bits))) as u8;
        code
    }

    pub fn write(self, bytes: &mut [u8]) {
        write_f16(&mut bytes[..2], f16::from_f32(self.minimum));
        write_f16(&mut bytes[2..4], f16::from_f32(self.step));
    }

    #[inline]
    pub fn read(bytes: &[u8]) -> Self {
        Self { minimum: read_f16(&bytes[..2]), step: read_f16(&bytes[2..4]) }
    }
}

fn most(bits: u8) -> u8 {
    u8::MAX >> (8 - bits)
}

pub fn encode(bits: u8, row: &[f32], codes: &mut [u8], scales: &mut [u8]) {
    let groups = row.chunks_exact(GROUP).zip(codes.chunks_exact_mut(GROUP * usize::from(bits) / 8));
    for ((row, bytes), stored) in groups.zip(scales.chunks_exact_mut(4)) {
        let minimum = row.iter().fold(f32::INFINITY, |min, x| min.min(*x));
        let maximum = row.iter().fold(f32::NEG_INFINITY, |max, x| max.max(*x));
        let steps = Steps::between(minimum, maximum, bits);
        let mut codes = [0; GROUP];
        for (code, x) in codes.iter_mut().zip(row) {
            *code = steps.code(*x, bits);
        }
        pack::pack(bits, &codes, bytes);
        steps.write(stored);
    }
}

pub fn decode(bits: u8, codes: &[u8], scales: &[u8], out: &mut [f32]) {
    let groups = codes.chunks_exact(GROUP * usize::from(bits) / 8).zip(out.chunks_exact_mut(GROUP));
    for ((bytes, out), stored) in groups.zip(scales.chunks_exact(4)) {
        let steps = Steps::read(stored);
        for (x, code) in out.iter_mut().zip(pack::unpack(bits, bytes)) {
            *x = steps.minimum + steps.step * f32::from(code);
        }
    }
}
