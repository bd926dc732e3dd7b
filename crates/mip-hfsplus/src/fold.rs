//! The case folding of HFS+ (TN1150, "Case-Insensitive String Comparison Algorithm"): a fixed
//! table of single 16-bit units from the time of Unicode 3, not the folding of today's Unicode.
//! Characters that HFS+ stores decomposed are not in it.

/// Ranges `first..=last` that fold by adding a constant.
const SHIFTS: &[(u16, u16, u16)] = &[
    (0x0041, 0x005A, 0x20),
    (0x0391, 0x03A1, 0x20),
    (0x03A3, 0x03A9, 0x20),
    (0x0410, 0x0418, 0x20),
    (0x041A, 0x042F, 0x20),
    (0x0531, 0x0556, 0x30),
    (0x10A0, 0x10C5, 0x30),
    (0x2160, 0x216F, 0x10),
    (0xFF21, 0xFF3A, 0x20),
];

/// Ranges in which every even unit folds to the next.
const PAIRS: &[(u16, u16)] = &[(0x03E2, 0x03EE), (0x0460, 0x0480), (0x0490, 0x04BE)];

/// Single units, by the first.
const SINGLES: &[(u16, u16)] = &[
    (0x00C6, 0x00E6),
    (0x00D0, 0x00F0),
    (0x00D8, 0x00F8),
    (0x00DE, 0x00FE),
    (0x0110, 0x0111),
    (0x0126, 0x0127),
    (0x0132, 0x0133),
    (0x013F, 0x0140),
    (0x0141, 0x0142),
    (0x014A, 0x014B),
    (0x0152, 0x0153),
    (0x0166, 0x0167),
    (0x0181, 0x0253),
    (0x0182, 0x0183),
    (0x0184, 0x0185),
    (0x0186, 0x0254),
    (0x0187, 0x0188),
    (0x0189, 0x0256),
    (0x018A, 0x0257),
    (0x018B, 0x018C),
    (0x018E, 0x01DD),
    (0x018F, 0x0259),
    (0x0190, 0x025B),
    (0x0191, 0x0192),
    (0x0193, 0x0260),
    (0x0194, 0x0263),
    (0x0196, 0x0269),
    (0x0197, 0x0268),
    (0x0198, 0x0199),
    (0x019C, 0x026F),
    (0x019D, 0x0272),
    (0x019F, 0x0275),
    (0x01A2, 0x01A3),
    (0x01A4, 0x01A5),
    (0x01A7, 0x01A8),
    (0x01A9, 0x0283),
    (0x01AC, 0x01AD),
    (0x01AE, 0x0288),
    (0x01B1, 0x028A),
    (0x01B2, 0x028B),
    (0x01B3, 0x01B4),
    (0x01B5, 0x01B6),
    (0x01B7, 0x0292),
    (0x01B8, 0x01B9),
    (0x01BC, 0x01BD),
    (0x01C4, 0x01C6),
    (0x01C5, 0x01C6),
    (0x01C7, 0x01C9),
    (0x01C8, 0x01C9),
    (0x01CA, 0x01CC),
    (0x01CB, 0x01CC),
    (0x01E4, 0x01E5),
    (0x01F1, 0x01F3),
    (0x01F2, 0x01F3),
    (0x0402, 0x0452),
    (0x0404, 0x0454),
    (0x0405, 0x0455),
    (0x0406, 0x0456),
    (0x0408, 0x0458),
    (0x0409, 0x0459),
    (0x040A, 0x045A),
    (0x040B, 0x045B),
    (0x040F, 0x045F),
    (0x04C3, 0x04C4),
    (0x04C7, 0x04C8),
    (0x04CB, 0x04CC),
];

/// What a unit counts as in a comparison; `None` when it is ignored.
pub(crate) fn fold(u: u16) -> Option<u16> {
    match u {
        // NUL sorts after everything.
        0 => Some(0xFFFF),
        0x200C..=0x200F | 0x202A..=0x202E | 0x206A..=0x206F | 0xFEFF => None,
        0x01..=0x40 | 0x5B..=0xC5 => Some(u),
        _ => {
            for (first, last, by) in SHIFTS {
                if (*first..=*last).contains(&u) {
                    return Some(u.wrapping_add(*by));
                }
            }
            for (first, last) in PAIRS {
                // U+0476 is stored decomposed.
                if (*first..=*last).contains(&u) && u != 0x0476 {
                    return Some(u | 1);
                }
            }
            let single = SINGLES.binary_search_by_key(&u, |(from, _)| *from).ok();
            Some(single.and_then(|i| SINGLES.get(i)).map_or(u, |(_, to)| *to))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_order() {
        assert!(SINGLES.is_sorted_by(|a, b| a.0 < b.0));
    }

    /// The testkit has a table of its own, written apart from this one.
    #[test]
    fn every_unit_folds_as_the_testkit_has_it() {
        for u in 0..=u16::MAX {
            assert_eq!(fold(u).unwrap_or(0), mip_testkit::hfs::fold(u), "{u:04x}");
        }
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for u in 1..=u16::MAX {
            if let Some(to) = fold(u) {
                assert_eq!(fold(to), Some(to), "{u:04x}");
            }
        }
    }
}
