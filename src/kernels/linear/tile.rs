//! A product in tiles: some rows and a panel or two of outputs, block of inputs by block of inputs.

#![expect(clippy::inline_always, reason = "inlined into functions for several processors")]

use super::{
    BLOCK, Epilogue, PANEL, PackedMatrix, ROWS, WeightFormat,
    float::{self, Bf16, F16, F32, Weight},
    int8,
};
use crate::kernels::{
    columns::Columns,
    gelu::gelu,
    simd::{self, LANES, Path, Simd, WithSimd},
    thread_pool::for_each,
};

/// Vectors of a panel.
pub(super) const VECTORS: usize = PANEL / LANES;

/// The sums of `R` rows and `P` panels, in registers.
pub(super) type Sums<S, const R: usize, const P: usize> = [[[<S as Simd>::F32; VECTORS]; P]; R];

/// Rows whose sums fit the registers of AVX-512 beside a panel's weights: 12 rows of two vectors.
const MOST: usize = 12;

/// Addresses so far apart compete for the same places in a first-level cache of 64 sets.
const SETS_BYTES: usize = 4096;

/// How far ahead of their use the weights of a single row are asked for.
const AHEAD_BYTES: usize = 2048;

/// Asks for the memory [`AHEAD_BYTES`] behind `weights`, as much as they take.
#[inline(always)]
pub(super) fn ask_ahead<S: Simd, T>(simd: S, weights: &T) {
    let address = std::ptr::from_ref(weights).cast::<u8>().wrapping_add(AHEAD_BYTES);
    for line in 0..size_of::<T>() / 64 {
        simd.prefetch(address.wrapping_add(64 * line));
    }
}

/// What blocks of inputs are multiplied with.
trait Blocks: Sync {
    /// The sums of block `index` for the rows from `row` on and the panels from `panel` on.
    fn sums<S: Simd, const R: usize, const P: usize>(
        &self,
        simd: S,
        row: usize,
        panel: usize,
        index: usize,
    ) -> Sums<S, R, P>;
}

struct Floats<'a, W: Weight> {
    /// Rows of `n_in`, `stride` apart.
    x: &'a [f32],
    stride: usize,
    n_in: usize,
    panels: &'a [[W::Stored; PANEL]],
}

impl<W: Weight> Blocks for Floats<'_, W>
where
    W::Stored: Sync,
{
    #[inline(always)]
    fn sums<S: Simd, const R: usize, const P: usize>(
        &self,
        simd: S,
        row: usize,
        panel: usize,
        index: usize,
    ) -> Sums<S, R, P> {
        let first = index * BLOCK;
        let n = BLOCK.min(self.n_in - first);
        let x = std::array::from_fn(|i| &self.x[(row + i) * self.stride + first..][..n]);
        let panels = std::array::from_fn(|i| &self.panels[(panel + i) * self.n_in + first..][..n]);
        float::block::<W, S, R, P>(simd, x, panels)
    }
}

struct Bytes<'a> {
    inputs: int8::Inputs,
    /// Inputs of a panel, in fours.
    fours: usize,
    panels: &'a [int8::Four],
}

impl Blocks for Bytes<'_> {
    #[inline(always)]
    fn sums<S: Simd, const R: usize, const P: usize>(
        &self,
        simd: S,
        row: usize,
        panel: usize,
        index: usize,
    ) -> Sums<S, R, P> {
        let first = index * BLOCK / 4;
        let n = (BLOCK / 4).min(self.fours - first);
        let panels = std::array::from_fn(|i| &self.panels[(panel + i) * self.fours + first..][..n]);
        int8::block::<S, R, P>(simd, (&self.inputs, row, index), panels)
    }
}

/// See [`PackedMatrix::multiply`].
pub(super) fn multiply(matrix: &PackedMatrix, x: &[f32], rows: usize, epilogue: Epilogue<'_>, out: &mut [f32]) {
    multiply_on(Path::chosen().ok(), matrix, x, rows, epilogue, out);
}

/// [`multiply`] on a path of its own.
pub(super) fn multiply_on(
    path: Option<Path>,
    matrix: &PackedMatrix,
    x: &[f32],
    rows: usize,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) {
    let n_in = matrix.n_in;
    let product = Product { path, matrix, rows, epilogue, out: Columns::new(out, matrix.n_out) };
    let codes = &matrix.codes;
    let is_float = matrix.format != WeightFormat::Int8;
    let moved = (is_float && rows > 1 && n_in > 0 && (n_in * size_of::<f32>()).is_multiple_of(SETS_BYTES))
        .then(|| apart(x, n_in));
    let (x, stride) = moved.as_ref().map_or((x, n_in), |moved| (moved, n_in + LANES));
    match matrix.format {
        WeightFormat::F32 => product.run(&Floats::<F32> { x, stride, n_in, panels: codes.as_slice() }),
        WeightFormat::F16 => product.run(&Floats::<F16> { x, stride, n_in, panels: codes.as_slice() }),
        WeightFormat::Bf16 => product.run(&Floats::<Bf16> { x, stride, n_in, panels: codes.as_slice() }),
        WeightFormat::Int8 => {
            let fours = matrix.format.depth(n_in) / 4;
            product.run(&Bytes { inputs: int8::Inputs::new(x, n_in), fours, panels: codes.as_slice() });
        }
    }
}

/// Rows of a cache line more, so that neighbours do not compete for one place in the first-level cache.
fn apart(x: &[f32], n_in: usize) -> Vec<f32> {
    x.chunks_exact(n_in).flat_map(|row| row.iter().copied().chain([0.0; LANES])).collect()
}

