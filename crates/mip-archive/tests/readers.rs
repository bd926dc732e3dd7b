//! Plain readers see the same tree as we do (hostile-inputs.md, H22).
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

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{open, small, vector_entries, verify_full, write};
use mip_archive::list_unverified;
use mip_base::{Job, ReadAt};

type Tree = BTreeMap<String, Vec<u8>>;

/// What the archive must extract to, from the entries that went in.
fn expected(bytes: &[u8], entries: &[(&str, u32, Vec<u8>)]) -> Tree {
    let archive = open(bytes.to_vec()).unwrap();
    let mut tree: Tree =
        entries.iter().map(|(name, _, data)| ((*name).to_owned(), data.clone())).collect();
    tree.insert("META-MIP/index.bin".into(), archive.index_bytes().to_vec());
    if let Some(s) = archive.signature() {
        tree.insert("META-MIP/signature.p7s".into(), s.to_vec());
    }
    tree
}

fn read_tree(dir: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for item in std::fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                tree.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    tree
}

/// Archives of several shapes: minimal, all kinds of entries, payloads around block edges.
fn shapes() -> Vec<Vec<(&'static str, u32, Vec<u8>)>> {
    let minimal = |n: usize| {
        vec![
            ("Info.plist", 0o644, b"<plist/>".to_vec()),
            ("payload/A Tool-1.0.dmg", 0o755, (0..n).map(|i| (i * 7 / 3) as u8).collect()),
        ]
    };
    let mut padded = vector_entries();
    // The payload's header then lies across the end of the first block.
    padded[1].2 = vec![7; (1 << 20) - 300];
    let mut empty = vector_entries();
    empty[2].2.clear();
    vec![minimal(0), minimal(1), minimal(3 << 20), vector_entries(), padded, empty]
}

#[test]
fn h22_the_zip_crate_reads_the_same_tree() {
    for entries in shapes() {
        for signed in [true, false] {
            let (bytes, _) = write(&entries, signed);
            let mut zip = zip::ZipArchive::new(Cursor::new(bytes.clone())).unwrap();
            let mut tree = Tree::new();
            for i in 0..zip.len() {
                let mut file = zip.by_index(i).unwrap();
                let name = file.name().unwrap().into_owned();
                assert_eq!(file.compression(), zip::CompressionMethod::Stored);
                assert!(file.is_file());
                let mode = entries.iter().find(|e| e.0 == name).map_or(0o644, |e| e.1);
                assert_eq!(file.unix_mode(), Some(0o100_000 | mode));
                if name.starts_with("payload/") {
                    assert_eq!(file.data_start().unwrap() % 4096, 0);
                }
                let mut data = Vec::new();
                file.read_to_end(&mut data).unwrap();
                assert!(tree.insert(name, data).is_none());
            }
            assert!(tree == expected(&bytes, &entries));
        }
    }
}

#[test]
fn h22_tools_extract_the_same_tree() {
    // {0}: the archive, {1}: an empty folder.
    let tools: &[(&str, &[&str])] = &[
        ("unzip", &["-q", "{0}", "-d", "{1}"]),
        ("7zz", &["x", "-y", "{0}", "-o{1}"]),
        ("bsdtar", &["-xf", "{0}", "-C", "{1}"]),
        ("python3", &["-m", "zipfile", "-e", "{0}", "{1}"]),
    ];
    let tests: &[(&str, &[&str])] = &[
        ("unzip", &["-t", "{0}"]),
        ("7zz", &["t", "{0}"]),
        ("bsdtar", &["-tf", "{0}"]),
        ("python3", &["-m", "zipfile", "-t", "{0}"]),
        ("jar", &["tf", "{0}"]),
    ];
    for (n, entries) in shapes().into_iter().enumerate() {
        let (bytes, _) = write(&entries, true);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.mip");
        std::fs::write(&file, &bytes).unwrap();
        for (k, (tool, args)) in tools.iter().chain(tests).enumerate() {
            let to = dir.path().join(k.to_string());
            std::fs::create_dir(&to).unwrap();
            let args = args.iter().map(|a| {
                a.replace("{0}", file.to_str().unwrap()).replace("{1}", to.to_str().unwrap())
            });
            // bsdtar and unzip write names in the locale's character set.
            match Command::new(tool).args(args).env("LC_ALL", "C.UTF-8").output() {
                Err(e) => eprintln!("SKIPPED {tool} in h22_tools_extract_the_same_tree: {e}"),
                Ok(out) => {
                    let said = String::from_utf8_lossy(&out.stderr);
                    assert!(out.status.success(), "{tool}, shape {n}: {said}");
                    assert!(!said.to_lowercase().contains("warning"), "{tool}, shape {n}: {said}");
                    if k < tools.len() {
                        assert!(read_tree(&to) == expected(&bytes, &entries), "{tool}, shape {n}");
                    }
                }
            }
        }
    }
}

