//! WRONG: the scale is of the largest number, and a larger one below zero is cut to -128 codes. Caught by
//! `the_scale_is_of_the_largest_absolute`.

pub use crate::solution::{
    append, bytes, dequantize, dequantize_channels, error_bound, pack, quantize_channels, sealed, unpack,
};

use crate::given::Int8;

#[must_use]
pub fn quantize(row: &[f32]) -> Int8 {
    let scale = row.iter().fold(0.0, |largest: f32, x| largest.max(*x)) / 127.0;
    #[expect(clippy::cast_possible_truncation, reason = "the mistake: it does not fit")]
    let codes = row.iter().map(|x| if scale > 0.0 { (x / scale).round() as i8 } else { 0 }).collect();
    Int8 { scale, codes }
}