struct Product<'a> {
    path: Option<Path>,
    matrix: &'a PackedMatrix,
    rows: usize,
    epilogue: Epilogue<'a>,
    out: Columns<'a>,
}

impl Product<'_> {
    /// Pieces of work are some rows and a panel; of a single row two panels, since one alone leaves the processor waiting for its own sums.
    fn run<B: Blocks>(&self, blocks: &B) {
        let n_panels = self.matrix.n_out.div_ceil(PANEL);
        let panels_each = if self.rows == 1 { 2 } else { 1 };
        let (n_chunks, n_groups) = (self.rows.div_ceil(ROWS), n_panels.div_ceil(panels_each));
        for_each(n_chunks * n_groups, |piece| {
            // Chunks of rows one after the other, so that a panel stays in the cache of its core.
            let (group, chunk) = (piece / n_chunks, piece % n_chunks);
            let (row, panel) = (chunk * ROWS, group * panels_each);
            let piece = Piece {
                product: self,
                blocks,
                row,
                n_rows: ROWS.min(self.rows - row),
                panel,
                n_panels: panels_each.min(n_panels - panel),
            };
            match self.path {
                Some(path) => simd::with_path(path, piece),
                None => simd::with(piece),
            }
        });
    }
}

struct Piece<'a, B> {
    product: &'a Product<'a>,
    blocks: &'a B,
    row: usize,
    n_rows: usize,
    panel: usize,
    n_panels: usize,
}

impl<B: Blocks> WithSimd for Piece<'_, B> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match (self.n_rows, self.n_panels) {
            (1, 2) => self.row::<S, 2>(simd),
            (1, _) => self.row::<S, 1>(simd),
            (..=MOST, _) => self.rows::<S, MOST>(simd),
            _ => self.rows::<S, ROWS>(simd),
        }
    }
}

impl<B: Blocks> Piece<'_, B> {
    fn n_blocks(&self) -> usize {
        self.product.matrix.n_in.div_ceil(BLOCK)
    }

    /// One row: all of its sums stay in registers.
    #[inline(always)]
    fn row<S: Simd, const P: usize>(&self, simd: S) {
        let mut all = [[simd.splat(0.0); VECTORS]; P];
        for index in 0..self.n_blocks() {
            let [sums] = self.blocks.sums::<S, 1, P>(simd, self.row, self.panel, index);
            for (all, sums) in all.iter_mut().zip(sums) {
                for (all, sum) in all.iter_mut().zip(sums) {
                    *all = simd.add(*all, sum);
                }
            }
        }
        for (i, all) in all.into_iter().enumerate() {
            self.store(simd, self.row, self.panel + i, bytemuck::cast(all.map(|sum| simd.store(sum))));
        }
    }

    /// Up to `N` rows of one panel. A block of its weights, 16 KiB, stays in the first-level cache while all rows are multiplied with it.
    #[inline(always)]
    fn rows<S: Simd, const N: usize>(&self, simd: S) {
        let mut all = [[[0.0_f32; LANES]; VECTORS]; N];
        for index in 0..self.n_blocks() {
            let mut row = 0;
            while row < self.n_rows {
                let all = &mut all[row..];
                row += match self.n_rows - row {
                    12.. if S::REGISTERS >= 32 => self.add::<S, 12>(simd, row, index, all),
                    8.. if S::REGISTERS >= 32 => self.add::<S, 8>(simd, row, index, all),
                    4.. if S::REGISTERS >= 32 => self.add::<S, 4>(simd, row, index, all),
                    3.. => self.add::<S, 3>(simd, row, index, all),
                    2 => self.add::<S, 2>(simd, row, index, all),
                    _ => self.add::<S, 1>(simd, row, index, all),
                };
            }
        }
        for (row, all) in all.into_iter().enumerate().take(self.n_rows) {
            self.store(simd, self.row + row, self.panel, bytemuck::cast(all));
        }
    }

    /// Adds the sums of block `index` for `R` rows from `row` of the piece on; returns `R`.
    #[inline(always)]
    fn add<S: Simd, const R: usize>(
        &self,
        simd: S,
        row: usize,
        index: usize,
        all: &mut [[[f32; LANES]; VECTORS]],
    ) -> usize {
        let sums = self.blocks.sums::<S, R, 1>(simd, self.row + row, self.panel, index);
        for (all, [sums]) in all.iter_mut().zip(sums) {
            for (all, sum) in all.iter_mut().zip(sums) {
                *all = simd.store(simd.add(simd.load(all), sum));
            }
        }
        R
    }

    /// One row's results of a panel.
    #[inline(always)]
    fn store<S: Simd>(&self, simd: S, row: usize, panel: usize, mut results: [f32; PANEL]) {
        let Product { matrix, epilogue, out, .. } = self.product;
        let first = panel * PANEL;
        let n = PANEL.min(matrix.n_out - first);
        if let Some(scales) = matrix.scales.get(first..first + PANEL) {
            results.iter_mut().zip(scales).for_each(|(result, scale)| *result *= scale);
        }
        if let Some(bias) = epilogue.bias {
            results.iter_mut().zip(&bias[first..first + n]).for_each(|(result, bias)| *result += bias);
        }
        if epilogue.gelu {
            for results in results.as_chunks_mut::<LANES>().0 {
                gelu(simd, results);
            }
        }
        if let Some(residual) = epilogue.residual {
            let residual = &residual[row * matrix.n_out + first..][..n];
            results.iter_mut().zip(residual).for_each(|(result, residual)| *result += residual);
        }
        #[expect(unsafe_code, reason = "columns of one matrix for several threads")]
        // SAFETY: rows and panels belong to one piece each.
        let out = unsafe { out.part(row, first, n) };
        out.copy_from_slice(&results[..n]);
    }
}
