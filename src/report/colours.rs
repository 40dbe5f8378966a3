//! The colour of each lane, the same in the window, its plots and the files.

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// A lane's colour on a dark and on a light ground. The first ones also differ for people who tell red
/// from green poorly.
pub const LANES: [(Rgb, Rgb); 8] = [
    ([255, 145, 77], [178, 66, 4]),
    ([92, 179, 255], [11, 99, 197]),
    ([96, 214, 145], [16, 122, 66]),
    ([208, 158, 255], [122, 40, 196]),
    ([255, 214, 82], [124, 88, 0]),
    ([255, 128, 172], [190, 24, 93]),
    ([80, 218, 210], [9, 112, 110]),
    ([190, 194, 200], [84, 88, 96]),
];

/// Lane `lane`'s colours; after eight lanes they begin again.
#[must_use]
pub fn lane(lane: usize) -> (Rgb, Rgb) {
    LANES[lane % LANES.len()]
}
