//! Text for people: errors, aligned rows, small helpers.

use mip_base::{Error, escape};

/// `error[E_…]: what`, where, and what to do next: one line each.
pub(crate) fn error(e: &Error) -> String {
    let mut out = format!("error[{}]: {}", e.code().text(), one_line(e.message()));
    match (e.path(), e.offset()) {
        (Some(path), Some(at)) => out.push_str(&format!("\n  in: {} (byte {at})", one_line(&path))),
        (Some(path), None) => out.push_str(&format!("\n  in: {}", one_line(&path))),
        (None, Some(at)) => out.push_str(&format!("\n  in: byte {at}")),
        (None, None) => {}
    }
    if let Some(next) = e.next_step() {
        out.push_str(&format!("\n  help: {}", one_line(next)));
    }
    out
}

/// A message is one line already; this holds it to that without escaping it a second time.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Rows of label, value and an optional remark in parentheses, aligned in two columns.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<(String, String, String)>,
    /// Rows, by index, whose remark says only where the value is from.
    origins: Vec<usize>,
}

/// Columns of a line; only text that has no place to break is longer.
const WIDTH: usize = 100;

/// Values longer than this do not push the remarks of all the others to the right.
const VALUE_COLUMN: usize = 44;

impl Rows {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A row. `value` is escaped by the caller where it comes from a file.
    pub(crate) fn add(&mut self, label: &str, value: impl Into<String>) {
        self.with(label, value, "");
    }

    /// A row, unless there is no value. Escapes the value.
    pub(crate) fn maybe(&mut self, label: &str, value: Option<&str>) {
        if let Some(v) = value {
            self.add(label, escape(v));
        }
    }

    /// A row with a remark.
    pub(crate) fn with(&mut self, label: &str, value: impl Into<String>, remark: &str) {
        self.rows.push((label.to_owned(), value.into(), remark.to_owned()));
    }

    /// A row with the origin of its value, which is left out where the line would be too long.
    pub(crate) fn origin(&mut self, label: &str, value: impl Into<String>, origin: &str) {
        self.origins.push(self.rows.len());
        self.with(label, value, origin);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, indented by two spaces, one line each.
    pub(crate) fn text(&self) -> String {
        let chars = |s: &String| s.chars().count();
        let labels = self.rows.iter().map(|r| chars(&r.0)).max().unwrap_or(0);
        let fits = self.rows.iter().filter(|r| !r.2.is_empty()).map(|r| chars(&r.1));
        let values = fits.filter(|n| *n <= VALUE_COLUMN).max().unwrap_or(0);
        let mut out = String::new();
        for (n, (label, value, remark)) in self.rows.iter().enumerate() {
            let plain = format!("  {label:<labels$}  {value}");
            let full = format!("  {label:<labels$}  {value:<values$}  ({remark})");
            let long = self.origins.contains(&n) && chars(&full) > WIDTH;
            let line = if remark.is_empty() || long { plain } else { full };
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Text broken at blanks into lines of at most [`WIDTH`] columns; `indent` goes before all but the
/// first. Ends with a line break.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    let chars = |s: &str| s.chars().count();
    let start = text.len().saturating_sub(text.trim_start().len());
    let (first, rest) = text.split_at_checked(start).unwrap_or(("", text));
    let mut out = first.to_owned();
    let mut column = chars(first);
    let mut fresh = true;
    for word in rest.split_inclusive(' ') {
        let width = chars(word.trim_end());
        if !fresh && column.saturating_add(width) > WIDTH {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(indent);
            column = chars(indent);
        }
        out.push_str(word);
        column = column.saturating_add(chars(word));
        fresh = false;
    }
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
    out
}

/// `12345 bytes`, with a rounded form from 10 KiB on.
pub(crate) fn bytes(n: u64) -> String {
    if n < 10 << 10 {
        return format!("{n} bytes");
    }
    let (unit, shift) = match n {
        _ if n >= 1 << 40 => ("TiB", 30),
        _ if n >= 1 << 30 => ("GiB", 20),
        _ if n >= 1 << 20 => ("MiB", 10),
        _ => ("KiB", 0),
    };
    // In 1024ths of the unit.
    let scaled = n >> shift;
    let tenths = (scaled % 1024).saturating_mul(10) / 1024;
    format!("{n} bytes ({}.{tenths} {unit})", scaled / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mip_base::Code;

    #[test]
    fn errors_say_what_where_and_what_next() {
        let e = Error::new(Code::XarTocRange, "the table of contents ends past the file")
            .at(16)
            .within("a\nb.pkg");
        assert_eq!(
            error(&e),
            "error[E_XAR_TOC_RANGE]: the table of contents ends past the file\n  \
             in: a\\u{a}b.pkg (byte 16)\n  \
             help: the package is damaged: download or build it again"
        );
    }

    #[test]
    fn a_message_can_not_start_a_new_line_or_colour() {
        let e = Error::new(Code::Xml, "bad\n\x1b[31mname").hint("do\rthis");
        assert_eq!(error(&e), "error[E_XML]: bad  [31mname\n  help: do this");
    }

    #[test]
    fn rows_are_aligned() {
        let mut rows = Rows::new();
        rows.with("name", "Sample", "from PackageInfo");
        rows.with("identifier", "com.example", "from Info.plist");
        rows.add("size", "1 byte");
        assert_eq!(
            rows.text(),
            "  name        Sample       (from PackageInfo)\n  \
               identifier  com.example  (from Info.plist)\n  \
               size        1 byte\n"
        );
    }

    #[test]
    fn an_origin_gives_way_and_long_text_is_wrapped() {
        let mut rows = Rows::new();
        rows.origin("name", "x".repeat(90), "Info.plist");
        rows.with("name", "x".repeat(90), "stays");
        let text = rows.text();
        assert!(!text.contains("Info.plist") && text.contains("(stays)"), "{text}");
        let long = format!("  W_X  {}", "word ".repeat(40));
        let shown = wrapped(&long, "      ");
        assert!(shown.lines().all(|l| l.len() <= 100 && l.trim_end() == l), "{shown}");
        assert!(shown.lines().skip(1).all(|l| l.starts_with("      word")), "{shown}");
        assert_eq!(shown.matches("word").count(), 40);
        assert_eq!(wrapped(&"y".repeat(300), ""), format!("{}\n", "y".repeat(300)));
    }

    #[test]
    fn sizes_are_exact_first() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(10_239), "10239 bytes");
        assert_eq!(bytes(10_240), "10240 bytes (10.0 KiB)");
        assert_eq!(bytes(5 << 30), "5368709120 bytes (5.0 GiB)");
        assert_eq!(bytes((20 << 30) + (512 << 20)), "22011707392 bytes (20.5 GiB)");
    }
}
