//! Numbers with units, as short as they stay true.

/// Seconds as milliseconds, three or four digits.
#[must_use]
pub fn millis(secs: f64) -> String {
    digits(secs * 1e3)
}

/// Bytes as MiB, three or four digits.
#[must_use]
pub fn mebibytes(bytes: u64) -> String {
    if bytes == 0 { "0".into() } else { digits(to_mebibytes(bytes)) }
}

#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a drawing needs no more than 52 bits")]
pub fn to_mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// A step or token number as a coordinate.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far fewer tokens than 2^52")]
pub fn to_x(step: usize) -> f64 {
    step as f64
}

/// A number of tokens or of cells as a coordinate on the screen.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a coordinate on the screen")]
pub fn to_f32(n: usize) -> f32 {
    to_x(n) as f32
}

/// A label on an axis of milliseconds: in the unit that needs no zeros.
#[must_use]
pub fn axis_millis(millis: f64) -> String {
    // Rounding turns 0.30000000000000004 into 0.3.
    let round = |value: f64| (value * 1e3).round() / 1e3;
    if millis >= 1e3 {
        format!("{} s", round(millis / 1e3))
    } else if millis >= 1.0 || millis == 0.0 {
        format!("{} ms", round(millis))
    } else {
        format!("{} \u{b5}s", round(millis * 1e3))
    }
}

/// A token's text so that its spaces show.
#[must_use]
pub fn quoted(text: Option<&str>) -> String {
    match text {
        Some(text) if !text.is_empty() => format!("\u{201c}{}\u{201d}", text.replace('\n', "\\n")),
        _ => "\u{b7}".into(),
    }
}

fn digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(millis(0.012_345_6), "12.3");
        assert_eq!(millis(0.000_512), "0.512");
        assert_eq!(mebibytes(6 << 20), "6.00");
        assert_eq!(mebibytes(0), "0");
    }

    #[test]
    fn axes_name_their_unit() {
        assert_eq!(axis_millis(0.1 + 0.2), "300 \u{b5}s");
        assert_eq!(axis_millis(20.0), "20 ms");
        assert_eq!(axis_millis(2_500.0), "2.5 s");
        assert_eq!(axis_millis(0.0), "0 ms");
    }
}
