//! The text of an RTF document (Rich Text Format Specification 1.9.1), without its formatting.
//! One pass, no recursion, no memory beyond the text and one small record per open group.

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252,
};

use crate::script::Script;

/// Groups inside groups; a document has a handful.
const DEPTH: usize = 256;

/// Groups that hold no text of the document.
const HIDDEN: &[&str] = &[
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "object",
    "header",
    "footer",
    "headerl",
    "headerr",
    "headerf",
    "footerl",
    "footerr",
    "footerf",
    "footnote",
    "listtable",
    "listoverridetable",
    "revtbl",
    "rsidtbl",
    "filetbl",
    "fldinst",
];

#[derive(Clone, Copy)]
struct Group {
    hidden: bool,
    /// Characters that stand in for one `\u` character.
    fallback: usize,
}

struct Reader {
    text: String,
    /// Bytes in the document's encoding that are not decoded yet: a character may have two.
    bytes: Vec<u8>,
    script: Script,
    group: Group,
    outer: Vec<Group>,
    /// Fallback characters that are still to be left out.
    skip: usize,
    /// Half of a surrogate pair.
    high: Option<u16>,
}

/// The text; `None` when `rtf` does not begin as RTF does or nests too deeply.
pub(crate) fn text(rtf: &[u8]) -> Option<String> {
    if !rtf.trim_ascii_start().starts_with(b"{\\rtf") {
        return None;
    }
    let group = Group { hidden: false, fallback: 1 };
    let mut reader = Reader {
        text: String::new(),
        bytes: Vec::new(),
        script: Script::Web(WINDOWS_1252),
        group,
        outer: Vec::new(),
        skip: 0,
        high: None,
    };
    let mut rest = rtf;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' => {
                if reader.outer.len() >= DEPTH {
                    return None;
                }
                reader.skip = 0;
                reader.outer.push(reader.group);
            }
            b'}' => {
                reader.skip = 0;
                reader.flush();
                match reader.outer.pop() {
                    Some(group) if !reader.outer.is_empty() => reader.group = group,
                    _ => break,
                }
            }
            b'\\' => rest = reader.control(rest),
            b'\r' | b'\n' => {}
            b => reader.byte(*b),
        }
    }
    reader.flush();
    Some(reader.text)
}

impl Reader {
    /// What follows a backslash; returns what follows that.
    fn control<'r>(&mut self, rest: &'r [u8]) -> &'r [u8] {
        let Some((first, after)) = rest.split_first() else { return rest };
        if !first.is_ascii_alphabetic() {
            match first {
                b'\'' => {
                    let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
                    if let Some(b) = digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                        self.byte(b);
                    }
                    return after.get(2..).unwrap_or_default();
                }
                b'*' => self.group.hidden = true,
                b'~' => self.char('\u{a0}'),
                b'_' => self.char('\u{2011}'),
                b'\r' | b'\n' => self.char('\n'),
                b'{' | b'}' | b'\\' => self.byte(*first),
                _ => {}
            }
            return after;
        }
        let letters = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let (word, after) = rest.split_at_checked(letters).unwrap_or((rest, &[]));
        let sign = usize::from(after.first() == Some(&b'-'));
        let digits = after.iter().skip(sign).take_while(|b| b.is_ascii_digit()).count();
        let (number, after) = after
            .split_at_checked(if digits == 0 { 0 } else { sign.saturating_add(digits) })
            .unwrap_or((after, &[]));
        let number: Option<i32> = std::str::from_utf8(number).ok().and_then(|n| n.parse().ok());
        let after = after.strip_prefix(b" ").unwrap_or(after);
        self.word(std::str::from_utf8(word).unwrap_or_default(), number);
        if word == b"bin" {
            // Bytes of any value, which only a hidden group should have.
            let n = number.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            return after.get(n..).unwrap_or_default();
        }
        after
    }

    fn word(&mut self, word: &str, number: Option<i32>) {
        match word {
            "par" | "line" | "sect" | "page" | "row" => self.char('\n'),
            "tab" | "cell" => self.char('\t'),
            "emdash" => self.char('—'),
            "endash" => self.char('–'),
            "bullet" => self.char('•'),
            "lquote" => self.char('‘'),
            "rquote" => self.char('’'),
            "ldblquote" => self.char('“'),
            "rdblquote" => self.char('”'),
            "mac" => self.script = Script::ROMAN,
            "ansicpg" => {
                if let Some(encoding) = code_page(number) {
                    self.script = Script::Web(encoding);
                }
            }
            "uc" => {
                self.group.fallback = number.and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
            }
            "u" => {
                // Units over 32767 are written as negative numbers.
                let unit = number.unwrap_or(0).rem_euclid(0x1_0000);
                self.unit(u16::try_from(unit).unwrap_or(0));
                self.skip = self.group.fallback;
            }
            hidden if HIDDEN.contains(&hidden) => self.group.hidden = true,
            _ => {}
        }
    }

    /// A UTF-16 unit.
    fn unit(&mut self, unit: u16) {
        let pair = self.high.take();
        if (0xD800..0xDC00).contains(&unit) {
            self.high = Some(unit);
            return;
        }
        let units = pair.into_iter().chain([unit]);
        for c in char::decode_utf16(units) {
            self.shown(c.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }

    fn byte(&mut self, b: u8) {
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
        } else if !self.group.hidden {
            self.bytes.push(b);
        }
    }

    fn char(&mut self, c: char) {
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
        } else {
            self.shown(c);
        }
    }

    fn shown(&mut self, c: char) {
        self.flush();
        if !self.group.hidden {
            self.text.push(c);
        }
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            self.text.push_str(&self.script.decode(&bytes));
        }
    }
}

fn code_page(number: Option<i32>) -> Option<&'static Encoding> {
    Some(match number? {
        932 => SHIFT_JIS,
        936 => GBK,
        949 => EUC_KR,
        950 => BIG5,
        1250 => WINDOWS_1250,
        1251 => WINDOWS_1251,
        1252 => WINDOWS_1252,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn text_without_formatting() {
        let rtf = br"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\*\generator x;}
\f0\fs24 \b Gr\'fc\'dfe\b0 , \u8220 ?quoted\u8221 ?\par
{\i one}\tab two\line\{\}\\ \u-10179 ?\u-8704 ?\~x\bin3 }}}y}hidden";
        let want = "Grüße, “quoted”\none\ttwo\n{}\\ 😀\u{a0}xy";
        assert_eq!(text(rtf).unwrap(), want);
    }

    #[test]
    fn encodings_of_the_document() {
        assert_eq!(text(br"{\rtf1\mac \'8a}").unwrap(), "ä");
        assert_eq!(text(br"{\rtf1\ansi\ansicpg932 \'93\'af\'88\'d3}").unwrap(), "同意");
        assert_eq!(text(br"{\rtf1\uc2 \u228 abc\uc0\u228 d}").unwrap(), "äcäd");
    }

    #[test]
    fn broken_documents_end() {
        assert_eq!(text(b"plain"), None);
        assert_eq!(text(&[b"{\\rtf1".to_vec(), vec![b'{'; 1 << 20]].concat()), None);
        for cut in [
            &b"{\\rtf1\\"[..],
            b"{\\rtf1\\'",
            b"{\\rtf1\\'z",
            b"{\\rtf1\\u",
            b"{\\rtf1 a",
            b"{\\rtf",
        ] {
            text(cut).unwrap();
        }
        assert_eq!(text(b"{\\rtf1 a}}}}b").unwrap(), "a");
    }
}
