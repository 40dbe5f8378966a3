//! Shorter floats: no scale, the nearest value that exists, saturating where f32 reaches farther.

use std::sync::LazyLock;

use float8::F8E4M3;
use half::{bf16, f16, slice::HalfFloatSliceExt};

pub fn encode_f16(row: &[f32], codes: &mut [u8]) {
    const MAX: f32 = f16::MAX.to_f32_const();
    for (x, code) in row.iter().zip(bytemuck::cast_slice_mut::<u8, f16>(codes)) {
        *code = f16::from_f32(x.clamp(-MAX, MAX));
    }
}

pub fn decode_f16(codes: &[u8], out: &mut [f32]) {
    // The library uses the processor's own instruction where there is one.
    bytemuck::cast_slice::<u8, f16>(codes).convert_to_f32_slice(out);
}

pub fn encode_bf16(row: &[f32], codes: &mut [u8]) {
    const MAX: f32 = bf16::MAX.to_f32_const();
    for (x, code) in row.iter().zip(bytemuck::cast_slice_mut::<u8, bf16>(codes)) {
        *code = bf16::from_f32(x.clamp(-MAX, MAX));
    }
}

pub fn decode_bf16(codes: &[u8], out: &mut [f32]) {
    for (code, x) in bytemuck::cast_slice::<u8, u16>(codes).iter().zip(out) {
        *x = f32::from_bits(u32::from(*code) << 16);
    }
}

pub fn encode_f8(row: &[f32], codes: &mut [u8]) {
    for (x, code) in row.iter().zip(codes) {
        *code = F8E4M3::from_f32(*x).to_bits();
    }
}

pub fn decode_f8(codes: &[u8], out: &mut [f32]) {
    static VALUES: LazyLock<[f32; 256]> = LazyLock::new(|| {
        let mut bits = 0_u8;
        std::array::from_fn(|_| {
            let value = F8E4M3::from_bits(bits).to_f32();
            bits = bits.wrapping_add(1);
            value
        })
    });
    let values = &*VALUES;
    for (code, x) in codes.iter().zip(out) {
        *x = values[usize::from(*code)];
    }
}
