//! The archives that an independent implementation made from the format's page.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use std::process::Command;

use common::{fixtures, open, product, vector_entries, write};
use mip_archive::{Index, VerifyOptions};
use mip_base::{Code, Error, Job};
use sha2::{Digest, Sha256};

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

#[test]
fn the_writer_makes_the_bytes_of_the_vector() {
    let (ours, written) = write(&vector_entries(), false);
    assert!(ours == vector("vector-unsigned.mip"));
    assert_eq!(written.len, ours.len() as u64);
}

#[test]
fn a_signature_changes_what_follows_the_index_only() {
    let signed = vector("vector-signed.mip");
    let out = std::sync::Arc::new(mip_base::MemoryFile::new());
    let source = std::sync::Arc::new(vector("vector-unsigned.mip"));
    let mut sign = |_: &[u8]| Ok(b"not a CMS signature".to_vec());
    mip_archive::resign(source, out.clone(), Some(&mut sign), &Job::default()).unwrap();
    assert!(out.to_vec() == signed);
}

#[test]
fn the_vectors_verify_and_name_their_product() {
    for (name, signature) in
        [("vector-unsigned.mip", None), ("vector-signed.mip", Some(&b"not a CMS signature"[..]))]
    {
        let options = VerifyOptions::default().depth(mip_archive::VerifyDepth::Full);
        let check = |_: &[u8], s: Option<&[u8]>| {
            assert_eq!(s, signature);
            Ok::<_, Error>(())
        };
        let archive = open(vector(name)).unwrap();
        let (archive, ()) = archive.verify_with(check, &options, &Job::default()).unwrap();
        assert_eq!(archive.index().product, product());
        for (entry, (name, mode, content)) in archive.entries().iter().zip(vector_entries()) {
            assert_eq!((entry.path.as_str(), entry.mode), (name, mode));
            let read = archive.read_entry(entry, 1 << 20, &Job::default()).unwrap();
            assert_eq!(read, content);
            assert_eq!(entry.sha256, *Sha256::digest(&content));
        }
    }
}

