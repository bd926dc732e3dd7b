//! Versions as text.

use std::cmp::Ordering;

/// Compares two versions. Runs of digits compare as numbers, runs of letters as text, and
/// everything else separates; missing parts count as 0, so that `1.0` equals `1`. A part of
/// letters is less than a number (`1.0b` is before `1.0.1`, `2.0rc1` before `2.0`). Leading
/// blanks and a leading `v` do not count.
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (Parts::new(a), Parts::new(b));
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() {
            return Ordering::Equal;
        }
        let order = x.unwrap_or(Part::Number("")).cmp(&y.unwrap_or(Part::Number("")));
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Part<'a> {
    Letters(&'a str),
    /// Digits without leading zeros; a number of any length.
    Number(&'a str),
}

impl Ord for Part<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Part::Number(a), Part::Number(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Part::Letters(a), Part::Letters(b)) => a.cmp(b),
            (Part::Letters(_), Part::Number(_)) => Ordering::Less,
            (Part::Number(_), Part::Letters(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Part<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

struct Parts<'a>(&'a str);

impl<'a> Parts<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.trim();
        Self(text.strip_prefix(['v', 'V']).unwrap_or(text))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let text = self.0.trim_start_matches(|c: char| !c.is_alphanumeric());
        let digits = text.starts_with(|c: char| c.is_ascii_digit());
        let same = |c: char| {
            if digits { c.is_ascii_digit() } else { c.is_alphanumeric() && !c.is_ascii_digit() }
        };
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

    #[test]
    fn versions_compare_by_number() {
        for (a, b, want) in [
            ("10.9", "10.15", Less),
            ("11", "10.15.7", Greater),
            ("11.0", "11", Equal),
            ("1.0.0.0", "1", Equal),
            ("007", "7.0", Equal),
            ("2.0rc1", "2.0", Less),
            ("2.0b", "2.0.1", Less),
            ("1.0a", "1.0b", Less),
            ("v1.2", "1.2", Equal),
            ("11..0", "11.0", Equal),
            ("99999999999999999999999", "1", Greater),
            ("18446744073709551616", "18446744073709551617", Less),
            ("", "0", Equal),
            ("4.2 Enhanced", "4.3", Less),
            ("--", "", Equal),
        ] {
            assert_eq!(compare_versions(a, b), want, "{a} {b}");
            assert_eq!(compare_versions(b, a), want.reverse(), "{b} {a}");
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
