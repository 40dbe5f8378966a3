//! ggml's `q8_0` and `q4_0` (llama.cpp's quantized caches), value for value: `quantize_row_q8_0_ref` and
//! `quantize_row_q4_0_ref` of ggml-quants.c. Codes and scales lie in planes of their own here, not in one block. Where ggml's scale
//! would be infinite, it is the largest f16: values beyond its steps saturate, and their neighbours are stored as exactly as it allows.

use super::{GROUP, pack, read_f16, to_f16, within_f16, write_f16};

/// d = max |x| / 127, code = round(x / d).
pub fn encode_q8_0(row: &[f32], codes: &mut [u8], scales: &mut [u8]) {
    let groups = row.chunks_exact(GROUP).zip(codes.chunks_exact_mut(GROUP));
    for ((row, codes), scale) in groups.zip(scales.chunks_exact_mut(2)) {
        let max = row.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        let d = within_f16(max / 127.0);
        let inverse = inverse(d);
        for (code, x) in codes.iter_mut().zip(row) {
            #[expect(clippy::cast_possible_truncation, reason = "clamped to [-127, 127]")]
            let value = (x * inverse).round().clamp(-127.0, 127.0) as i8;
            *code = value.cast_unsigned();
        }
        write_f16(scale, to_f16(d));
    }
}

pub fn decode_q8_0(codes: &[u8], scales: &[u8], out: &mut [f32]) {
    let groups = codes.chunks_exact(GROUP).zip(out.chunks_exact_mut(GROUP));
    for ((codes, out), scale) in groups.zip(scales.chunks_exact(2)) {
        let scale = read_f16(scale);
        for (x, code) in out.iter_mut().zip(codes) {
            *x = f32::from(code.cast_signed()) * scale;
        }
    }
}

/// d = m / -8 for the value m that lies farthest from zero, code = x / d + 8 to the nearest of 0 to 15. So m itself is stored as -8
/// steps, and a value as far out on the other side as +7 steps: there the error reaches a whole step.
pub fn encode_q4_0(row: &[f32], codes: &mut [u8], scales: &mut [u8]) {
    let groups = row.chunks_exact(GROUP).zip(codes.chunks_exact_mut(GROUP / 2));
    for ((row, bytes), scale) in groups.zip(scales.chunks_exact_mut(2)) {
        let farthest = row.iter().fold(0.0_f32, |far, x| if x.abs() > far.abs() { *x } else { far });
        let d = within_f16(farthest / -8.0);
        let inverse = inverse(d);
        let mut codes = [0; GROUP];
        for (code, x) in codes.iter_mut().zip(row) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to [0, 15]")]
            let value = (x * inverse + 8.5).clamp(0.0, 15.0) as u8;
            *code = value;
        }
        pack::pack(4, &codes, bytes);
        write_f16(scale, to_f16(d));
    }
}

pub fn decode_q4_0(codes: &[u8], scales: &[u8], out: &mut [f32]) {
    let groups = codes.chunks_exact(GROUP / 2).zip(out.chunks_exact_mut(GROUP));
    for ((bytes, out), scale) in groups.zip(scales.chunks_exact(2)) {
        let scale = read_f16(scale);
        for (x, code) in out.iter_mut().zip(pack::unpack(4, bytes)) {
            *x = (f32::from(code) - 8.0) * scale;
        }
    }
}

/// 1 / d; 0 where that is no number: then every code is that of zero.
fn inverse(d: f32) -> f32 {
    let inverse = 1.0 / d;
    if inverse.is_finite() { inverse } else { 0.0 }
}
