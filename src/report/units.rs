//! Numbers with their units, the same everywhere.

/// `1536` -> `1.50 KiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    scaled(bytes, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB"])
}

/// `1536` -> `1.54 kB`: powers of 1,000, as disks and accelerators are sold.
#[must_use]
pub fn decimal_bytes(bytes: u64) -> String {
    scaled(bytes, 1000.0, ["B", "kB", "MB", "GB", "TB"])
}

fn scaled(bytes: u64, base: f64, units: [&str; 5]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.2} {}", units[unit]) }
}

/// A count with thousands apart.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds in the unit that shows three digits: `0.00042` -> `420 µs`.
#[must_use]
pub fn secs(secs: f64) -> String {
    let (value, unit) = match secs {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    let digits = if value >= 100.0 { 0 } else { 2 };
    format!("{value:.digits$} {unit}")
}

const MAX_SIZE: u64 = 1_000_000_000_000_000_000;

/// A size with a unit (`2MiB`, `512k`, `1.5GB`, `4096`): K, M, G, T are powers of 1,000 with a `B` alone and
/// powers of 1,024 with `iB` or nothing, as `--cache-memory`, `--memory` and the window take it.
///
/// # Errors
/// What was expected instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let bad = || format!("`{text}` is no size; write it as 4096, 512KiB, 2MiB, 1.5GiB or 2GB");
    let factor: u64 = match trimmed[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    let out_of_range = || format!("`{text}` is not between 1 byte and 10^18 bytes");
    // A whole number is exact to the byte, which f64 is only up to 2^53.
    let bytes = if let Ok(whole) = trimmed[..digits].parse::<u64>() {
        whole.checked_mul(factor).ok_or_else(out_of_range)?
    } else {
        let number: f64 = trimmed[..digits].parse().map_err(|_| bad())?;
        #[expect(clippy::cast_precision_loss, reason = "factors are exact in f64")]
        let bytes = number * factor as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, and both are refused"
        )]
        let bytes = bytes as u64;
        bytes
    };
    if (1..=MAX_SIZE).contains(&bytes) { Ok(bytes) } else { Err(out_of_range()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(bytes(72 << 20), "72.00 MiB");
        assert_eq!(parse_size("2MiB"), Ok(2 << 20));
        assert_eq!(parse_size(" 1.5 g "), Ok(3 << 29));
        assert_eq!(parse_size("2MB"), Ok(2_000_000));
        assert_eq!((parse_size("80GB"), parse_size("80GiB")), (Ok(80_000_000_000), Ok(80 << 30)));
        assert_eq!((parse_size("1.5TB"), parse_size("2TiB")), (Ok(1_500_000_000_000), Ok(2 << 40)));
        assert_eq!(parse_size("9007199254740993"), Ok(9_007_199_254_740_993), "not through f64");
        assert_eq!((bytes(10 << 30), decimal_bytes(10 << 30)), ("10.00 GiB".into(), "10.74 GB".into()));
        assert_eq!((count(999), count(1_234_567)), ("999".into(), "1,234,567".into()));
        for bad in
            ["", "MiB", "-1", "1e9", "0", "0.4", "2 parsecs", "1.2.3", "99999999999999999999", "99999999999GB", "1.1e"]
        {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_print() {
        assert_eq!(secs(0.000_42), "420 µs");
        assert_eq!(secs(0.012_345), "12.35 ms");
        assert_eq!(secs(1.5), "1.50 s");
    }
}
