//! Finding [`Levels`] on rows that a model computed for a text: `KVQuant`'s calibration (Hooper et al. 2024, arXiv 2401.18079, sections
//! 3.1, 3.3 and 3.4).
//!
//! What differs from the paper: a value counts for its squared distance alone, not for its Fisher information as well; a channel's
//! range is that of its inner 99 %, with outliers outside; and levels are those of a whole layer.

use super::{
    RowShape,
    kmeans::kmeans,
    levels::{Levels, scaled},
};

/// One value in so many lies outside a channel's range, at each end. Together that is one in a hundred, as many as may lie apart.
const OUTSIDE: usize = 200;

impl Levels {
    /// The levels of a layer's keys, and the range of each channel: `rows` are `[tokens, n_kv_head, head_dim]`, finite.
    #[must_use]
    pub fn of_keys(bits: u8, shape: RowShape, rows: &[f32]) -> Self {
        let mut channels = Vec::with_capacity(shape.width());
        let mut inliers = Vec::with_capacity(rows.len());
        let mut column = Vec::with_capacity(rows.len() / shape.width().max(1));
        for channel in 0..shape.width() {
            column.clear();
            column.extend(rows.iter().skip(channel).step_by(shape.width()).copied());
            let (centre, half) = inner_range(&mut column);
            inliers.extend(column.iter().filter_map(|x| scaled(*x, centre, half)).filter(|x| x.abs() <= 1.0));
            channels.push((centre, half));
        }
        Self { levels: levels(bits, inliers), channels }
    }

    /// The levels of a layer's values, whose ranges are stored with each token: `rows` are `[tokens, n_kv_head, head_dim]`, finite.
    #[must_use]
    pub fn of_values(bits: u8, shape: RowShape, rows: &[f32]) -> Self {
        let none = Self { levels: vec![], channels: vec![] };
        let mut inliers = Vec::with_capacity(rows.len());
        for row in rows.chunks_exact(shape.width().max(1)) {
            none.for_each_scaled(shape, row, |x| inliers.push(x.clamp(-1.0, 1.0)));
        }
        Self { levels: levels(bits, inliers), channels: vec![] }
    }
}

fn levels(bits: u8, mut inliers: Vec<f32>) -> Vec<f32> {
    inliers.sort_unstable_by(f32::total_cmp);
    kmeans(&inliers, 1 << bits)
}

/// Centre and half range of all values but those farthest out at either end. It leaves them in another order.
fn inner_range(column: &mut [f32]) -> (f32, f32) {
    let Some(last) = column.len().checked_sub(1) else { return (0.0, 0.0) };
    let outside = column.len() / OUTSIDE;
    let (_, low, rest) = column.select_nth_unstable_by(outside, f32::total_cmp);
    let low = *low;
    let high = match (last - outside).checked_sub(outside + 1) {
        Some(index) => *rest.select_nth_unstable_by(index, f32::total_cmp).1,
        None => low,
    };
    // Halves first: the sum of two large numbers may not exist.
    (low / 2.0 + high / 2.0, high / 2.0 - low / 2.0)
}

#[cfg(test)]
#[expect(clippy::float_cmp, clippy::cast_precision_loss, reason = "small numbers that are stored exactly")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_inner_range_is_that_of_the_sorted_values(values in prop::collection::vec(-9_f32..9.0, 1..700)) {
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            let outside = values.len() / 200;
            let (low, high) = (sorted[outside], sorted[values.len() - 1 - outside]);
            prop_assert_eq!(inner_range(&mut values.clone()), (low / 2.0 + high / 2.0, high / 2.0 - low / 2.0));
        }
    }

    /// 400 tokens of 2 heads: channel 3 never varies, channel 12 is a hundred times as large as others.
    fn rows() -> (RowShape, Vec<f32>) {
        let shape = RowShape { n_kv_head: 2, head_dim: 8 };
        let value = |token: usize, channel: usize| {
            let x = ((token * 37 + channel * 101) % 89) as f32 / 44.0 - 1.0;
            match channel {
                3 => 0.7,
                12 => 100.0 * x + 50.0,
                _ => x,
            }
        };
        (shape, (0..400).flat_map(|token| (0..16).map(move |channel| value(token, channel))).collect())
    }

    #[test]
    fn channels_have_ranges_of_their_own() {
        let (shape, rows) = rows();
        let found = Levels::of_keys(3, shape, &rows);
        assert_eq!((found.levels.len(), found.channels.len()), (8, 16));
        assert_eq!(found.channels[3], (0.7, 0.0));
        assert!((found.channels[12].0 - 50.0).abs() < 2.0 && (found.channels[12].1 - 100.0).abs() < 2.0);
        assert!(found.levels.iter().all(|x| x.abs() <= 1.0) && found.levels.is_sorted(), "{found:?}");
        // Equally many of each: the levels are even steps.
        assert!(found.levels.windows(2).all(|pair| (pair[1] - pair[0] - 0.25).abs() < 0.05), "{found:?}");
    }

    #[test]
    fn what_never_varies_and_what_is_not_there_have_levels() {
        let (shape, rows) = rows();
        for rows in [&[][..], &vec![0.0; rows.len()], &vec![-3.0e38; rows.len()], &rows[..16]] {
            for found in [Levels::of_keys(2, shape, rows), Levels::of_values(2, shape, rows)] {
                assert!(found.levels.len() == 4 && found.levels.is_sorted(), "{found:?}");
                assert!(found.levels.iter().all(|x| x.abs() <= 1.0), "{found:?}");
                assert!(
                    found.channels.iter().all(|(centre, half)| centre.is_finite() && half.is_finite()),
                    "{found:?}"
                );
            }
        }
    }

    /// A channel that did not vary in the text has no levels, so a value that differs must not be rounded to its centre.
    #[test]
    fn what_differs_from_a_channel_without_a_range_lies_apart() {
        use crate::kernels::{codec::Codec, walk::Rows};
        let (shape, rows) = rows();
        let found = Levels::of_keys(3, shape, &rows);
        let codec = Codec::Levels { bits: 3, by_channel: true };
        let mut row = rows[..shape.width()].to_vec();
        row[3] = -6.5;
        let (mut codes, mut scales) = (vec![0; codec.code_bytes(shape)], vec![0; codec.scale_bytes(shape)]);
        codec.encode(shape, Some(&found), &row, &mut codes, &mut scales);
        let token_stride = codes.len();
        let stored = Rows { codec, shape, codes: &codes, token_stride, scales: &scales, levels: Some(&found) };
        let mut back = [0.0; 8];
        stored.decode(0, 1, 0, &mut back);
        assert_eq!(back[3], -6.5);
        assert!(back.iter().zip(&row).all(|(x, y)| (x - y).abs() <= 0.25), "{back:?}, {row:?}");
    }
}
