//! `docs/hostile-inputs.md`: which test stands for which case, read from the names of the tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::tree_files::root;

/// Sections of the project's list: letter, number of cases, what they are about.
const SECTIONS: &[(char, u32, &str)] = &[
    ('A', 24, "xar and packages"),
    ('B', 20, "UDIF disk images"),
    ('C', 14, "HFS+"),
    ('D', 12, "APFS"),
    ('E', 12, "payloads: cpio, pbzx, gzip"),
    ('F', 10, "property lists, Distribution, PackageInfo, Bom"),
    ('G', 18, "app trees and paths"),
    ('H', 22, "reading and verifying archives"),
    ('I', 18, "CMS, certificates, timestamps"),
    ('J', 12, "keys and secrets"),
    ('K', 24, "input, output, crashes, environment"),
    ('L', 8, "embedding in a server"),
];

/// Case (letter, number) to the tests that carry its name.
type Tests = BTreeMap<(char, u32), Vec<String>>;

/// The page.
pub(crate) fn page() -> Result<String> {
    let mut tests = Tests::new();
    for folder in ["crates", "tests"] {
        scan(&root().join(folder), &mut tests)?;
    }
    let mut out = String::from(crate::docs::GENERATED);
    out += "\
# Hostile inputs: what is tested where

The cases of the project's list (A1 … L8). A test carries the id of its case in its name (`b04_…`, or several:
`h18_h19_h20_…`); this page is made from those names. `tests/hostile.rs` and `tests/images_hostile.rs` also send mutated
installers and images of every kind, and every one-step change of a signed archive, through the library. A case without a row is not
tested by name yet.
";
    let mut missing = String::new();
    for (letter, cases, about) in SECTIONS {
        writeln!(out, "\n## {letter}: {about}\n\n| case | test |\n|---|---|")?;
        let mut without = Vec::new();
        for n in 1..=*cases {
            match tests.remove(&(*letter, n)) {
                Some(names) => writeln!(out, "| {letter}{n} | {} |", names.join("<br>"))?,
                None => without.push(format!("{letter}{n}")),
            }
        }
        if !without.is_empty() {
            writeln!(missing, "- {about}: {}.", without.join(", "))?;
        }
    }
    if let Some(((letter, n), names)) = tests.first_key_value() {
        return Err(format!("{names:?}: the list has no case {letter}{n}").into());
    }
    if !missing.is_empty() {
        write!(out, "\n## Not tested by name yet\n\n{missing}")?;
    }
    Ok(out)
}

/// Collects the tests of all Rust files below `folder`.
fn scan(folder: &Path, tests: &mut Tests) -> Result<()> {
    let mut entries: Vec<_> =
        fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            scan(&path, tests)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let shown = path.strip_prefix(root())?.to_string_lossy().replace('\\', "/");
            for name in fs::read_to_string(&path)?.lines().filter_map(function) {
                for case in cases(name) {
                    tests.entry(case).or_default().push(format!("`{shown}::{name}`"));
                }
            }
        }
    }
    Ok(())
}

/// The name of the function that a line defines.
fn function(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("fn ")?.split(['(', '<']).next()
}

/// `h18_h20_cut` stands for H18 and H20.
fn cases(name: &str) -> Vec<(char, u32)> {
    let case = |part: &str| {
        let letter = part.chars().next().filter(char::is_ascii_lowercase)?;
        let digits = part.get(1..).filter(|d| d.len() == 2)?;
        Some((letter.to_ascii_uppercase(), digits.parse().ok()?))
    };
    // An id alone is a function that reads an `i32`, say.
    let named = name.split('_').any(|part| case(part).is_none());
    name.split('_')
        .map_while(case)
        .filter(|_| named)
        .filter(|(l, _)| ('A'..='L').contains(l))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tests_carry_cases() {
        assert_eq!(cases("h18_h20_cut"), [('H', 18), ('H', 20)]);
        assert_eq!(cases("b04_a_count"), [('B', 4)]);
        assert_eq!(cases("utf8_names"), []);
        assert_eq!(cases("a1_x"), []);
        assert_eq!(cases("i32"), []);
        assert_eq!(function("    fn a01_x() {"), Some("a01_x"));
        assert_eq!(function("// fn a01_x() {"), None);
    }
}
