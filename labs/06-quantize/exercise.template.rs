//! Your file. Each `todo!` says what belongs there; `README.md` explains the tasks in this order.
//!
//! Everything is one head, keys or values alike: a row is one token's `head_dim` numbers, rows are `[tokens, head_dim]`, dense f32. A number's
//! place in the row is its channel.

use crate::given::{Channels, Format, GROUP, Int8, Nibbles, Residual};

/// Task 1: a row in 8 bits. The scale is the largest absolute number divided by 127; a code is the whole number nearest to number / scale.
/// A row of zeros has the scale 0 and codes of 0.
pub fn quantize(row: &[f32]) -> Int8 {
    todo!("task 1, quantize: scale = largest |x| / 127, codes = x / scale to the nearest")
}

/// Task 2: the numbers that were stored.
pub fn dequantize(row: &Int8) -> Vec<f32> {
    todo!("task 2, dequantize: each code times the scale")
}

/// Task 2: how far any number of `row` can be from what `dequantize(quantize(row))` gives for it.
pub fn error_bound(row: &[f32]) -> f32 {
    todo!("task 2, error_bound: codes are one scale apart, and the nearest is taken")
}

/// Task 3: rows `[tokens, n_channels]` in 8 bits, where each channel has a scale over all of these tokens, as a row has in task 1.
pub fn quantize_channels(rows: &[f32], n_channels: usize) -> Channels {
    todo!("task 3, quantize_channels: a scale for each channel, codes in the order of the rows")
}

/// Task 3: the rows that were stored, `[tokens, channels]`.
pub fn dequantize_channels(group: &Channels) -> Vec<f32> {
    todo!("task 3, dequantize_channels: each code times the scale of its channel")
}

/// Task 4: 32 numbers in 4 bits. The scale is (largest - smallest) / 15; a code is the whole number nearest to (number - smallest) / scale.
/// If all numbers are equal, the scale and all codes are 0.
pub fn pack(numbers: &[f32]) -> Nibbles {
    todo!("task 4, pack: codes from 0 to 15 between the smallest and the largest, two in a byte, the even one low")
}

/// Task 4: the 32 numbers that were stored.
pub fn unpack(group: &Nibbles) -> Vec<f32> {
    todo!("task 4, unpack: min + code * scale, the low four bits of a byte before the high ones")
}

/// Task 5: of `n_tokens` tokens, how many are sealed: as many whole groups as there can be while the newest `residual` tokens stay out.
pub fn sealed(n_tokens: usize, residual: usize) -> usize {
    todo!("task 5, sealed: a multiple of GROUP, and at least `residual` tokens behind it")
}

/// Task 5: puts the row of a new token behind the others, and seals what is now to be sealed, oldest first: `seal` makes a group of the rows
/// `[GROUP, width]` of its tokens.
pub fn append<G>(cache: &mut Residual<G>, row: &[f32], seal: impl Fn(&[f32]) -> G) {
    todo!("task 5, append: the row joins the exact ones; while too few are sealed, the oldest GROUP become a group")
}

/// Task 6: bytes of one head's keys (or values) of `n_tokens` tokens: codes, scales and minima (an f32 each), and the newest tokens in f32
/// where the format has such. `head_dim` is a multiple of 32.
pub fn bytes(format: Format, n_tokens: usize, head_dim: usize, residual: usize) -> usize {
    todo!("task 6, bytes: what tasks 1, 3 and 4 store; `sealed` says how many tokens of a channel format are in groups")
}
