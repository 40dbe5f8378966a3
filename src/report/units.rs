//! Numbers with their units, the same everywhere.

/// `1536` -> `1.50 KiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.2} {}", UNITS[unit]) }
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

/// A size with a unit (`2MiB`, `512k`, `1.5GB`, `4096`): K, M, G are powers of 1,000 with a `B` alone and
/// powers of 1,024 with `iB` or nothing, as `--cache-memory` and the window take it.
///
/// # Errors
/// What was expected instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let bad = || format!("`{text}` is no size; write it as 4096, 512KiB, 2MiB, 1.5GiB or 2GB");
    let number: f64 = trimmed[..digits].parse().map_err(|_| bad())?;
    let factor: u64 = match trimmed[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(bad()),
    };
    #[expect(clippy::cast_precision_loss, reason = "factors are exact in f64")]
    let bytes = number * factor as f64;
    if !(1.0..=1e18).contains(&bytes) {
        return Err(format!("`{text}` is not between 1 byte and 10^18 bytes"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 <= bytes <= 1e18")]
    Ok(bytes as u64)
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
        for bad in ["", "MiB", "-1", "1e9", "0", "2 parsecs", "1.2.3", "99999999999999999999"] {
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
