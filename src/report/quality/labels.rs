//! Where the name of each point of a figure fits: beside it if there is room, else further off.

/// Pixels, `x` to the right and `y` down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

/// Half the side of what stays free around a point, for its marker.
pub const MARKER: i32 = 9;
/// How far from its point a label may begin, the nearest first.
const REACHES: [i32; 9] = [11, 17, 26, 40, 56, 76, 100, 130, 170];
/// The directions that are tried at each distance: beside the point first, then above and below, then aslant.
const DIRECTIONS: [(i32, i32); 12] =
    [(2, 0), (-2, 0), (0, -2), (0, 2), (2, -2), (2, 2), (-2, -2), (-2, 2), (2, -1), (2, 1), (-2, -1), (-2, 1)];

impl Rect {
    fn around((x, y): (i32, i32)) -> Self {
        Self { x: x - MARKER, y: y - MARKER, width: 2 * MARKER, height: 2 * MARKER }
    }

    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }

    #[must_use]
    pub fn is_inside(&self, bounds: &Self) -> bool {
        self.x >= bounds.x
            && self.y >= bounds.y
            && self.x + self.width <= bounds.x + bounds.width
            && self.y + self.height <= bounds.y + bounds.height
    }

    /// The point of the box that is nearest to `(x, y)`: where a line to it begins.
    #[must_use]
    pub fn nearest(&self, (x, y): (i32, i32)) -> (i32, i32) {
        (x.clamp(self.x, self.x + self.width), y.clamp(self.y, self.y + self.height))
    }

    fn distance_squared(&self, point: (i32, i32)) -> i32 {
        let (x, y) = self.nearest(point);
        (x - point.0).pow(2) + (y - point.1).pow(2)
    }
}

/// A box for a label of `sizes[i]` (width, height) near each `points[i]`: inside `bounds`, on no other label and on no
/// point, if possible nearer to its own point than to any other. Where nothing is free, it lies right beside its point,
/// whatever is there.
#[must_use]
pub fn place(points: &[(i32, i32)], sizes: &[(i32, i32)], bounds: Rect) -> Vec<Rect> {
    let markers: Vec<Rect> = points.iter().map(|point| Rect::around(*point)).collect();
    let mut placed: Vec<Rect> = vec![];
    for (&(x, y), &(width, height)) in points.iter().zip(sizes) {
        let candidates = REACHES.iter().flat_map(|reach| {
            DIRECTIONS.map(|(right, down)| Rect {
                x: x + right * reach / 2 - width * (2 - right) / 4,
                y: y + down * reach / 2 - height * (2 - down) / 4,
                width,
                height,
            })
        });
        let is_free = |candidate: &Rect| {
            candidate.is_inside(&bounds) && !placed.iter().chain(&markers).any(|taken| taken.overlaps(candidate))
        };
        let is_its_own = |candidate: &Rect| {
            let own = candidate.distance_squared((x, y));
            points.iter().all(|point| *point == (x, y) || candidate.distance_squared(*point) > own)
        };
        let free: Vec<Rect> = candidates.filter(is_free).collect();
        let best = free.iter().find(|candidate| is_its_own(candidate)).or(free.first());
        placed.push(best.copied().unwrap_or(Rect { x: x + REACHES[0], y: y - height / 2, width, height }));
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Rect = Rect { x: 70, y: 50, width: 880, height: 440 };

    #[test]
    fn a_point_alone_has_its_label_beside_it() {
        let placed = place(&[(200, 200)], &[(60, 16)], BOUNDS);
        assert_eq!(placed, [Rect { x: 211, y: 192, width: 60, height: 16 }]);
        // At the right edge it goes to the left.
        let placed = place(&[(940, 200)], &[(60, 16)], BOUNDS);
        assert_eq!(placed, [Rect { x: 869, y: 192, width: 60, height: 16 }]);
    }

    #[test]
    fn a_label_is_nearer_to_its_own_point() {
        // Right of the first point is the second, so its name goes elsewhere.
        let points = [(200, 200), (222, 200)];
        let placed = place(&points, &[(60, 16); 2], BOUNDS);
        for (label, (own, other)) in placed.iter().zip([(points[0], points[1]), (points[1], points[0])]) {
            assert!(label.distance_squared(own) < label.distance_squared(other), "{placed:?}");
        }
    }

    proptest! {
        /// As many lanes as a run has, anywhere in the figure: no label lies on another or on a point.
        #[test]
        fn labels_do_not_overlap(points in prop::collection::vec((80_i32..940, 60_i32..480), 1..20), width in 40_i32..120) {
            let sizes = vec![(width, 16); points.len()];
            let placed = place(&points, &sizes, BOUNDS);
            for (i, label) in placed.iter().enumerate() {
                prop_assert!(label.is_inside(&BOUNDS));
                prop_assert!(!placed[..i].iter().any(|other| other.overlaps(label)));
                prop_assert!(!points.iter().any(|point| Rect::around(*point).overlaps(label)));
            }
        }
    }
}
