//! BER to DER: what signing tools on macOS write has indefinite lengths (X.690 §8.1.3.6) and
//! strings in pieces (§8.7.3), the reader in [`asn1`](crate::asn1) takes neither.
//!
//! One pass finds the elements, one writes them. The work and the memory are linear in the
//! input, nesting and number of elements are bounded, and there is no recursion. What is DER
//! already comes out as it went in.

use crate::asn1::{OCTET_STRING, SEQUENCE, SET};

/// Open elements around an element. A signature with a timestamp in it needs about 25.
const MAX_DEPTH: usize = 64;
/// Elements of one blob. A signature with five certificates has about 600.
const MAX_ELEMENTS: usize = 50_000;
/// An OCTET STRING in pieces.
const PIECES: u8 = OCTET_STRING | 0x20;

/// Why a blob cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// What is wrong, at which byte.
    pub(super) what: String,
    /// Not wrong, but nothing that is read here.
    pub(super) unsupported: bool,
}

struct Element<'a> {
    tag: u8,
    /// Content of the element in the result.
    len: usize,
    /// The content, for elements without elements in them.
    content: &'a [u8],
    /// A piece of a string: its header is not written.
    piece: bool,
}

struct Open {
    /// Index of the element.
    element: usize,
    /// Where its content ends; `None`: at the two zero bytes.
    end: Option<usize>,
    /// No byte of it can be at or after this one.
    limit: usize,
}

/// The first element of `blob` in DER, and how many bytes of `blob` it took.
pub(super) fn to_der(blob: &[u8]) -> Result<(Vec<u8>, usize), Broken> {
    let mut elements: Vec<Element<'_>> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0usize;
    loop {
        let closes = match open.last() {
            None if !elements.is_empty() => break,
            None => None,
            Some(o) => match o.end {
                Some(end) => (at == end).then_some(0),
                None => blob.get(at..o.limit).is_some_and(|b| b.starts_with(&[0, 0])).then_some(2),
            },
        };
        if let Some(zeros) = closes {
            at = at.saturating_add(zeros);
            close(&mut elements, &mut open);
            continue;
        }
        let limit = open.last().map_or(blob.len(), |o| o.limit);
        let header = header(blob, at, limit)?;
        let parent = open.last().and_then(|o| elements.get(o.element));
        let piece = parent.is_some_and(|p| p.tag == PIECES);
        if piece && !matches!(header.tag, OCTET_STRING | PIECES) {
            return Err(broken(at, "a string in pieces has another element in it"));
        }
        if elements.len() >= MAX_ELEMENTS {
            return Err(unsupported(at, &format!("there are more than {MAX_ELEMENTS} elements")));
        }
        if header.tag & 0x20 == 0 {
            let end = header.end.unwrap_or(limit);
            let content = blob.get(header.content..end).unwrap_or_default();
            elements.push(Element { tag: header.tag, len: content.len(), content, piece });
            grow(&mut elements, &open, content.len(), piece);
            at = end;
            continue;
        }
        if open.len() >= MAX_DEPTH {
            return Err(unsupported(at, &format!("elements are nested deeper than {MAX_DEPTH}")));
        }
        let limit = header.end.unwrap_or(limit);
        open.push(Open { element: elements.len(), end: header.end, limit });
        elements.push(Element { tag: header.tag, len: 0, content: &[], piece });
        at = header.content;
    }
    let mut out = Vec::with_capacity(blob.len());
    for e in elements.iter().filter(|e| !e.piece || e.tag == OCTET_STRING) {
        if !e.piece {
            out.push(if e.tag == PIECES { OCTET_STRING } else { e.tag });
            let (digits, bytes) = length(e.len);
            out.extend_from_slice(bytes.get(..digits).unwrap_or_default());
        }
        out.extend_from_slice(e.content);
    }
    Ok((out, at))
}

