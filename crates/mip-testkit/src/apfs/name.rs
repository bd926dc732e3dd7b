//! Names: the hash of a directory record's key, and the order of names.

/// How a volume compares names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Byte for byte; keys of directory records without hash.
    Exact,
    /// "é" is "e" and "´"; case counts.
    NormalizationInsensitive,
    /// Neither normalization nor case counts: what macOS makes by default.
    CaseInsensitive,
}

/// Canonical decompositions of Latin letters: accents by combining mark, letters bare and composed.
/// Other characters are taken as they are.
const DECOMPOSED: &[(char, &str, &str)] = &[
    ('\u{300}', "AEIOUaeiou", "ÀÈÌÒÙàèìòù"),
    ('\u{301}', "AEIOUYaeiouy", "ÁÉÍÓÚÝáéíóúý"),
    ('\u{302}', "AEIOUaeiou", "ÂÊÎÔÛâêîôû"),
    ('\u{303}', "ANOano", "ÃÑÕãñõ"),
    ('\u{308}', "AEIOUaeiouy", "ÄËÏÖÜäëïöüÿ"),
    ('\u{30A}', "AAa", "Å\u{212B}å"),
    ('\u{327}', "Cc", "Çç"),
];

fn decompose(c: char, out: &mut Vec<char>) {
    for (mark, bare, composed) in DECOMPOSED {
        if let Some((letter, _)) = bare.chars().zip(composed.chars()).find(|(_, from)| *from == c) {
            out.extend([letter, *mark]);
            return;
        }
    }
    // Hangul syllables, by the arithmetic of the Unicode Standard, section 3.12.
    let code = u32::from(c);
    if (0xAC00..0xAC00 + 11_172).contains(&code) {
        let s = code - 0xAC00;
        let parts = [0x1100 + s / 588, 0x1161 + s % 588 / 28, 0x11A7 + s % 28];
        let parts = parts.into_iter().take(if s % 28 == 0 { 2 } else { 3 });
        out.extend(parts.filter_map(char::from_u32));
        return;
    }
    out.push(c);
}

/// The name as it is hashed: decomposed, and folded where case does not count.
pub(super) fn folded(name: &str, names: Names) -> Vec<char> {
    let mut out = Vec::new();
    for c in name.chars() {
        decompose(c, &mut out);
    }
    if names == Names::CaseInsensitive {
        let mut lower = Vec::new();
        for c in out {
            match c {
                'ß' | 'ẞ' => lower.extend(['s', 's']),
                'ς' => lower.push('σ'),
                _ => lower.extend(c.to_lowercase()),
            }
        }
        out = lower;
    }
    out
}

/// `name_len_and_hash`: the length with the NUL in the low 10 bits, above it 22 bits of the
/// complemented CRC-32C of the folded name as UTF-32.
pub(super) fn length_and_hash(name: &str, names: Names) -> u32 {
    let mut crc = u32::MAX;
    for c in folded(name, names) {
        for byte in u32::from(c).to_le_bytes() {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            }
        }
    }
    let length = u32::try_from(name.len() + 1).expect("a name");
    assert!(length <= 0x3FF, "a name of {length} bytes does not fit");
    ((crc & 0x3F_FFFF) << 10) | length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_the_one_in_a_container_of_mkapfs() {
        // From the directory records that `mkapfs` 0.1 writes.
        assert_eq!(length_and_hash("private-dir", Names::CaseInsensitive), 0xACA6_8C0C);
        assert_eq!(length_and_hash("root", Names::CaseInsensitive), 0xB671_E405);
    }

    #[test]
    fn forms_of_a_name_fold_to_one() {
        let of = |n: &str| folded(n, Names::CaseInsensitive);
        assert_eq!(of("ÅÉ\u{212B}"), of("a\u{30A}e\u{301}å"));
        assert_eq!(of("가각"), vec!['\u{1100}', '\u{1161}', '\u{1100}', '\u{1161}', '\u{11A8}']);
        assert_ne!(folded("A", Names::NormalizationInsensitive), of("A"));
    }
}
