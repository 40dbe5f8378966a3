//! WRONG: eight bits are a byte and four are half of one, and the scales are forgotten, a third of the 4-bit formats. Caught by
//! `scales_are_bytes_too`.

pub use crate::solution::{
    append, dequantize, dequantize_channels, error_bound, pack, quantize, quantize_channels, sealed, unpack,
};

use crate::given::Format;

#[must_use]
pub fn bytes(format: Format, n_tokens: usize, head_dim: usize, residual: usize) -> usize {
    let numbers = n_tokens * head_dim;
    let in_groups = sealed(n_tokens, residual) * head_dim;
    let newest = (numbers - in_groups) * size_of::<f32>();
    match format {
        Format::F32 => numbers * size_of::<f32>(),
        Format::F16 => numbers * 2,
        Format::Int8 => numbers,
        Format::Int8Channels => in_groups + newest,
        Format::Int4 => numbers / 2,
        Format::Int4Channels => in_groups / 2 + newest,
    }
}
