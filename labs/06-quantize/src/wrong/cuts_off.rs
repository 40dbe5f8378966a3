//! WRONG: `as i8` without rounding cuts off, so that errors are up to a whole step and all toward zero. Caught by `codes_are_the_nearest`.

pub use crate::solution::{
    append, bytes, dequantize, dequantize_channels, error_bound, pack, quantize_channels, sealed, unpack,
};

use crate::given::Int8;

#[must_use]
pub fn quantize(row: &[f32]) -> Int8 {
    let scale = row.iter().fold(0.0, |largest: f32, x| largest.max(x.abs())) / 127.0;
    #[expect(clippy::cast_possible_truncation, reason = "the mistake")]
    let codes = row.iter().map(|x| if scale > 0.0 { (x / scale) as i8 } else { 0 }).collect();
    Int8 { scale, codes }
}
