//! Entitlements: what a program asks the system for, as XML and as DER.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mip_base::{Code, Job, Result};
use serde_json::{Map, Value};

use crate::blob::{self, Blob};
use crate::signature::Verdict;

/// Nesting of DER entitlements.
const MAX_DEPTH: u32 = 64;

/// Bytes of each form. Apple's largest programs have 20 KiB; a few bytes of DER become many in
/// memory and in a report.
const MAX_BYTES: usize = 64 << 10;

/// Reads both forms. They are part of what is signed: an odd form is noted, and makes the
/// signature no worse.
///
/// # Errors
/// [`Code::Cancelled`].
pub(crate) fn read(blobs: &[Blob<'_>], job: &Job, verdict: &mut Verdict) -> Result<()> {
    let mut find = |slot, magic| {
        let found = blobs.iter().find(|b| b.slot == slot && b.magic == magic)?;
        let size = found.bytes.len();
        if size > MAX_BYTES {
            let what = blob::slot_name(slot);
            verdict.note(format!("{what}: {size} bytes are too many to be read"));
            return None;
        }
        Some(found)
    };
    let (xml, der) = (
        find(blob::SLOT_ENTITLEMENTS, blob::ENTITLEMENTS),
        find(blob::SLOT_DER_ENTITLEMENTS, blob::DER_ENTITLEMENTS),
    );
    let xml = match xml {
        Some(b) if !b.body().is_empty() => match mip_plist::read(b.body(), job) {
            Ok(list) => Some(from_plist(list)),
            Err(e) if e.code() == Code::Cancelled => return Err(e),
            Err(e) => {
                verdict.note(format!("the entitlements cannot be read: {e}"));
                None
            }
        },
        _ => None,
    };
    let der = der.and_then(|b| {
        let read = from_der(b.body());
        if read.is_none() {
            verdict.note("the DER entitlements cannot be read");
        }
        read
    });
    if let (Some(xml), Some(der)) = (&xml, &der)
        && xml != der
    {
        verdict.note("the entitlements as XML and as DER are not the same");
    }
    verdict.out.entitlements = xml.or(der);
    Ok(())
}

/// A property list as JSON; data becomes Base64.
fn from_plist(value: mip_plist::Value) -> Value {
    use mip_plist::Value as P;
    match value {
        P::String(s) | P::Date(s) => Value::String(s),
        P::Integer(i) => integer(i),
        P::Real(r) => serde_json::Number::from_f64(r).map_or(Value::Null, Value::Number),
        P::Boolean(b) => Value::Bool(b),
        P::Data(d) => Value::String(STANDARD.encode(d)),
        // The depth is bounded by the reader of property lists.
        P::Array(a) => Value::Array(a.into_iter().map(from_plist).collect()),
        P::Dict(d) => {
            Value::Object(d.into_iter().map(|(key, value)| (key, from_plist(value))).collect())
        }
    }
}

fn integer(i: i128) -> Value {
    i64::try_from(i)
        .map(Value::from)
        .or_else(|_| u64::try_from(i).map(Value::from))
        .unwrap_or_else(|_| Value::String(i.to_string()))
}

/// One value of DER with a tag of one byte: tag, content, and what follows.
fn tlv(b: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = b.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let width = usize::from(first & 0x7F);
        if !(1..=4).contains(&width) {
            return None;
        }
        let (number, rest) = rest.split_at_checked(width)?;
        let number = number.iter().fold(0_u32, |n, b| n.wrapping_shl(8) | u32::from(*b));
        (usize::try_from(number).ok()?, rest)
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

/// `[APPLICATION 16] { INTEGER 1, [16] { SEQUENCE { UTF8String, value } … } }`, as `codesign`
/// has written it since macOS 12.
fn from_der(b: &[u8]) -> Option<Value> {
    let (tag, content, _) = tlv(b)?;
    let (version, _, rest) = tlv(content)?;
    let (dictionary, entries, _) = tlv(rest)?;
    (tag == 0x70 && version == 0x02 && dictionary == 0xB0).then_some(())?;
    der_value(dictionary, entries, 0)
}

fn der_value(tag: u8, content: &[u8], depth: u32) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let depth = depth.saturating_add(1);
    match tag {
        0x01 => Some(Value::Bool(*content.first()? != 0)),
        0x02 => {
            let (first, rest) = content.split_first().filter(|_| content.len() <= 9)?;
            let start = i128::from(i8::from_be_bytes([*first]));
            Some(integer(rest.iter().fold(start, |n, b| n.wrapping_shl(8) | i128::from(*b))))
        }
        0x04 => Some(Value::String(STANDARD.encode(content))),
        0x0C => Some(Value::String(std::str::from_utf8(content).ok()?.to_owned())),
        0x30 => {
            let mut values = Vec::new();
            let mut rest = content;
            while !rest.is_empty() {
                let (tag, content, after) = tlv(rest)?;
                values.push(der_value(tag, content, depth)?);
                rest = after;
            }
            Some(Value::Array(values))
        }
        0xB0 => {
            let mut values = Map::new();
            let mut rest = content;
            while !rest.is_empty() {
                let (pair, entry, after) = tlv(rest)?;
                let (key_tag, key, value) = tlv(entry)?;
                let (value_tag, value, end) = tlv(value)?;
                (pair == 0x30 && key_tag == 0x0C && end.is_empty()).then_some(())?;
                let key = std::str::from_utf8(key).ok()?.to_owned();
                if values.insert(key, der_value(value_tag, value, depth)?).is_some() {
                    return None;
                }
                rest = after;
            }
            Some(Value::Object(values))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = content.len();
        let head = match len {
            ..0x80 => vec![tag, len as u8],
            0x80..0x100 => vec![tag, 0x81, len as u8],
            _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
        };
        [head, content.to_vec()].concat()
    }

    fn pair(key: &str, value: &[u8]) -> Vec<u8> {
        tlv(0x30, &[tlv(0x0C, key.as_bytes()), value.to_vec()].concat())
    }

    fn whole(entries: &[Vec<u8>]) -> Vec<u8> {
        tlv(0x70, &[tlv(0x02, &[1]), tlv(0xB0, &entries.concat())].concat())
    }

    #[test]
    fn der_of_every_kind_of_value() {
        let long = "x".repeat(300);
        let list = tlv(0x30, &[tlv(0x0C, b"a"), tlv(0x0C, long.as_bytes())].concat());
        let der = whole(&[
            pair("yes", &[1, 1, 0xFF]),
            pair("no", &[1, 1, 0]),
            pair("small", &[2, 1, 0x7F]),
            pair("negative", &[2, 2, 0xFF, 0x01]),
            pair("large", &[2, 9, 0, 0xFF, 0, 0, 0, 0, 0, 0, 0]),
            pair("list", &list),
            pair("inner", &tlv(0xB0, &pair("k", &tlv(0x0C, "é".as_bytes())))),
            pair("data", &tlv(0x04, b"\x00\xFF")),
        ]);
        let expected = json!({
            "yes": true, "no": false, "small": 127, "negative": -255,
            "large": 0xFF00_0000_0000_0000_u64, "list": ["a", long], "inner": {"k": "é"},
            "data": "AP8=",
        });
        assert_eq!(from_der(&der), Some(expected));
    }

    #[test]
    fn broken_der_is_none_and_no_panic() {
        let good = whole(&[pair("k", &tlv(0x30, &tlv(0x0C, b"value")))]);
        assert!(from_der(&good).is_some());
        for cut in 0..good.len() {
            assert_eq!(from_der(&good[..cut]), None, "{cut}");
        }
        for bad in [
            whole(&[pair("k", &[1, 1, 1]), pair("k", &[1, 1, 0])]),
            whole(&[pair("k", &[0x0C, 0x85, 1, 1, 1, 1, 1])]),
            whole(&[pair("k", &[0x0C, 0x84, 0xFF, 0xFF, 0xFF, 0xFF])]),
            whole(&[pair("k", &[0x0C, 0x80, 0, 0])]),
            whole(&[pair("k", &[0x0C, 1, 0xFF])]),
            whole(&[pair("k", &[0x17, 0])]),
            whole(&[pair("k", &[])]),
        ] {
            assert_eq!(from_der(&bad), None, "{bad:02x?}");
        }
        let mut deep = tlv(0x01, &[1]);
        for _ in 0..3000 {
            deep = tlv(0x30, &deep);
            if deep.len() > 60_000 {
                break;
            }
        }
        assert_eq!(from_der(&whole(&[pair("k", &deep)])), None);
    }

    #[test]
    fn lists_become_json() {
        use mip_plist::Value as P;
        let list = P::Dict(vec![
            ("data".into(), P::Data(vec![0, 0xFF])),
            ("date".into(), P::Date("2026-11-22T18:41:19Z".into())),
            ("real".into(), P::Real(0.5)),
            ("huge".into(), P::Integer(i128::from(u64::MAX).saturating_mul(4))),
        ]);
        assert_eq!(
            from_plist(list),
            json!({
                "data": "AP8=", "date": "2026-11-22T18:41:19Z", "real": 0.5,
                "huge": "73786976294838206460",
            })
        );
    }
}
