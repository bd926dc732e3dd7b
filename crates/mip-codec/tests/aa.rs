//! Apple Archive: the real one of the fixtures, and broken ones.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};

use common::job;
use mip_base::{Code, EntryKind, Error, Job, Result};
use mip_codec::{Compression, aa, decoder};
use mip_testkit::chunks::{AaEntry, Chunk, container};
use mip_testkit::shared::fixtures;
use sha2::{Digest, Sha256};

type Walked = Vec<(aa::Entry, Vec<u8>)>;

fn walk_job(bytes: &[u8], job: &Job) -> Result<Walked> {
    let mut r = aa::Reader::new(Box::new(Cursor::new(bytes.to_vec())), job)?;
    let mut out = Vec::new();
    loop {
        match r.next_entry() {
            Ok(None) => return Ok(out),
            Ok(Some(e)) => {
                let mut data = Vec::new();
                r.read_to_end(&mut data).map_err(|e| Error::from_io(Code::Internal, "bare", e))?;
                assert_eq!(data.len() as u64, e.size);
                out.push((e, data));
            }
            Err(e) => {
                assert_eq!(r.next_entry().unwrap_err().code(), e.code(), "an error is for good");
                return Err(e);
            }
        }
    }
}

fn walk(bytes: &[u8]) -> Result<Walked> {
    walk_job(bytes, &Job::default())
}

fn code(bytes: &[u8]) -> Code {
    walk(bytes).unwrap_err().code()
}

/// Path, then kind, permission bits and SHA-256 or link target.
type List = BTreeMap<String, (EntryKind, u32, String)>;

