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
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    label: String,
    value: String,
    remark: String,
    kind: Kind,
}

/// How a row that is too long for a line is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Broken at blanks.
    Wrapped,
    /// Without its remark, which says only where the value is from; then broken at blanks.
    Origin,
    /// Never broken: a path. A remark that does not fit goes on the next line.
    Path,
    /// On a line of its own that is never broken: it is there to be copied.
    Copied,
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
        self.push(label, value.into(), remark, Kind::Wrapped);
    }

    /// A row with the origin of its value, which is left out where the line would be too long.
    pub(crate) fn origin(&mut self, label: &str, value: impl Into<String>, origin: &str) {
        self.push(label, value.into(), origin, Kind::Origin);
    }

    /// A row with a path, which is not broken, and a remark.
    pub(crate) fn path(&mut self, label: &str, value: impl Into<String>, remark: &str) {
        self.push(label, value.into(), remark, Kind::Path);
    }

    /// A row whose value people copy: whole, on the line below its label.
    pub(crate) fn copied(&mut self, label: &str, value: impl Into<String>) {
        self.push(label, value.into(), "", Kind::Copied);
    }

    fn push(&mut self, label: &str, value: String, remark: &str, kind: Kind) {
        self.rows.push(Row { label: label.to_owned(), value, remark: remark.to_owned(), kind });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, indented by two spaces.
    pub(crate) fn text(&self) -> String {
        let chars = |s: &String| s.chars().count();
        let beside = || self.rows.iter().filter(|r| r.kind != Kind::Copied);
        let labels = beside().map(|r| chars(&r.label)).max().unwrap_or(0);
        let fits = beside().filter(|r| !r.remark.is_empty()).map(|r| chars(&r.value));
        let values = fits.filter(|n| *n <= VALUE_COLUMN).max().unwrap_or(0);
        // Where the label takes most of a line, what follows it is not put below its value.
        let below = labels.saturating_add(4);
        let indent = " ".repeat(if below > WIDTH / 2 { 6 } else { below });
        let mut out = String::new();
        for Row { label, value, remark, kind } in &self.rows {
            if *kind == Kind::Copied {
                out.push_str(&format!("  {label}:\n    {value}\n"));
                continue;
            }
            let first = format!("  {label:<labels$}  ");
            let fits = |line: &String| chars(&first).saturating_add(chars(line)) <= WIDTH;
            let full = format!("{value:<values$}  ({remark})");
            let line = match remark.as_str() {
                "" => value.clone(),
                _ if fits(&full) => full,
                _ if *kind == Kind::Origin => value.clone(),
                remark if *kind == Kind::Path => format!("{value}\n{indent}({remark})"),
                remark => format!("{value} ({remark})"),
            };
            if *kind == Kind::Path {
                out.push_str(&format!("{first}{line}\n"));
            } else {
                out.push_str(&filled(&first, &line, &indent));
            }
        }
        out
    }
}

/// Text broken at blanks into lines of at most [`WIDTH`] columns; `indent` goes before all but the
/// first. Ends with a line break.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    let start = text.len().saturating_sub(text.trim_start().len());
    let (first, rest) = text.split_at_checked(start).unwrap_or(("", text));
    filled(first, rest, indent)
}

/// The same behind `first`, which is not broken and is not followed by a break.
fn filled(first: &str, text: &str, indent: &str) -> String {
    let chars = |s: &str| s.chars().count();
    let mut out = first.to_owned();
    let mut column = chars(first);
    let mut fresh = true;
    for word in text.split_inclusive(' ') {
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
        rows.add("word", "word ".repeat(40));
        rows.path("path", "a folder/".repeat(12), "a remark");
        rows.copied("to paste", "word ".repeat(40).trim_end());
        let text = rows.text();
        let lines: Vec<&str> = text.lines().filter(|l| l.contains("word")).collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[..3].iter().all(|l| l.len() <= 100), "{text}");
        assert!(lines[1].starts_with("        word") && lines[2].starts_with("        word"));
        assert!(
            text.contains(&format!("{}\n        (a remark)\n", "a folder/".repeat(12))),
            "{text}"
        );
        assert!(text.contains("  to paste:\n    word word") && lines[3].len() > 190, "{text}");
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
