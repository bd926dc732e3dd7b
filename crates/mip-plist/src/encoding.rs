//! The encodings of XML property lists that macOS reads beside UTF-8.

use mip_base::{Code, Error, Result};

/// The text as UTF-8, where it is UTF-16 (by its byte order mark, or by the zero in its first
/// unit; XML 1.0, appendix F) or says that it is ISO-8859-1; `None` where it is UTF-8 as it is.
///
/// # Errors
/// [`Code::Plist`] for UTF-16 that is cut or has half a surrogate pair.
pub(super) fn to_utf8(data: &[u8]) -> Result<Option<Vec<u8>>> {
    let (little, body) = match data {
        [0xFF, 0xFE, rest @ ..] => (true, rest),
        [0xFE, 0xFF, rest @ ..] => (false, rest),
        [b'<', 0, ..] => (true, data),
        [0, b'<', ..] => (false, data),
        _ if says_latin1(data) => {
            let text: String = data.iter().copied().map(char::from).collect();
            return Ok(Some(text.into_bytes()));
        }
        _ => return Ok(None),
    };
    let bad = || Error::new(Code::Plist, "the XML is not UTF-16, as its first bytes say");
    let (units, rest) = body.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(bad());
    }
    let unit = |c: &[u8; 2]| if little { u16::from_le_bytes(*c) } else { u16::from_be_bytes(*c) };
    let text: Option<String> =
        char::decode_utf16(units.iter().map(unit)).map(std::result::Result::ok).collect();
    text.map(|t| Some(t.into_bytes())).ok_or_else(bad)
}

/// Names of ISO-8859-1.
pub(super) fn is_latin1(name: &str) -> bool {
    ["iso-8859-1", "latin1", "iso_8859-1"].iter().any(|e| name.eq_ignore_ascii_case(e))
}

/// Whether the XML declaration at the start names ISO-8859-1.
fn says_latin1(data: &[u8]) -> bool {
    let head = data.trim_ascii_start();
    let head = head.get(..head.len().min(200)).unwrap_or(head);
    let end = head.iter().position(|b| *b == b'>').unwrap_or(0);
    let declaration = head.get(..end).and_then(|d| std::str::from_utf8(d).ok()).unwrap_or("");
    declaration.starts_with("<?xml")
        && declaration
            .split_once("encoding")
            .and_then(|(_, rest)| rest.split(['"', '\'']).nth(1))
            .is_some_and(is_latin1)
}
