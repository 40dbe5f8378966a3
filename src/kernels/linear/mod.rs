//! Linear layers on the processor: `y = x W + bias`, with the weights packed for one stream of reads.
//!
//! A decoded token multiplies every weight of a model once, so it takes as long as reading them. [`PackedMatrix`] therefore keeps them in the order
//! in which they are read (the packing of Goto and van de Geijn 2008, done once at load instead of in each product):
//!
//! ```text
//! f32, f16, bf16   [out / 32][in][32]           32 outputs are a panel
//! int8             [out / 32][in / 4][32][4]    four inputs of an output together, as the dot product of bytes takes them
//! ```
//!
//! **Every product adds in the same order**, whatever the number of rows and threads: 128 inputs one after the other, then the sums of these blocks one after
//! the other. So a token gets the same bits alone, in a batch and in a prompt, in chunks or not.
//!
//! | weights | are kept as | the product |
//! |---|---|---|
//! | `F32` | they are | f32 |
//! | `F16`, `Bf16` | rounded to 11 or 8 significant bits | f32, with the weights as kept |
//! | `Int8` | 8 bits and an f32 scale for each output, `max |w| / 127` | of bytes: 64 inputs at a time are rounded to 8 bits by their own largest (dynamic quantization, as in `LLM.int8()`, Dettmers et al. 2022, without its outliers) |

mod float;
mod int8;
mod tile;

use half::{bf16, f16};

use super::buffer::Buffer;

/// Outputs of a panel.
const PANEL: usize = 32;

/// Inputs whose products are added before they are added to the sum of those before. Part of what a result is: another number rounds differently.
const BLOCK: usize = 128;

/// Rows of a piece of work: its sums (12 KiB) stay in the first-level cache.
const ROWS: usize = 96;

/// How weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightFormat {
    F32,
    F16,
    Bf16,
    Int8,
}

impl WeightFormat {
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Int8];

    /// Bytes of a weight, without scales.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }

    /// Inputs as they are kept, the last perhaps zero.
    fn depth(self, n_in: usize) -> usize {
        if self == Self::Int8 { n_in.next_multiple_of(int8::GROUP) } else { n_in }
    }

    /// Stores the weights of one input in `codes` of a panel.
    fn encode(self, input: usize, row: [f32; PANEL], scales: &[f32], codes: &mut [u8]) {
        let at = input * PANEL;
        match self {
            Self::F32 => bytemuck::cast_slice_mut(codes)[at..at + PANEL].copy_from_slice(&row),
            Self::F16 => {
                bytemuck::cast_slice_mut(codes)[at..at + PANEL]
                    .copy_from_slice(&row.map(|x| f16::from_f32(x).to_bits()));
            }
            Self::Bf16 => {
                bytemuck::cast_slice_mut(codes)[at..at + PANEL]
                    .copy_from_slice(&row.map(|x| bf16::from_f32(x).to_bits()));
            }
            Self::Int8 => {
                for (place, (x, scale)) in row.iter().zip(scales).enumerate() {
                    codes[int8::at(input, place)] = int8::code(*x, *scale);
                }
            }
        }
    }

    /// One of the weights that [`Self::encode`] stored.
    fn decode(self, input: usize, place: usize, scale: f32, codes: &[u8]) -> f32 {
        let at = input * PANEL + place;
        match self {
            Self::F32 => bytemuck::cast_slice::<u8, f32>(codes)[at],
            Self::F16 => f16::from_bits(bytemuck::cast_slice(codes)[at]).to_f32(),
            Self::Bf16 => bf16::from_bits(bytemuck::cast_slice(codes)[at]).to_f32(),
            Self::Int8 => int8::weight(codes[int8::at(input, place)], scale),
        }
    }
}

/// A matrix `[in, out]`, packed.
pub struct PackedMatrix {
    format: WeightFormat,
    n_in: usize,
    n_out: usize,
    codes: Buffer,
    /// Of each output, for `Int8`.
    scales: Vec<f32>,
}

/// What is done with a product before it is stored: bias, then GELU, then the residual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// `[out]`
    pub bias: Option<&'a [f32]>,
    /// GPT-2's `gelu_new`.
    pub gelu: bool,
    /// `[rows, out]`, added.
    pub residual: Option<&'a [f32]>,
}

