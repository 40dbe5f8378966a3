//! Weights that are floating-point numbers: read, widened to f32, multiplied.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use super::{
    PANEL,
    tile::{Sums, VECTORS, ask_ahead},
};
use crate::kernels::simd::{LANES, Simd};

/// How weights become f32.
pub(super) trait Weight {
    type Stored: bytemuck::Pod;
    fn load<S: Simd>(simd: S, stored: &[Self::Stored; LANES]) -> S::F32;
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;

impl Weight for F32 {
    type Stored = f32;

    #[inline(always)]
    fn load<S: Simd>(simd: S, stored: &[f32; LANES]) -> S::F32 {
        simd.load(stored)
    }
}

impl Weight for F16 {
    type Stored = u16;

    #[inline(always)]
    fn load<S: Simd>(simd: S, stored: &[u16; LANES]) -> S::F32 {
        simd.load_f16(stored)
    }
}

impl Weight for Bf16 {
    type Stored = u16;

    #[inline(always)]
    fn load<S: Simd>(simd: S, stored: &[u16; LANES]) -> S::F32 {
        simd.load_bf16(stored)
    }
}

/// The sums of a block of inputs: `x` are `R` rows of its length, `panels` the same inputs of `P` panels.
#[inline(always)]
pub(super) fn block<W: Weight, S: Simd, const R: usize, const P: usize>(
    simd: S,
    x: [&[f32]; R],
    panels: [&[[W::Stored; PANEL]]; P],
) -> Sums<S, R, P> {
    let n = panels[0].len();
    // One length for all, so that no index needs a check.
    let (x, panels) = (x.map(|x| &x[..n]), panels.map(|panel| &panel[..n]));
    let mut sums = [[[simd.splat(0.0); VECTORS]; P]; R];
    for input in 0..n {
        if R == 1 {
            for panel in panels {
                ask_ahead(simd, &panel[input]);
            }
        }
        let weights = panels.map(|panel| {
            let (vectors, _) = panel[input].as_chunks::<LANES>();
            [W::load(simd, &vectors[0]), W::load(simd, &vectors[1])]
        });
        for (x, sums) in x.iter().zip(&mut sums) {
            let x = simd.splat(x[input]);
            for (weights, sums) in weights.iter().zip(sums) {
                for (weight, sum) in weights.iter().zip(sums) {
                    *sum = simd.mul_add(x, *weight, *sum);
                }
            }
        }
    }
    sums
}
