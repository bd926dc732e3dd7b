//! Names from a file, made harmless for a terminal or a log line.

use std::fmt::Write as _;

/// Escapes every character that [is hidden](is_hidden) as `\u{…}`, and the backslash as `\\`.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' {
            out.push_str("\\\\");
        } else if is_hidden(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// As [`escape`], for bytes that may not be UTF-8: invalid bytes become `\x..`.
#[must_use]
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape(chunk.valid()));
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out
}

/// Characters that change how a line is shown without being seen themselves: control
/// characters (C0, DEL, C1), line separators, bidirectional overrides and other invisible
/// format characters.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_nothing_and_moves_nothing() {
        assert_eq!(escape("a\x1b[31mb\n\u{202e}c\\"), "a\\u{1b}[31mb\\u{a}\\u{202e}c\\\\");
        assert_eq!(escape("Größe 大"), "Größe 大");
        assert_eq!(escape_bytes(b"a\xffb"), "a\\xffb");
    }
}
