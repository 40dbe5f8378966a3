//! The formats as they were published, written down plainly and apart from the library: what its tests hold it to.
#![allow(dead_code, reason = "every test binary compiles this module and uses some of it")]

use kvlab::cache::Format;

/// Values that share a scale, in ggml and in KIVI.
pub const GROUP: usize = 32;

/// A binary float, by its fields. Codes without a sign rise with their values.
pub struct Float {
    mantissa_bits: u32,
    bias: i32,
    /// The code of the largest finite value.
    largest: u32,
}

/// IEEE 754 binary16.
pub const F16: Float = Float { mantissa_bits: 10, bias: 15, largest: 0x7bff };
/// The upper half of IEEE 754 binary32.
pub const BF16: Float = Float { mantissa_bits: 7, bias: 127, largest: 0x7f7f };
/// e4m3 of the OCP's 8-bit floating point specification: no infinities, one NaN of each sign.
pub const E4M3: Float = Float { mantissa_bits: 3, bias: 7, largest: 0x7e };

impl Float {
    /// Codes of finite values, the sign left out.
    pub fn codes(&self) -> std::ops::RangeInclusive<u32> {
        0..=self.largest
    }

    pub fn value(&self, code: u32) -> f64 {
        let one = 1_u32 << self.mantissa_bits;
        let fraction = f64::from(code % one) / f64::from(one);
        match code / one {
            0 => fraction * 2_f64.powi(1 - self.bias),
            exponent => (1.0 + fraction) * 2_f64.powi(i32::try_from(exponent).expect("small") - self.bias),
        }
    }

    /// The nearest value, of two the one with the even code; beyond the largest it is the largest.
    pub fn nearest(&self, x: f32) -> f32 {
        let size = f64::from(x.abs());
        let (mut low, mut high) = (0, self.largest);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.value(middle) <= size {
                low = middle;
            } else {
                high = middle;
            }
        }
        let is_low = match (size - self.value(low)).total_cmp(&(self.value(high) - size)) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal => low.is_multiple_of(2),
            std::cmp::Ordering::Greater => false,
        };
        narrow(self.value(if is_low { low } else { high })).copysign(x)
    }

    /// The most by which rounding may move `x`, inside the range.
    pub fn rounding(&self, x: f32) -> f64 {
        let relative = 0.5 / f64::from(1_u32 << self.mantissa_bits);
        (f64::from(x.abs()) * relative).max(self.value(1) / 2.0)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "back to the precision of the format's arithmetic")]
pub fn narrow(x: f64) -> f32 {
    x as f32
}

pub fn absmax(row: &[f32]) -> f32 {
    row.iter().fold(0.0, |max, x| x.abs().max(max))
}

/// vLLM's `int8_per_token_head`: one f32 scale, `absmax / 127`.
pub fn int8(row: &[f32]) -> Vec<f32> {
    let scale = absmax(row) / 127.0;
    #[expect(clippy::cast_possible_truncation, reason = "within [-127, 127]")]
    let code = |x: f32| if scale > 0.0 { (x / scale).round() as i8 } else { 0 };
    row.iter().map(|x| f32::from(code(*x)) * scale).collect()
}

/// ggml's `block_q8_0`.
pub struct BlockQ8 {
    pub d: f32,
    pub qs: [i8; GROUP],
}

/// `quantize_row_q8_0_ref`.
pub fn q8_0(x: &[f32]) -> BlockQ8 {
    let d = absmax(x) / 127.0;
    let id = if d == 0.0 { 0.0 } else { 1.0 / d };
    #[expect(clippy::cast_possible_truncation, reason = "C's conversion to int8_t")]
    let qs = std::array::from_fn(|j| (x[j] * id).round() as i8);
    BlockQ8 { d: F16.nearest(d), qs }
}

impl BlockQ8 {
    pub fn decode(&self) -> Vec<f32> {
        self.qs.iter().map(|q| f32::from(*q) * self.d).collect()
    }
}

/// ggml's `block_q4_0`.
pub struct BlockQ4 {
    pub d: f32,
    pub qs: [u8; GROUP / 2],
}

/// `quantize_row_q4_0_ref`.
pub fn q4_0(x: &[f32]) -> BlockQ4 {
    let (mut amax, mut max) = (0.0_f32, 0.0_f32);
    for v in x {
        if amax < v.abs() {
            (amax, max) = (v.abs(), *v);
        }
    }
    let d = max / -8.0;
    let id = if d == 0.0 { 0.0 } else { 1.0 / d };
    #[expect(clippy::cast_possible_truncation, reason = "C's conversion to int8_t")]
    let code = |v: f32| ((v * id + 8.5) as i8).min(15).cast_unsigned();
    BlockQ4 { d: F16.nearest(d), qs: std::array::from_fn(|j| code(x[j]) | code(x[j + GROUP / 2]) << 4) }
}

