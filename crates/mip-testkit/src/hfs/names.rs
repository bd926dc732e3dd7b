//! Names on disk: decomposed UTF-16, and the order in which the catalog keeps them.

use std::cmp::Ordering;

use unicode_normalization::UnicodeNormalization as _;

/// A name as HFS+ stores it: decomposed, `:` of POSIX written as `/`.
///
/// TN1150, "Canonical Decomposition": code points U+2000–U+2FFF, U+F900–U+FAFF and
/// U+2F800–U+2FAFF stay as they are.
#[must_use]
pub fn stored(name: &str) -> Vec<u16> {
    let mut out = String::new();
    for c in name.chars() {
        match c {
            ':' => out.push('/'),
            '\u{2000}'..='\u{2fff}' | '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2faff}' => {
                out.push(c);
            }
            _ => out.extend(std::iter::once(c).nfd()),
        }
    }
    // Marks in canonical order; what was exempt above has no decomposed neighbours to sort with.
    if out.chars().all(|c| !matches!(c, '\u{2000}'..='\u{2fff}' | '\u{f900}'..='\u{faff}')) {
        out = out.nfd().collect();
    }
    out.encode_utf16().collect()
}

/// One UTF-16 unit folded as TN1150's table has it; 0 is left out of comparisons.
#[must_use]
pub fn fold(unit: u16) -> u16 {
    /// Single units and what they fold to, in the Latin and Cyrillic ranges without a rule.
    const ODD: [(u16, u16); 38] = [
        (0x00c6, 0x00e6),
        (0x00d0, 0x00f0),
        (0x00d8, 0x00f8),
        (0x00de, 0x00fe),
        (0x0181, 0x0253),
        (0x0186, 0x0254),
        (0x0187, 0x0188),
        (0x0189, 0x0256),
        (0x018a, 0x0257),
        (0x018b, 0x018c),
        (0x018e, 0x01dd),
        (0x018f, 0x0259),
        (0x0190, 0x025b),
        (0x0191, 0x0192),
        (0x0193, 0x0260),
        (0x0194, 0x0263),
        (0x0196, 0x0269),
        (0x0197, 0x0268),
        (0x019c, 0x026f),
        (0x019d, 0x0272),
        (0x019f, 0x0275),
        (0x01a7, 0x01a8),
        (0x01a9, 0x0283),
        (0x01ae, 0x0288),
        (0x01b1, 0x028a),
        (0x01b2, 0x028b),
        (0x01b7, 0x0292),
        (0x01c4, 0x01c6),
        (0x01c5, 0x01c6),
        (0x01c7, 0x01c9),
        (0x01c8, 0x01c9),
        (0x01ca, 0x01cc),
        (0x01cb, 0x01cc),
        (0x01f1, 0x01f3),
        (0x01f2, 0x01f3),
        (0x0402, 0x0452),
        (0x040f, 0x045f),
        (0x0000, 0xffff),
    ];
    /// Units that fold to the next one.
    const NEXT: [u16; 22] = [
        0x0110, 0x0126, 0x0132, 0x013f, 0x0141, 0x014a, 0x0152, 0x0166, 0x0182, 0x0184, 0x0198,
        0x01a2, 0x01a4, 0x01ac, 0x01b3, 0x01b5, 0x01b8, 0x01bc, 0x01e4, 0x04c3, 0x04c7, 0x04cb,
    ];
    if let Some((_, to)) = ODD.iter().find(|(from, _)| *from == unit) {
        return *to;
    }
    match unit {
        0x0041..=0x005a | 0x0391..=0x03a1 | 0x03a3..=0x03a9 | 0xff21..=0xff3a => unit + 0x20,
        // Й has a canonical decomposition, so it cannot be in a name.
        0x0410..=0x0418 | 0x041a..=0x042f => unit + 0x20,
        0x0404..=0x0406 | 0x0408..=0x040b => unit + 0x50,
        0x03e2..=0x03ee | 0x0460..=0x0480 | 0x0490..=0x04be
            if unit.is_multiple_of(2) && unit != 0x0476 =>
        {
            unit + 1
        }
        0x0531..=0x0556 | 0x10a0..=0x10c5 => unit + 0x30,
        0x2160..=0x216f => unit + 0x10,
        0x200c..=0x200f | 0x202a..=0x202e | 0x206a..=0x206f | 0xfeff => 0,
        _ if NEXT.contains(&unit) => unit + 1,
        _ => unit,
    }
}

/// Compares two names as the catalog does: folded, or unit by unit on a case-sensitive volume.
#[must_use]
pub fn compare(a: &[u16], b: &[u16], case_sensitive: bool) -> Ordering {
    if case_sensitive {
        return a.cmp(b);
    }
    let folded = |s: &[u16]| s.iter().map(|&u| fold(u)).filter(|&u| u != 0).collect::<Vec<_>>();
    folded(a).cmp(&folded(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decomposed_except_where_the_format_says() {
        assert_eq!(stored("é"), [0x65, 0x301]);
        assert_eq!(stored("\u{212b}"), [0x212b]); // Å as the Ångström sign
        assert_eq!(stored("a:b"), [0x61, 0x2f, 0x62]);
        assert_eq!(stored("한"), [0x1112, 0x1161, 0x11ab]);
        assert_eq!(stored("😀"), [0xd83d, 0xde00]);
    }

    #[test]
    fn order_is_that_of_the_technical_note() {
        let order = |a: &str, b: &str| compare(&stored(a), &stored(b), false);
        assert_eq!(order("ABC", "abc"), Ordering::Equal);
        assert_eq!(order("a\u{200c}b", "AB"), Ordering::Equal);
        assert_eq!(order("\0x", "zzz"), Ordering::Greater); // NUL sorts last
        assert_eq!(order("a_b", "aZb"), Ordering::Less); // '_' (5F) before 'z' (7A)
        assert_eq!(compare(&stored("a_b"), &stored("aZb"), true), Ordering::Greater);
        assert_eq!(order("Ж", "ж"), Ordering::Equal);
        assert_eq!(order("ß", "ss"), Ordering::Greater);
        assert_eq!(order("Ǆ", "ǅ"), Ordering::Equal);
        assert_eq!(order("\u{476}", "\u{477}"), Ordering::Equal); // decomposed: Ѵ and ѵ with a mark
        assert_eq!(fold(0x476), 0x476);
        assert_eq!(fold(0x2168), 0x2178);
        assert_eq!(fold(0x24b6), 0x24b6); // circled letters are not folded
    }
}
