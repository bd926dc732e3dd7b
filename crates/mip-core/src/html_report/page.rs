//! The parts that a page is made of.

use super::escape::text;

/// Most entries of one list; the rest is counted.
pub(super) const LIST: usize = 200;

/// What a badge says at a glance. Its word says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Open,
}

/// A page that is being written. What it is handed as a value is escaped here; what is called
/// `html` was escaped by the caller.
#[derive(Debug, Default)]
pub(super) struct Page {
    out: String,
}

impl Page {
    pub(super) fn html(&mut self, html: &str) {
        self.out.push_str(html);
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    /// A section with an anchor.
    pub(super) fn h2(&mut self, id: &str, title: &str) {
        self.html(&format!("<h2 id=\"{id}\">{}</h2>\n", text(title)));
    }

    pub(super) fn h3(&mut self, title: &str) {
        self.html(&format!("<h3>{}</h3>\n", text(title)));
    }

    /// A table of names and values; nothing where there are no rows.
    pub(super) fn facts(&mut self, facts: &Facts) {
        if facts.rows.is_empty() {
            return;
        }
        self.html("<table class=\"facts\"><tbody>\n");
        for (label, html) in &facts.rows {
            self.html(&format!("<tr><th scope=\"row\">{}</th><td>{html}</td></tr>\n", text(label)));
        }
        self.html("</tbody></table>\n");
    }

    /// A table with a line of headings; `rows` are cells that are HTML already, the first [`LIST`]
    /// of which are shown. `states`: the first column is a badge.
    pub(super) fn table(&mut self, headings: &[&str], rows: &[Vec<String>], states: bool) {
        self.html("<table><thead><tr>");
        let class = |n: usize| if states && n == 0 { " class=\"state\"" } else { "" };
        for (n, heading) in headings.iter().enumerate() {
            self.html(&format!("<th scope=\"col\"{}>{}</th>", class(n), text(heading)));
        }
        self.html("</tr></thead><tbody>\n");
        for row in rows.iter().take(LIST) {
            self.html("<tr>");
            for (n, cell) in row.iter().enumerate() {
                self.html(&format!("<td{}>{cell}</td>", class(n)));
            }
            self.html("</tr>\n");
        }
        self.html("</tbody></table>\n");
    }

    /// Says how many entries were left out of a list of `all`.
    pub(super) fn more(&mut self, all: usize) {
        if let Some(more) = all.checked_sub(LIST).filter(|n| *n > 0) {
            self.html(&format!("<p class=\"soft\">{more} more are left out.</p>\n"));
        }
    }
}

/// Rows of a table of names and values.
#[derive(Debug, Default)]
pub(super) struct Facts {
    rows: Vec<(String, String)>,
}

impl Facts {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn html(&mut self, label: &str, html: impl Into<String>) {
        self.rows.push((label.to_owned(), html.into()));
    }

    pub(super) fn add(&mut self, label: &str, value: &str) {
        self.html(label, text(value));
    }

    pub(super) fn maybe(&mut self, label: &str, value: Option<&str>) {
        if let Some(v) = value {
            self.add(label, v);
        }
    }

    /// A value with a remark below it.
    pub(super) fn with(&mut self, label: &str, value: &str, remark: &str) {
        self.html(label, format!("{}{}", text(value), small(remark)));
    }
}

/// A remark.
pub(super) fn small(value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("<small>{}</small>", text(value)) }
}

pub(super) fn code(value: &str) -> String {
    format!("<code>{}</code>", text(value))
}

pub(super) fn badge(tone: Tone, word: &str) -> String {
    let class = match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Open => "open",
    };
    format!("<span class=\"badge {class}\">{}</span>", text(word))
}

/// A short list, one entry per line, of values.
pub(super) fn lines<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = values.collect();
    let mut out = String::from("<ul class=\"plain\">");
    for value in all.iter().take(LIST) {
        out.push_str(&format!("<li>{}</li>", text(value)));
    }
    if let Some(more) = all.len().checked_sub(LIST).filter(|n| *n > 0) {
        out.push_str(&format!("<li class=\"soft\">{more} more</li>"));
    }
    out.push_str("</ul>");
    out
}

/// `12,345 bytes (12.0 KiB)`.
pub(super) fn bytes(n: u64) -> String {
    let (unit, shift) = match n {
        _ if n >= 1 << 30 => ("GiB", 20_u32),
        _ if n >= 1 << 20 => ("MiB", 10),
        _ if n >= 10 << 10 => ("KiB", 0),
        _ => return format!("{} bytes", number(n)),
    };
    let scaled = n.checked_shr(shift).unwrap_or(0);
    let tenths = (scaled % 1024).saturating_mul(10) / 1024;
    format!("{}.{tenths} {unit} ({} bytes)", number(scaled / 1024), number(n))
}

/// A number in groups of three digits.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && digits.len().saturating_sub(i) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 file`, `2 files`.
pub(super) fn count(n: u64, what: &str) -> String {
    format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(bytes(5 << 30), "5.0 GiB (5,368,709,120 bytes)");
        assert_eq!(bytes(10_239), "10,239 bytes");
        assert_eq!(bytes(12_345), "12.0 KiB (12,345 bytes)");
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let many = vec!["x"; LIST + 3];
        assert!(lines(many.iter().copied()).contains("3 more"));
        let mut page = Page::default();
        page.table(&["a"], &vec![vec!["x".to_owned()]; LIST + 1], false);
        page.more(LIST + 1);
        let page = page.finish();
        assert!(page.contains("1 more are left out"));
        assert_eq!(page.matches("<td>x</td>").count(), LIST);
    }
}
