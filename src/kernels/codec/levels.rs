//! Levels found on a text, and outliers apart: `KVQuant`'s keys by channel and values by token.
//!
//! A value is brought to [-1, 1] by a centre and a half range, of its channel (keys: found on the text, the same for every token) or of
//! its token and head (values: stored with the row), and becomes the nearest of `2^bits` levels. One value in a hundred of a token may
//! lie apart, as an index and an f16. `KVQuant` keeps as many as lie beyond a threshold; here there is room for a fixed number, so that
//! memory is known beforehand, and the farthest out take it.
//!
//! ```text
//! scales of a token, keys:    [outlier](index: u16, value: f16)
//! scales of a token, values:  [kv_head](centre: f16, half range: f16), then outliers
//! ```

use half::f16;

use super::{RowShape, pack, read_f16, to_f16, write_f16};

/// The index of an outlier that is none.
const NOBODY: u16 = u16::MAX;
/// Bytes of a pair of 16-bit numbers.
const PAIR: usize = 4;

/// What was found on a text for the keys, or the values, of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// `2^bits` levels in [-1, 1], rising.
    pub levels: Vec<f32>,
    /// Centre and half range of each channel, `[n_kv_head * head_dim]`; empty where rows have their own.
    pub channels: Vec<(f32, f32)>,
}

/// Values of a token that may lie apart.
#[must_use]
pub fn n_outliers(shape: RowShape) -> usize {
    shape.width().div_ceil(100)
}

pub fn scale_bytes(shape: RowShape, by_channel: bool) -> usize {
    PAIR * (n_outliers(shape) + if by_channel { 0 } else { shape.n_kv_head })
}

pub fn refuses(shape: RowShape) -> Option<String> {
    let width = shape.width();
    (width >= usize::from(NOBODY))
        .then(|| format!("its outliers are counted in 16 bits, and a token has {width} channels"))
}

impl Levels {
    pub(super) fn encode(&self, bits: usize, shape: RowShape, row: &[f32], codes: &mut [u8], scales: &mut [u8]) {
        let RowShape { n_kv_head, head_dim } = shape;
        let (ranges, outliers) = scales.split_at_mut(if self.channels.is_empty() { n_kv_head * PAIR } else { 0 });
        let apart = self.outliers(shape, row);
        for (place, stored) in outliers.chunks_exact_mut(PAIR).enumerate() {
            let index = apart.get(place).and_then(|index| u16::try_from(*index).ok());
            stored[..2].copy_from_slice(&index.unwrap_or(NOBODY).to_ne_bytes());
            write_f16(&mut stored[2..], to_f16(index.map_or(0.0, |index| row[usize::from(index)])));
        }
        for (head, stored) in ranges.chunks_exact_mut(PAIR).enumerate() {
            let (centre, half) = head_range(shape, row, head, &apart);
            write_f16(&mut stored[..2], centre);
            write_f16(&mut stored[2..], half);
        }
        let code = |channel: usize| {
            let (centre, half) = self.range(ranges, head_dim, channel);
            self.nearest(scaled(row[channel], centre, half).unwrap_or(0.0))
        };
        for (chunk, bytes) in codes.chunks_exact_mut(bits).enumerate() {
            pack::pack_dense(bits, std::array::from_fn(|i| code(chunk * 8 + i)), bytes);
        }
    }

    pub(super) fn decode(
        &self,
        bits: usize,
        shape: RowShape,
        kv_head: usize,
        codes: &[u8],
        scales: &[u8],
        out: &mut [f32],
    ) {
        let head_dim = shape.head_dim;
        let (ranges, outliers) = self.split(shape, scales);
        let first = kv_head * head_dim;
        for (chunk, (bytes, out)) in codes.chunks_exact(bits).zip(out.chunks_exact_mut(8)).enumerate() {
            for (i, (code, x)) in pack::unpack_dense(bits, bytes).into_iter().zip(out).enumerate() {
                let (centre, half) = self.range(ranges, head_dim, first + chunk * 8 + i);
                *x = centre + half * self.levels[usize::from(code)];
            }
        }
        for (channel, outlier) in outliers {
            if let Some(x) = channel.checked_sub(first).and_then(|index| out.get_mut(index)) {
                *x = outlier;
            }
        }
    }

