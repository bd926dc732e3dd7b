//! Every shared xar file against what 7-Zip reads in it.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use mip_base::{Code, EntryKind, FileAt, Job};
use mip_testkit::shared::{expected, fixtures};
use mip_testkit::xar::{Style, hex};
use mip_xar::{SignatureStyle, Xar, XarFile};

const FOLDERS: &[&str] = &["pkg-flat", "pkg-signed", "xar", "synthetic"];

fn each(test: &str, mut take: impl FnMut(&str, Xar, serde_json::Value)) {
    let Some(dir) = fixtures(test) else { return };
    let mut count = 0;
    for folder in FOLDERS {
        let mut names: Vec<String> = std::fs::read_dir(dir.join(folder))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n.ends_with(".pkg") || n.ends_with(".xar"))
            .collect();
        names.sort();
        for name in names {
            let path = format!("{folder}/{name}");
            let source = Arc::new(FileAt::open(&dir.join(&path)).unwrap());
            let xar =
                Xar::open(source, &Job::default()).unwrap_or_else(|e| panic!("{path}: {e:?}"));
            take(&path, xar, expected(&dir, &path));
            count += 1;
        }
    }
    assert!(count >= 29, "{count} files");
}

/// Type, size and SHA-256 or link target, as the expectations have them.
fn read(xar: &Xar, f: &XarFile) -> (String, u64, String) {
    match f.kind {
        EntryKind::Directory => ("dir".into(), 0, String::new()),
        EntryKind::Symlink => {
            let link = f.link.clone().unwrap();
            ("symlink".into(), link.len() as u64, link)
        }
        _ => {
            let bytes =
                xar.read_file(f, 16 << 20, &Job::default()).unwrap_or_else(|e| panic!("{e:?}"));
            ("file".into(), bytes.len() as u64, hex(&Style::Sha256.digest(&bytes)))
        }
    }
}

#[test]
fn members_are_what_7zip_reads() {
    each("mip-xar members", |path, xar, json| {
        let mut want: BTreeMap<String, (String, u64, String)> = BTreeMap::new();
        for m in json["members"].as_array().unwrap() {
            let text = |i: usize| m[i].as_str().unwrap().to_owned();
            want.insert(text(0), (text(1), m[2].as_u64().unwrap(), text(3)));
        }
        for f in xar.files() {
            let theirs = want.remove(f.path.as_str());
            let theirs = theirs.unwrap_or_else(|| panic!("{path}: 7-Zip lacks {}", f.path));
            match f.kind {
                // 7-Zip extracts pipes and devices as empty files: the TOC says what they are.
                EntryKind::Fifo | EntryKind::CharDevice => {
                    assert_eq!((theirs.0.as_str(), theirs.1), ("file", 0), "{path}");
                    let e = xar.open_file(f, &Job::default()).err().unwrap();
                    assert_eq!(e.code(), Code::XarUnsupported);
                }
                // 7-Zip extracts a hard link as an empty file, bsdtar as the link that it is.
                // The TOC gives a link no data of its own, so it holds what its original holds.
                EntryKind::Hardlink => {
                    assert_eq!((theirs.0.as_str(), theirs.1), ("file", 0), "{path}");
                    let original = xar.find(f.link.as_deref().unwrap()).unwrap();
                    assert_eq!(read(&xar, f), read(&xar, original));
                }
                _ => assert_eq!(read(&xar, f), theirs, "{path}: {}", f.path),
            }
        }
        assert!(want.is_empty(), "{path}: 7-Zip also has {want:?}");
    });
}

#[test]
fn signatures_and_trailers_are_where_openssl_found_them() {
    let Some(dir) = fixtures("mip-xar signatures") else { return };
    let text = std::fs::read_to_string(dir.join("expected/trust.jsonl")).unwrap();
    let trust: BTreeMap<String, serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap())
        .map(|v| (v["file"].as_str().unwrap().to_owned(), v))
        .collect();
    let mut signed = 0;
    each("mip-xar trust", |path, xar, _| {
        let c = xar.toc_checksum();
        let Some(t) = trust.get(path) else {
            assert!(xar.signatures().is_empty(), "{path}");
            return;
        };
        let Some(style) = t["toc_style"].as_str() else {
            assert_eq!(c.style.name(), "none", "{path}");
            return;
        };
        assert_eq!(c.style.name(), style, "{path}");
        assert_eq!(hex(&c.computed), t["toc_digest"].as_str().unwrap(), "{path}");
        assert_eq!(c.stored, c.computed);
        let trailer = xar.trailing().map_or(0, |(_, len)| len);
        assert_eq!(trailer, t["trailer_after_heap"].as_u64().unwrap(), "{path}");
        for (key, style, extended) in
            [("signature", SignatureStyle::Rsa, false), ("x-signature", SignatureStyle::Cms, true)]
        {
            let chain = t[key]["chain"].as_array();
            let ours = xar.signatures().iter().find(|s| s.extended == extended);
            assert_eq!(ours.is_some(), chain.is_some(), "{path}: {key}");
            let (Some(ours), Some(chain)) = (ours, chain) else { continue };
            assert_eq!(ours.style, style);
            let prints: Vec<String> = ours
                .certificates
                .iter()
                .map(|der| hex(&Style::Sha256.digest(der)).to_uppercase())
                .collect();
            let theirs: Vec<String> =
                chain.iter().map(|c| c["sha256"].as_str().unwrap().replace(':', "")).collect();
            assert_eq!(prints, theirs, "{path}: {key}");
            assert!(xar.heap_range(ours.offset, ours.size).is_ok());
            signed += 1;
        }
    });
    assert!(signed >= 18, "{signed} signatures");
}

#[test]
fn a21_apples_repeated_names_are_noted() {
    each("mip-xar notes", |path, xar, _| {
        let noted = xar.notes().iter().any(|n| n.contains("<name>"));
        if path == "pkg-flat/arcade-test.pkg" || path.contains("VirtualHIDDevice-7.3.0") {
            assert!(noted, "{path}: {:?}", xar.notes());
        }
        if path == "xar/mackyle-demo.xar" {
            assert!(xar.notes().is_empty());
        }
    });
}

// libarchive's regression files. Two are harmless here: the number and the time that were
// read past their end are fields that this reader does not interpret. A base64 name of five
// digits and a file with two types have no one reading.
#[test]
fn malformed_files_are_judged_one_by_one() {
    let Some(dir) = fixtures("mip-xar malformed") else { return };
    let open = |name: &str| {
        let path = dir.join(format!("malformed/libarchive-xar_{name}.xar"));
        Xar::open(Arc::new(FileAt::open(&path).unwrap()), &Job::default())
    };
    for name in ["atou64_overread", "parse_time_overread"] {
        let xar = open(name).unwrap();
        assert_eq!(xar.files().len(), 1, "{name}");
        let file = xar.find("num").unwrap();
        assert_eq!(xar.read_file(file, 10, &Job::default()).unwrap(), b"");
    }
    assert_eq!(open("base64_oob").unwrap_err().code(), Code::XarName);
    assert_eq!(open("doublelink").unwrap_err().code(), Code::XarLink);
}
