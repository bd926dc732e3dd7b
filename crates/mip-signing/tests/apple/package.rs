//! Just enough of xar to find the signatures of the fixtures; panics on anything else.

use std::io::Read as _;

pub(crate) struct Signature {
    pub(crate) bytes: Vec<u8>,
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// What a signed package is made of.
pub(crate) struct Package {
    pub(crate) toc_style: String,
    pub(crate) toc_digest: Vec<u8>,
    pub(crate) rsa: Option<Signature>,
    pub(crate) cms: Option<Signature>,
    /// A ticket, up to its `t8lr`.
    pub(crate) ticket: Option<Vec<u8>>,
}

pub(crate) fn read(xar: &[u8]) -> Package {
    let header = usize::from(u16::from_be_bytes(xar[4..6].try_into().unwrap()));
    let packed = usize::try_from(u64::from_be_bytes(xar[8..16].try_into().unwrap())).unwrap();
    let heap = &xar[header + packed..];
    let mut toc = String::new();
    let z = flate2::read::ZlibDecoder::new(&xar[header..header + packed]);
    z.take(64 << 20).read_to_string(&mut toc).unwrap();
    let checksum = between(&toc, "<checksum", "</checksum>").unwrap();
    let signature = |open| between(&toc, open, "signature>").map(|xml| signature(xml, heap));
    let ticket =
        xar.windows(4).rposition(|w| w == b"s8ch").map(|start| xar[start..xar.len() - 16].to_vec());
    Package {
        toc_style: between(checksum, "style=\"", "\"").unwrap().to_owned(),
        toc_digest: range(checksum, heap),
        rsa: signature("<signature style=\"RSA\""),
        cms: signature("<x-signature style=\"CMS\""),
        ticket,
    }
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(open)?;
    Some(rest.split_once(close)?.0)
}

fn range(xml: &str, heap: &[u8]) -> Vec<u8> {
    let number = |open, close| between(xml, open, close).unwrap().parse::<usize>().unwrap();
    let (offset, size) = (number("<offset>", "</offset>"), number("<size>", "</size>"));
    heap[offset..offset + size].to_vec()
}

fn signature(xml: &str, heap: &[u8]) -> Signature {
    let certificates = xml
        .split("<X509Certificate>")
        .skip(1)
        .map(|rest| base64(rest.split_once("</X509Certificate>").unwrap().0))
        .collect();
    Signature { bytes: range(xml, heap), certificates }
}

pub(crate) fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut value, mut bits) = (0u32, 0);
    for c in text.bytes() {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        value = (value << 6) | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((value >> bits & 0xff) as u8);
        }
    }
    out
}
