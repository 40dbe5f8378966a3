//! Rows encoded and read without a store.
#![allow(dead_code, reason = "every test binary compiles this module and uses some of it")]

use kvlab::kernels::{
    codec::{Codec, Levels, RowShape},
    walk::Rows,
};

/// Codes and scales of one token's rows, and what they decode to.
pub fn encode(codec: Codec, shape: RowShape, levels: Option<&Levels>, row: &[f32]) -> (Vec<u8>, Vec<u8>, Vec<f32>) {
    // f32 storage, so that both planes are aligned as a store's are.
    let words = |bytes: usize| vec![0.0_f32; bytes.div_ceil(4)];
    let (mut codes, mut scales) = (words(codec.code_bytes(shape)), words(codec.scale_bytes(shape)));
    let codes = &mut bytemuck::cast_slice_mut(&mut codes)[..codec.code_bytes(shape)];
    let scales = &mut bytemuck::cast_slice_mut(&mut scales)[..codec.scale_bytes(shape)];
    codec.encode(shape, levels, row, codes, scales);
    let back = decode(&Rows { codec, shape, codes, token_stride: codes.len(), scales, levels }, 1);
    (codes.to_vec(), scales.to_vec(), back)
}

/// `n` tokens, `[n, n_kv_head, head_dim]`.
pub fn decode(rows: &Rows<'_>, n: usize) -> Vec<f32> {
    let RowShape { n_kv_head, head_dim } = rows.shape;
    let mut out = vec![f32::NAN; n * n_kv_head * head_dim];
    for (i, out) in out.chunks_exact_mut(head_dim).enumerate() {
        rows.decode(i / n_kv_head, 1, i % n_kv_head, out);
    }
    out
}

/// A row of one head, stored and read.
pub fn round_trip(codec: Codec, row: &[f32]) -> Vec<f32> {
    encode(codec, RowShape { n_kv_head: 1, head_dim: row.len() }, None, row).2
}
