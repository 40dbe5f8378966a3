//! Means, medians and percentiles.

/// The `p`-th percentile (0 to 100) of `values`, interpolated between the two nearest; `None` of nothing.
#[must_use]
pub fn percentile(values: &[f64], p: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "there are fewer samples than f64 counts")]
    let rank = (p / 100.0).clamp(0.0, 1.0) * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= rank <= last")]
    let below = rank as usize;
    let share = rank.fract();
    Some(sorted[below] * (1.0 - share) + sorted[(below + 1).min(last)] * share)
}

/// The middle of `values`; `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50.0)
}

/// `None` of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "there are fewer samples than f64 counts")]
    let n = values.len() as f64;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / n)
}

/// How far the mean of independent `values` may lie from the mean of all there could be: their standard deviation over
/// `sqrt(n)`; `None` of fewer than two.
#[must_use]
pub fn standard_error(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    #[expect(clippy::cast_precision_loss, reason = "there are fewer samples than f64 counts")]
    let n = values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some((variance / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_their_errors() {
        assert_eq!((mean(&[]), standard_error(&[]), standard_error(&[1.0])), (None, None, None));
        assert_eq!((mean(&[1.0, 3.0]), standard_error(&[1.0, 3.0])), (Some(2.0), Some(1.0)));
        assert_eq!(standard_error(&[2.0; 5]), Some(0.0));
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(percentile(&[0.0, 10.0], 90.0), Some(9.0));
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 100.0), Some(3.0));
    }
}