#[test]
fn our_own_reader_agrees() {
    for entries in shapes() {
        let (bytes, _) = write(&entries, true);
        let archive = verify_full(bytes).unwrap();
        assert_eq!(archive.entries().len(), entries.len());
        for (entry, (name, mode, data)) in archive.entries().iter().zip(&entries) {
            assert_eq!((entry.path.as_str(), entry.mode), (*name, *mode));
            let section = archive.open_entry(entry).unwrap();
            assert_eq!(section.size(), data.len() as u64);
            let mut read = Vec::new();
            section.reader().read_to_end(&mut read).unwrap();
            assert!(read == *data);
            read.clear();
            let mut reader = archive.entry_reader(entry, &Job::default()).unwrap();
            common::Dribble { inner: &mut reader, step: 777 }.read_to_end(&mut read).unwrap();
            assert!(read == *data);
        }
    }
}

#[test]
fn a_listing_shows_what_the_directory_claims() {
    let bytes = small();
    let listed = list_unverified(Arc::new(bytes.clone()), &Job::default()).unwrap();
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    assert_eq!(listed.len(), zip.len());
    for (i, l) in listed.iter().enumerate() {
        let file = zip.by_index(i).unwrap();
        assert_eq!(l.name, file.name().unwrap());
        assert_eq!((l.size, l.stored_size), (file.size(), file.compressed_size()));
        assert_eq!((l.crc32, l.mode), (file.crc32(), file.unix_mode()));
        assert_eq!((l.method, l.encrypted), (0, false));
        assert_eq!(l.header_offset, file.header_start());
    }
}

#[test]
fn a_listing_of_hostile_bytes_never_panics() {
    let good = small();
    let job = Job::default();
    let list = |b: Vec<u8>| list_unverified(Arc::new(b), &job);
    for n in 0..good.len() {
        assert!(list(good[..n].to_vec()).is_err(), "cut at {n}");
    }
    let directory = good.len() - 98 - 6 * 70;
    for at in directory..good.len() {
        for value in [0, 1, 0x7F, 0xFF] {
            let mut b = good.clone();
            b[at] = value;
            let _ = list(b);
        }
    }
    // Three bytes that the directory's size counts and no record holds.
    let mut odd = good.clone();
    let tail = good.len() - 98;
    odd.splice(tail..tail, [0; 3]);
    odd[tail + 3 + 40] += 3;
    odd[tail + 3 + 56 + 8] += 3;
    odd[tail + 3 + 76 + 12] += 3;
    assert_eq!(list(odd).unwrap_err().code(), mip_base::Code::Zip);
    let mut limits = mip_base::Limits::default();
    limits.entries = 6;
    let (token, quiet) = (mip_base::CancelToken::new(), Arc::new(mip_base::SilentProgress));
    let few = Job::new(limits, token, quiet);
    let e = list_unverified(Arc::new(good.clone()), &few).unwrap_err();
    assert_eq!(e.code(), mip_base::Code::LimitEntries);
    // A comment and bytes in front of it are someone else's business: still listed.
    let mut commented = good.clone();
    let n = commented.len();
    commented[n - 2] = 3;
    commented.extend(b"abc");
    assert_eq!(list(commented).unwrap().len(), 7);
    // Names are shown escaped.
    let mut named = good;
    let at = named.windows(10).rposition(|w| w == b"Info.plist").unwrap();
    named[at] = 0x1B;
    assert_eq!(list(named).unwrap()[0].name, "\\u{1b}nfo.plist");
}
