//! The `expected.json` beside each of our fixtures is what Python's libraries read in it, disk
//! images unpacked by 7-Zip.

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

/// Every fixture in these folders: the installer, and what was written down by hand.
fn cases(formats: &[&str]) -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut out = Vec::new();
    for format in formats {
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
            let one = if one.extension() == Some("app".as_ref()) { case } else { one };
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

/// Runs a Python script of this folder; `None` when Python or what it starts is not there.
fn python(script: &str, words: &[&Path]) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let out = match Command::new("python3").arg(&script).args(words).output() {
        Ok(out) => out,
        Err(e) => {
            eprintln!("SKIPPED {}: python3: {e}", script.display());
            return None;
        }
    };
    let said = String::from_utf8_lossy(&out.stderr);
    if said.contains("FileNotFoundError") && (said.contains("'7zz'") || said.contains("'openssl'"))
    {
        eprintln!("SKIPPED {}: 7zz or openssl is not installed", script.display());
        return None;
    }
    assert!(out.status.success(), "{words:?}: {said}");
    Some(serde_json::from_slice(&out.stdout).unwrap())
}

#[test]
fn expectations_are_what_python_reads() {
    for (path, expected) in cases(&["pkg", "app"]) {
        let Some(mut read) = python("independent.py", &[&path]) else { return };
        if let Some(files) = read.get_mut("files").and_then(Value::as_array_mut) {
            files.retain(|f| f[0] != "expected.json");
        }
        assert_eq!(read, without_decisions(expected), "{}", path.display());
    }
}

#[test]
#[cfg(target_os = "linux")] // two names of one volume differ by case
fn expectations_are_what_seven_zip_unpacks() {
    for (path, expected) in cases(&["dmg"]) {
        let dir = tempfile::tempdir().unwrap();
        let password = expected["password"].as_str().unwrap_or_default().to_owned();
        let to = dir.path().join("out");
        let Some(image) = python("unpack_image.py", &[&path, &to, Path::new(&password)]) else {
            return;
        };
        let root = Path::new(image["root"].as_str().unwrap());
        let Some(mut read) = python("independent.py", &[root]) else { return };
        read["kind"] = Value::from("disk-image");
        let mut expected = without_decisions(expected);
        for key in ["format", "partitions", "encryption", "codecs", "licence", "file_system"] {
            if let Some(value) = image.get(key) {
                read[key] = value.clone();
            }
        }
        let fields = expected.as_object_mut().unwrap();
        fields.remove("password");
        // 7-Zip does not say the name of an APFS volume that is alone in its container.
        let volume = fields.remove("volume");
        if let Some(name) = image.get("volume") {
            assert_eq!(volume.as_ref(), Some(name), "{}", path.display());
        }
        for package in fields.remove("packages").iter().flat_map(|p| p.as_array().unwrap()) {
            let at = root.join(package[0].as_str().unwrap());
            let Some(read) = python("independent.py", &[&at]) else { return };
            assert_eq!(read, without_decisions(package[1].clone()), "{}", at.display());
        }
        // Two names of one file: the same size is all that can be seen in the list.
        for pair in fields.remove("hard_links").iter().flat_map(|p| p.as_array().unwrap()) {
            let bytes = |i: usize| std::fs::read(root.join(pair[i].as_str().unwrap())).unwrap();
            assert_eq!(bytes(0), bytes(1));
        }
        assert_eq!(read, expected, "{}", path.display());
    }
}