impl BlockQ4 {
    pub fn decode(&self) -> Vec<f32> {
        let low = self.qs.iter().map(|q| q & 0x0f);
        let high = self.qs.iter().map(|q| q >> 4);
        low.chain(high).map(|q| (f32::from(q) - 8.0) * self.d).collect()
    }
}

/// KIVI's group (`quant/new_pack.py`): `scale = (max - min) / (2^bits - 1)`, codes by torch's `round`, which is half to even. Its
/// tensors are f16 throughout; here values are f32 and the two numbers that are kept are f16.
pub struct MinMax {
    pub minimum: f32,
    pub scale: f32,
    pub codes: Vec<u8>,
}

pub fn min_max(bits: u8, x: &[f32]) -> MinMax {
    let most = f32::from((1_u16 << bits) - 1);
    let minimum = F16.nearest(x.iter().copied().fold(f32::INFINITY, f32::min));
    let maximum = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = F16.nearest((maximum - minimum).max(0.0) / most);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the codes")]
    let code = |x: f32| ((x - minimum) / scale).clamp(0.0, most).round_ties_even() as u8;
    let codes = x.iter().map(|x| if scale > 0.0 { code(*x) } else { 0 }).collect();
    MinMax { minimum, scale, codes }
}

impl MinMax {
    pub fn decode(&self) -> Vec<f32> {
        self.codes.iter().map(|code| f32::from(*code) * self.scale + self.minimum).collect()
    }
}

/// Keys by channel: each of the `width` columns of 32 tokens is a group.
pub fn min_max_by_channel(bits: u8, width: usize, tokens: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; tokens.len()];
    for channel in 0..width {
        let column: Vec<f32> = (0..GROUP).map(|token| tokens[token * width + channel]).collect();
        for (token, x) in min_max(bits, &column).decode().into_iter().enumerate() {
            out[token * width + channel] = x;
        }
    }
    out
}

/// Tokens of KIVI that are quantized in a sequence of `n`: groups of 32 after each of which `residual` newer ones exist.
pub fn n_sealed(n: usize, residual: usize) -> usize {
    let mut groups = 0;
    while n >= (groups + 1) * GROUP + residual {
        groups += 1;
    }
    groups * GROUP
}

/// What a format that stores row by row keeps of `rows` (whole heads of `head_dim`).
pub fn stored(format: Format, head_dim: usize, rows: &[f32]) -> Vec<f32> {
    let by = |n: usize, f: &dyn Fn(&[f32]) -> Vec<f32>| rows.chunks_exact(n).flat_map(f).collect();
    let each = |float: &Float| rows.iter().map(|x| float.nearest(*x)).collect();
    match format {
        Format::F32 => rows.to_vec(),
        Format::F16 => each(&F16),
        Format::Bf16 => each(&BF16),
        Format::F8 => each(&E4M3),
        Format::Int8 => by(head_dim, &int8),
        Format::Q8_0 => by(GROUP, &|x| q8_0(x).decode()),
        Format::Q4_0 => by(GROUP, &|x| q4_0(x).decode()),
        Format::Int4 => by(GROUP, &|x| min_max(4, x).decode()),
        Format::Kivi { .. } | Format::Kvq { .. } => panic!("{format} needs more than a row"),
    }
}

/// What KIVI keeps of the keys and values `[n, width]`, of which the first `sealed` tokens are quantized.
pub fn kivi(bits: u8, width: usize, sealed: usize, keys: &[f32], values: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (old_keys, new_keys) = keys.split_at(sealed * width);
    let (old_values, new_values) = values.split_at(sealed * width);
    let mut k: Vec<f32> =
        old_keys.chunks(GROUP * width).flat_map(|tokens| min_max_by_channel(bits, width, tokens)).collect();
    let mut v: Vec<f32> = old_values.chunks(GROUP).flat_map(|group| min_max(bits, group).decode()).collect();
    k.extend(new_keys);
    v.extend(new_values);
    (k, v)
}

/// The orthonormal Hadamard matrix over the largest power of two that divides `head_dim`, block after block.
pub fn hadamard(rows: &[f32], head_dim: usize) -> Vec<f64> {
    let n = 1_usize << head_dim.trailing_zeros();
    let scale = 1.0 / f64::from(u32::try_from(n).expect("small")).sqrt();
    let element = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { scale } else { -scale };
    rows.chunks_exact(n)
        .flat_map(|row| (0..n).map(move |i| (0..n).map(|j| element(i, j) * f64::from(row[j])).sum()))
        .collect()
}