fn sha(b: &[u8]) -> String {
    Sha256::digest(b).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_real_archive_holds_the_app_of_the_tar_file() {
    let Some(dir) = fixtures("the_real_archive_holds_the_app_of_the_tar_file") else { return };
    let bytes = std::fs::read(dir.join("other/sparkle-SparkleTestCodeSignApp.aar")).unwrap();
    assert!(aa::sniff(&bytes));
    let got = walk(&bytes).unwrap();
    let (_, info) = got
        .iter()
        .find(|(e, _)| {
            e.path.as_ref().is_some_and(|p| p.as_str().ends_with("App.app/Contents/Info.plist"))
        })
        .unwrap();
    let info: plist::Dictionary = plist::from_bytes(info).unwrap();
    // As Python's plistlib reads it.
    for (key, value) in [
        ("CFBundleExecutable", "Sparkle Test App"),
        ("CFBundleIdentifier", "org.sparkle-project.SparkleTestApp"),
        ("CFBundleVersion", "1.5"),
    ] {
        assert_eq!(info[key].as_string(), Some(value), "{key}");
    }
    let got: List = got
        .into_iter()
        .map(|(e, data)| {
            let what = match e.kind {
                EntryKind::File => sha(&data),
                EntryKind::Symlink => e.link.unwrap(),
                _ => String::new(),
            };
            (e.path.unwrap().as_str().to_owned(), (e.kind, e.mode, what))
        })
        .collect();

    let tar = File::open(dir.join("app/sparkle-SparkleTestCodeSignApp.tar.gz")).unwrap();
    let tar = decoder(Compression::Gzip, Box::new(tar), &Job::default()).unwrap();
    let mut want = List::new();
    for e in tar::Archive::new(tar).entries().unwrap() {
        let mut e = e.unwrap();
        let path = e.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
        let mut data = Vec::new();
        e.read_to_end(&mut data).unwrap();
        let kind = e.header().entry_type();
        let row = if kind.is_dir() {
            (EntryKind::Directory, String::new())
        } else if kind.is_symlink() {
            let to = e.link_name().unwrap().unwrap();
            (EntryKind::Symlink, to.to_str().unwrap().to_owned())
        } else {
            (EntryKind::File, sha(&data))
        };
        want.insert(path, (row.0, e.header().mode().unwrap(), row.1));
    }
    assert_eq!(got.len(), 227);
    let differ: Vec<_> = got
        .iter()
        .filter(|(k, v)| want.get(*k).map(|w| (w.0, &w.2)) != Some((v.0, &v.2)))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert_eq!(got.len(), want.len());
}

fn sample() -> Vec<u8> {
    [
        AaEntry::new(b'D', "").field(b"MOD2", &0o755_u16.to_le_bytes()),
        AaEntry::new(b'M', "").field(b"YOP*", b"").blob(b"YECB", b"some index"),
        AaEntry::new(b'F', "bin/tool")
            .field(b"UID1", &[7])
            .field(b"GID4", &70_000_u32.to_le_bytes())
            .field(b"MOD2", &0o4755_u16.to_le_bytes())
            .field(b"FLG4", &0_u32.to_le_bytes())
            .field(b"MTMT", &[&1_600_000_000_u64.to_le_bytes()[..], &[0; 4]].concat())
            .blob(b"XATB", b"attributes")
            .blob(b"DATB", b"#!/bin/sh\n")
            .blob(b"ACLB", b"list")
            .field(b"SH2H", &Sha256::digest(b"#!/bin/sh\n")),
        AaEntry::new(b'L', "alias").text(b"LNKP", "/bin/tool"),
        AaEntry::new(b'F', "one").field(b"HLC1", &[5]).blob(b"DATB", b"x"),
        AaEntry::new(b'F', "two").field(b"HLC1", &[5]),
        AaEntry::new(b'F', "empty").blob(b"DATB", b""),
    ]
    .iter()
    .flat_map(AaEntry::bytes)
    .collect()
}

fn check_sample(got: &Walked) {
    let paths: Vec<_> = got.iter().map(|(e, _)| e.path.as_ref().map(ToString::to_string)).collect();
    let want = [None, Some("bin/tool"), Some("alias"), Some("one"), Some("two"), Some("empty")];
    assert_eq!(paths, want.map(|p| p.map(str::to_owned)));
    let (tool, data) = &got[1];
    assert_eq!((tool.uid, tool.gid, tool.mode), (7, 70_000, 0o4755));
    assert_eq!((tool.mtime, data.as_slice()), (Some(1_600_000_000), &b"#!/bin/sh\n"[..]));
    assert_eq!(got[2].0.link.as_deref(), Some("/bin/tool"));
    assert_eq!((got[3].0.kind, got[3].0.cluster), (EntryKind::File, Some(5)));
    assert_eq!((got[4].0.kind, got[4].0.cluster), (EntryKind::Hardlink, Some(5)));
}

#[test]
fn fields_and_blobs_of_every_kind() {
    check_sample(&walk(&sample()).unwrap());
    let mut r = aa::Reader::new(Box::new(Cursor::new(sample())), &Job::default()).unwrap();
    let mut n = 0;
    while r.next_entry().unwrap().is_some() {
        n += 1;
    }
    assert_eq!(n, 6, "data that is not read is skipped");
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    w.write_all(data).unwrap();
    w.finish().unwrap()
}

fn lzfse(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    lzfse_rust::encode_bytes(data, &mut out).unwrap();
    out
}

#[test]
fn every_packing_gives_the_same_entries() {
    let (plain, block) = (sample(), 200);
    for (letter, pack) in [
        (b'z', zlib as fn(&[u8]) -> Vec<u8>),
        (b'x', mip_testkit::chunks::xz),
        (b'e', lzfse),
        (b'-', <[u8]>::to_vec),
    ] {
        let chunks: Vec<_> = plain.chunks(block).map(|c| Chunk::packed(c, pack(c))).collect();
        let v = container(letter, block as u64, &chunks);
        check_sample(&walk(&v).unwrap());
        for n in 0..v.len() {
            let cut = walk(&v[..n]);
            // A full chunk may be the last one, and an archive may end between entries.
            assert!(cut.is_err() || (n - 12) % 16 == 0 || n == 12, "{} cut to {n}", letter as char);
        }
        assert_eq!(code(&[&v[..], b"x"].concat()), Code::AppleArchive);
    }
    for (magic, word) in [(b"pbz4", "LZ4"), (b"pbzb", "LZBITMAP"), (b"AEA1", "encrypted")] {
        let e = walk(&[&magic[..], &[0; 40]].concat()).unwrap_err();
        assert_eq!(e.code(), Code::Unsupported);
        assert!(e.message().contains(word), "{e}");
    }
    assert_eq!(code(b"zip?"), Code::AppleArchive);
    assert_eq!(code(b""), Code::Empty);
}

#[test]
fn cut_archives_are_errors_except_between_entries() {
    let v = sample();
    let starts: Vec<usize> =
        v.windows(4).enumerate().filter(|(_, w)| w == b"AA01").map(|(i, _)| i).collect();
    for n in 1..v.len() {
        assert_eq!(walk(&v[..n]).is_ok(), starts.contains(&n), "cut to {n}");
    }
}

#[test]
fn headers_that_break_the_format() {
    let one = |e: AaEntry| code(&e.bytes());
    let f = || AaEntry::new(b'F', "a");
    assert_eq!(one(f().field(b"TYP1", b"F")), Code::AppleArchive, "twice");
    assert_eq!(one(f().field(b"UIDx", b"")), Code::AppleArchive, "unknown type");
    assert_eq!(one(f().field(b"UIDP", b"\0\0")), Code::AppleArchive, "wrong type");
    assert_eq!(one(f().field(b"UID8", &[0xff; 8])), Code::AppleArchive, "over 32 bits");
    assert_eq!(one(f().field(b"UID8", b"")), Code::AppleArchive, "cut value");
    assert_eq!(one(f().field(b"PATP", b"\xff\xff")), Code::AppleArchive, "long text");
    assert_eq!(one(f().field(b"DATC", &[0xff; 8])), Code::AppleArchive, "data of 2^64");
    assert_eq!(one(f().field(b"DATC", &[0xff; 8]).field(b"XATC", &[0xff; 8])), Code::AppleArchive);
    assert_eq!(one(f().field(b"SIZ1", &[3]).blob(b"DATB", b"xx")), Code::AppleArchive);
    assert_eq!(one(f().field(b"SIZ1", &[3])), Code::Unsupported, "no data in the archive");
    assert_eq!(one(f().text(b"LNKP", "x")), Code::AppleArchive);
    assert_eq!(one(AaEntry::new(b'L', "a")), Code::AppleArchive, "link without target");
    assert_eq!(one(AaEntry::new(b'L', "a").text(b"LNKP", "")), Code::PathUnsafe);
    assert_eq!(one(AaEntry::new(b'L', "a").text(b"LNKP", "b\0c")), Code::PathUnsafe);
    assert_eq!(one(AaEntry::new(b'L', "a").text(b"LNKP", &"x".repeat(1025))), Code::PathUnsafe);
    assert_eq!(one(AaEntry::new(b'D', "a").blob(b"DATB", b"x")), Code::AppleArchive);
    assert_eq!(one(AaEntry::new(b'W', "a")), Code::Unsupported);
    assert_eq!(one(AaEntry::default().text(b"PATP", "a")), Code::AppleArchive, "no type");
    assert_eq!(one(AaEntry::default().field(b"TYP1", b"F")), Code::AppleArchive, "no path");
    for bad in ["../x", "/x", "a/../b", "a\0b"] {
        assert_eq!(one(AaEntry::new(b'F', bad)), Code::PathUnsafe, "{bad:?}");
    }
    let bad = f().field(b"SH2H", &[1; 32]).blob(b"DATB", b"x");
    assert_eq!(one(bad), Code::AppleArchive, "digest");
    for size in [0_u16, 5, u16::MAX] {
        let mut v = f().bytes();
        v[4..6].copy_from_slice(&size.to_le_bytes());
        assert_eq!(code(&v), Code::AppleArchive, "header of {size}");
    }
    let many = job(|l| l.entries = 2);
    assert_eq!(walk_job(&sample(), &many).unwrap_err().code(), Code::LimitEntries);
}

/// An LZVN block: one literal, then a match of 3 bytes at `distance`.
fn lzvn(distance: u8) -> Vec<u8> {
    let payload = [0x40, distance, b'a', 6, 0, 0, 0, 0, 0, 0, 0];
    let mut v = b"bvxn".to_vec();
    v.extend(4_u32.to_le_bytes());
    v.extend((payload.len() as u32).to_le_bytes());
    v.extend(payload);
    v.extend(b"bvx$");
    v
}

#[test]
fn b12_lzfse_that_reaches_before_its_start() {
    // A first chunk of 200 bytes inside an entry, then the block under test.
    let entry = AaEntry::new(b'F', "a").blob(b"DATB", &[b's'; 400]).bytes();
    let first = Chunk::packed(&entry[..200], lzfse(&entry[..200]));
    let after =
        |d: u8| code(&container(b'e', 200, &[first.clone(), Chunk::packed(b"aaaa", lzvn(d))]));
    let alone = |d: u8| code(&container(b'e', 200, &[Chunk::packed(b"aaaa", lzvn(d))]));
    // With distance 1 the block is right: "aaaa". Only then does the archive end too early.
    assert_eq!((after(1), alone(1)), (Code::AppleArchive, Code::AppleArchive));
    // Nothing before the block's first byte can be reached: not the bytes of the chunk
    // before, which the same decoder has just put out, and no memory that is not set.
    for d in [0, 2, 5, 100, 200, 255] {
        assert_eq!((after(d), alone(d)), (Code::Lzfse, Code::Lzfse), "{d}");
    }
}

#[test]
fn b12_lzfse_sizes_and_blocks() {
    let text = sample();
    let n = text.len() as u64;
    let good = Chunk::packed(&text, lzfse(&text));
    assert!(walk(&container(b'e', n, std::slice::from_ref(&good))).is_ok());
    for plain in [n - 1, n + 1] {
        let c = Chunk { plain, ..good.clone() };
        assert_eq!(code(&container(b'e', 1 << 22, &[c])), Code::Lzfse, "decoded {plain}");
    }
    for block in [0, (32 << 20) + 1, u64::MAX] {
        assert_eq!(code(&container(b'e', block, std::slice::from_ref(&good))), Code::AppleArchive);
    }
    let mut no_end = good.clone();
    no_end.data.truncate(no_end.data.len() - 4);
    no_end.stored -= 4;
    assert_eq!(code(&container(b'e', 1 << 22, &[no_end])), Code::Lzfse);
    let two = Chunk::packed(&text, [good.data.clone(), good.data.clone()].concat());
    assert_eq!(code(&container(b'e', 1 << 22, &[two])), Code::Lzfse);
    let magic = Chunk::packed(&text, b"bvx9junkjunk".to_vec());
    assert_eq!(code(&container(b'e', 1 << 22, &[magic])), Code::Lzfse);
    // Far more than the chunk says is never produced.
    let bomb = Chunk { plain: 100, ..Chunk::packed(&[], lzfse(&vec![0; 8 << 20])) };
    assert_eq!(code(&container(b'e', 100, &[bomb])), Code::Lzfse);
}

#[test]
fn deterministic_damage_never_panics_or_hangs() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    let text: Vec<u8> = sample().repeat(20);
    let pack = |letter: u8, pack: fn(&[u8]) -> Vec<u8>| {
        let chunks: Vec<_> = text.chunks(3000).map(|c| Chunk::packed(c, pack(c))).collect();
        container(letter, 3000, &chunks)
    };
    let goods = [
        sample(),
        pack(b'e', lzfse),
        pack(b'z', zlib),
        container(b'e', 100, &[Chunk::packed(b"aaaa", lzvn(1))]),
    ];
    for good in goods {
        for _ in 0..3000 {
            let mut v = good.clone();
            for _ in 0..=next() % 4 {
                let at = next() % v.len();
                v[at] = next() as u8;
            }
            if next() % 4 == 0 {
                v.truncate(next() % good.len());
            }
            if let Err(e) = walk_job(&v, &job(|l| l.expanded_bytes = 1 << 22)) {
                assert_ne!(e.code(), Code::Internal, "{e}");
            }
        }
    }
}
