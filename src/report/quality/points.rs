//! Where lanes stand between bytes and divergence: what the figure on disk and the window draw.

use crate::{experiment::quality::LaneQuality, report::canvas};

/// Lanes with the same bytes and the same divergence: one place in the figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub lanes: Vec<usize>,
    pub label: String,
    pub bytes_per_token: f64,
    pub kl: f64,
}

/// The measured lanes, those that cannot be told apart together.
#[must_use]
pub fn points(lanes: &[LaneQuality]) -> Vec<Point> {
    let mut points: Vec<Point> = vec![];
    for (index, lane) in lanes.iter().enumerate() {
        let (Some(bytes_per_token), Some(kl)) = (lane.bytes_per_token, lane.kl) else { continue };
        // Nothing stored and infinitely much lost have no place on a logarithmic axis.
        if bytes_per_token <= 0.0 || !kl.is_finite() {
            continue;
        }
        let same = |a: f64, b: f64| (a - b).abs() <= 1e-3 * a.abs().max(b.abs());
        match points.iter_mut().find(|point| same(point.bytes_per_token, bytes_per_token) && same(point.kl, kl)) {
            Some(point) => {
                point.lanes.push(index);
                point.label.push_str(&format!(", {}", lane.lane));
            }
            None => points.push(Point { lanes: vec![index], label: lane.lane.clone(), bytes_per_token, kl }),
        }
    }
    points
}

/// Those that no other beats in both bytes and divergence, from the fewest bytes on.
#[must_use]
pub fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| points[*a].0.total_cmp(&points[*b].0).then(points[*a].1.total_cmp(&points[*b].1)));
    let mut least_kl = f64::INFINITY;
    order.retain(|index| {
        let is_better = points[*index].1 < least_kl;
        least_kl = least_kl.min(points[*index].1);
        is_better
    });
    order
}

/// `2^exponent` bytes in short: `512 B`, `4 KiB`.
#[must_use]
pub fn power_of_two(exponent: f64) -> String {
    if (exponent - exponent.round()).abs() > 1e-6 {
        return String::new();
    }
    let bytes = exponent.round().exp2();
    match bytes {
        b if b >= 1024.0 * 1024.0 => format!("{} MiB", canvas::short(b / 1024.0 / 1024.0)),
        b if b >= 1024.0 => format!("{} KiB", canvas::short(b / 1024.0)),
        b => format!("{} B", canvas::short(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_at_one_place_are_one_point() {
        let lane = |lane: &str, bytes: f64, kl: f64| LaneQuality {
            lane: lane.into(),
            bytes_per_token: Some(bytes),
            kl: Some(kl),
            ..LaneQuality::default()
        };
        let lanes = [lane("a", 8.0, 0.0), LaneQuality::default(), lane("b", 8.0, 0.0), lane("c", 8.0, 1e-9)];
        let points: Vec<_> = points(&lanes).into_iter().map(|point| (point.lanes, point.label)).collect();
        assert_eq!(points, [(vec![0, 2], "a, b".to_owned()), (vec![3], "c".to_owned())]);
    }

    #[test]
    fn the_front_is_what_nothing_beats() {
        let points = [(4.0, 0.0), (1.0, 0.5), (2.0, 0.6), (2.0, 0.1), (8.0, 0.0), (3.0, 0.1)];
        assert_eq!(front(&points), [1, 3, 0]);
        assert!(front(&[]).is_empty());
    }

    #[test]
    fn whole_exponents_are_labelled() {
        assert_eq!([9.0, 12.0, 9.5, 21.0].map(power_of_two), ["512 B", "4 KiB", "", "2 MiB"]);
    }
}
