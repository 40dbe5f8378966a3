//! WRONG: reads codes as if they began at zero. Caught by `a_nibble_is_so_many_scales_above_min`.

pub use crate::solution::{
    append, bytes, dequantize, dequantize_channels, error_bound, pack, quantize, quantize_channels, sealed,
};

use crate::given::Nibbles;

#[must_use]
pub fn unpack(group: &Nibbles) -> Vec<f32> {
    let codes = group.bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    codes.map(|code| f32::from(code) * group.scale).collect()
}
