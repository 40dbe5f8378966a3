//! The colour of each lane, the same in the window, its plots and the files.
//!
//! They are told apart with normal vision and with each of the three kinds of missing cones: the tests simulate what those see and
//! keep a least difference (CIEDE2000) between every two lanes. The colours were searched for with that difference as the aim.

#[cfg(test)]
mod vision;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// A lane's colour on a dark and on a light ground. Most experiments have at most six lanes; on a light ground, where only darker
/// colours can be read, the first six differ most.
pub const LANES: [(Rgb, Rgb); 8] = [
    ([255, 177, 55], [151, 97, 3]),
    ([119, 113, 254], [25, 61, 164]),
    ([83, 254, 178], [6, 124, 90]),
    ([211, 182, 255], [150, 39, 255]),
    ([150, 131, 14], [76, 63, 0]),
    ([254, 67, 134], [104, 0, 80]),
    ([3, 172, 157], [0, 76, 59]),
    ([208, 230, 230], [101, 94, 109]),
];

/// Lane `lane`'s colours; after eight lanes they begin again.
#[must_use]
pub fn lane(lane: usize) -> (Rgb, Rgb) {
    LANES[lane % LANES.len()]
}

#[cfg(test)]
mod tests {
    use super::{
        vision::{Vision, difference},
        *,
    };

    /// The least difference of two of these colours for any vision, and who sees it where.
    fn least(colors: &[Rgb]) -> (f64, String) {
        let mut least = (f64::INFINITY, String::new());
        for vision in Vision::ALL {
            for (a, one) in colors.iter().enumerate() {
                for (b, other) in colors[..a].iter().enumerate() {
                    let difference = difference(vision.sees(*one), vision.sees(*other));
                    if difference < least.0 {
                        least = (difference, format!("lanes {b} and {a}, {vision:?}: {difference:.2}"));
                    }
                }
            }
        }
        least
    }

    #[test]
    fn lanes_differ_for_every_vision() {
        for (ground, colors, of_six, of_all) in
            [("dark", LANES.map(|(dark, _)| dark), 17.0, 17.0), ("light", LANES.map(|(_, light)| light), 14.0, 12.0)]
        {
            let (six, all) = (least(&colors[..6]), least(&colors));
            assert!(six.0 >= of_six, "{ground}, first six: {}", six.1);
            assert!(all.0 >= of_all, "{ground}: {}", all.1);
        }
    }

    #[test]
    fn colours_begin_again_after_the_last() {
        assert_eq!(lane(8), lane(0));
        assert_eq!(lane(usize::MAX), LANES[7]);
    }
}
