//! The softmax of one query, tile by tile, in f64: what an attention kernel does while it reads a cache once.
//!
//! Of the tokens so far two numbers are kept, the largest score and the sum of the weights `exp(score - largest)`, and the values
//! summed with these weights. A tile with a larger score makes the earlier sums too large; one factor puts them right (Milakov and
//! Gimelshein 2018, arXiv 1805.02867; `FlashAttention`, Dao et al. 2022, arXiv 2205.14135).

use std::ops::Range;

/// The attention of one query head to the tokens that it sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnlineSoftmax {
    /// Positions that a tile covers.
    pub tile_tokens: usize,
    /// In the order of positions; tiles whose tokens are all evicted are left out.
    pub tiles: Vec<SoftmaxTile>,
    /// The final weight of every position up to the query's own, which is the last; 0 where a token was evicted. They add up to 1.
    pub weights: Vec<f64>,
    /// The attended value, `[head_dim]`.
    pub output: Vec<f64>,
}

/// What one tile changes.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxTile {
    /// From its first live token to one after its last.
    pub positions: Range<usize>,
    pub n_live: usize,
    /// The largest score in the tile: `query * key / sqrt(head_dim)`.
    pub largest_score: f64,
    /// Sum of `exp(score - largest_score)` in the tile: at least 1, at most one for each live token.
    pub weight_sum: f64,
    /// The largest score up to here.
    pub running_largest: f64,
    /// Sum of `exp(score - running_largest)` up to here.
    pub running_sum: f64,
    /// What the sums of the tiles before were multiplied by: 1 unless this tile has a larger score. `None` for the first tile.
    pub rescale: Option<f64>,
    /// The part of the final weight that lies in the tile, from 0 to 1.
    pub share: f64,
    /// Length of the attended value of the tokens up to here.
    pub output_norm: f64,
}

/// One head of the rows that a query sees.
#[derive(Debug)]
pub struct HeadRows {
    /// Rising; the last is the query's own.
    pub positions: Vec<usize>,
    /// `[positions, head_dim]`
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

/// What is known of the tokens so far.
struct Running {
    largest: f64,
    sum: f64,
    /// Values times weights, `[head_dim]`.
    output: Vec<f64>,
}

/// The attention of `query` `[head_dim]` in tiles of `tile_tokens` positions.
pub fn online_softmax(query: &[f32], rows: &HeadRows, tile_tokens: usize) -> OnlineSoftmax {
    let (head_dim, tile_tokens) = (query.len().max(1), tile_tokens.max(1));
    let scores: Vec<f64> = rows.keys.chunks_exact(head_dim).map(|key| score(query, key)).collect();
    let mut running = Running { largest: f64::NEG_INFINITY, sum: 0.0, output: vec![0.0; head_dim] };
    let (mut tiles, mut first) = (vec![], 0);
    for positions in rows.positions.chunk_by(|a, b| a / tile_tokens == b / tile_tokens) {
        let tile = first..first + positions.len();
        let values = &rows.values[tile.start * head_dim..tile.end * head_dim];
        first = tile.end;
        let (Some(start), Some(last)) = (positions.first(), positions.last()) else { continue };
        tiles.push(running.take(*start..last + 1, &scores[tile], values));
    }
    let Running { largest, sum, mut output } = running;
    for x in &mut output {
        *x /= sum;
    }
    for tile in &mut tiles {
        tile.share = tile.weight_sum * (tile.largest_score - largest).exp() / sum;
    }
    let mut weights = vec![0.0; rows.positions.last().map_or(0, |last| last + 1)];
    for (position, score) in rows.positions.iter().zip(&scores) {
        weights[*position] = (score - largest).exp() / sum;
    }
    OnlineSoftmax { tile_tokens, tiles, weights, output }
}

impl Running {
    /// Takes the live tokens of a tile in. Its share is not known before the last tile.
    fn take(&mut self, positions: Range<usize>, scores: &[f64], values: &[f32]) -> SoftmaxTile {
        let is_first = self.sum == 0.0;
        let largest_score = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest_score).exp()).collect();
        let weight_sum: f64 = weights.iter().sum();
        let larger = self.largest.max(largest_score);
        let (rescale, own) = ((self.largest - larger).exp(), (largest_score - larger).exp());
        self.largest = larger;
        self.sum = self.sum * rescale + weight_sum * own;
        for x in &mut self.output {
            *x *= rescale;
        }
        let head_dim = self.output.len();
        for (weight, value) in weights.iter().zip(values.chunks_exact(head_dim)) {
            for (x, value) in self.output.iter_mut().zip(value) {
                *x += weight * own * f64::from(*value);
            }
        }
        SoftmaxTile {
            positions,
            n_live: scores.len(),
            largest_score,
            weight_sum,
            running_largest: self.largest,
            running_sum: self.sum,
            rescale: (!is_first).then_some(rescale),
            share: 0.0,
            output_norm: self.output.iter().map(|x| x * x).sum::<f64>().sqrt() / self.sum,
        }
    }
}

