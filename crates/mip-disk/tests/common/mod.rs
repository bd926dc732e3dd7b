//! What the tests of this crate share.
#![allow(dead_code)]

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use mip_base::{CancelToken, Code, Error, Job, Limits, ReadAt, Result, SilentProgress, Source};

pub(crate) fn source(bytes: impl Into<Vec<u8>>) -> Source {
    Arc::new(bytes.into())
}

/// A job whose limits differ from the default.
pub(crate) fn job(change: impl FnOnce(&mut Limits)) -> Job {
    let mut limits = Limits::default();
    change(&mut limits);
    Job::new(limits, CancelToken::new(), Arc::new(SilentProgress))
}

/// Reads everything with buffers of `step` bytes.
pub(crate) fn read_in_steps(source: &Source, step: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut buf = vec![0xEE; step];
    loop {
        match source.read_at(out.len() as u64, &mut buf) {
            Ok(0) => break,
            Ok(n) => out.extend(&buf[..n]),
            Err(e) => return Err(Error::from_io(Code::InputIo, "reading", e)),
        }
    }
    assert_eq!(out.len() as u64, source.size());
    Ok(out)
}

/// Reads everything, whole and in odd pieces, forwards and backwards, and checks that the bytes
/// are the same.
pub(crate) fn read_every_way(source: &Source) -> Vec<u8> {
    let whole = read_in_steps(source, 1 << 20).unwrap();
    for step in [511, 513, 4097, 70_001] {
        assert!(read_in_steps(source, step).unwrap() == whole, "in steps of {step}");
    }
    if whole.len() < 100_000 {
        assert!(read_in_steps(source, 1).unwrap() == whole, "byte by byte");
    }
    let mut at = whole.len();
    while at > 0 {
        let from = at.saturating_sub(9_001);
        let mut buf = vec![0; at - from];
        mip_base::read_full_at(source, from as u64, &mut buf, Code::Truncated).unwrap();
        assert!(buf == whole[from..at], "backwards from {at}");
        at = from;
    }
    assert_eq!(source.read_at(source.size(), &mut [0; 4]).unwrap(), 0);
    assert_eq!(source.read_at(u64::MAX, &mut [0; 4]).unwrap(), 0);
    whole
}

pub(crate) fn gunzip(file: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    let file = std::fs::File::open(file).unwrap();
    flate2::read::GzDecoder::new(file).read_to_end(&mut out).unwrap();
    out
}

/// The files of a small zip, by its central directory.
pub(crate) fn unzip(file: &Path) -> Vec<(String, Vec<u8>)> {
    let zip = std::fs::read(file).unwrap();
    let u16_at = |at: usize| usize::from(u16::from_le_bytes(zip[at..at + 2].try_into().unwrap()));
    let u32_at = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let end = zip.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
    let (mut at, mut out) = (u32_at(end + 16), Vec::new());
    while zip[at..].starts_with(b"PK\x01\x02") {
        let (method, packed, local) = (u16_at(at + 10), u32_at(at + 20), u32_at(at + 42));
        let name = &zip[at + 46..at + 46 + u16_at(at + 28)];
        let data = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let data = &zip[data..data + packed];
        let mut bytes = Vec::new();
        match method {
            0 => bytes.extend(data),
            _ => {
                flate2::read::DeflateDecoder::new(data).read_to_end(&mut bytes).unwrap();
            }
        }
        out.push((String::from_utf8(name.to_vec()).unwrap(), bytes));
        at += 46 + u16_at(at + 28) + u16_at(at + 30) + u16_at(at + 32);
    }
    out
}

/// A small generator of numbers, so that mutations repeat.
pub(crate) struct Lcg(pub(crate) u64);

impl Lcg {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}