#[test]
fn the_page_states_the_digests_of_the_vectors() {
    let page = std::fs::read_to_string(fixtures().join("../../docs/mip-format.md")).unwrap();
    let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
    for name in ["vector-unsigned.mip", "vector-signed.mip"] {
        let bytes = vector(name);
        let row = format!("| `{name}` | {} | `{}` |", bytes.len(), hex(&Sha256::digest(&bytes)));
        assert!(page.contains(&row), "{row}");
        let index = open(bytes).unwrap().index_bytes().to_vec();
        let row = format!("| its index | {} | `{}` |", index.len(), hex(&Sha256::digest(&index)));
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn the_script_still_makes_the_committed_vectors() {
    let script = fixtures().join("../../tests/vectors/make_mip.py");
    let dir = tempfile::tempdir().unwrap();
    match Command::new("python3").arg(&script).arg(dir.path()).output() {
        Err(e) => eprintln!("SKIPPED the_script_still_makes_the_committed_vectors: python3: {e}"),
        Ok(out) => {
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            for name in ["vector-unsigned.mip", "vector-signed.mip"] {
                assert!(std::fs::read(dir.path().join(name)).unwrap() == vector(name), "{name}");
            }
        }
    }
}

#[test]
fn index_mutations_never_panic_and_are_refused_or_canonical() {
    let job = Job::default();
    let index = open(vector("vector-unsigned.mip")).unwrap().index_bytes().to_vec();
    let decode = |b: &[u8]| {
        if let Ok(i) = Index::decode(b, job.limits()) {
            assert_eq!(i.encode().unwrap(), b);
            return true;
        }
        false
    };
    assert!(decode(&index));
    for n in 0..index.len() {
        assert!(!decode(&index[..n]), "cut at {n}");
        for value in [0, 1, 0x7F, 0x80, 0xFF, index[n] ^ 1, index[n].wrapping_add(1)] {
            let mut b = index.clone();
            b[n] = value;
            decode(&b);
        }
        for field in [2, 4, 8] {
            for fill in [0, 0xFF] {
                let mut b = index.clone();
                b.iter_mut().skip(n).take(field).for_each(|v| *v = fill);
                decode(&b);
            }
        }
    }
    assert!(!decode(&[index.as_slice(), &[0]].concat()));
    assert!(!decode(&[index.as_slice(), &[0; 32]].concat()));
}

/// Gives every entry the offsets that the layout asks for (section 4 of the page), so that only
/// the rule under test is broken.
fn lay_out(index: &mut Index) {
    let mut at = 0;
    for e in &mut index.entries {
        e.header_offset = at;
        at += 30 + e.path.as_str().len() as u64;
        if e.path.as_str().starts_with("payload/") {
            at = (at + 26).next_multiple_of(4096);
        }
        e.offset = at;
        at += e.size;
    }
    index.body = at;
    index.blocks.resize(at.div_ceil(1 << 20) as usize, [0; 32]);
}

#[test]
fn h01_h09_each_rule_of_the_profile_is_checked_by_itself() {
    let job = Job::default();
    let bytes = open(vector("vector-unsigned.mip")).unwrap().index_bytes().to_vec();
    let good = Index::decode(&bytes, job.limits()).unwrap();
    let mut same = good.clone();
    lay_out(&mut same);
    assert_eq!(same, good, "the test's own idea of the layout");
    type Change = fn(&mut Index);
    let cases: &[(&str, Change)] = &[
        ("too large for its role", |i| i.entries[0].size = 64 << 20),
        ("not in its place, or twice", |i| i.entries.swap(1, 2)),
        ("not in its place, or twice", |i| i.entries.swap(2, 3)),
        ("not in its place, or twice", |i| i.entries.swap(3, 4)),
        ("not in its place, or twice", |i| i.entries[1] = i.entries[0].clone()),
        ("one Info.plist and one payload", |i| drop(i.entries.remove(0))),
        ("one Info.plist and one payload", |i| drop(i.entries.pop())),
        ("one Info.plist and one payload", |i| {
            let mut second = i.entries[4].clone();
            second.path = common::path("payload/Hidden.pkg");
            i.entries.push(second);
        }),
        ("differ in case only", |i| {
            i.entries[2].path = common::path("scripts/UNINSTALL.sh");
        }),
        ("mode other than", |i| i.entries[4].mode = 0o4755),
        ("is empty, too long", |i| i.product.version = "1\u{7f}".into()),
    ];
    for (what, change) in cases {
        let mut index = good.clone();
        change(&mut index);
        lay_out(&mut index);
        let e = Index::decode(&index.encode().unwrap(), job.limits()).expect_err(what);
        assert_eq!(e.code(), Code::MipAmbiguous, "{what}: {e:?}");
        assert!(e.message().contains(what), "{what}: {e:?}");
    }
    // The largest small entry is accepted.
    let mut index = good;
    index.entries[0].size = (64 << 20) - 1;
    lay_out(&mut index);
    Index::decode(&index.encode().unwrap(), job.limits()).unwrap();

    for (at, what) in [(0, "magic"), (8, "format version 0"), (14, "purpose"), (20, "purpose")] {
        let mut b = bytes.clone();
        b[at] ^= 1;
        let e = Index::decode(&b, job.limits()).unwrap_err();
        assert_eq!(e.code(), Code::MipUnknown);
        assert!(e.message().contains(what), "{what}: {e:?}");
    }
}

#[test]
fn h09_h10_an_index_that_breaks_a_rule_is_refused() {
    let job = Job::default();
    let bytes = open(vector("vector-unsigned.mip")).unwrap().index_bytes().to_vec();
    let good = Index::decode(&bytes, job.limits()).unwrap();
    type Change = fn(&mut Index);
    let cases: &[(&str, Change)] = &[
        ("mode with setuid", |i| i.entries[0].mode = 0o4755),
        ("mode of a symlink", |i| i.entries[0].mode = 0o777),
        ("entry twice", |i| i.entries[1] = i.entries[0].clone()),
        ("two entries swapped", |i| i.entries.swap(2, 3)),
        ("an entry removed", |i| drop(i.entries.remove(1))),
        ("no Info.plist", |i| drop(i.entries.remove(0))),
        ("no payload", |i| drop(i.entries.pop())),
        ("role of another name", |i| i.entries[1].role = i.entries[0].role),
        ("size + 1", |i| i.entries[0].size += 1),
        ("size + 2^32", |i| i.entries[4].size += 1 << 32),
        ("size 2^64 - 1", |i| i.entries[4].size = u64::MAX),
        ("header moved", |i| i.entries[1].header_offset += 1),
        ("data moved", |i| i.entries[4].offset += 4096),
        ("overlap", |i| i.entries[1].offset = i.entries[0].offset),
        ("body + 1", |i| i.body += 1),
        ("body 2^64 - 1", |i| i.body = u64::MAX),
        ("a block missing", |i| i.blocks.truncate(i.blocks.len() - 1)),
        ("a block more", |i| i.blocks.push([0; 32])),
        ("empty id", |i| i.product.id.clear()),
        ("control in the version", |i| i.product.version.push('\n')),
        ("name in other case", |i| i.entries[0].path = common::path("info.plist")),
        ("script twice but for case", |i| {
            i.entries[3].path = common::path("scripts/DETECTION.sh");
            i.entries.swap(2, 3);
        }),
        ("NFD name", |i| i.entries[4].path = common::path("payload/Gro\u{308}ße 大.pkg")),
    ];
    for (what, change) in cases {
        let mut index = good.clone();
        change(&mut index);
        let e = Index::decode(&index.encode().unwrap(), job.limits()).expect_err(what);
        assert!(matches!(e.code(), Code::MipAmbiguous | Code::MipUnknown), "{what}: {e:?}");
    }
}
