//! Names: which are the same, and the hash that folder entries are sorted by.

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;

/// How a volume compares names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `A` and `a` are the same.
    pub(crate) fold_case: bool,
    /// Composed and decomposed letters are the same.
    pub(crate) normalize: bool,
}

impl Rules {
    /// Whether folder entries have a hash before their name.
    pub(crate) fn hashed(self) -> bool {
        self.fold_case || self.normalize
    }

    /// The form that is hashed and compared: canonical decomposition, then full case folding
    /// where the volume ignores case.
    pub(crate) fn key(self, name: &str) -> Vec<char> {
        if !self.hashed() {
            return name.chars().collect();
        }
        // What most names are: nothing to decompose, and one case to fold.
        if name.is_ascii() {
            let fold = |c: char| if self.fold_case { c.to_ascii_lowercase() } else { c };
            return name.chars().map(fold).collect();
        }
        let plain = name.chars().nfd();
        if self.fold_case { plain.default_case_fold().nfd().collect() } else { plain.collect() }
    }

    /// Whether two names are the same on the volume.
    pub(crate) fn same(self, a: &str, b: &[char]) -> bool {
        self.key(a) == b
    }
}

/// Remainders of the reflected Castagnoli polynomial for each byte.
const CRC: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut out = [0; 256];
    let mut rest: &mut [u32] = &mut out;
    let mut byte = 0_u32;
    while let Some((first, others)) = rest.split_first_mut() {
        let mut crc = byte;
        let mut bit = 0_u32;
        while bit < 8 {
            let mask = 0_u32.wrapping_sub(crc & 1);
            crc = crc.wrapping_shr(1) ^ (0x82f6_3b78 & mask);
            bit = bit.wrapping_add(1);
        }
        *first = crc;
        rest = others;
        byte = byte.wrapping_add(1);
    }
    out
}

/// The 22-bit hash of a name: CRC-32C without the final inversion over the letters as
/// little-endian 32-bit numbers.
pub(crate) fn hash(key: &[char]) -> u32 {
    let mut crc = u32::MAX;
    for c in key {
        for byte in u32::from(*c).to_le_bytes() {
            let [low, ..] = crc.to_le_bytes();
            let step = CRC.get(usize::from(low ^ byte)).copied().unwrap_or(0);
            crc = crc.wrapping_shr(8) ^ step;
        }
    }
    crc & 0x003f_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLD: Rules = Rules { fold_case: true, normalize: false };
    const EXACT: Rules = Rules { fold_case: false, normalize: true };

    #[test]
    fn letters_that_are_the_same() {
        let same = |r: Rules, a: &str, b: &str| r.same(a, &r.key(b));
        assert!(same(FOLD, "README", "readme"));
        assert!(same(FOLD, "stra\u{df}e", "STRASSE"));
        assert!(same(FOLD, "caf\u{e9}", "CAFE\u{301}"));
        assert!(!same(EXACT, "README", "readme"));
        assert!(same(EXACT, "caf\u{e9}", "cafe\u{301}"));
        let plain = Rules { fold_case: false, normalize: false };
        assert!(!same(plain, "caf\u{e9}", "cafe\u{301}"));
    }

    #[test]
    fn the_hash_is_that_of_real_volumes() {
        // `name_len_and_hash` of the two folders that `mkapfs` writes into an empty volume.
        assert_eq!(hash(&FOLD.key("root")), 0xb671_e405 >> 10);
        assert_eq!(hash(&FOLD.key("Private-Dir")), 0xaca6_8c0c >> 10);
        assert_ne!(hash(&EXACT.key("Private-Dir")), 0xaca6_8c0c >> 10);
    }
}
