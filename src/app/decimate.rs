//! As many points as pixels: the smallest and the largest of each column, so that no spike is lost.

/// Thins `points`, ordered by x, to at most four per column: the first, the extremes and the last.
#[must_use]
pub fn decimate(points: Vec<[f64; 2]>, columns: usize) -> Vec<[f64; 2]> {
    let columns = columns.max(1);
    if points.len() <= 4 * columns {
        return points;
    }
    let per_column = points.len().div_ceil(columns);
    let mut kept = Vec::with_capacity(4 * columns);
    for column in points.chunks(per_column) {
        let extreme = |better: fn(f64, f64) -> bool| {
            (0..column.len()).fold(0, |best, i| if better(column[i][1], column[best][1]) { i } else { best })
        };
        let mut indices = [0, extreme(|a, b| a < b), extreme(|a, b| a > b), column.len() - 1];
        indices.sort_unstable();
        let mut last = None;
        for index in indices {
            if last != Some(index) {
                kept.push(column[index]);
                last = Some(index);
            }
        }
    }
    kept
}

/// What lies in a range of x, and a neighbour on each side, to which lines lead. All of it without a range.
#[must_use]
pub fn visible(points: Vec<[f64; 2]>, range: Option<[f64; 2]>) -> Vec<[f64; 2]> {
    let Some([from, to]) = range else { return points };
    let start = points.partition_point(|point| point[0] < from).saturating_sub(1);
    let end = (points.partition_point(|point| point[0] <= to) + 1).min(points.len());
    points.get(start..end).unwrap_or_default().to_vec()
}

/// Leaves out points that lie on the straight line between their neighbours: what a cache reserves, or uses token by token, is a few lines,
/// however long it runs.
#[must_use]
pub fn straighten(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let mut kept: Vec<[f64; 2]> = Vec::with_capacity(points.len());
    for point in points {
        if let [.., a, b] = kept[..] {
            let (ab, bc) = ((b[1] - a[1]) * (point[0] - b[0]), (point[1] - b[1]) * (b[0] - a[0]));
            if (ab - bc).abs() <= STRAIGHT * (ab.abs() + bc.abs()) {
                kept.pop();
            }
        }
        kept.push(point);
    }
    kept
}

/// A bend of less than this is rounding.
const STRAIGHT: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straight_lines_keep_their_ends_and_corners() {
        let line = |n: u32, bytes: fn(f64) -> f64| (0..n).map(|x| [f64::from(x), bytes(f64::from(x))]).collect();
        assert_eq!(straighten(line(900, |_| 7.5)), [[0.0, 7.5], [899.0, 7.5]]);
        assert_eq!(straighten(line(900, |x| 0.1 * x)).len(), 2);
        let stairs = straighten(line(9, |x| (x / 3.0).floor()));
        assert_eq!(stairs, [[0.0, 0.0], [2.0, 0.0], [3.0, 1.0], [5.0, 1.0], [6.0, 2.0], [8.0, 2.0]]);
        assert_eq!(straighten(points(8)).len(), 3, "up, and down at once");
        assert_eq!(straighten(points(1)), points(1));
    }

    fn points(n: u32) -> Vec<[f64; 2]> {
        (0..n).map(|i| [f64::from(i), f64::from(i % 7)]).collect()
    }

    #[test]
    fn what_is_zoomed_to_keeps_its_points_and_a_neighbour_on_each_side() {
        let xs = |range| -> Vec<f64> { visible(points(100), range).into_iter().map(|point| point[0]).collect() };
        assert_eq!(xs(Some([20.5, 22.0])), [20.0, 21.0, 22.0, 23.0]);
        assert_eq!(xs(Some([-9.0, 0.5])), [0.0, 1.0]);
        assert_eq!((xs(Some([200.0, 300.0])), xs(None).len()), (vec![99.0], 100));
        assert_eq!(visible(vec![], Some([0.0, 1.0])), Vec::<[f64; 2]>::new());
    }

    #[test]
    fn few_points_stay() {
        assert_eq!(decimate(points(10), 100), points(10));
        assert_eq!(decimate(vec![], 0), Vec::<[f64; 2]>::new());
    }

    #[test]
    fn many_points_keep_spikes_ends_and_order() {
        let mut many = points(10_000);
        many[4_321][1] = 99.0;
        many[7_001][1] = -99.0;
        let kept = decimate(many.clone(), 100);
        assert!(kept.len() <= 400, "{}", kept.len());
        assert!(kept.contains(&[4_321.0, 99.0]) && kept.contains(&[7_001.0, -99.0]));
        assert_eq!((kept.first(), kept.last()), (many.first(), many.last()));
        assert!(kept.is_sorted_by(|a, b| a[0] < b[0]));
    }
}
