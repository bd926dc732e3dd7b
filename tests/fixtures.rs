//! The `expected.json` beside each of our fixtures is what Python's libraries read in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every fixture with an `expected.json`: the installer, and what was written down by hand.
fn cases() -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut out = Vec::new();
    for format in ["pkg", "app"] {
        for case in std::fs::read_dir(root.join(format)).unwrap() {
            let case = case.unwrap().path();
            let expected = std::fs::read_to_string(case.join("expected.json")).unwrap();
            let mut others = std::fs::read_dir(&case)
                .unwrap()
                .map(|e| e.unwrap().path())
                .filter(|p| !p.ends_with("expected.json"));
            let one = others.next().unwrap();
            assert_eq!(others.next(), None, "one installer per folder");
            // An app in a folder is read from the folder above it, as an unpacked zip file would be.
            let one = if one.is_dir() { case } else { one };
            out.push((one, serde_json::from_str(&expected).unwrap()));
        }
    }
    assert!(out.len() >= 7, "{} fixtures", out.len());
    out
}

/// Takes out what no file says: which app is the main one, where it ends up, which receipts stay.
fn without_decisions(mut v: Value) -> Value {
    v.as_object_mut().unwrap().remove("primary");
    for (list, key) in [("apps", "path"), ("components", "receipt")] {
        for item in v.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            item.as_object_mut().unwrap().remove(key);
        }
    }
    v
}

#[test]
fn expectations_are_what_python_reads() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/independent.py");
    for (path, expected) in cases() {
        let out = match Command::new("python3").arg(&script).arg(&path).output() {
            Ok(out) => out,
            Err(e) => {
                eprintln!("SKIPPED expectations_are_what_python_reads: python3: {e}");
                return;
            }
        };
        assert!(
            out.status.success(),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&out.stderr)
        );
        let mut read: Value = serde_json::from_slice(&out.stdout).unwrap();
        if let Some(files) = read.get_mut("files").and_then(Value::as_array_mut) {
            files.retain(|f| f[0] != "expected.json");
        }
        assert_eq!(read, without_decisions(expected), "{}", path.display());
    }
}
