//! Codes of a few bits in bytes.
//!
//! Groups of [`GROUP`] codes, so that a byte holds codes that lie far apart and neighbours lie in neighbouring bytes: all codes of
//! a byte's place are read with one shift and one mask. With 4 bits that is ggml's order: byte `j` holds the codes `j` (low) and
//! `j + 16`.

use super::GROUP;

/// Packs 32 codes of `bits` (2, 4 or 8) into `32 * bits / 8` bytes.
pub fn pack(bits: u8, codes: &[u8; GROUP], bytes: &mut [u8]) {
    bytes.fill(0);
    let n_bytes = bytes.len();
    for (i, code) in codes.iter().enumerate() {
        bytes[i % n_bytes] |= code << (usize::from(bits) * (i / n_bytes));
    }
}

/// What [`pack`] packed.
#[inline]
pub fn unpack(bits: u8, bytes: &[u8]) -> [u8; GROUP] {
    // A number of bits known to the compiler makes these loops a few wide instructions.
    match bits {
        2 => unpack_as::<2>(bytes),
        4 => unpack_as::<4>(bytes),
        _ => unpack_as::<8>(bytes),
    }
}

#[inline]
fn unpack_as<const BITS: usize>(bytes: &[u8]) -> [u8; GROUP] {
    let mut codes = [0; GROUP];
    let mask = u8::MAX >> (8 - BITS);
    let n_bytes = GROUP * BITS / 8;
    for (place, codes) in codes.chunks_exact_mut(n_bytes).enumerate() {
        for (code, byte) in codes.iter_mut().zip(&bytes[..n_bytes]) {
            *code = (byte >> (BITS * place)) & mask;
        }
    }
    codes
}

/// Packs codes of any number of bits up to 8 one behind the other, eight codes in `bits` bytes.
pub fn pack_dense(bits: usize, codes: [u8; 8], bytes: &mut [u8]) {
    let word = codes.iter().rev().fold(0_u64, |word, code| word << bits | u64::from(*code));
    bytes.copy_from_slice(&word.to_le_bytes()[..bits]);
}

/// What [`pack_dense`] packed.
#[inline]
pub fn unpack_dense(bits: usize, bytes: &[u8]) -> [u8; 8] {
    let mut word = [0; 8];
    word[..bits].copy_from_slice(&bytes[..bits]);
    let word = u64::from_le_bytes(word);
    #[expect(clippy::cast_possible_truncation, reason = "masked to a few bits")]
    std::array::from_fn(|i| (word >> (bits * i)) as u8 & (u8::MAX >> (8 - bits)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn unpack_is_the_inverse(codes: [u8; GROUP], bits in prop::sample::select(vec![2_u8, 4, 8])) {
            let codes = codes.map(|code| code & (u8::MAX >> (8 - bits)));
            let mut bytes = vec![0xaa; GROUP * usize::from(bits) / 8];
            pack(bits, &codes, &mut bytes);
            prop_assert_eq!(unpack(bits, &bytes), codes);
        }

        #[test]
        fn unpack_dense_is_the_inverse(codes: [u8; 8], bits in 1_usize..=8) {
            let codes = codes.map(|code| code & (u8::MAX >> (8 - bits)));
            let mut bytes = vec![0xaa; bits];
            pack_dense(bits, codes, &mut bytes);
            prop_assert_eq!(unpack_dense(bits, &bytes), codes);
        }
    }
}
