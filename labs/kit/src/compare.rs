//! Comparisons that say what was expected, what came and where.

use anyhow::{Result, bail, ensure};

/// The same number of elements, each within `tolerance`.
///
/// # Errors
/// A sentence with the first element that differs, by its place in `shape`.
pub fn close(what: &str, expected: &[f32], got: &[f32], shape: &[usize], tolerance: f32) -> Result<()> {
    ensure!(
        expected.len() == got.len(),
        "{what}: expected shape {shape:?}, {} elements, and got {}",
        expected.len(),
        got.len()
    );
    let differs = |(_, (expected, got)): &(usize, (&f32, &f32))| got.is_nan() || (*expected - *got).abs() > tolerance;
    if let Some((index, (expected, got))) = expected.iter().zip(got).enumerate().find(differs) {
        bail!("{what}, at {:?} of {shape:?}: expected {expected}, got {got}", place(index, shape));
    }
    Ok(())
}

/// The place of the element `index` of a dense tensor.
fn place(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let at = index % size.max(1);
            index /= size.max(1);
            at
        })
        .collect();
    place.reverse();
    place
}

/// Equal, or a sentence with both.
///
/// # Errors
/// That sentence.
pub fn equal<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Result<()> {
    ensure!(expected == got, "{what}: expected {expected:?}, got {got:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_place() {
        let error = close("scores", &[0.0; 6], &[0.0, 0.0, 0.0, 0.0, 0.5, 0.5], &[2, 3], 1e-6).expect_err("differs");
        assert_eq!(error.to_string(), "scores, at [1, 1] of [2, 3]: expected 0, got 0.5");
        assert!(close("nan", &[0.0], &[f32::NAN], &[1], 1.0).is_err());
        let error = close("scores", &[0.0; 6], &[0.0; 3], &[2, 3], 0.0).expect_err("fewer");
        assert_eq!(error.to_string(), "scores: expected shape [2, 3], 6 elements, and got 3");
        assert!(close("same", &[1.0], &[1.0], &[1], 0.0).is_ok());
    }

    #[test]
    fn values_are_said() {
        assert_eq!(equal("bytes", &4, &5).expect_err("differs").to_string(), "bytes: expected 4, got 5");
    }
}