/// The innermost open element ends.
fn close(elements: &mut [Element<'_>], open: &mut Vec<Open>) {
    let Some(o) = open.pop() else { return };
    let Some((len, piece)) = elements.get(o.element).map(|e| (e.len, e.piece)) else { return };
    grow(elements, open, len, piece);
}

/// An element of `len` content bytes was added to the innermost open one.
fn grow(elements: &mut [Element<'_>], open: &[Open], len: usize, piece: bool) {
    let header = if piece { 0 } else { length(len).0.saturating_add(1) };
    if let Some(parent) = open.last().and_then(|o| elements.get_mut(o.element)) {
        parent.len = parent.len.saturating_add(header).saturating_add(len);
    }
}

/// A length in DER: so many of these bytes.
fn length(len: usize) -> (usize, [u8; 5]) {
    let [.., a, b, c, d] = u64::try_from(len).unwrap_or(u64::MAX).to_be_bytes();
    match len {
        0..=0x7f => (1, [d, 0, 0, 0, 0]),
        0x80..=0xff => (2, [0x81, d, 0, 0, 0]),
        0x100..=0xffff => (3, [0x82, c, d, 0, 0]),
        0x1_0000..=0xff_ffff => (4, [0x83, b, c, d, 0]),
        _ => (5, [0x84, a, b, c, d]),
    }
}

struct Header {
    tag: u8,
    /// Where the content begins.
    content: usize,
    /// Where it ends; `None`: it says itself.
    end: Option<usize>,
}

fn header(blob: &[u8], at: usize, limit: usize) -> Result<Header, Broken> {
    let bytes = blob.get(at..limit).unwrap_or_default();
    let cut = || broken(at, "it ends in the middle of an element");
    let (&tag, rest) = bytes.split_first().ok_or_else(cut)?;
    let (&first, rest) = rest.split_first().ok_or_else(cut)?;
    if tag == 0 {
        return Err(broken(at, "there is an end where nothing was open"));
    }
    if tag & 0x1f == 0x1f {
        return Err(unsupported(at, "an element has a tag of more than one byte"));
    }
    // Of the universal types only these three have elements in them here.
    if tag & 0xe0 == 0x20 && !matches!(tag, SEQUENCE | SET | PIECES) {
        return Err(unsupported(at, "a value is in pieces that is no OCTET STRING"));
    }
    let content = at.saturating_add(2);
    if first == 0x80 {
        if tag & 0x20 == 0 {
            return Err(broken(at, "a value has no length"));
        }
        return Ok(Header { tag, content, end: None });
    }
    let (content, len) = if first < 0x80 {
        (content, u64::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        if count > 4 {
            return Err(broken(at, "the length of an element has more than four bytes"));
        }
        let digits = rest.get(..count).ok_or_else(cut)?;
        let len = digits.iter().fold(0u64, |n, d| (n << 8) | u64::from(*d));
        (content.saturating_add(count), len)
    };
    let end = usize::try_from(len).ok().and_then(|len| content.checked_add(len));
    match end.filter(|end| *end <= limit) {
        Some(end) => Ok(Header { tag, content, end: Some(end) }),
        None => Err(broken(at, &format!("an element of {len} bytes goes beyond what it is in"))),
    }
}

fn broken(at: usize, what: &str) -> Broken {
    Broken { what: format!("{what} (byte {at})"), unsupported: false }
}

fn unsupported(at: usize, what: &str) -> Broken {
    Broken { unsupported: true, ..broken(at, what) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_stays_as_it_is() {
        for der in [&[0x30, 0][..], &[4, 1, 9], &[0x30, 5, 4, 1, 7, 5, 0], &[0xa0, 3, 2, 1, 0]] {
            assert_eq!(to_der(der).unwrap(), (der.to_vec(), der.len()));
        }
        let long = crate::asn1::tlv(SEQUENCE, &crate::asn1::tlv(4, &vec![7; 70_000]));
        assert_eq!(to_der(&long).unwrap(), (long.clone(), long.len()));
    }

    /// Expected values by hand from X.690 §8.1.3.6, §8.7.3 and §10.1.
    #[test]
    fn indefinite_lengths_and_pieces_become_der() {
        let cases: [(&[u8], &[u8]); 6] = [
            (&[0x30, 0x80, 0, 0], &[0x30, 0]),
            (&[0x30, 0x80, 2, 1, 5, 0xa0, 0x80, 0, 0, 0, 0], &[0x30, 5, 2, 1, 5, 0xa0, 0]),
            (&[0x24, 0x80, 4, 1, 1, 4, 2, 2, 3, 0, 0], &[4, 3, 1, 2, 3]),
            (&[0x24, 8, 0x24, 3, 4, 1, 1, 4, 1, 2], &[4, 2, 1, 2]),
            (&[0x24, 0x80, 0x24, 0x80, 4, 1, 9, 0, 0, 0, 0], &[4, 1, 9]),
            (&[0x30, 0x83, 0, 0, 4, 4, 0x81, 1, 8], &[0x30, 3, 4, 1, 8]),
        ];
        for (ber, der) in cases {
            let mut padded = ber.to_vec();
            padded.extend([0; 9]);
            let Ok((got, used)) = to_der(&padded) else { panic!("{ber:02x?}") };
            assert_eq!((got.as_slice(), used), (der, ber.len()), "{ber:02x?}");
        }
    }

    #[test]
    fn i04_broken_blobs_are_named() {
        let cases: [(&[u8], &str, bool); 13] = [
            (&[], "ends in the middle", false),
            (&[0x30], "ends in the middle", false),
            (&[0, 0], "nothing was open", false),
            (&[0x30, 2, 0, 0], "nothing was open", false),
            (&[0x30, 0x80, 0, 1], "nothing was open", false),
            (&[0x30, 0x80, 2, 1, 5], "ends in the middle", false),
            (&[4, 0x80, 0, 0], "no length", false),
            (&[4, 3, 1], "beyond what it is in", false),
            (&[0x30, 3, 4, 2, 1, 1], "beyond what it is in", false),
            (&[4, 0x85, 0, 0, 0, 0, 1, 1], "more than four", false),
            (&[0x24, 3, 2, 1, 1], "another element", false),
            (&[0x1f, 1, 0], "more than one byte", true),
            (&[0x23, 0], "no OCTET STRING", true),
        ];
        for (blob, words, only_unsupported) in cases {
            let e = to_der(blob).unwrap_err();
            assert!(e.what.contains(words), "{blob:02x?}: {}", e.what);
            assert_eq!(e.unsupported, only_unsupported, "{blob:02x?}");
        }
    }

    /// An element that ends with its parent's end must not be looked for behind it.
    #[test]
    fn i04_an_indefinite_length_ends_inside_its_parent() {
        assert!(to_der(&[0x30, 2, 0x30, 0x80, 0, 0]).is_err());
        assert!(to_der(&[0x30, 4, 0x30, 0x80, 0, 0]).is_ok());
    }

    #[test]
    fn i04_bombs_are_cheap() {
        let start = std::time::Instant::now();
        for unit in [&[0x30, 0x80][..], &[0x24, 0x80], &[0xa0, 0x80], &[0x31, 0x84, 0, 0, 0xff, 0]]
        {
            let e = to_der(&unit.repeat(500_000)).unwrap_err();
            assert!(e.what.contains("nested deeper") || e.what.contains("beyond"), "{}", e.what);
        }
        let mut flat = vec![0x30, 0x80];
        flat.extend([5, 0].repeat(500_000));
        assert!(to_der(&flat).unwrap_err().what.contains("50000 elements"));
        assert!(start.elapsed().as_secs() < 5);
    }
}
