//! Names: UTF-16 as stored, text as POSIX shows it, and the two orders of names (TN1150,
//! "Unicode Subtleties" and "Case-Insensitive String Comparison Algorithm").

use std::cmp::Ordering;

use mip_base::bytes::be_u16;
use mip_base::{Code, Error, Result, escape};
use unicode_normalization::UnicodeNormalization;

use crate::fold::fold;

/// Big-endian UTF-16 units.
pub(crate) fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|c| be_u16(c, 0).unwrap_or(0)).collect()
}

/// A stored name as POSIX shows it: `/` is `:`, and a NUL is U+2400 as macOS has it.
pub(crate) fn shown(name: &[u16]) -> Result<String> {
    let bad = |why: &str| {
        let text = escape(&String::from_utf16_lossy(name));
        Error::new(Code::HfsRecord, format!("the name \"{text}\" {why}"))
    };
    let mut out = String::with_capacity(name.len());
    for c in char::decode_utf16(name.iter().copied()) {
        match c {
            Ok('/') => out.push(':'),
            Ok('\0') => out.push('\u{2400}'),
            Ok(c) => out.push(c),
            Err(_) => return Err(bad("has an unpaired surrogate")),
        }
    }
    if out.is_empty() || out == "." || out == ".." {
        return Err(bad("cannot be the name of an entry"));
    }
    Ok(out)
}

/// A name as POSIX spells it in the form that HFS+ stores: `:` is `/`, decomposed.
pub(crate) fn stored(name: &str) -> Vec<u16> {
    let mut out = Vec::with_capacity(name.len());
    let mut buf = [0_u16; 2];
    for c in name.chars() {
        match c {
            ':' => out.push(u16::from(b'/')),
            // HFS+ leaves these ranges as they are; XNU decomposes nothing beyond 16 bits.
            '\u{2000}'..='\u{2FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{10000}'.. => {
                out.extend_from_slice(c.encode_utf16(&mut buf));
            }
            c => {
                for d in std::iter::once(c).nfd() {
                    out.extend_from_slice(d.encode_utf16(&mut buf));
                }
            }
        }
    }
    out
}

/// A name as POSIX spells it, not decomposed: what a volume holds that another system wrote.
pub(crate) fn as_spelled(name: &str) -> Vec<u16> {
    name.encode_utf16().map(|u| if u == u16::from(b':') { u16::from(b'/') } else { u }).collect()
}

/// What counts in `name` from unit `from` on.
fn folded(name: &[u16], from: usize) -> impl Iterator<Item = u16> {
    name.iter().skip(from).filter_map(|u| fold(*u))
}

/// How the names of a volume are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameOrder {
    /// By 16-bit unit (HFSX, `kHFSBinaryCompare`).
    Binary,
    /// `FastUnicodeCompare`: case folded, ignorable units left out.
    Folded,
}

impl NameOrder {
    /// `a` against `b`.
    pub(crate) fn compare(self, a: &[u16], b: &[u16]) -> Ordering {
        match self {
            Self::Binary => a.cmp(b),
            Self::Folded => {
                // Units that are the same fold the same: start at the first that differ.
                let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
                folded(a, same).cmp(folded(b, same))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stored_as_the_testkit_stores_them() {
        for name in ["plain", "Träger", "a:b", "한글", "\u{212b}ngström", "\u{f900}", "😀", "¾ µ ﬁ"]
        {
            assert_eq!(stored(name), mip_testkit::hfs::stored(name), "{name}");
        }
    }

    #[test]
    fn nothing_beyond_16_bits_is_decomposed() {
        assert_eq!(stored("é\u{2fa1d}"), [0x65, 0x301, 0xD87E, 0xDE1D]);
    }

    #[test]
    fn shown_names_are_those_of_posix() {
        let shown_of = |s: &str| shown(&s.encode_utf16().collect::<Vec<_>>());
        assert_eq!(shown_of("a/b\0").unwrap(), "a:b\u{2400}");
        assert_eq!(shown_of("A\u{30a}").unwrap(), "A\u{30a}");
        for bad in ["", ".", ".."] {
            assert_eq!(shown_of(bad).unwrap_err().code(), Code::HfsRecord);
        }
        assert_eq!(shown(&[0x61, 0xD800]).unwrap_err().code(), Code::HfsRecord);
    }

    #[test]
    fn the_order_is_total_over_what_counts() {
        let units = |s: &str| s.encode_utf16().collect::<Vec<_>>();
        let order = |a: &str, b: &str| NameOrder::Folded.compare(&units(a), &units(b));
        assert_eq!(order("ABC", "abc"), Ordering::Equal);
        assert_eq!(order("a\u{200c}b", "AB"), Ordering::Equal);
        assert_eq!(order("ab", "a"), Ordering::Greater);
        assert_eq!(order("a_b", "aZb"), Ordering::Less);
        assert_eq!(order("\0x", "zz"), Ordering::Greater);
        assert_eq!(NameOrder::Binary.compare(&units("a_b"), &units("aZb")), Ordering::Greater);
    }
}
