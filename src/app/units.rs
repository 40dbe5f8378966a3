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

/// Seconds with the unit that suits them.
#[must_use]
pub fn time(secs: f64) -> String {
    match secs {
        secs if secs >= 1.0 => format!("{} s", digits(secs)),
        0.0 => "0 ms".into(),
        secs if secs >= 1e-3 => format!("{} ms", digits(secs * 1e3)),
        secs => format!("{} \u{b5}s", digits(secs * 1e6)),
    }
}

/// Bytes with the unit that suits them, three or four digits.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let mebibytes = to_mebibytes(bytes);
    match mebibytes {
        _ if bytes == 0 => "0 B".into(),
        m if m >= 1_048_576.0 => format!("{} TiB", digits(m / 1_048_576.0)),
        m if m >= 1024.0 => format!("{} GiB", digits(m / 1024.0)),
        m if m >= 1.0 => format!("{} MiB", digits(m)),
        m => format!("{} KiB", digits(m * 1024.0)),
    }
}

/// A rate, three or four digits; the unit stands beside it.
#[must_use]
pub fn rate(per_sec: f64) -> String {
    digits(per_sec)
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

/// A label on an axis of MiB, in the unit that needs no zeros; nothing below 0.
#[must_use]
pub fn axis_mebibytes(mebibytes: f64) -> String {
    let round = |value: f64| (value * 100.0).round() / 100.0;
    match mebibytes {
        m if m < 0.0 => String::new(),
        m if m >= 1_048_576.0 => format!("{} TiB", round(m / 1_048_576.0)),
        m if m >= 1024.0 => format!("{} GiB", round(m / 1024.0)),
        m if m >= 1.0 || m == 0.0 => format!("{} MiB", round(m)),
        m => format!("{} KiB", (m * 1024.0 * 10.0).round() / 10.0),
    }
}

/// A label on an axis of a rate: plain numbers, thousands as k.
#[must_use]
pub fn axis_rate(per_sec: f64) -> String {
    // Rounding turns 0.30000000000000004 into 0.3.
    let round = |value: f64| (value * 1e3).round() / 1e3;
    if per_sec >= 1e4 { format!("{}k", round(per_sec / 1e3)) } else { round(per_sec).to_string() }
}

/// A token's text so that its spaces show.
#[must_use]
pub fn quoted(text: Option<&str>) -> String {
    match text {
        Some(text) if !text.is_empty() => format!("\u{201c}{}\u{201d}", text.replace('\n', "\\n")),
        _ => "\u{b7}".into(),
    }
}

/// A number with three or four digits, in whatever unit it has.
#[must_use]
pub fn digits(value: f64) -> String {
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
        assert_eq!([2.5, 0.012_34, 0.000_05, 0.0].map(time), ["2.50 s", "12.3 ms", "50.0 \u{b5}s", "0 ms"]);
        assert_eq!(
            [0, 1 << 10, 3 << 20, 5 << 30, 7 << 40].map(bytes),
            ["0 B", "1.00 KiB", "3.00 MiB", "5.00 GiB", "7.00 TiB"]
        );
    }

    #[test]
    fn axes_name_their_unit() {
        assert_eq!(axis_millis(0.1 + 0.2), "300 \u{b5}s");
        assert_eq!(axis_millis(20.0), "20 ms");
        assert_eq!(axis_millis(2_500.0), "2.5 s");
        assert_eq!(axis_millis(0.0), "0 ms");
        assert_eq!([1.5, 0.5, 2048.0, 0.0, -1.0].map(axis_mebibytes), ["1.5 MiB", "512 KiB", "2 GiB", "0 MiB", ""]);
        assert_eq!([0.1 + 0.2, 500.0, 20_000.0].map(axis_rate), ["0.3", "500", "20k"]);
    }
}