    /// The scales of a token: ranges of its heads, where rows have their own, and the channels that lie apart, with their numbers.
    pub(super) fn split<'a>(
        &self,
        shape: RowShape,
        scales: &'a [u8],
    ) -> (&'a [u8], impl Iterator<Item = (usize, f32)> + use<'a>) {
        let (ranges, outliers) = scales.split_at(if self.channels.is_empty() { shape.n_kv_head * PAIR } else { 0 });
        let outlier = |stored: &[u8]| {
            let index = u16::from_ne_bytes([stored[0], stored[1]]);
            (index != NOBODY).then(|| (usize::from(index), read_f16(&stored[2..])))
        };
        (ranges, outliers.chunks_exact(PAIR).filter_map(outlier))
    }

    /// Centre and half range of a channel.
    pub(super) fn range(&self, ranges: &[u8], head_dim: usize, channel: usize) -> (f32, f32) {
        self.channels.get(channel).copied().unwrap_or_else(|| {
            let stored = &ranges[channel / head_dim * PAIR..][..PAIR];
            (read_f16(&stored[..2]), read_f16(&stored[2..]))
        })
    }

    /// Calls `each` with every value of a row that does not lie apart, scaled as [`Self::encode`] does where rows have their own ranges.
    pub(super) fn for_each_scaled(&self, shape: RowShape, row: &[f32], mut each: impl FnMut(f32)) {
        let apart = self.outliers(shape, row);
        for head in 0..shape.n_kv_head {
            let (centre, half) = head_range(shape, row, head, &apart);
            let inside = inside(shape, row, head, &apart);
            inside.filter_map(|x| scaled(x, centre.to_f32(), half.to_f32())).for_each(&mut each);
        }
    }

    /// The channels that lie farthest out: beyond their range where channels have one, else in standard deviations of their head.
    fn outliers(&self, shape: RowShape, row: &[f32]) -> Vec<usize> {
        let heads: Vec<(f32, f32)> = row.chunks_exact(shape.head_dim).map(mean_and_deviation).collect();
        let mut apart: Vec<(usize, f32)> = (0..row.len())
            .map(|channel| {
                let (centre, half) =
                    self.channels.get(channel).copied().unwrap_or_else(|| heads[channel / shape.head_dim]);
                let distance = match scaled(row[channel], centre, half) {
                    Some(x) => x.abs(),
                    // A channel that has no range has no levels either: what differs from it has to lie apart.
                    None if !self.channels.is_empty() && (row[channel] - centre).abs() > 0.0 => f32::INFINITY,
                    None => 0.0,
                };
                (channel, distance)
            })
            .filter(|(_, distance)| *distance > 1.0)
            .collect();
        // Of equals the first.
        apart.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        apart.truncate(n_outliers(shape));
        apart.into_iter().map(|(channel, _)| channel).collect()
    }

    fn nearest(&self, x: f32) -> u8 {
        let above = self.levels.partition_point(|level| *level < x).min(self.levels.len() - 1);
        let below = above.saturating_sub(1);
        let nearest = if x - self.levels[below] <= self.levels[above] - x { below } else { above };
        u8::try_from(nearest).unwrap_or(u8::MAX)
    }
}

/// A value brought to [-1, 1]; `None` where all values of its range are one.
pub(super) fn scaled(x: f32, centre: f32, half: f32) -> Option<f32> {
    (half > 0.0).then(|| (x - centre) / half)
}

/// The values of a head that do not lie apart.
fn inside(shape: RowShape, row: &[f32], head: usize, apart: &[usize]) -> impl Iterator<Item = f32> + Clone {
    let channels = head * shape.head_dim..(head + 1) * shape.head_dim;
    channels.filter(|channel| !apart.contains(channel)).map(|channel| row[channel])
}

/// Centre and half range of those, as they are stored.
fn head_range(shape: RowShape, row: &[f32], head: usize, apart: &[usize]) -> (f16, f16) {
    let inside = inside(shape, row, head, apart);
    let low = inside.clone().fold(f32::INFINITY, f32::min);
    let high = inside.fold(f32::NEG_INFINITY, f32::max);
    if low > high {
        return (f16::ZERO, f16::ZERO);
    }
    // Halves first: the sum of two large numbers may not exist.
    (to_f16(low / 2.0 + high / 2.0), to_f16(high / 2.0 - low / 2.0))
}

fn mean_and_deviation(row: &[f32]) -> (f32, f32) {
    #[expect(clippy::cast_precision_loss, reason = "a head has few channels")]
    let n = row.len() as f32;
    let mean = row.iter().map(|x| x / n).sum::<f32>();
    (mean, row.iter().map(|x| (x - mean) * (x - mean) / n).sum::<f32>().sqrt())
}
