//! Floats in 16 bits (IEEE 754 binary16): a sign, 5 bits of exponent, 10 of fraction.

/// The nearest, of two equally near the one whose last bit is 0; infinity from 65,520 on.
#[must_use]
pub fn to_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = x.abs();
    if magnitude.is_nan() {
        return sign | 0x7E00;
    }
    if magnitude >= 65_520.0 {
        return sign | 0x7C00;
    }
    // Below the smallest normal number the steps are 2^-24 wide.
    if magnitude < 6.103_515_6e-5 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number up to 1,024")]
        let steps = (magnitude * 16_777_216.0).round_ties_even() as u16;
        return sign | steps;
    }
    // 13 bits of fraction fall away; a carry goes on into the exponent, where it belongs.
    let kept = (bits & 0x7FFF_FFFF) + 0x0FFF + ((bits >> 13) & 1);
    #[expect(clippy::cast_possible_truncation, reason = "at most 0x7BFF, the bits of 65,504")]
    let magnitude = ((kept >> 13) - ((127 - 15) << 10)) as u16;
    sign | magnitude
}

/// The number with these bits, exactly.
#[must_use]
pub fn from_bits(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (u32::from(bits >> 10) & 31, u32::from(bits) & 0x3FF);
    sign * match exponent {
        0 => f32::from(bits & 0x3FF) / 16_777_216.0,
        31 if fraction == 0 => f32::INFINITY,
        31 => f32::NAN,
        _ => f32::from_bits((exponent + 127 - 15) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_survives_and_what_lies_between_goes_to_the_nearer() {
        for bits in (0..=u16::MAX).filter(|bits| bits & 0x7FFF <= 0x7C00) {
            assert_eq!(to_bits(from_bits(bits)), bits, "{bits:#06x}");
        }
        for bits in 0..0x7BFF_u16 {
            let (low, high) = (f64::from(from_bits(bits)), f64::from(from_bits(bits + 1)));
            #[expect(clippy::cast_possible_truncation, reason = "12 bits of fraction fit into 23")]
            let at = |share: f64| to_bits((low + (high - low) * share) as f32);
            assert_eq!((at(0.25), at(0.75)), (bits, bits + 1), "{bits:#06x}");
            assert_eq!(at(0.5), bits + (bits & 1), "{bits:#06x}: the even one");
        }
        assert_eq!(
            (to_bits(1.0), to_bits(-2.0), to_bits(65_504.0), to_bits(65_520.0)),
            (0x3C00, 0xC000, 0x7BFF, 0x7C00)
        );
        assert!(from_bits(to_bits(f32::NAN)).is_nan());
    }
}
