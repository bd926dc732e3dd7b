//! `.strings` tables: the localized texts of a Distribution.
//!
//! Three forms are in use: the old ASCII property list (`"key" = "value";`, in UTF-8 or
//! UTF-16), XML and binary property lists.

use std::collections::BTreeMap;

use mip_base::{Code, Error, Job, Result};

/// Parses a `.strings` file of any of the three forms. Values that are not texts are left
/// out; of two lines with the same key the first counts.
///
/// # Errors
/// [`Code::Plist`] when it is none of the forms; [`Code::LimitEntries`].
pub fn parse(bytes: &[u8], job: &Job) -> Result<BTreeMap<String, String>> {
    let trimmed = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    if bytes.starts_with(b"bplist")
        || trimmed.starts_with(b"<?xml")
        || trimmed.starts_with(b"<plist")
    {
        return property_list(bytes, job);
    }
    let text = decode(bytes)?;
    ascii(&text, job)
}

fn property_list(bytes: &[u8], job: &Job) -> Result<BTreeMap<String, String>> {
    let value = crate::plist::read(bytes, job)?;
    let dict = value
        .as_dict()
        .ok_or_else(|| Error::new(Code::Plist, "the strings table is not a dictionary"))?;
    let texts = dict.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())));
    Ok(texts.collect())
}

/// UTF-16 with a byte order mark or with a zero in its first unit, else UTF-8.
fn decode(bytes: &[u8]) -> Result<String> {
    let bad = || Error::new(Code::Plist, "the strings table is neither UTF-8 nor UTF-16");
    let (little, body) = match bytes {
        [0xff, 0xfe, rest @ ..] => (true, rest),
        [0xfe, 0xff, rest @ ..] => (false, rest),
        [0, b, ..] if *b != 0 => (false, bytes),
        [b, 0, ..] if *b != 0 => (true, bytes),
        _ => {
            let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            return std::str::from_utf8(text).map(str::to_owned).map_err(|_| bad());
        }
    };
    let (units, rest) = body.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(bad());
    }
    let unit = |c: &[u8; 2]| if little { u16::from_le_bytes(*c) } else { u16::from_be_bytes(*c) };
    char::decode_utf16(units.iter().map(unit)).collect::<Result<String, _>>().map_err(|_| bad())
}

fn ascii(text: &str, job: &Job) -> Result<BTreeMap<String, String>> {
    let mut p = Ascii { rest: text };
    let mut out = BTreeMap::new();
    let limit = job.limits().toc_files;
    let mut count: u64 = 0;
    p.space()?;
    // The table may stand in braces, as a whole property list does.
    let braced = p.eat('{');
    loop {
        p.space()?;
        if p.rest.is_empty() && !braced {
            return Ok(out);
        }
        if braced && p.eat('}') {
            return Ok(out);
        }
        count = count.saturating_add(1);
        if count > limit {
            return Err(Error::limit(Code::LimitEntries, "lines of a strings table", limit, count));
        }
        let key = p.word()?;
        p.space()?;
        // `"key";` stands for `"key" = "key";`.
        let value = if p.eat('=') {
            p.space()?;
            p.word()?
        } else {
            key.clone()
        };
        p.space()?;
        if !p.eat(';') {
            return Err(Error::new(Code::Plist, "a line of the strings table has no \";\""));
        }
        out.entry(key).or_insert(value);
    }
}

struct Ascii<'a> {
    rest: &'a str,
}

impl Ascii<'_> {
    fn eat(&mut self, c: char) -> bool {
        let found = self.rest.strip_prefix(c);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// Skips blanks and comments.
    fn space(&mut self) -> Result<()> {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(r) = self.rest.strip_prefix("/*") {
                let end = r.split_once("*/");
                self.rest = end.ok_or_else(|| Error::new(Code::Plist, "a comment has no end"))?.1;
            } else if let Some(r) = self.rest.strip_prefix("//") {
                self.rest = r.split_once('\n').map_or("", |(_, tail)| tail);
            } else {
                return Ok(());
            }
        }
    }

    /// A quoted or bare word.
    fn word(&mut self) -> Result<String> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            let bare =
                |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '/' | ':' | '.' | '-');
            let tail = self.rest.trim_start_matches(bare);
            let word = self.rest.strip_suffix(tail).unwrap_or_default();
            if word.is_empty() {
                return Err(Error::new(Code::Plist, "a word of the strings table is missing"));
            }
            self.rest = tail;
            return Ok(word.to_owned());
        };
        let mut chars = self.rest.chars();
        chars.next();
        let mut out = String::new();
        // Escaped units, kept until a surrogate pair is whole.
        let mut units: Vec<u16> = Vec::new();
        loop {
            let c = chars.next().ok_or_else(|| Error::new(Code::Plist, "a text has no end"))?;
            let escaped = if c == '\\' { Some(escape(&mut chars)?) } else { None };
            if let Some(Escape::Unit(u)) = escaped {
                units.push(u);
                continue;
            }
            out.extend(
                char::decode_utf16(units.drain(..))
                    .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)),
            );
            match escaped {
                Some(Escape::Char(c)) => out.push(c),
                _ if c == quote => {
                    self.rest = chars.as_str();
                    return Ok(out);
                }
                _ => out.push(c),
            }
        }
    }
}