fn score(query: &[f32], key: &[f32]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "head_dim is small")]
    let scale = (query.len() as f64).sqrt();
    query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIM: usize = 8;

    /// Softmax attention written down plainly.
    fn plain(query: &[f32], rows: &HeadRows) -> (Vec<f64>, Vec<f64>) {
        let scores: Vec<f64> = rows.keys.chunks_exact(DIM).map(|key| score(query, key)).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp() / sum).collect();
        let values = rows.values.chunks_exact(DIM);
        let mut output = vec![0.0; DIM];
        for (weight, value) in weights.iter().zip(values) {
            output.iter_mut().zip(value).for_each(|(x, v)| *x += weight * f64::from(*v));
        }
        (weights, output)
    }

    proptest! {
        /// In any tiles, and with any tokens gone, it is the plain softmax.
        #[test]
        fn tiles_together_are_the_whole(
            query in prop::collection::vec(-6_f32..6.0, DIM), numbers in prop::collection::vec(-6_f32..6.0, 2 * DIM * 40),
            evicted in prop::collection::vec(prop::bool::weighted(0.3), 39), tile_tokens in 1_usize..20,
        ) {
            let positions: Vec<usize> = (0..40).filter(|p| !evicted.get(*p).copied().unwrap_or(false)).collect();
            let (keys, values) = numbers[..2 * DIM * positions.len()].split_at(DIM * positions.len());
            let rows = HeadRows { positions, keys: keys.into(), values: values.into() };
            let online = online_softmax(&query, &rows, tile_tokens);
            let (weights, output) = plain(&query, &rows);
            for (a, b) in online.output.iter().zip(&output) {
                prop_assert!((a - b).abs() < 1e-9, "{a} {b}");
            }
            prop_assert_eq!(online.weights.len(), 40);
            for (position, weight) in rows.positions.iter().zip(&weights) {
                prop_assert!((online.weights[*position] - weight).abs() < 1e-12);
            }
            prop_assert!((online.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!((online.tiles.iter().map(|tile| tile.share).sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert_eq!(online.tiles.iter().map(|tile| tile.n_live).sum::<usize>(), rows.positions.len());
            let mut before = f64::NEG_INFINITY;
            for tile in &online.tiles {
                let of_tile: f64 = online.weights[tile.positions.clone()].iter().sum();
                prop_assert!((of_tile - tile.share).abs() < 1e-9);
                prop_assert_eq!(tile.positions.start / tile_tokens, (tile.positions.end - 1) / tile_tokens);
                // A factor below 1 is what a larger score brings, and nothing else.
                prop_assert_eq!(tile.rescale.is_some_and(|rescale| rescale < 1.0), tile.running_largest > before && before.is_finite());
                before = tile.running_largest;
            }
        }
    }

    #[test]
    fn the_steps_are_those_one_does_by_hand() {
        // Scores 0, 0 | 2, 0 with a query of one number, so that nothing is divided.
        let rows =
            HeadRows { positions: vec![0, 1, 2, 3], keys: vec![0.0, 0.0, 2.0, 0.0], values: vec![1.0, 1.0, 4.0, 1.0] };
        let online = online_softmax(&[1.0], &rows, 2);
        let small = (-2.0_f64).exp();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        let [first, second] = &online.tiles[..] else { panic!("two tiles") };
        assert_eq!((first.positions.clone(), first.rescale, second.positions.clone()), (0..2, None, 2..4));
        close(first.running_sum, 2.0);
        close(first.output_norm, 1.0);
        close(second.rescale.expect("the second"), small);
        close(second.weight_sum, 1.0 + small);
        close(second.running_sum, 2.0 * small + 1.0 + small);
        close(second.running_largest, 2.0);
        close(online.output[0], (4.0 + 3.0 * small) / (1.0 + 3.0 * small));
    }
}