impl PackedMatrix {
    /// Packs a matrix of which `weight(input, output)` is an element.
    fn pack(format: WeightFormat, n_in: usize, n_out: usize, weight: impl Fn(usize, usize) -> f32) -> Self {
        let depth = format.depth(n_in);
        let mut matrix = Self { format, n_in, n_out, codes: Buffer::zeroed(0), scales: vec![] };
        if format == WeightFormat::Int8 {
            matrix.scales = vec![1.0; n_out.next_multiple_of(PANEL)];
            for (output, scale) in matrix.scales.iter_mut().enumerate().take(n_out) {
                *scale = int8::scale((0..n_in).map(|input| weight(input, output)));
            }
        }
        let panel_bytes = depth * PANEL * format.bytes();
        let mut codes = Buffer::zeroed(n_out.div_ceil(PANEL) * panel_bytes);
        for (panel, codes) in codes.bytes_mut().chunks_exact_mut(panel_bytes.max(1)).enumerate() {
            let first = panel * PANEL;
            for input in 0..depth {
                // What is behind the matrix's ends is zero.
                let mut row = [0.0; PANEL];
                if input < n_in {
                    let outputs = first..n_out.min(first + PANEL);
                    row.iter_mut().zip(outputs).for_each(|(x, output)| *x = weight(input, output));
                }
                format.encode(input, row, matrix.scales.get(first..).unwrap_or_default(), codes);
            }
        }
        matrix.codes = codes;
        matrix
    }

    /// What such a matrix takes: whole panels, and scales.
    #[must_use]
    pub fn bytes_of(format: WeightFormat, n_in: usize, n_out: usize) -> u64 {
        let outputs = n_out.next_multiple_of(PANEL) as u64;
        let scales = if format == WeightFormat::Int8 { size_of::<f32>() as u64 } else { 0 };
        outputs * (format.depth(n_in) as u64 * format.bytes() as u64 + scales)
    }

    /// Packs `weights` `[in, out]`.
    ///
    /// # Panics
    /// If it is not as long as that.
    #[must_use]
    pub fn from_in_out(format: WeightFormat, n_in: usize, n_out: usize, weights: &[f32]) -> Self {
        assert_eq!(weights.len(), n_in * n_out, "[{n_in}, {n_out}]");
        Self::pack(format, n_in, n_out, |input, output| weights[input * n_out + output])
    }

    /// Packs `weights` `[out, in]`: a table of embeddings that is the head as well.
    ///
    /// # Panics
    /// If it is not as long as that.
    #[must_use]
    pub fn from_out_in(format: WeightFormat, n_out: usize, n_in: usize, weights: &[f32]) -> Self {
        assert_eq!(weights.len(), n_in * n_out, "[{n_out}, {n_in}]");
        Self::pack(format, n_in, n_out, |input, output| weights[output * n_in + input])
    }

    #[must_use]
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    #[must_use]
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    #[must_use]
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// All that a product reads: codes and scales. The last panel is as long as the others.
    #[must_use]
    pub fn memory(&self) -> [&[u8]; 2] {
        [self.codes.bytes(), bytemuck::cast_slice(&self.scales)]
    }

    /// The weights of one output, `[in]`: of a table of embeddings, a token's. They lie apart, so this is for a few rows.
    ///
    /// # Panics
    /// If there is no such output, or `row` has another length.
    pub fn read_output(&self, output: usize, row: &mut [f32]) {
        assert!(output < self.n_out && row.len() == self.n_in, "output {output} of {}", self.n_out);
        let (panel, place, scale) = (output / PANEL, output % PANEL, self.scales.get(output));
        let panel_bytes = self.format.depth(self.n_in) * PANEL * self.format.bytes();
        let codes = &self.codes.bytes()[panel * panel_bytes..][..panel_bytes];
        for (input, x) in row.iter_mut().enumerate() {
            *x = self.format.decode(input, place, scale.copied().unwrap_or(1.0), codes);
        }
    }

    /// `out = epilogue(x W)`: `x` `[rows, in]`, `out` `[rows, out]`.
    ///
    /// # Panics
    /// If a slice has another length than that.
    pub fn multiply(&self, x: &[f32], epilogue: Epilogue<'_>, out: &mut [f32]) {
        let rows = out.len() / self.n_out.max(1);
        assert_eq!((x.len(), out.len()), (rows * self.n_in, rows * self.n_out), "[{rows}, {}]", self.n_in);
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == self.n_out), "a bias for each output");
        assert!(epilogue.residual.is_none_or(|residual| residual.len() == out.len()), "a residual for each result");
        tile::multiply(self, x, rows, epilogue, out);
    }
}

#[cfg(test)]
mod tests;
