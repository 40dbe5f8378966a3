//! Byte counts as people write them: `512`, `2MiB`, `1.5 GB`.

/// Binary and decimal units, the longest spelling first so that `MiB` is not read as `B`.
const UNITS: [(&str, f64); 7] = [
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("b", 1.0),
];
/// The largest count that `f64` still holds exactly.
const MAX_BYTES: f64 = 9_007_199_254_740_992.0;

/// Reads a number of bytes with an optional unit.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = |reason: &str| format!("`{}` {reason}; write for example 512, 64 KiB or 2 MB", text.trim());
    let lower = text.trim().to_ascii_lowercase();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, bytes)| lower.strip_suffix(name).map(|number| (number, *bytes)))
        .unwrap_or((&lower, 1.0));
    let number = number.trim();
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(bad("is no size"));
    }
    let bytes = number.parse::<f64>().map_err(|_| bad("is no size"))? * unit;
    if !(1.0..=MAX_BYTES).contains(&bytes) {
        return Err(bad("is out of range"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 <= bytes <= 2^53")]
    let bytes = bytes as u64;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_binary_or_decimal() {
        for (text, bytes) in [
            ("512", 512),
            ("1B", 1),
            ("2 KB", 2_000),
            ("2KiB", 2_048),
            ("1.5MiB", 1_572_864),
            (" 3 gb ", 3_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "MiB", "-1", "1e9", "2 TB", "nan", "0", "0.5", "99999999GiB", "1.2.3"] {
            assert!(parse_size(text).is_err_and(|e| e.contains("64 KiB")), "{text}");
        }
    }
}
