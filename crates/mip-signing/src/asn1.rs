//! A small, strict DER reader and writer (X.690 §8 and §10).
//!
//! One element at a time, never recursive, no allocation while reading. It takes exactly one
//! spelling of each element: one-byte tags, definite lengths in the fewest bytes.

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag `[n]`, constructed.
pub(crate) const fn context(n: u8) -> u8 {
    0xa0 | n
}

/// The tag `[n]`, primitive.
pub(crate) const fn context_primitive(n: u8) -> u8 {
    0x80 | n
}

/// One element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// The content octets.
    pub(crate) value: &'a [u8],
    /// Tag, length and content.
    pub(crate) raw: &'a [u8],
}

/// Reads elements one after the other. `None` means: not DER, or not what was expected.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever its tag.
    pub(crate) fn any(&mut self) -> Option<Element<'a>> {
        let all = self.rest;
        let (&tag, rest) = all.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let count = usize::from(first & 0x7f);
            // 0x80 is the indefinite length of BER; five bytes would be more than 4 GiB.
            if count == 0 || count > 4 {
                return None;
            }
            let (digits, rest) = rest.split_at_checked(count)?;
            let len = digits.iter().fold(0u64, |n, d| (n << 8) | u64::from(*d));
            if digits.first() == Some(&0) || len < 0x80 {
                return None;
            }
            (usize::try_from(len).ok()?, rest)
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        let raw = all.get(..all.len().checked_sub(rest.len())?)?;
        Some(Element { tag, value, raw })
    }

    /// The next element, which must have `tag`.
    pub(crate) fn element(&mut self, tag: u8) -> Option<Element<'a>> {
        self.any().filter(|e| e.tag == tag)
    }

    /// The content of the next element, which must have `tag`.
    pub(crate) fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element(tag).map(|e| e.value)
    }

    /// A reader over the content of the next element, which must have `tag`.
    pub(crate) fn inside(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.value(tag).map(Reader::new)
    }

    /// The next element when it has `tag`; `Some(None)` when it has another or there is none.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Option<Element<'a>>> {
        if self.peek() == Some(tag) { self.element(tag).map(Some) } else { Some(None) }
    }

    /// A small non-negative INTEGER.
    pub(crate) fn small(&mut self) -> Option<u64> {
        let digits = unsigned(self.value(INTEGER)?)?;
        (digits.len() <= 8).then(|| digits.iter().fold(0, |n, d| (n << 8) | u64::from(*d)))
    }

    /// A BIT STRING of whole bytes.
    pub(crate) fn bytes_of_bits(&mut self) -> Option<&'a [u8]> {
        let (unused, bytes) = self.value(BIT_STRING)?.split_first()?;
        (*unused == 0).then_some(bytes)
    }

    /// `Some` when nothing is left.
    pub(crate) fn end(&self) -> Option<()> {
        self.is_empty().then_some(())
    }
}

/// A reader over the content of `bytes`, which must be exactly one element with `tag`.
pub(crate) fn whole(bytes: &[u8], tag: u8) -> Option<Reader<'_>> {
    let mut r = Reader::new(bytes);
    let inside = r.inside(tag)?;
    r.end()?;
    Some(inside)
}

/// The magnitude of a non-negative INTEGER's content, without a leading zero byte; zero is empty.
pub(crate) fn unsigned(content: &[u8]) -> Option<&[u8]> {
    match content {
        [] => None,
        [0] => Some(&[]),
        [0, next, ..] => (*next >= 0x80).then(|| content.get(1..)).flatten(),
        [first, ..] => (*first < 0x80).then_some(content),
    }
}

/// One element.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut out = Vec::with_capacity(len.saturating_add(6));
    out.push(tag);
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let be = len.to_be_bytes();
            let digits = be.iter().position(|b| *b != 0).and_then(|i| be.get(i..)).unwrap_or(&be);
            // At most eight digits.
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A constructed element around `parts`.
pub(crate) fn node(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag, &parts.concat())
}

/// A SEQUENCE of `parts`.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    node(SEQUENCE, parts)
}

/// A SET OF under `tag`, in DER order (X.690 §11.6).
pub(crate) fn set_of(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    // One element is never the prefix of another, so plain order is DER order.
    let mut parts = parts.to_vec();
    parts.sort_unstable();
    node(tag, &parts)
}

/// A non-negative INTEGER from its big-endian magnitude.
pub(crate) fn integer(magnitude: &[u8]) -> Vec<u8> {
    let start = magnitude.iter().position(|b| *b != 0).unwrap_or(magnitude.len());
    let digits = magnitude.get(start..).unwrap_or_default();
    match digits.first() {
        Some(b) if *b < 0x80 => tlv(INTEGER, digits),
        _ => node(INTEGER, &[&[0], digits]),
    }
}

/// A BIT STRING of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    node(BIT_STRING, &[&[0], bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_spelling() {
        for len in [0usize, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let e = tlv(OCTET_STRING, &vec![7; len]);
            let mut r = Reader::new(&e);
            assert_eq!(r.value(OCTET_STRING).unwrap().len(), len);
            assert!(r.is_empty());
        }
        assert_eq!(tlv(4, &[0; 128])[..3], [4, 0x81, 0x80]);
        // Long form for a short length, leading zero, indefinite, beyond the end, high tag.
        for bad in [
            &[4, 0x81, 1, 0][..],
            &[4, 0x82, 0, 0x80],
            &[0x30, 0x80, 0, 0],
            &[4, 2, 0],
            &[0x1f, 1, 0],
            &[4],
        ] {
            assert!(Reader::new(bad).any().is_none(), "{bad:?}");
        }
        assert!(Reader::new(&[4, 0x84, 0xff, 0xff, 0xff, 0xff, 0]).any().is_none());
        assert!(Reader::new(&[4, 0x85, 1, 0, 0, 0, 0, 0]).any().is_none());
    }

    #[test]
    fn integers_have_one_spelling() {
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(integer(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0]), Some(&[][..]));
        assert_eq!(unsigned(&[0, 0x80]), Some(&[0x80][..]));
        for bad in [&[][..], &[0, 0x7f], &[0x80], &[0, 0]] {
            assert_eq!(unsigned(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sets_are_sorted() {
        assert_eq!(
            set_of(SET, &[&[2, 1, 9], &[2, 1, 1], &[1, 1, 0]]),
            [0x31, 9, 1, 1, 0, 2, 1, 1, 2, 1, 9]
        );
    }
}
