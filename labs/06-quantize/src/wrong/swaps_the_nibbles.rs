//! WRONG: the even number goes into the high four bits. It reads back what it wrote, and nobody else's. Caught by
//! `the_even_number_is_the_low_nibble`.

pub use crate::solution::{
    append, bytes, dequantize, dequantize_channels, error_bound, quantize, quantize_channels, sealed,
};

use crate::given::Nibbles;

#[must_use]
pub fn pack(numbers: &[f32]) -> Nibbles {
    let group = crate::solution::pack(numbers);
    Nibbles { bytes: group.bytes.map(|byte| byte.rotate_left(4)), ..group }
}

#[must_use]
pub fn unpack(group: &Nibbles) -> Vec<f32> {
    crate::solution::unpack(&Nibbles { bytes: group.bytes.map(|byte| byte.rotate_left(4)), ..group.clone() })
}
