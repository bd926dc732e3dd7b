//! Compressed files: every type, reads of odd sizes, and case C11 of the hostile inputs.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod common;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use common::{code, job, vector};
use mip_base::{Code, Error, Job, ReadAt, Result, Source, read_full_at};
use mip_codec::decmpfs::{Header, open};

const BLOCK: usize = 64 << 10;

/// An attribute: header, then data.
fn xattr(kind: u32, size: u64, data: &[u8]) -> Vec<u8> {
    let mut out = b"fpmc".to_vec();
    out.extend(kind.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(data);
    out
}

/// A fork as type 4 has it, as macOS writes it: header of 256 bytes, length, table, blocks, and a map.
fn classic(blocks: &[Vec<u8>]) -> Vec<u8> {
    let table = 4 + 8 * blocks.len();
    let data: usize = table + blocks.iter().map(Vec::len).sum::<usize>();
    let mut out = Vec::new();
    for n in [256, 260 + data, data + 4, 50] {
        out.extend((n as u32).to_be_bytes());
    }
    out.resize(256, 0);
    out.extend((data as u32).to_be_bytes());
    out.extend((blocks.len() as u32).to_le_bytes());
    let mut at = table;
    for b in blocks {
        out.extend((at as u32).to_le_bytes());
        out.extend((b.len() as u32).to_le_bytes());
        at += b.len();
    }
    out.extend(blocks.concat());
    out.extend([0; 50]);
    out
}

/// A fork of the other types: offsets, blocks.
fn offsets(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut at = 4 * (blocks.len() + 1);
    let mut out = (at as u32).to_le_bytes().to_vec();
    for b in blocks {
        at += b.len();
        out.extend((at as u32).to_le_bytes());
    }
    out.extend(blocks.concat());
    out
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    w.write_all(data).unwrap();
    w.finish().unwrap()
}

/// LZFSE from the format: stored blocks.
fn lzfse(data: &[u8]) -> Vec<u8> {
    [b"bvx-", &(data.len() as u32).to_le_bytes()[..], data, b"bvx$"].concat()
}

/// LZVN from the format: literals of 271 bytes at most.
fn lzvn(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for c in data.chunks(271) {
        match c.len() {
            n @ 16.. => out.extend([0xe0, (n - 16) as u8]),
            n => out.push(0xe0 | n as u8),
        }
        out.extend(c);
    }
    out.extend([6, 0, 0, 0, 0, 0, 0, 0]);
    out
}

fn marked(mark: u8, data: &[u8]) -> Vec<u8> {
    [&[mark], data].concat()
}

/// Data of three blocks, the last one short.
fn data() -> Vec<u8> {
    (0..2 * BLOCK + 777).map(|i| (i * i / 7 + i / 300) as u8).collect()
}

fn fork(bytes: Vec<u8>) -> Option<Source> {
    Some(Arc::new(bytes))
}

fn whole(source: &Source) -> Result<Vec<u8>> {
    let mut out = vec![0xee; source.size() as usize];
    read_full_at(source, 0, &mut out, Code::Internal)?;
    Ok(out)
}

/// The files of all types: attribute, fork.
fn files(data: &[u8]) -> Vec<(u32, Vec<u8>, Option<Source>)> {
    let size = data.len() as u64;
    let blocks = |pack: &dyn Fn(&[u8]) -> Vec<u8>| data.chunks(BLOCK).map(pack).collect::<Vec<_>>();
    // The middle block is stored, as when it does not shrink.
    let mixed = |mark: u8, pack: fn(&[u8]) -> Vec<u8>| {
        let mut b = blocks(&pack);
        b[1] = marked(mark, &data[BLOCK..2 * BLOCK]);
        b
    };
    let of = |kind: u32, fork_bytes: Vec<u8>| (kind, xattr(kind, size, &[]), fork(fork_bytes));
    vec![
        of(4, classic(&mixed(0xff, zlib))),
        of(4, classic(&mixed(0x0f, zlib))),
        of(8, offsets(&mixed(6, lzvn))),
        of(10, offsets(&blocks(&|b| marked(0xcc, b)))),
        of(10, offsets(&blocks(&<[u8]>::to_vec))),
        of(10, classic(&blocks(&|b| marked(0xcc, b)))),
        of(12, offsets(&mixed(0xff, lzfse))),
        // LZVN with bytes behind the end mark, as macOS leaves them.
        of(8, offsets(&blocks(&|b| [lzvn(b), vec![9; 5]].concat()))),
    ]
}

#[test]
fn every_type_gives_the_same_data() {
    let data = data();
    for (kind, x, f) in files(&data) {
        let h = Header::parse(&x).unwrap();
        assert_eq!((h.kind, h.size, h.in_resource_fork()), (kind, data.len() as u64, true));
        let file = open(x, f, &Job::default()).unwrap();
        assert_eq!(file.size(), data.len() as u64);
        assert!(whole(&file).unwrap() == data, "type {kind}");
    }
    let text = vector("plain");
    for (kind, packed) in [
        (1, text.clone()),
        (3, vector("zlib")),
        (3, marked(0xff, &text)),
        (3, marked(0x1f, &text)),
        (7, vector("lzvn")),
        (7, marked(6, &text)),
        (9, marked(0xcc, &text)),
        (9, text.clone()),
        (11, vector("lzfse-vn")),
        (11, marked(0xff, &text)),
    ] {
        let x = xattr(kind, text.len() as u64, &packed);
        assert!(!Header::parse(&x).unwrap().in_resource_fork());
        let file = open(x, None, &Job::default()).unwrap();
        assert!(whole(&file).unwrap() == text, "type {kind}");
    }
}

#[test]
fn reads_of_any_size_give_the_same_bytes() {
    let data = data();
    for (kind, x, f) in files(&data) {
        let file = open(x, f, &Job::default()).unwrap();
        for step in [1, 3, 4097, BLOCK - 1, BLOCK, BLOCK + 1] {
            // One byte at a time only around the seams: the rest is the same.
            let ranges = if step < 100 {
                vec![(0, 300), (BLOCK - 200, BLOCK + 200), (data.len() - 900, data.len())]
            } else {
                vec![(0, data.len())]
            };
            for (from, to) in ranges {
                let (mut at, mut out) = (from, vec![0xee; to - from]);
                while at < to {
                    let end = (at + step).min(to);
                    let n = file.read_at(at as u64, &mut out[at - from..end - from]).unwrap();
                    assert!(n > 0);
                    at += n;
                }
                assert!(out == data[from..to], "type {kind} step {step}");
            }
        }
        let mut tail = [0; 100];
        assert_eq!(file.read_at(data.len() as u64 - 7, &mut tail).unwrap(), 7);
        assert_eq!(file.read_at(data.len() as u64, &mut tail).unwrap(), 0);
        assert_eq!(file.read_at(u64::MAX, &mut tail).unwrap(), 0);
    }
}

#[test]
fn an_empty_file_is_empty() {
    for kind in [1, 3, 4, 7, 8, 9, 10, 11, 12] {
        let file = open(xattr(kind, 0, &[]), None, &Job::default()).unwrap();
        assert_eq!(file.read_at(0, &mut [0; 9]).unwrap(), 0, "type {kind}");
        assert_eq!(file.size(), 0);
    }
}

fn opened(kind: u32, size: u64, f: Vec<u8>) -> Result<Source> {
    open(xattr(kind, size, &[]), fork(f), &Job::default())
}

/// Opens and reads; what is wrong must be said by one of the two, at once and without memory.
fn refused(kind: u32, size: u64, f: Vec<u8>) -> Error {
    let started = Instant::now();
    let e: Result<()> = opened(kind, size, f).and_then(|file| {
        let mut piece = vec![0; BLOCK * 4];
        let mut at = 0;
        loop {
            match file.read_at(at, &mut piece) {
                Ok(0) => panic!("type {kind} of {size} bytes was read"),
                Ok(n) => at += n as u64,
                Err(e) => return Err(Error::from_io(Code::Internal, "a bare error", e)),
            }
        }
    });
    mip_testkit::not_hanging(started);
    e.unwrap_err()
}

#[test]
fn c11_types() {
    let names =
        [(5, "de-duplicated"), (13, "LZBitmap"), (14, "LZBitmap"), (0x8000_0001, "dataless")];
    for (kind, name) in names {
        let e = opened(kind, 10, vec![0; 100]).map(|_| ()).unwrap_err();
        assert_eq!(e.code(), Code::Unsupported, "{kind}");
        assert!(e.message().contains(name), "{e}");
    }
    for kind in [0, 2, 6, 15, 99, u32::MAX] {
        let e = opened(kind, 10, vec![0; 100]).map(|_| ()).unwrap_err();
        assert_eq!((e.code(), e.message().contains("not known")), (Code::Unsupported, true));
    }
    for bad in
        [&b""[..], b"fpm", b"cmpf\x03\0\0\0\0\0\0\0\0\0\0\0", b"fpmc\x03\0\0\0\0\0\0\0\0\0\0"]
    {
        assert_eq!(code(Header::parse(bad)), Code::Decmpfs);
        assert_eq!(code(open(bad.to_vec(), None, &Job::default()).map(|_| ())), Code::Decmpfs);
    }
    // The fork is missing or empty.
    for kind in [4, 8, 10, 12] {
        let x = || xattr(kind, 10, &[]);
        assert_eq!(code(open(x(), None, &Job::default()).map(|_| ())), Code::Decmpfs);
        assert_eq!(code(open(x(), fork(vec![]), &Job::default()).map(|_| ())), Code::Decmpfs);
    }
}

#[test]
fn c11_sizes() {
    let block = zlib(&[1; 1000]);
    for size in [1001, 999, BLOCK as u64 + 1, 1 << 40, 1 << 63, u64::MAX] {
        assert_eq!(refused(4, size, classic(std::slice::from_ref(&block))).code(), Code::Decmpfs);
        assert_eq!(refused(8, size, offsets(&[lzvn(&[1; 1000])])).code(), Code::Decmpfs);
        for (kind, data) in [(1, vec![1; 1000]), (3, block.clone()), (7, lzvn(&[1; 1000]))] {
            let e = open(xattr(kind, size, &data), None, &Job::default()).map(|_| ());
            assert_eq!(code(e), Code::Decmpfs, "type {kind} size {size}");
        }
    }
    // A type that allows no mark before stored data.
    let e = open(xattr(1, 1000, &[1; 1001]), None, &Job::default()).map(|_| ());
    assert_eq!(code(e), Code::Decmpfs);
    // An attribute that no volume could hold.
    let e = open(xattr(1, 2 << 20, &vec![1; 2 << 20]), None, &Job::default()).map(|_| ());
    assert_eq!(code(e), Code::LimitMemory);
}

#[test]
fn c11_tables() {
    let data = data();
    let size = data.len() as u64;
    let blocks: Vec<_> = data.chunks(BLOCK).map(zlib).collect();
    let good = classic(&blocks);
    let put = |f: &[u8], at: usize, v: u32| {
        let mut f = f.to_vec();
        f[at..at + 4].copy_from_slice(&v.to_le_bytes());
        f
    };
    let word = |f: &[u8], at: usize| u32::from_le_bytes(f[at..at + 4].try_into().unwrap());
    // Count of blocks.
    for n in [0, 1, 2, u32::MAX, 1 << 31, good.len() as u32 / 8] {
        assert_eq!(refused(4, size, put(&good, 260, n)).code(), Code::Decmpfs, "count {n}");
    }
    // Where the data of the fork is said to be.
    for at in [0, u32::MAX, 0xffff_fff0, good.len() as u32] {
        assert_eq!(refused(4, size, put(&good, 0, at.swap_bytes())).code(), Code::Decmpfs);
    }
    // Each offset and size: into the table, back, over the one before, past the end.
    let second = word(&good, 272);
    for bad in [0, 4, 27, second - 1, u32::MAX, good.len() as u32] {
        assert_eq!(refused(4, size, put(&good, 272, bad)).code(), Code::Decmpfs, "offset {bad}");
    }
    for bad in [0, u32::MAX, 1 << 20] {
        assert_eq!(refused(4, size, put(&good, 276, bad)).code(), Code::Decmpfs, "size {bad}");
    }
    // Offsets of the other layout: back, into the table, past the end, equal.
    let other = offsets(&data.chunks(BLOCK).map(lzvn).collect::<Vec<_>>());
    let second = word(&other, 4);
    for bad in [0, 15, second - 1, second, u32::MAX, other.len() as u32 + 1] {
        assert_eq!(refused(8, size, put(&other, 8, bad)).code(), Code::Decmpfs, "end {bad}");
    }
    for first in [0, 4, 12, u32::MAX] {
        assert_eq!(refused(8, size, put(&other, 0, first)).code(), Code::Decmpfs, "{first}");
    }
    // The fork cut anywhere before its map.
    for n in (0..300).chain((300..good.len() - 50).step_by(997)) {
        assert_eq!(refused(4, size, good[..n].to_vec()).code(), Code::Decmpfs, "cut at {n}");
    }
    for n in (0..40).chain((40..other.len()).step_by(997)) {
        assert_eq!(refused(8, size, other[..n].to_vec()).code(), Code::Decmpfs, "cut at {n}");
    }
}

#[test]
fn c11_blocks() {
    // Too little and too much in a block that is not the last, and damage.
    let full = vec![5; BLOCK];
    for (kind, pack) in [(4, zlib as fn(&[u8]) -> Vec<u8>), (8, lzvn), (12, lzfse)] {
        for first in [pack(&full[1..]), pack(&[&full[..], &[5]].concat()), vec![0x70; 90]] {
            let blocks = [first, pack(&[5; 9])];
            let f = if kind == 4 { classic(&blocks) } else { offsets(&blocks) };
            assert_eq!(refused(kind, BLOCK as u64 + 9, f).code(), Code::Decmpfs, "type {kind}");
        }
    }
    // What is before the damage can be read.
    let f = classic(&[zlib(&full), vec![0x78; 9]]);
    let file = opened(4, BLOCK as u64 + 9, f).unwrap();
    let mut all = vec![0; BLOCK + 9];
    assert_eq!(file.read_at(0, &mut all).unwrap(), BLOCK);
    assert!(file.read_at(BLOCK as u64, &mut all).is_err());
    // A block of 64 KiB of one byte is 80 bytes: the budget and the ratio hold for the file.
    let many = vec![zlib(&full); 4000];
    let size = (many.len() * BLOCK) as u64;
    let drain = |job: &Job| {
        let file = open(xattr(4, size, &[]), fork(classic(&many)), job).unwrap();
        let (mut at, mut buf) = (0, vec![0; 1 << 20]);
        while at < size {
            at += file.read_at(at, &mut buf).map_err(|e| Error::from_io(Code::Internal, "", e))?
                as u64;
        }
        Ok(())
    };
    assert_eq!(code(drain(&job(|l| l.expanded_bytes = 10 << 20))), Code::LimitExpanded);
    assert_eq!(code(drain(&Job::default())), Code::LimitExpanded);
    drain(&job(|l| l.ratio = 2000)).unwrap();
}
