//! Text from an installer, made harmless for a page.

use mip_base::is_hidden;

/// Most characters of one text; the rest is cut, and said to be.
const LONGEST: usize = 1_000;

/// Text for between tags. Hidden characters (controls, bidirectional overrides, …) are shown by
/// number and marked; a text that is too long is cut.
pub(super) fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len().min(LONGEST));
    let mut hidden = false;
    for (n, c) in value.chars().enumerate() {
        if n == LONGEST {
            close(&mut out, &mut hidden);
            let more = value.chars().count().saturating_sub(LONGEST);
            out.push_str(&format!("<span class=\"cut\">… {more} more characters</span>"));
            return out;
        }
        if is_hidden(c) {
            if !hidden {
                out.push_str("<span class=\"esc\">");
                hidden = true;
            }
            out.push_str(&number(c));
        } else {
            close(&mut out, &mut hidden);
            push(&mut out, c);
        }
    }
    close(&mut out, &mut hidden);
    out
}

/// Text for a quoted attribute.
pub(super) fn attribute(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars().take(LONGEST) {
        if is_hidden(c) { out.push_str(&number(c)) } else { push(&mut out, c) }
    }
    out
}

fn close(out: &mut String, hidden: &mut bool) {
    if std::mem::take(hidden) {
        out.push_str("</span>");
    }
}

fn number(c: char) -> String {
    format!("\\u{{{:x}}}", u32::from(c))
}

fn push(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        // Not characters: a validator refuses them even as numbers.
        '\u{FDD0}'..='\u{FDEF}' | '\u{FFFE}' | '\u{FFFF}' => out.push_str(&number(c)),
        c if u32::from(c) & 0xFFFE == 0xFFFE => out.push_str(&number(c)),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(text("<script>&\"'"), "&lt;script&gt;&amp;&quot;&#39;");
        assert_eq!(attribute("\"onload=x"), "&quot;onload=x");
        assert_eq!(text("Größe 大 \\u"), "Größe 大 \\u");
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        let want = "a<span class=\"esc\">\\u{202e}\\u{a}</span>b";
        assert_eq!(text("a\u{202e}\nb"), want);
        assert_eq!(text("\0"), "<span class=\"esc\">\\u{0}</span>");
        assert_eq!(attribute("a\u{202e}\n"), "a\\u{202e}\\u{a}");
        assert_eq!(text("\u{FFFE}\u{1FFFF}"), "\\u{fffe}\\u{1ffff}");
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = text(&"<".repeat(1_000_000));
        assert!(long.len() < 10_000);
        assert!(long.ends_with("<span class=\"cut\">… 999000 more characters</span>"), "{long}");
        assert!(attribute(&"x".repeat(1_000_000)).len() == LONGEST);
        let hidden = text(&"\u{202e}".repeat(1_001));
        assert_eq!(hidden.matches("<span").count(), hidden.matches("</span>").count());
    }
}
