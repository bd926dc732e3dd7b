//! The cases A1 to A24 of the list of hostile inputs, without A18 to A20 (signatures).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    missing_docs
)]

mod entries;
mod table;

use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;

use mip_base::{CancelToken, Code, EntryKind, Error, Job, Limits, ReadAt, SilentProgress};
use mip_testkit::xar::{Encoding, Style, XarBuilder, base64, hex};
use mip_xar::{ChecksumStyle, SignatureStyle, Xar};

fn open(bytes: Vec<u8>) -> Result<Xar, Error> {
    Xar::open(Arc::new(bytes), &Job::default())
}

fn code(bytes: Vec<u8>) -> Code {
    open(bytes).unwrap_err().code()
}

/// A TOC with these elements, no checksum, over ten heap bytes.
fn toc(inner: &str) -> Vec<u8> {
    XarBuilder::new()
        .toc_checksum(Style::None)
        .raw(
            format!("<?xml version=\"1.0\"?><xar><toc>{inner}</toc></xar>"),
            b"0123456789".to_vec(),
        )
        .build()
}

fn file(inner: &str) -> Vec<u8> {
    toc(&format!("<file id=\"1\"><name>f</name><type>file</type>{inner}</file>"))
}

/// A `<data>` over heap bytes with right checksums.
fn data(offset: usize, len: usize) -> String {
    let digest = hex(&Style::Sha1.digest(&b"0123456789"[offset..offset + len]));
    format!(
        "<data><offset>{offset}</offset><length>{len}</length><size>{len}</size>\
         <archived-checksum style=\"sha1\">{digest}</archived-checksum>\
         <extracted-checksum style=\"sha1\">{digest}</extracted-checksum></data>"
    )
}

fn sample() -> XarBuilder {
    XarBuilder::new()
        .file("PackageInfo", "<pkg-info/>", Encoding::Gzip)
        .file("a.pkg/Payload", vec![7; 3000], Encoding::None)
        .symlink("a.pkg/link", "Payload")
}

/// Hands out one byte at a time and counts what is read, of a file that is said to be `size`.
struct Counting {
    bytes: Vec<u8>,
    size: u64,
    most: usize,
    read: std::sync::atomic::AtomicU64,
}

impl ReadAt for Counting {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = buf.len().min(self.most);
        let got = self.bytes.read_at(offset, &mut buf[..n])?;
        self.read.fetch_add(got as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(got)
    }
}

#[test]
fn reads_of_one_byte_give_the_same() {
    let bytes = sample().build();
    let size = bytes.len() as u64;
    let source = Arc::new(Counting { bytes, size, most: 1, read: 0.into() });
    let xar = Xar::open(source, &Job::default()).unwrap();
    let read = |p: &str| xar.read_file(xar.find(p).unwrap(), 1 << 20, &Job::default()).unwrap();
    assert_eq!(read("PackageInfo"), b"<pkg-info/>");
    assert_eq!(read("a.pkg/Payload"), vec![7; 3000]);
}

#[test]
fn opening_four_gibibytes_reads_the_header_and_the_toc() {
    let built = XarBuilder::new().toc_checksum(Style::None).raw(
        "<xar><toc><file id=\"1\"><name>Payload</name><type>file</type><data><offset>0</offset>\
         <length>4294967296</length><size>4294967296</size><archived-checksum style=\"md5\">\
         00000000000000000000000000000000</archived-checksum></data></file></toc></xar>",
        vec![],
    );
    let bytes = built.build();
    let head = bytes.len() as u64;
    let size = head + (4 << 30);
    let source = Arc::new(Counting { bytes, size, most: usize::MAX, read: 0.into() });
    let xar = Xar::open(source.clone(), &Job::default()).unwrap();
    assert_eq!(xar.heap_used(), 4 << 30);
    assert!(source.read.load(std::sync::atomic::Ordering::Relaxed) <= head + 64);
}

/// Everything that a reader can be asked, for comparison.
fn everything(bytes: Vec<u8>) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let job = Job::default();
    let xar = Xar::open(Arc::new(bytes), &job)?;
    let mut out = Vec::new();
    for f in xar.files() {
        let bytes = match f.kind {
            EntryKind::File => xar.read_file(f, 1 << 20, &job)?,
            _ => f.link.clone().unwrap_or_default().into_bytes(),
        };
        out.push((f.path.as_str().to_owned(), bytes));
    }
    Ok(out)
}

#[test]
fn every_changed_byte_and_every_cut_is_an_error_or_harmless() {
    let small = XarBuilder::new()
        .file("a", "hello hello", Encoding::Gzip)
        .file("d/b", "plain", Encoding::None)
        .symlink("l", "a")
        .build();
    let want = everything(small.clone()).unwrap();
    let (mut same, mut refused) = (0, 0);
    for i in 0..small.len() {
        for value in [0, 0xff, small[i].wrapping_add(1), small[i].wrapping_sub(1)] {
            let mut bad = small.clone();
            bad[i] = value;
            if bad == small {
                continue;
            }
            match everything(bad) {
                Ok(got) => {
                    assert_eq!(got, want, "byte {i} = {value}");
                    same += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    // Header, TOC, TOC checksum and data are all covered: no change may pass.
    assert_eq!(same, 0, "{refused} refused");
    for len in 0..small.len() {
        assert!(everything(small[..len].to_vec()).is_err(), "cut to {len}");
    }
}
