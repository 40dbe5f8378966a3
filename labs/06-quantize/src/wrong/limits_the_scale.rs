//! WRONG: against dividing by 0 the scale is at least 1e-5, as in some libraries; a row of smaller numbers becomes zeros. Caught by
//! `small_rows_keep_their_digits`.

pub use crate::solution::{
    append, bytes, dequantize, dequantize_channels, error_bound, pack, quantize_channels, sealed, unpack,
};

use crate::given::Int8;

#[must_use]
pub fn quantize(row: &[f32]) -> Int8 {
    let scale = (row.iter().fold(0.0, |largest: f32, x| largest.max(x.abs())) / 127.0).max(1e-5);
    #[expect(clippy::cast_possible_truncation, reason = "rounded, and from -127 to 127")]
    let codes = row.iter().map(|x| (x / scale).round() as i8).collect();
    Int8 { scale, codes }
}
