//! WRONG: a scale for each row of the group, which is task 1 again. Caught by `each_channel_has_its_scale`.

pub use crate::solution::{append, bytes, dequantize, error_bound, pack, quantize, sealed, unpack};

use crate::given::Channels;

#[must_use]
pub fn quantize_channels(rows: &[f32], n_channels: usize) -> Channels {
    let rows: Vec<_> = rows.chunks_exact(n_channels).map(quantize).collect();
    Channels {
        scales: rows.iter().map(|row| row.scale).collect(),
        codes: rows.into_iter().flat_map(|row| row.codes).collect(),
    }
}

#[must_use]
pub fn dequantize_channels(group: &Channels) -> Vec<f32> {
    let n_channels = group.codes.len() / group.scales.len();
    let rows = group.codes.chunks_exact(n_channels).zip(&group.scales);
    rows.flat_map(|(row, scale)| row.iter().map(move |code| f32::from(*code) * scale)).collect()
}
