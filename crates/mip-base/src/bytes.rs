//! Fixed-width fields out of a byte slice, by offset, without a panic, and two small
//! conversions that every crate needs.
//!
//! A function that takes an offset returns `None` when the field does not lie inside `b`.

use std::fmt::Write as _;

fn array<const N: usize>(b: &[u8], at: usize) -> Option<[u8; N]> {
    b.get(at..)?.first_chunk::<N>().copied()
}

macro_rules! fields {
    ($($be:ident $le:ident $t:ty;)*) => {$(
        /// Big-endian field at byte `at`.
        #[must_use]
        pub fn $be(b: &[u8], at: usize) -> Option<$t> { array(b, at).map(<$t>::from_be_bytes) }
        /// Little-endian field at byte `at`.
        #[must_use]
        pub fn $le(b: &[u8], at: usize) -> Option<$t> { array(b, at).map(<$t>::from_le_bytes) }
    )*};
}

fields! {
    be_u16 le_u16 u16;
    be_u32 le_u32 u32;
    be_u64 le_u64 u64;
}

/// `len` bytes at `at`.
#[must_use]
pub fn slice(b: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    b.get(at..at.checked_add(len)?)
}

/// A length in memory as the type of positions and limits. Lossless on every platform that
/// Rust has; saturates on one that it may get.
#[must_use]
pub fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Lower-case hexadecimal, two digits a byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    for b in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
    }
    out
}

/// The bytes that hexadecimal digits of either case stand for, two a byte.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    pairs.iter().map(|[h, l]| Some(digit(*h)?.wrapping_shl(4) | digit(*l)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unhex_takes_digits_only() {
        assert_eq!(unhex("0001aBFf"), Some(vec![0, 1, 0xab, 0xff]));
        assert_eq!(unhex(""), Some(Vec::new()));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("0x"), None);
        assert_eq!(unhex("+1"), None);
    }

    #[test]
    fn hex_keeps_leading_zeros() {
        assert_eq!(hex(&[0, 1, 0xab, 0xff]), "0001abff");
        assert_eq!(hex(&[]), "");
    }

    #[test]
    fn fields_stay_inside() {
        let b = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(be_u16(&b, 0), Some(0x0102));
        assert_eq!(le_u32(&b, 1), Some(0x0504_0302));
        assert_eq!(be_u64(&b, 1), Some(0x0203_0405_0607_0809));
        assert_eq!(be_u64(&b, 2), None);
        assert_eq!(be_u16(&b, usize::MAX), None);
        assert_eq!(slice(&b, 8, 1), Some(&b[8..]));
        assert_eq!(slice(&b, 8, usize::MAX), None);
    }
}