enum Escape {
    Char(char),
    Unit(u16),
}

/// What follows a backslash: `n`, `t`, `r`, `Uxxxx` (a UTF-16 unit), up to three octal
/// digits, or the character itself.
fn escape(chars: &mut std::str::Chars<'_>) -> Result<Escape> {
    let c = chars.next().ok_or_else(|| Error::new(Code::Plist, "a text ends in a backslash"))?;
    Ok(match c {
        'n' => Escape::Char('\n'),
        't' => Escape::Char('\t'),
        'r' => Escape::Char('\r'),
        'U' | 'u' => Escape::Unit(digits(chars, 4, 16, 0)),
        '0'..='7' => Escape::Unit(digits(chars, 2, 8, c.to_digit(8).unwrap_or(0))),
        c => Escape::Char(c),
    })
}

fn digits(chars: &mut std::str::Chars<'_>, most: u8, base: u32, first: u32) -> u16 {
    let mut value = first;
    for _ in 0..most {
        let Some(d) = chars.clone().next().and_then(|c| c.to_digit(base)) else { break };
        chars.next();
        value = value.wrapping_mul(base).wrapping_add(d);
    }
    u16::try_from(value).unwrap_or(0xfffd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bytes: &[u8]) -> Result<Vec<(String, String)>> {
        Ok(parse(bytes, &Job::default())?.into_iter().collect())
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    const TEXT: &str = "/* a comment */\n\"TITLE\" = \"My \\\"App\\\"\\n\\U00e9\\101\"; // more\nbare_key = 'x';\nalone;\n";

    #[test]
    fn reads_the_ascii_form_in_three_encodings() {
        let want =
            pairs(&[("TITLE", "My \"App\"\n\u{e9}A"), ("alone", "alone"), ("bare_key", "x")]);
        assert_eq!(table(TEXT.as_bytes()).unwrap(), want);
        assert_eq!(table(&[b"\xef\xbb\xbf", TEXT.as_bytes()].concat()).unwrap(), want);
        let le: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(table(&[b"\xff\xfe", &le[..]].concat()).unwrap(), want);
        assert_eq!(table(&[b"\xfe\xff", &be[..]].concat()).unwrap(), want);
        assert_eq!(table(&be).unwrap(), want);
        assert_eq!(table(b"{ a = b; }").unwrap(), pairs(&[("a", "b")]));
        assert_eq!(table(b"").unwrap(), pairs(&[]));
    }

    #[test]
    fn surrogate_pairs_are_joined() {
        assert_eq!(table(b"a = \"\\Ud83d\\ude00\";").unwrap(), pairs(&[("a", "\u{1f600}")]));
        assert_eq!(table(b"a = \"\\Ud83d!\";").unwrap(), pairs(&[("a", "\u{fffd}!")]));
    }

    #[test]
    fn damage_is_an_error_and_never_a_loop() {
        for bad in ["a = ", "a = b", "\"a", "/* x", "= b;", "a = \"\\", "a = b c;", "{a = b;"] {
            assert_eq!(table(bad.as_bytes()).unwrap_err().code(), Code::Plist, "{bad}");
        }
        assert!(table(b"\xff\xfe\x00\xd8").is_err());
        assert!(table(b"\xff\xfea").is_err());
        assert!(table(b"\xc0\xc1\xc2").is_err());
    }

    #[test]
    fn reads_the_xml_form() {
        let xml = b"<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>TITLE</key><string>T</string><key>n</key><integer>1</integer></dict></plist>";
        assert_eq!(table(xml).unwrap(), pairs(&[("TITLE", "T")]));
    }
}
