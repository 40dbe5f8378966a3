//! k-means in one dimension: few levels for many values, with a small sum of squared distances.
//!
//! Lloyd's algorithm (Lloyd 1982). In one dimension a cell is an interval of the sorted values, so a round is one search for each
//! border and one difference of running sums for each mean, however many values there are.

/// Rounds until the borders rest. Rows of a model rest after some hundred; more would change levels in digits that no code sees.
const MOST_ROUNDS: usize = 500;

/// `k` rising levels for `sorted` values in [-1, 1]: each the mean of the values that are nearest to it. The start is the same for
/// the same values: their quantiles.
pub fn kmeans(sorted: &[f32], k: usize) -> Vec<f32> {
    let n = sorted.len();
    if n == 0 {
        return equal_steps(k);
    }
    let sums = running_sums(sorted);
    let mut levels: Vec<f32> = (0..k).map(|i| sorted[(2 * i + 1) * n / (2 * k)]).collect();
    let mut borders = vec![];
    for _ in 0..MOST_ROUNDS {
        let moved = cells(sorted, &levels);
        if moved == borders {
            break;
        }
        borders = moved;
        for (level, cell) in levels.iter_mut().zip(borders.windows(2)) {
            *level = mean(&sums, cell[0], cell[1]).unwrap_or(*level);
        }
    }
    levels
}

/// Where the cell of each level begins in `sorted`, and where the last one ends. A value between two levels goes to the lower one.
fn cells(sorted: &[f32], levels: &[f32]) -> Vec<usize> {
    let middles = levels.windows(2).map(|pair| f64::midpoint(f64::from(pair[0]), f64::from(pair[1])));
    let borders = middles.map(|middle| sorted.partition_point(|x| f64::from(*x) <= middle));
    std::iter::once(0).chain(borders).chain([sorted.len()]).collect()
}

/// Sums of the first 0, 1, 2, ... values.
fn running_sums(values: &[f32]) -> Vec<f64> {
    let mut sum = 0.0;
    let next = values.iter().map(|x| {
        sum += f64::from(*x);
        sum
    });
    std::iter::once(0.0).chain(next).collect()
}

/// `None` for a cell of nothing.
fn mean(sums: &[f64], start: usize, end: usize) -> Option<f32> {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a level is an f32")]
    (start < end).then(|| ((sums[end] - sums[start]) / (end - start) as f64) as f32)
}

/// What nothing is known of.
fn equal_steps(k: usize) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "few levels")]
    (0..k).map(|i| (2 * i + 1) as f32 / k as f32 - 1.0).collect()
}

#[cfg(test)]
#[expect(clippy::float_cmp, clippy::cast_precision_loss, reason = "small numbers that are stored exactly")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};
    use rand_distr::{Distribution, Normal};

    /// A level is an f32, its mean was one of f64.
    const ROUNDING: f64 = 1e-6;

    fn error(sorted: &[f32], levels: &[f32]) -> f64 {
        let nearest =
            |x: f64| levels.iter().fold(f64::INFINITY, |near, level| (f64::from(*level) - x).powi(2).min(near));
        sorted.iter().map(|x| nearest(f64::from(*x))).sum()
    }

    /// The least error that any `k` levels have: of all ways to cut the sorted values into `k` runs.
    fn least_error(sorted: &[f32], k: usize) -> f64 {
        let of_run = |run: &[f32]| {
            let mean = run.iter().map(|x| f64::from(*x)).sum::<f64>() / run.len().max(1) as f64;
            run.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>()
        };
        if k == 1 {
            return of_run(sorted);
        }
        let cut = |at| of_run(&sorted[at..]) + least_error(&sorted[..at], k - 1);
        (0..=sorted.len()).map(cut).fold(f64::INFINITY, f64::min)
    }

    fn sorted(mut values: Vec<f32>) -> Vec<f32> {
        values.sort_by(f32::total_cmp);
        values
    }

    proptest! {
        /// What Lloyd's rounds end in: each level is the mean of its cell, and no worse than where they began. No levels beat the best.
        #[test]
        fn levels_are_means_of_their_cells(values in prop::collection::vec(-1_f32..1.0, 1..24), k in 2_usize..5) {
            let sorted = sorted(values);
            let levels = kmeans(&sorted, k);
            prop_assert!(levels.is_sorted(), "{levels:?}");
            let sums = running_sums(&sorted);
            for (level, cell) in levels.iter().zip(cells(&sorted, &levels).windows(2)) {
                let mean = mean(&sums, cell[0], cell[1]).unwrap_or(*level);
                prop_assert!(f64::from((level - mean).abs()) <= ROUNDING, "{levels:?} of {sorted:?}");
            }
            let start: Vec<f32> = (0..k).map(|i| sorted[(2 * i + 1) * sorted.len() / (2 * k)]).collect();
            let (found, begun, least) = (error(&sorted, &levels), error(&sorted, &start), least_error(&sorted, k));
            prop_assert!(found <= begun + ROUNDING, "worse than the quantiles: {found}, {begun}");
            prop_assert!(found >= least - ROUNDING, "better than the best: {found}, {least}");
        }

        /// Values in `k` heaps far apart: there the best is found.
        #[test]
        fn heaps_are_found(sizes in prop::collection::vec(3_usize..6, 2..4), noise in prop::collection::vec(-0.02_f32..0.02, 18)) {
            let centres = [-0.9_f32, 0.0, 0.8];
            let mut noise = noise.into_iter();
            let of = |(size, centre): (&usize, f32)| noise.by_ref().take(*size).map(|x| centre + x).collect::<Vec<_>>();
            let values = sorted(sizes.iter().zip(centres).flat_map(of).collect());
            let (found, least) = (error(&values, &kmeans(&values, sizes.len())), least_error(&values, sizes.len()));
            prop_assert!(found <= least + ROUNDING, "{found}, {least}");
        }
    }

    #[test]
    fn levels_of_normal_values_are_dense_in_the_middle() {
        let mut rng = StdRng::seed_from_u64(7);
        let normal = Normal::new(0.0_f32, 0.3).expect("a distribution");
        // Each with its mirror image, so that the levels are symmetric as the published ones are.
        let values = (0..100_000).map(|_| normal.sample(&mut rng)).filter(|x| x.abs() <= 1.0);
        let values = values.flat_map(|x| [x, -x]).collect();
        let levels = kmeans(&sorted(values), 8);
        let steps: Vec<f32> = levels.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps[0] > 1.5 * steps[3] && steps[6] > 1.5 * steps[3], "{levels:?}");
        // The levels for normal values are known (Max 1960, table I): for 8, the outermost at 2.152 standard deviations.
        for (level, published) in
            levels.iter().zip([-2.152_f32, -1.344, -0.7560, -0.2451, 0.2451, 0.7560, 1.344, 2.152])
        {
            assert!((level / 0.3 - published).abs() < 0.05, "{levels:?}");
        }
    }

    #[test]
    fn few_and_equal_values_have_levels_too() {
        assert_eq!(kmeans(&[], 4), [-0.75, -0.25, 0.25, 0.75]);
        assert_eq!(kmeans(&[0.5], 4), [0.5; 4]);
        assert_eq!(
            error(&[-0.5, -0.5, 0.0, 0.0, 0.0, 0.0, 0.25], &kmeans(&[-0.5, -0.5, 0.0, 0.0, 0.0, 0.0, 0.25], 4)),
            0.0
        );
    }
}
