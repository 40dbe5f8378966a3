//! One head's rows, kept with your functions.

use crate::given::{Channels, Format, GROUP, Int8, Nibbles, Residual, f16};

/// What is run of a module.
#[derive(Clone, Copy)]
pub struct Codec {
    pub quantize: fn(&[f32]) -> Int8,
    pub dequantize: fn(&Int8) -> Vec<f32>,
    pub quantize_channels: fn(&[f32], usize) -> Channels,
    pub dequantize_channels: fn(&Channels) -> Vec<f32>,
    pub pack: fn(&[f32]) -> Nibbles,
    pub unpack: fn(&Nibbles) -> Vec<f32>,
    pub append_channels: Append<Channels>,
    pub append_nibbles: Append<Vec<Nibbles>>,
    pub bytes: fn(Format, usize, usize, usize) -> usize,
}

/// See task 5.
pub type Append<G> = fn(&mut Residual<G>, &[f32], &dyn Fn(&[f32]) -> G);

/// The [`Codec`] of a module.
macro_rules! codec {
    ($module:ident) => {
        $crate::stored::Codec {
            quantize: $module::quantize,
            dequantize: $module::dequantize,
            quantize_channels: $module::quantize_channels,
            dequantize_channels: $module::dequantize_channels,
            pack: $module::pack,
            unpack: $module::unpack,
            append_channels: |cache, row, seal| $module::append(cache, row, seal),
            append_nibbles: |cache, row, seal| $module::append(cache, row, seal),
            bytes: $module::bytes,
        }
    };
}
pub(crate) use codec;

/// One head's keys, or values, in some format.
pub struct Stored {
    codec: Codec,
    rows: Rows,
}

enum Rows {
    F32(Vec<f32>),
    F16(Vec<u16>),
    Int8(Vec<Int8>),
    Int8Channels(Residual<Channels>),
    Int4(Vec<Nibbles>),
    /// A group has a [`Nibbles`] for each channel.
    Int4Channels(Residual<Vec<Nibbles>>),
}

impl Stored {
    #[must_use]
    pub fn new(codec: Codec, format: Format, width: usize, residual: usize) -> Self {
        let rows = match format {
            Format::F32 => Rows::F32(vec![]),
            Format::F16 => Rows::F16(vec![]),
            Format::Int8 => Rows::Int8(vec![]),
            Format::Int8Channels => Rows::Int8Channels(Residual::new(width, residual)),
            Format::Int4 => Rows::Int4(vec![]),
            Format::Int4Channels => Rows::Int4Channels(Residual::new(width, residual)),
        };
        Self { codec, rows }
    }

    /// The row of a new token.
    pub fn push(&mut self, row: &[f32]) {
        let Codec { quantize, quantize_channels, pack, append_channels, append_nibbles, .. } = self.codec;
        let width = row.len();
        match &mut self.rows {
            Rows::F32(rows) => rows.extend_from_slice(row),
            Rows::F16(rows) => rows.extend(row.iter().map(|x| f16::to_bits(*x))),
            Rows::Int8(rows) => rows.push(quantize(row)),
            Rows::Int4(groups) => groups.extend(row.chunks_exact(GROUP).map(pack)),
            Rows::Int8Channels(cache) => append_channels(cache, row, &|rows| quantize_channels(rows, width)),
            Rows::Int4Channels(cache) => append_nibbles(cache, row, &|rows| {
                let of_channel = |channel| -> Vec<f32> { rows.iter().skip(channel).step_by(width).copied().collect() };
                (0..width).map(|channel| pack(&of_channel(channel))).collect()
            }),
        }
    }

    /// All rows as they are read back, `[tokens, width]`.
    #[must_use]
    pub fn read(&self) -> Vec<f32> {
        let Codec { dequantize, dequantize_channels, unpack, .. } = self.codec;
        match &self.rows {
            Rows::F32(rows) => rows.clone(),
            Rows::F16(rows) => rows.iter().map(|bits| f16::from_bits(*bits)).collect(),
            Rows::Int8(rows) => rows.iter().flat_map(dequantize).collect(),
            Rows::Int4(groups) => groups.iter().flat_map(unpack).collect(),
            Rows::Int8Channels(cache) => {
                let sealed = cache.sealed.iter().flat_map(dequantize_channels);
                sealed.chain(cache.exact.iter().copied()).collect()
            }
            Rows::Int4Channels(cache) => {
                let mut rows = vec![];
                for channels in &cache.sealed {
                    let channels: Vec<Vec<f32>> = channels.iter().map(unpack).collect(); // [channel][token]
                    rows.extend((0..GROUP).flat_map(|token| channels.iter().map(move |channel| channel[token])));
                }
                rows.extend_from_slice(&cache.exact);
                rows
            }
        }
    }

    /// Bytes of all that was stored, as it lies there: codes, scales and minima, floats. Not how Rust keeps track of a `Vec`.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let int8 = |row: &Int8| size_of_val(&row.scale) + size_of_val(row.codes.as_slice());
        let channels = |group: &Channels| size_of_val(group.scales.as_slice()) + size_of_val(group.codes.as_slice());
        let nibbles = |groups: &[Nibbles]| size_of_val(groups);
        match &self.rows {
            Rows::F32(rows) => size_of_val(rows.as_slice()),
            Rows::F16(rows) => size_of_val(rows.as_slice()),
            Rows::Int8(rows) => rows.iter().map(int8).sum(),
            Rows::Int4(groups) => nibbles(groups),
            Rows::Int8Channels(cache) => {
                cache.sealed.iter().map(channels).sum::<usize>() + size_of_val(cache.exact.as_slice())
            }
            Rows::Int4Channels(cache) => {
                cache.sealed.iter().map(|group| nibbles(group)).sum::<usize>() + size_of_val(cache.exact.as_slice())
            }
        }
    }
}
