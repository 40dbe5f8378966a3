//! What people with missing cones see, and how different two colours look. For tests.
//!
//! Dichromats are simulated with the matrices of Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color
//! Vision Deficiency" (IEEE TVCG 15(6), 2009), at severity 1.0, on linear RGB. Differences are CIEDE2000 (Luo, Cui and Rigg 2001), checked
//! with data of Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula" (2005). About 2 is just seen side by side.

use super::Rgb;

/// L*, a*, b* of CIE 1976 under D65.
pub type Lab = [f64; 3];
type Matrix = [[f64; 3]; 3];

/// Who looks.
#[derive(Clone, Copy, Debug)]
pub enum Vision {
    Normal,
    /// Without the cones for long waves.
    Protanopia,
    /// Without those for middle waves.
    Deuteranopia,
    /// Without those for short waves.
    Tritanopia,
}

impl Vision {
    pub const ALL: [Self; 4] = [Self::Normal, Self::Protanopia, Self::Deuteranopia, Self::Tritanopia];

    const fn matrix(self) -> Matrix {
        match self {
            Self::Normal => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            Self::Protanopia => [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
            Self::Deuteranopia => [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
            Self::Tritanopia => [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        }
    }

    /// The colour as it looks to this vision.
    pub fn sees(self, color: Rgb) -> Lab {
        lab(times(&self.matrix(), color.map(linear)).map(|channel| channel.clamp(0.0, 1.0)))
    }
}

fn times(matrix: &Matrix, v: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(v).map(|(m, x)| m * x).sum())
}

/// sRGB's transfer function, from a byte to linear light.
fn linear(byte: u8) -> f64 {
    let value = f64::from(byte) / 255.0;
    if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

fn lab(linear: [f64; 3]) -> Lab {
    const XYZ: Matrix = [
        [0.412_456_4, 0.357_576_1, 0.180_437_5],
        [0.212_672_9, 0.715_152_2, 0.072_175_0],
        [0.019_333_9, 0.119_192_0, 0.950_304_1],
    ];
    let f = |t: f64| if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 };
    let [x, y, z] = times(&XYZ, linear);
    let [x, y, z] = [f(x / 0.950_47), f(y), f(z / 1.088_83)];
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// CIEDE2000 of two colours, in the formula's own names.
pub fn difference([l1, a1, b1]: Lab, [l2, a2, b2]: Lab) -> f64 {
    let seventh = |c: f64| (c.powi(7) / (c.powi(7) + 25_f64.powi(7))).sqrt();
    let g = 0.5 * (1.0 - seventh(f64::midpoint(a1.hypot(b1), a2.hypot(b2))));
    let (a1, a2) = (a1 * (1.0 + g), a2 * (1.0 + g));
    let (c1, c2) = (a1.hypot(b1), a2.hypot(b2));
    let (h1, h2) = (b1.atan2(a1).to_degrees().rem_euclid(360.0), b2.atan2(a2).to_degrees().rem_euclid(360.0));
    let is_grey = c1 * c2 < 1e-12;
    let turn = match h2 - h1 {
        _ if is_grey => 0.0,
        d if d > 180.0 => d - 360.0,
        d if d < -180.0 => d + 360.0,
        d => d,
    };
    let (dl, dc, dh) = (l2 - l1, c2 - c1, 2.0 * (c1 * c2).sqrt() * (turn / 2.0).to_radians().sin());
    let (l, c) = (f64::midpoint(l1, l2), f64::midpoint(c1, c2));
    let h = if is_grey { h1 + h2 } else { h1 + turn / 2.0 };
    let cos = |degrees: f64| degrees.to_radians().cos();
    let t = 1.0 - 0.17 * cos(h - 30.0) + 0.24 * cos(2.0 * h) + 0.32 * cos(3.0 * h + 6.0) - 0.20 * cos(4.0 * h - 63.0);
    let from_blue = (h.rem_euclid(360.0) - 275.0) / 25.0;
    let r_t = -(60.0 * (-from_blue.powi(2)).exp()).to_radians().sin() * 2.0 * seventh(c);
    let s_l = 1.0 + 0.015 * (l - 50.0).powi(2) / (20.0 + (l - 50.0).powi(2)).sqrt();
    let (dl, dc, dh) = (dl / s_l, dc / (1.0 + 0.045 * c), dh / (1.0 + 0.015 * c * t));
    (dl * dl + dc * dc + dh * dh + r_t * dc * dh).sqrt()
}

#[test]
fn differences_are_the_published_ones() {
    for (one, other, published) in [
        ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
        ([50.0, 2.5, 0.0], [73.0, 25.0, -18.0], 27.1492),
        ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
        ([50.0, -1.0, 2.0], [50.0, 0.0, 0.0], 2.3669),
        ([22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619], 2.0373),
        ([2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082),
    ] {
        let found = difference(one, other);
        assert!((found - published).abs() < 1e-4, "{one:?} and {other:?}: {found}, published {published}");
        assert!((difference(other, one) - found).abs() < 1e-9, "the same the other way round");
    }
}

#[test]
fn greys_stay_grey_and_confused_colours_are_confused() {
    for vision in Vision::ALL {
        let [l, a, b] = vision.sees([128, 128, 128]);
        assert!((l - 53.585).abs() < 0.01 && a.abs() < 0.05 && b.abs() < 0.05, "{vision:?}: {l} {a} {b}");
    }
    let apart = |vision: Vision| difference(vision.sees([180, 60, 0]), vision.sees([90, 110, 0]));
    assert!(apart(Vision::Normal) > 40.0 && apart(Vision::Deuteranopia) < 12.0, "red and green");
}
