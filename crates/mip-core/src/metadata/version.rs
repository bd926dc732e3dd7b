//! Versions as text.

use std::cmp::Ordering;

/// Compares two versions. The rules, and why they are these, are in
/// `docs/decisions/0012-versions.md`:
///
/// 1. What stands before the first ASCII digit does not count (`v1.2`).
/// 2. The release is the run of digits and dots from there. Its parts compare as numbers of any
///    length; missing parts are 0, empty ones are passed over.
/// 3. If the releases are equal, the rest decides: its runs of ASCII digits (numbers) and of ASCII
///    letters (text, whatever the case), in order; everything else only separates. Letters are
///    less than a number, and a missing part is 0. So `1.0b2` is before `1.0`, and `1.2 (345)`
///    between `1.2` and `1.2.1`.
/// 4. Without any digit the release is 0 and all of the text is the rest.
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let ((a, a_rest), (b, b_rest)) = (split(a), split(b));
    compare_parts(Parts(a), Parts(b)).then_with(|| compare_parts(Parts(a_rest), Parts(b_rest)))
}

/// The release, and what comes after it.
fn split(text: &str) -> (&str, &str) {
    let Some(start) = text.find(|c: char| c.is_ascii_digit()) else { return ("", text) };
    let text = text.get(start..).unwrap_or_default();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn compare_parts(mut a: Parts<'_>, mut b: Parts<'_>) -> Ordering {
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() {
            return Ordering::Equal;
        }
        let order = x.unwrap_or(Part::Number("")).compare(&y.unwrap_or(Part::Number("")));
        if order != Ordering::Equal {
            return order;
        }
    }
}

enum Part<'a> {
    Letters(&'a str),
    /// Digits without leading zeros; a number of any length.
    Number(&'a str),
}

impl Part<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Part::Number(a), Part::Number(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Part::Letters(a), Part::Letters(b)) => {
                let lower = |s: &str| s.to_ascii_lowercase();
                lower(a).cmp(&lower(b))
            }
            (Part::Letters(_), Part::Number(_)) => Ordering::Less,
            (Part::Number(_), Part::Letters(_)) => Ordering::Greater,
        }
    }
}

struct Parts<'a>(&'a str);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let text = self.0.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let digits = text.starts_with(|c: char| c.is_ascii_digit());
        let same = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let rest = text.trim_start_matches(same);
        let run = text.strip_suffix(rest).filter(|r| !r.is_empty())?;
        self.0 = rest;
        Some(if digits { Part::Number(run.trim_start_matches('0')) } else { Part::Letters(run) })
    }
}

/// Whether an app's short version can stand for the app: it starts with a digit.
#[must_use]
pub fn is_usable(version: &str) -> bool {
    version.trim_start().starts_with(|c: char| c.is_ascii_digit())
}

/// Versions that packaging tools fill in when nobody gives one.
#[must_use]
pub fn is_suspicious(version: &str) -> bool {
    matches!(version.trim(), "" | "0" | "0.0" | "0.0.0" | "1" | "1.0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ordering::{Equal, Greater, Less};
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// The written table: it is the reference, also of the generated scripts.
    const TABLE: &str = include_str!("../../tests/data/versions.tsv");

    fn table() -> Vec<(&'static str, Ordering, &'static str)> {
        let rows = TABLE.lines().filter(|l| !l.starts_with("# "));
        rows.map(|l| {
            let [a, op, b]: [&str; 3] = l.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let op = match op {
                "<" => Less,
                "=" => Equal,
                ">" => Greater,
                other => panic!("{other:?}"),
            };
            (a, op, b)
        })
        .collect()
    }

    #[test]
    fn versions_compare_as_the_written_table_says() {
        let table = table();
        assert!(table.len() >= 130, "{}", table.len());
        for (a, want, b) in table {
            assert_eq!(compare_versions(a, b), want, "{a:?} {b:?}");
            assert_eq!(compare_versions(b, a), want.reverse(), "{b:?} {a:?}");
        }
    }

    /// All versions of the table against all: the order must be one, and the same as that of a
    /// program which somebody else could have written from the decision's text.
    #[test]
    fn another_implementation_orders_all_pairs_alike() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/versions.py");
        let mut all: Vec<&str> = table().iter().flat_map(|(a, _, b)| [*a, *b]).collect();
        all.sort_unstable();
        all.dedup();
        let mut input = String::new();
        for a in &all {
            for b in &all {
                let op = match compare_versions(a, b) {
                    Less => "<",
                    Equal => "=",
                    Greater => ">",
                };
                input.push_str(&format!("{a}\t{op}\t{b}\n"));
            }
        }
        let child = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(e) => return eprintln!("SKIPPED another_implementation: python3: {e}"),
        };
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let out = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(text.trim(), format!("{} pairs agree", all.len() * all.len()));
    }

    #[test]
    fn the_order_is_transitive() {
        let mut all: Vec<&str> = table().iter().flat_map(|(a, _, b)| [*a, *b]).collect();
        all.sort_by(|a, b| compare_versions(a, b));
        for (i, a) in all.iter().enumerate() {
            for b in all.iter().skip(i) {
                assert_ne!(compare_versions(a, b), Greater, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn usable_means_a_leading_digit() {
        assert!(is_usable("4.2 Enhanced"));
        for bad in ["", " ", "v1", "${VERSION}", ".1"] {
            assert!(!is_usable(bad), "{bad:?}");
        }
    }
}
