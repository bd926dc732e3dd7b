//! XML property lists (Apple's PropertyList-1.0.dtd), strictly, with an explicit stack.

use std::borrow::Cow;

use mip_base::{Code, Error, Result, escape};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::{Budget, Value, unique};

fn bad(why: impl Into<String>) -> Error {
    Error::new(Code::Plist, why)
}

/// An element that is open.
enum Open {
    Plist,
    Array(Vec<Value>),
    Dict { entries: Vec<(String, Value)>, key: Option<String> },
    Text { name: &'static str, text: String },
}

/// The elements that hold text.
const TEXT: &[&str] = &["key", "string", "integer", "real", "date", "data", "true", "false"];

pub(super) fn read(data: &[u8], budget: &mut Budget<'_>) -> Result<Value> {
    let text = std::str::from_utf8(data)
        .map_err(|e| bad("the XML is not UTF-8").at(u64::try_from(e.valid_up_to()).unwrap_or(0)))?;
    let mut input = Reader::from_str(text);
    let mut reader = Xml { stack: Vec::new(), root: None, started: false, budget };
    loop {
        let at = input.buffer_position();
        let event = input.read_event().map_err(|e| {
            bad(format!("damaged XML: {}", escape(&e.to_string()))).at(input.error_position())
        })?;
        if matches!(event, Event::Eof) {
            break;
        }
        reader.event(event).map_err(|e| e.at(at))?;
    }
    if !reader.stack.is_empty() {
        return Err(bad("the XML ends inside an element"));
    }
    reader.root.ok_or_else(|| bad("no value"))
}

struct Xml<'b, 'j> {
    stack: Vec<Open>,
    root: Option<Value>,
    started: bool,
    budget: &'b mut Budget<'j>,
}

impl Xml<'_, '_> {
    fn event(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Start(e) => self.start(&e),
            Event::Empty(e) => {
                self.start(&e)?;
                self.end()
            }
            Event::End(_) => self.end(),
            // XML 1.0, 2.11: every line end is one line feed.
            Event::Text(t) => self.text(&lines(&t)),
            Event::CData(t) => self.text(&lines(&t)),
            Event::GeneralRef(r) => {
                let c = reference(&r)?;
                self.text(c.encode_utf8(&mut [0; 4]))
            }
            Event::DocType(t) => self.doctype(&t),
            Event::Decl(d) => match d.encoding() {
                None => Ok(()),
                Some(Ok(e)) if is_read(&e) => Ok(()),
                _ => Err(Error::new(Code::Unsupported, "the encoding of this XML property list")
                    .hint("convert it with `plutil -convert xml1`")),
            },
            _ => Ok(()),
        }
    }

    /// A document type `plist` without an internal subset. It is never fetched, so that whose it
    /// is does not matter: GNUstep and old tools name others than Apple's.
    fn doctype(&self, raw: &str) -> Result<()> {
        let mut words = raw.split_ascii_whitespace();
        let plist = words.next() == Some("plist")
            && match words.next() {
                None | Some("PUBLIC") => true,
                Some("SYSTEM") => raw.contains("PropertyList"),
                Some(_) => false,
            };
        if self.started || !plist || raw.contains(['[', '<']) {
            let why = "a document type that is not that of a property list, or that declares more";
            return Err(Error::new(Code::XmlDtd, why));
        }
        Ok(())
    }

    fn start(&mut self, element: &BytesStart<'_>) -> Result<()> {
        self.budget.visit(self.stack.len().saturating_sub(1))?;
        let name = element.name();
        let name: &str = name.as_ref();
        self.started = true;
        if self.root.is_some() {
            return Err(bad("more than one value"));
        }
        let shown = || short(name);
        match self.stack.last() {
            None if name == "plist" => {
                self.stack.push(Open::Plist);
                return Ok(());
            }
            None => return Err(bad(format!("starts with <{}> instead of <plist>", shown()))),
            Some(Open::Text { name: outer, .. }) => {
                return Err(bad(format!("<{}> inside <{outer}>", shown())));
            }
            Some(Open::Dict { key, .. }) if key.is_some() == (name == "key") => {
                return Err(bad("a dictionary whose keys and values do not alternate"));
            }
            Some(Open::Plist | Open::Array(_)) if name == "key" => {
                return Err(bad("<key> outside a dictionary"));
            }
            Some(_) => {}
        }
        self.stack.push(match name {
            "array" => Open::Array(Vec::new()),
            "dict" => Open::Dict { entries: Vec::new(), key: None },
            _ => match TEXT.iter().find(|t| **t == name) {
                Some(name) => Open::Text { name, text: String::new() },
                None => return Err(bad(format!("an unknown element <{}>", shown()))),
            },
        });
        Ok(())
    }

