//! One way to do it.

#![allow(clippy::cast_possible_truncation, reason = "codes are rounded and in range before they become i8 and u8")]
#![allow(clippy::cast_sign_loss, reason = "a nibble is not below 0")]

use crate::given::{Channels, Format, GROUP, Int8, Nibbles, Residual};

#[must_use]
pub fn quantize(row: &[f32]) -> Int8 {
    let scale = scale_of(row.iter());
    Int8 { scale, codes: row.iter().map(|x| code(*x, scale)).collect() }
}

#[must_use]
pub fn dequantize(row: &Int8) -> Vec<f32> {
    row.codes.iter().map(|code| f32::from(*code) * row.scale).collect()
}

#[must_use]
pub fn error_bound(row: &[f32]) -> f32 {
    scale_of(row.iter()) / 2.0
}

#[must_use]
pub fn quantize_channels(rows: &[f32], n_channels: usize) -> Channels {
    let scales: Vec<f32> =
        (0..n_channels).map(|channel| scale_of(rows.iter().skip(channel).step_by(n_channels))).collect();
    let codes = rows.iter().zip(scales.iter().cycle()).map(|(x, scale)| code(*x, *scale)).collect();
    Channels { scales, codes }
}

#[must_use]
pub fn dequantize_channels(group: &Channels) -> Vec<f32> {
    group.codes.iter().zip(group.scales.iter().cycle()).map(|(code, scale)| f32::from(*code) * scale).collect()
}

#[must_use]
pub fn pack(numbers: &[f32]) -> Nibbles {
    let min = numbers.iter().copied().fold(f32::INFINITY, f32::min);
    let max = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = (max - min) / 15.0;
    let code = |x: f32| if scale > 0.0 { ((x - min) / scale).round().min(15.0) as u8 } else { 0 };
    let mut bytes = [0; GROUP / 2];
    for (byte, pair) in bytes.iter_mut().zip(numbers.chunks_exact(2)) {
        *byte = code(pair[0]) | code(pair[1]) << 4;
    }
    Nibbles { scale, min, bytes }
}

#[must_use]
pub fn unpack(group: &Nibbles) -> Vec<f32> {
    let codes = group.bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    codes.map(|code| group.min + f32::from(code) * group.scale).collect()
}

#[must_use]
pub fn sealed(n_tokens: usize, residual: usize) -> usize {
    n_tokens.saturating_sub(residual) / GROUP * GROUP
}

pub fn append<G>(cache: &mut Residual<G>, row: &[f32], seal: impl Fn(&[f32]) -> G) {
    cache.exact.extend_from_slice(row);
    while cache.sealed.len() * GROUP < sealed(cache.n_tokens(), cache.residual) {
        let oldest: Vec<f32> = cache.exact.drain(..GROUP * cache.width).collect();
        cache.sealed.push(seal(&oldest));
    }
}

#[must_use]
pub fn bytes(format: Format, n_tokens: usize, head_dim: usize, residual: usize) -> usize {
    let float = size_of::<f32>();
    let numbers = n_tokens * head_dim;
    let in_groups = sealed(n_tokens, residual) * head_dim;
    let newest = (numbers - in_groups) * float;
    match format {
        Format::F32 => numbers * float,
        Format::F16 => numbers * 2,
        Format::Int8 => numbers + n_tokens * float,
        Format::Int8Channels => in_groups + in_groups / GROUP * float + newest,
        Format::Int4 => numbers / 2 + numbers / GROUP * 2 * float,
        Format::Int4Channels => in_groups / 2 + in_groups / GROUP * 2 * float + newest,
    }
}

fn scale_of<'a>(numbers: impl Iterator<Item = &'a f32>) -> f32 {
    numbers.fold(0.0, |largest: f32, x| largest.max(x.abs())) / 127.0
}

fn code(x: f32, scale: f32) -> i8 {
    if scale > 0.0 { (x / scale).round() as i8 } else { 0 }
}
