//! Weights of 8 bits, and products of bytes.
//!
//! A weight is `scale * (code - 128)`, so that codes are unsigned, as one side of the processor's dot product of bytes has to be. The other side, 64
//! inputs rounded to signed bytes by their own largest, is told how much the 128 adds: `sum (code - 128) x = sum code x - 128 sum x`. Sums of
//! a group are exact in i32, and in f32 too (below 2^24).

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use super::{
    BLOCK, PANEL,
    tile::{Sums, VECTORS, ask_ahead},
};
use crate::kernels::{
    columns::Columns,
    simd::{self, LANES, Simd, WithSimd},
    thread_pool::for_each,
};

/// Inputs that are rounded by the same scale.
pub(super) const GROUP: usize = 64;

/// Inputs that the dot product takes at once.
const FOUR: usize = 4;

/// Times that in a group.
const FOURS: usize = GROUP / FOUR;

/// Where a weight of a panel is: `[in / 4][32][4]`.
pub(super) fn at(input: usize, place: usize) -> usize {
    (input / FOUR * PANEL + place) * FOUR + input % FOUR
}

/// The scale of an output's weights: the largest becomes 127.
pub(super) fn scale(weights: impl Iterator<Item = f32>) -> f32 {
    let most = weights.fold(0.0_f32, |most, x| most.max(x.abs()));
    if most > 0.0 { (most / 127.0).max(f32::MIN_POSITIVE) } else { 1.0 }
}

pub(super) fn code(weight: f32, scale: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the codes there are")]
    let code = (nearest((weight / scale).clamp(-127.0, 127.0)) + 128.0) as u8;
    code
}

/// The nearest integer, of two the even one, for numbers below 2^22: added and taken away, this leaves no room for a fraction. (The library's
/// function is a call where the processor is not known to have an instruction for it.)
#[inline(always)]
fn nearest(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    (x + ROUND) - ROUND
}

pub(super) fn weight(code: u8, scale: f32) -> f32 {
    (f32::from(code) - 128.0) * scale
}

/// Rows of inputs, rounded.
pub(super) struct Inputs {
    /// Groups of a row.
    n_groups: usize,
    /// Signed bytes, `[rows, n_groups * 64]`, kept in f32's memory so that threads can share it.
    codes: Vec<f32>,
    /// `[rows, n_groups]`: a scale and `-128` times the sum of the codes.
    groups: Vec<f32>,
}

impl Inputs {
    /// `x` is `[rows, n_in]`; behind its end are zeros.
    pub fn new(x: &[f32], n_in: usize) -> Self {
        let (rows, n_groups) = (x.len() / n_in.max(1), n_in.div_ceil(GROUP));
        let (codes_width, groups_width) = (n_groups * GROUP / FOUR, n_groups * 2);
        let (mut codes, mut groups) = (vec![0.0; rows * codes_width], vec![0.0; rows * groups_width]);
        let (all_codes, all_groups) = (Columns::new(&mut codes, codes_width), Columns::new(&mut groups, groups_width));
        for_each(rows, |row| {
            #[expect(unsafe_code, reason = "rows of one matrix for several threads")]
            // SAFETY: a piece has its own row of each.
            let (codes, groups) =
                unsafe { (all_codes.part(row, 0, codes_width), all_groups.part(row, 0, groups_width)) };
            simd::with(Round { x: &x[row * n_in..][..n_in], codes: bytemuck::cast_slice_mut(codes), groups });
        });
        Self { n_groups, codes, groups }
    }
}

/// Rounds one row.
struct Round<'a> {
    x: &'a [f32],
    codes: &'a mut [i8],
    groups: &'a mut [f32],
}

impl WithSimd for Round<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let groups = self.x.chunks(GROUP).zip(self.codes.chunks_exact_mut(GROUP)).zip(self.groups.chunks_exact_mut(2));
        for ((x, codes), group) in groups {
            let mut inputs = [0.0_f32; GROUP];
            inputs[..x.len()].copy_from_slice(x);
            let mut maxima = [0.0_f32; LANES];
            for chunk in inputs.as_chunks::<LANES>().0 {
                for (most, x) in maxima.iter_mut().zip(chunk) {
                    *most = if x.abs() > *most { x.abs() } else { *most };
                }
            }
            let most = maxima.iter().fold(0.0_f32, |most, x| most.max(*x));
            let scale = most / 127.0;
            let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
            let mut sum = 0_i32;
            for (code, x) in codes.iter_mut().zip(inputs) {
                #[expect(clippy::cast_possible_truncation, reason = "at most 127 and a rounding")]
                let rounded = nearest(x * inverse) as i32;
                sum += rounded;
                #[expect(clippy::cast_possible_truncation, reason = "within [-127, 127]")]
                let byte = rounded as i8;
                *code = byte;
            }
            group[0] = scale;
            #[expect(clippy::cast_precision_loss, reason = "at most 64 * 127 * 128, below 2^24")]
            let start = (-128 * sum) as f32;
            group[1] = start;
        }
    }
}

/// The four inputs' codes for each of a panel's outputs.
pub(super) type Four = [[u8; FOUR * LANES]; VECTORS];

/// The sums of block `index` for `R` rows from `first` on, without the outputs' scales; `panels` are its weights in `P` panels.
#[inline(always)]
pub(super) fn block<S: Simd, const R: usize, const P: usize>(
    simd: S,
    (inputs, first, index): (&Inputs, usize, usize),
    panels: [&[Four]; P],
) -> Sums<S, R, P> {
    const GROUPS: usize = BLOCK / GROUP;
    let mut sums = [[[simd.splat(0.0); VECTORS]; P]; R];
    let (codes, _) = bytemuck::cast_slice::<f32, [u8; FOUR]>(&inputs.codes).as_chunks::<FOURS>();
    let (scales, _) = inputs.groups.as_chunks::<2>();
    let panels = panels.map(|panel| panel.as_chunks::<FOURS>().0);
    for (within, group) in (index * GROUPS..inputs.n_groups.min((index + 1) * GROUPS)).enumerate() {
        // Of a length that the compiler knows, so that no index needs a check and sums stay in registers.
        let panels = panels.map(|panel| &panel[within]);
        let rows: [&[[u8; FOUR]; FOURS]; R] =
            std::array::from_fn(|row| &codes[(first + row) * inputs.n_groups + group]);
        let scales: [[f32; 2]; R] = std::array::from_fn(|row| scales[(first + row) * inputs.n_groups + group]);
        let mut products: [[[S::I32; VECTORS]; P]; R] = scales.map(|[_, start]| {
            #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^24")]
            let start = simd.splat_i32(start as i32);
            [[start; VECTORS]; P]
        });
        for four in 0..FOURS {
            if R == 1 {
                for panel in panels {
                    ask_ahead(simd, &panel[four]);
                }
            }
            for (products, row) in products.iter_mut().zip(rows) {
                for (products, panel) in products.iter_mut().zip(panels) {
                    for (product, weights) in products.iter_mut().zip(&panel[four]) {
                        *product = simd.dot(*product, weights, row[four]);
                    }
                }
            }
        }
        for ((sums, products), [scale, _]) in sums.iter_mut().zip(products).zip(scales) {
            let scale = simd.splat(scale);
            for (sums, products) in sums.iter_mut().zip(products) {
                for (sum, product) in sums.iter_mut().zip(products) {
                    *sum = simd.mul_add(simd.to_f32(product), scale, *sum);
                }
            }
        }
    }
    sums
}