    fn text(&mut self, more: &str) -> Result<()> {
        self.budget.keep(more.len())?;
        match self.stack.last_mut() {
            Some(Open::Text { text, .. }) => {
                if more.chars().any(|c| {
                    (c < ' ' && !matches!(c, '\t' | '\n' | '\r'))
                        || c > '\u{FFFD}' && c <= '\u{FFFF}'
                }) {
                    return Err(bad("a character that XML does not allow"));
                }
                text.push_str(more);
                Ok(())
            }
            _ if more.trim_ascii().is_empty() => Ok(()),
            _ => Err(bad("text outside a value")),
        }
    }

    fn end(&mut self) -> Result<()> {
        let value = match self.stack.pop() {
            // quick-xml has checked that tags match, so only a value can close inside another.
            None => return Err(bad("an end tag without a start")),
            Some(Open::Plist) => {
                return if self.root.is_some() {
                    Ok(())
                } else {
                    Err(bad("<plist> without a value"))
                };
            }
            Some(Open::Array(items)) => Value::Array(items),
            Some(Open::Dict { key: Some(key), .. }) => {
                return Err(bad(format!("the key \"{}\" has no value", escape(&key))));
            }
            Some(Open::Dict { entries, .. }) => unique(entries)?,
            Some(Open::Text { name: "key", text }) => {
                if let Some(Open::Dict { key, .. }) = self.stack.last_mut() {
                    *key = Some(text);
                }
                return Ok(());
            }
            Some(Open::Text { name, text }) => scalar(name, text)?,
        };
        match self.stack.last_mut() {
            Some(Open::Array(items)) => items.push(value),
            Some(Open::Dict { entries, key }) => {
                let key = key.take().ok_or_else(|| bad("a value without a key"))?;
                entries.push((key, value));
            }
            _ => self.root = Some(value),
        }
        Ok(())
    }
}

/// Encodings whose text is UTF-8 by now: [`super::encoding::to_utf8`] has seen to it.
fn is_read(name: &str) -> bool {
    let utf8 = ["utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf-16le", "utf-16be"];
    utf8.iter().any(|e| name.eq_ignore_ascii_case(e)) || super::encoding::is_latin1(name)
}

fn lines(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

fn short(text: &str) -> String {
    escape(&text.chars().take(40).collect::<String>())
}

/// A character reference, or one of the five entities of XML itself.
fn reference(r: &BytesRef<'_>) -> Result<char> {
    if r.is_char_ref() {
        return match r.resolve_char_ref() {
            Ok(Some(c)) => Ok(c),
            _ => Err(bad("a reference to a character that does not exist")),
        };
    }
    let name: &str = r;
    Ok(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let why = format!("the entity \"{}\" is not one of XML's own", short(name));
            return Err(Error::new(Code::XmlDtd, why));
        }
    })
}

fn scalar(name: &str, text: String) -> Result<Value> {
    let word = text.trim_ascii();
    let wrong = || bad(format!("\"{}\" in <{name}>", short(word)));
    Ok(match name {
        "string" => Value::String(text),
        "true" | "false" if word.is_empty() => Value::Boolean(name == "true"),
        "integer" => Value::Integer(integer(word).ok_or_else(wrong)?),
        "real" => {
            let real: f64 = word.parse().map_err(|_| wrong())?;
            if !real.is_finite() {
                return Err(wrong());
            }
            Value::Real(real)
        }
        "date" if is_date(word) => Value::Date(word.to_owned()),
        "data" => Value::Data(base64(&text).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    })
}

/// Decimal, or hexadecimal behind `0x`, with a sign.
fn integer(word: &str) -> Option<i128> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(d) => (-1_i128, d),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((digits, 10), |h| (h, 16));
    // Longer than any number of 64 bits: not worth reading.
    if digits.len() > 40 || !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    i128::from_str_radix(digits, radix).ok()?.checked_mul(sign)
}

/// `YYYY-MM-DDThh:mm:ssZ`, the one form of the document type.
fn is_date(word: &str) -> bool {
    let shape = b"0000-00-00T00:00:00Z";
    word.len() == shape.len()
        && word
            .bytes()
            .zip(shape)
            .all(|(b, s)| if *s == b'0' { b.is_ascii_digit() } else { b == *s })
}

/// Base64 with white space anywhere and correct padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len().saturating_mul(3) / 4);
    let mut bits: u32 = 0;
    let (mut have, mut pad) = (0_u32, 0_u32);
    for b in text.bytes().filter(|b| !b.is_ascii_whitespace()) {
        let six = match b {
            b'=' => {
                pad = pad.checked_add(1)?;
                continue;
            }
            _ if pad > 0 => return None,
            b'A'..=b'Z' => b.checked_sub(b'A')?,
            b'a'..=b'z' => b.checked_sub(b'a')?.checked_add(26)?,
            b'0'..=b'9' => b.checked_sub(b'0')?.checked_add(52)?,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        have = have.checked_add(6)?;
        if have >= 8 {
            have = have.checked_sub(8)?;
            out.push(u8::try_from((bits >> have) & 0xFF).ok()?);
        }
    }
    match (have, pad) {
        (0, 0) | (2, 1) | (4, 2) => Some(out),
        _ => None,
    }
}
