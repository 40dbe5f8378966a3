//! Keys by channel: 32 tokens are quantized together, each channel between its own minimum and maximum, because keys have channels
//! that are large in every token (KIVI, arXiv 2402.02750).

use super::{GROUP, RowShape, affine::Steps, pack};

/// Stores the rows of 32 tokens. `rows[token]` is `[n_kv_head, head_dim]`; `codes` are those of the tokens one behind the other,
/// `scales` `[n_kv_head, head_dim]` pairs of minimum and step.
///
/// # Panics
/// If there are not 32 rows, or a slice has another length.
pub fn encode(bits: u8, shape: RowShape, rows: &[&[f32]], codes: &mut [u8], scales: &mut [u8]) {
    let width = shape.width();
    assert_eq!((rows.len(), scales.len()), (GROUP, width * 4));
    let steps: Vec<Steps> = (0..width)
        .map(|channel| {
            let of_channel = rows.iter().map(|row| row[channel]);
            let minimum = of_channel.clone().fold(f32::INFINITY, f32::min);
            Steps::between(minimum, of_channel.fold(f32::NEG_INFINITY, f32::max), bits)
        })
        .collect();
    for (steps, stored) in steps.iter().zip(scales.chunks_exact_mut(4)) {
        steps.write(stored);
    }
    for (row, codes) in rows.iter().zip(codes.chunks_exact_mut(width * usize::from(bits) / 8)) {
        let groups = row.chunks_exact(GROUP).zip(steps.chunks_exact(GROUP));
        for ((row, steps), bytes) in groups.zip(codes.chunks_exact_mut(GROUP * usize::from(bits) / 8)) {
            let codes = std::array::from_fn(|i| steps[i].code(row[i], bits));
            pack::pack(bits, &codes, bytes);
        }
    }
}

/// One row of a head: its codes, and the steps of its channels.
pub fn decode(bits: u8, codes: &[u8], scales: &[u8], out: &mut [f32]) {
    let groups = codes.chunks_exact(GROUP * usize::from(bits) / 8).zip(out.chunks_exact_mut(GROUP));
    for ((bytes, out), scales) in groups.zip(scales.chunks_exact(GROUP * 4)) {
        let each = out.iter_mut().zip(pack::unpack(bits, bytes)).zip(scales.chunks_exact(4));
        for ((x, code), stored) in each {
            let steps = Steps::read(stored);
            *x = steps.minimum + steps.step * f32::from(code);
        }
    }
}
